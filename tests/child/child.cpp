// The one program that process tests run: what a command can be or do, one sub-command each.
//
// Links nothing of the library and, where the toolchain allows, nothing dynamically, so that a child is quick to start.
// Lines go to standard output and end with a newline; an unknown sub-command exits with 64.
#include <dirent.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace {

constexpr int usage = 64;
constexpr long forever = -1;

bool write_all(int to, const char* from, std::size_t size) {
    while (size > 0) {
        const ssize_t moved = ::write(to, from, size);
        if (moved < 0 && errno != EINTR) return false;
        if (moved > 0) {
            from += moved;
            size -= static_cast<std::size_t>(moved);
        }
    }
    return true;
}

[[gnu::format(printf, 1, 2)]] void say(const char* format, ...) {
    char line[PATH_MAX + 64];
    va_list values;
    va_start(values, format);
    const int size = std::vsnprintf(line, sizeof line, format, values);
    va_end(values);
    write_all(1, line, static_cast<std::size_t>(size));
}

long number(char** words, long otherwise) {
    return words[0] != nullptr ? std::strtol(words[0], nullptr, 10) : otherwise;
}

void wait_ms(long ms) {
    if (ms == forever) {
        for (;;) ::pause();
    }
    timespec left{ms / 1000, ms % 1000 * 1'000'000};
    while (::nanosleep(&left, &left) != 0) {
    }
}

// args [WORD...]: each argument after the sub-command, followed by a NUL byte.
int args(char** words) {
    for (; *words != nullptr; ++words) write_all(1, *words, std::strlen(*words) + 1);
    return 0;
}

// env: each environment string, followed by a NUL byte.
int env(char**) { return args(environ); }

// cat: copies standard input to standard output until its end.
int cat(char**) {
    static char buffer[65536];
    for (;;) {
        const ssize_t size = ::read(0, buffer, sizeof buffer);
        if (size == 0) return 0;
        if (size < 0 && errno == EINTR) continue;
        if (size < 0 || !write_all(1, buffer, static_cast<std::size_t>(size))) return 1;
    }
}

// read N: takes N bytes of standard input, then exits with 0.
int read_some(char** words) {
    char byte;
    for (long left = number(words, 0); left > 0; --left) {
        if (::read(0, &byte, 1) != 1) return 1;
    }
    return 0;
}

// exit N: exits with N.
int exit_with(char** words) { return static_cast<int>(number(words, 0)); }

// signal N: ends itself by signal N, without a core file.
int signal_self(char** words) {
    const int which = static_cast<int>(number(words, SIGTERM));
    const rlimit none{0, 0};
    ::setrlimit(RLIMIT_CORE, &none);
    std::signal(which, SIG_DFL);
    ::raise(which);
    return 1;
}

// flood BYTES [out|err|both]: writes so many bytes ("both": to each of the two, in turns of 4 KiB).
int flood(char** words) {
    static char block[4096];
    for (std::size_t i = 0; i < sizeof block; ++i) block[i] = static_cast<char>('a' + i % 26);
    const char* where = words[0] != nullptr && words[1] != nullptr ? words[1] : "out";
    const bool to_out = std::strcmp(where, "err") != 0;
    const bool to_err = std::strcmp(where, "out") != 0;
    for (long left = number(words, 0); left > 0;) {
        const auto part = static_cast<std::size_t>((std::min)(left, static_cast<long>(sizeof block)));
        if (to_out && !write_all(1, block, part)) return 1;
        if (to_err && !write_all(2, block, part)) return 1;
        left -= static_cast<long>(part);
    }
    return 0;
}

// trickle N [MS]: writes N bytes one at a time, MS (default 0) apart.
int trickle(char** words) {
    const long apart = words[0] != nullptr ? number(words + 1, 0) : 0;
    for (long i = 0; i < number(words, 0); ++i) {
        if (i > 0 && apart > 0) wait_ms(apart);
        if (!write_all(1, &"abcdefghijklmnopqrstuvwxyz"[i % 26], 1)) return 1;
    }
    return 0;
}

// sleep [MS]: does nothing, for ever by default.
int sleep_for(char** words) {
    wait_ms(number(words, forever));
    return 0;
}

// spin MS: uses MS milliseconds of processor time.
int spin(char** words) {
    timespec used;
    do {
        ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    } while (used.tv_sec * 1000 + used.tv_nsec / 1'000'000 < number(words, 0));
    return 0;
}

int leave_behind(char** words, bool own_session) {
    int ready[2];
    if (::pipe2(ready, O_CLOEXEC) != 0) return 1;
    const pid_t left = ::fork();
    if (left == 0) {
        if (own_session) ::setsid();
        ::close(ready[1]);
        wait_ms(number(words, forever));
        ::_exit(0);
    }
    // The copy in the grandchild closes once it is where it should be.
    char byte;
    ::close(ready[1]);
    if (left < 0 || ::read(ready[0], &byte, 1) != 0) return 1;
    say("%d\n", static_cast<int>(left));
    return 0;
}

// hold-pipe [MS]: leaves a grandchild in its group that holds 0, 1 and 2 so long; prints its pid and exits.
int hold_pipe(char** words) { return leave_behind(words, false); }

// escape [MS]: the same, but the grandchild is in a session of its own.
int escape(char** words) { return leave_behind(words, true); }

// ignore-term: ignores TERM, INT and HUP, prints "ready" and sleeps.
int ignore_term(char**) {
    for (const int which : {SIGTERM, SIGINT, SIGHUP}) std::signal(which, SIG_IGN);
    say("ready\n");
    wait_ms(forever);
    return 0;
}

// on-term N: prints "ready", sleeps, and exits with N when TERM comes.
int on_term(char** words) {
    static volatile std::sig_atomic_t code;
    code = static_cast<int>(number(words, 0));
    std::signal(SIGTERM, [](int) { ::_exit(code); });
    say("ready\n");
    wait_ms(forever);
    return 0;
}

// stop-self: stops itself; prints "continued" when it goes on.
int stop_self(char**) {
    ::raise(SIGSTOP);
    say("continued\n");
    return 0;
}

// close-in [MS]: closes standard input, prints "closed", and lives on for so long, for ever by default.
int close_in(char** words) {
    ::close(0);
    say("closed\n");
    return sleep_for(words);
}

// close-out [MS]: closes standard output and error and lives on for so long, for ever by default.
int close_out(char** words) {
    ::close(1);
    ::close(2);
    return sleep_for(words);
}

const char* kind_of(int descriptor) {
    struct stat about {};
    if (::fstat(descriptor, &about) != 0) return "unknown";
    switch (about.st_mode & S_IFMT) {
        case S_IFIFO: return "pipe";
        case S_IFSOCK: return "socket";
        case S_IFREG: return "file";
        case S_IFDIR: return "directory";
        case S_IFCHR: return ::isatty(descriptor) == 1 ? "tty" : about.st_rdev == 0x103 ? "null" : "device";
        default: return "other";
    }
}

// fds: one line an open descriptor: number, kind, inode, "nonblocking" or "blocking".
int fds(char**) {
    DIR* all = ::opendir("/proc/self/fd");
    if (all == nullptr) return 1;
    while (const dirent* entry = ::readdir(all)) {
        const int descriptor = std::atoi(entry->d_name);
        if (entry->d_name[0] == '.' || descriptor == ::dirfd(all)) continue;
        struct stat about {};
        ::fstat(descriptor, &about);
        const bool waits = (::fcntl(descriptor, F_GETFL) & O_NONBLOCK) == 0;
        say("%d %s %lu %s\n", descriptor, kind_of(descriptor), static_cast<unsigned long>(about.st_ino),
            waits ? "blocking" : "nonblocking");
    }
    ::closedir(all);
    return 0;
}

int show_lines(const char* path, const char* begin) {
    std::FILE* file = std::fopen(path, "re");
    if (file == nullptr) return 1;
    char line[PATH_MAX];
    while (std::fgets(line, sizeof line, file) != nullptr) {
        if (std::strncmp(line, begin, std::strlen(begin)) == 0) say("%s", line);
    }
    return 0;
}

// dispositions: SigQ, SigPnd, SigBlk, SigIgn and SigCgt as /proc/self/status shows them.
int dispositions(char**) { return show_lines("/proc/self/status", "Sig"); }

// cgroup: the line of the unified hierarchy in /proc/self/cgroup.
int cgroup(char**) { return show_lines("/proc/self/cgroup", "0::"); }

// cwd: the current directory.
int cwd(char**) {
    char path[PATH_MAX];
    if (::getcwd(path, sizeof path) == nullptr) return 1;
    say("%s\n", path);
    return 0;
}

// ids: lines uid, gid (real, effective, saved), groups, no_new_privs.
int ids(char**) {
    uid_t user[3];
    gid_t group[3];
    static gid_t groups[65536];
    ::getresuid(&user[0], &user[1], &user[2]);
    ::getresgid(&group[0], &group[1], &group[2]);
    const int count = ::getgroups(65536, groups);
    say("uid %u %u %u\n", user[0], user[1], user[2]);
    say("gid %u %u %u\n", group[0], group[1], group[2]);
    say("groups");
    for (int i = 0; i < count; ++i) say(" %u", groups[i]);
    say("\nno_new_privs %d\n", ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    return 0;
}

// limits: one line a resource: its number, soft, hard ("-" = unlimited).
int limits(char**) {
    for (int resource = 0; resource < 16; ++resource) {
        rlimit now{};
        if (::getrlimit(static_cast<__rlimit_resource>(resource), &now) != 0) continue;
        char soft[24] = "-";
        char hard[24] = "-";
        if (now.rlim_cur != RLIM_INFINITY) std::snprintf(soft, sizeof soft, "%lu", now.rlim_cur);
        if (now.rlim_max != RLIM_INFINITY) std::snprintf(hard, sizeof hard, "%lu", now.rlim_max);
        say("%d %s %s\n", resource, soft, hard);
    }
    return 0;
}

// umask: in octal, four digits.
int show_umask(char**) {
    say("%04o\n", ::umask(0));
    return 0;
}

// session: "pid P pgid P sid P ppid P tty yes|no", whether there is a controlling terminal.
int session(char**) {
    const int tty = ::open("/dev/tty", O_RDWR | O_CLOEXEC);
    say("pid %d pgid %d sid %d ppid %d tty %s\n", ::getpid(), ::getpgrp(), ::getsid(0), ::getppid(),
        tty >= 0 ? "yes" : "no");
    return 0;
}

// parent-death: the signal that it would get when the thread that started it ends.
int parent_death(char**) {
    int which = -1;
    ::prctl(PR_GET_PDEATHSIG, &which, 0, 0, 0);
    say("%d\n", which);
    return 0;
}

// tty: one line a standard stream: its number and "ROWS COLUMNS" if it is a terminal, else "no".
int tty(char**) {
    for (int stream = 0; stream < 3; ++stream) {
        winsize size{};
        if (::ioctl(stream, TIOCGWINSZ, &size) == 0) {
            say("%d %d %d\n", stream, size.ws_row, size.ws_col);
        } else {
            say("%d no\n", stream);
        }
    }
    return 0;
}

struct command {
    const char* name;
    int (*run)(char** words);
};
constexpr command commands[] = {
    {"args", args},
    {"env", env},
    {"cat", cat},
    {"read", read_some},
    {"exit", exit_with},
    {"signal", signal_self},
    {"flood", flood},
    {"trickle", trickle},
    {"sleep", sleep_for},
    {"spin", spin},
    {"hold-pipe", hold_pipe},
    {"escape", escape},
    {"ignore-term", ignore_term},
    {"on-term", on_term},
    {"stop-self", stop_self},
    {"close-in", close_in},
    {"close-out", close_out},
    {"fds", fds},
    {"dispositions", dispositions},
    {"cgroup", cgroup},
    {"cwd", cwd},
    {"ids", ids},
    {"limits", limits},
    {"umask", show_umask},
    {"session", session},
    {"parent-death", parent_death},
    {"tty", tty},
};

}  // namespace

int main(int count, char** words) {
    if (count < 2) return usage;
    for (const command& one : commands) {
        if (std::strcmp(one.name, words[1]) == 0) return one.run(words + 2);
    }
    return usage;
}
