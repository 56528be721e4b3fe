// Traps that others fell into and that no other file here is about: doc/traps.md says which test proves what.
#include <exec/local_runner.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <exec/loop_thread.h>

#include "children.h"
#include "forked_host.h"
#include "guards.h"
#include "heard.h"
#include "living.h"
#include "local_host.h"
#include "sanitizer.h"
#include "syscall_spy.h"

using namespace std::chrono_literals;
using exec::exit_status;
using exec::flow;
using exec::spawn_kind;
using exec::stage;
using exec::stop_reason;
using exec::tree_state;
using test::both_drives;
using test::child;
using test::drive;
using test::findings;
using test::heard;
using test::in_forked_host;
using test::local_host;
using test::sh;
using test::words;
using table = exec::posix::syscalls;
using exec::posix::kernel_syscalls;

namespace {

// The ways to spawn that this build has.
std::vector<spawn_kind> these(std::vector<spawn_kind> kinds) {
    if (test::thread_sanitizer) std::erase(kinds, spawn_kind::clone);
    return kinds;
}
std::vector<spawn_kind> every_kind() {
    return these({spawn_kind::clone3, spawn_kind::clone, spawn_kind::posix_spawn, spawn_kind::fork});
}

exec::local_options by(spawn_kind kind) {
    exec::local_options options;
    options.spawn = kind;
    return options;
}

bool is(const exec::failure& why, int number, stage at) {
    return why.code == std::error_code(number, std::system_category()) && why.at == at;
}

bool become(unsigned user) { return ::setgroups(0, nullptr) == 0 && ::setgid(user) == 0 && ::setuid(user) == 0; }

}  // namespace

// ---- descriptors ------------------------------------------------------------------------------------------------------

namespace {

// What was asked of the kernel without close-on-exec, or was taken from a descriptor later.
std::mutex careless_guard;
std::string careless_calls;
int descriptors_made;

void note_birth(const char* call, bool closes_on_exec) {
    const std::lock_guard hold(careless_guard);
    ++descriptors_made;
    if (!closes_on_exec) careless_calls += std::string(call) + " ";
}

table suspicious() {
    table all = kernel_syscalls();
    all.open_at = [](int directory, const char* path, int flags, unsigned mode) {
        note_birth(path, (flags & O_CLOEXEC) != 0);
        return kernel_syscalls().open_at(directory, path, flags, mode);
    };
    all.open_beneath = [](int directory, const char* path, int flags) {
        note_birth(path, (flags & O_CLOEXEC) != 0);
        return kernel_syscalls().open_beneath(directory, path, flags);
    };
    all.pipe2 = [](int ends[2], int flags) {
        note_birth("pipe2", (flags & O_CLOEXEC) != 0);
        return kernel_syscalls().pipe2(ends, flags);
    };
    all.dup3 = [](int from, int to, int flags) {
        note_birth("dup3", (flags & O_CLOEXEC) != 0);
        return kernel_syscalls().dup3(from, to, flags);
    };
    all.fcntl = [](int descriptor, int command, long argument) {
        if (command == F_DUPFD || command == F_DUPFD_CLOEXEC) note_birth("F_DUPFD", command == F_DUPFD_CLOEXEC);
        if (command == F_SETFD) note_birth("F_SETFD", (argument & FD_CLOEXEC) != 0);
        return kernel_syscalls().fcntl(descriptor, command, argument);
    };
    all.ioctl = [](int descriptor, unsigned long request, void* argument) {
        constexpr unsigned long get_peer = 0x5441;  // TIOCGPTPEER
        if (request == get_peer)
            note_birth("TIOCGPTPEER", (reinterpret_cast<std::uintptr_t>(argument) & O_CLOEXEC) != 0);
        return kernel_syscalls().ioctl(descriptor, request, argument);
    };
    all.epoll_create = [](int flags) {
        note_birth("epoll_create1", (flags & EPOLL_CLOEXEC) != 0);
        return kernel_syscalls().epoll_create(flags);
    };
    all.timerfd_create = [](int clock, int flags) {
        note_birth("timerfd_create", (flags & TFD_CLOEXEC) != 0);
        return kernel_syscalls().timerfd_create(clock, flags);
    };
    all.eventfd = [](unsigned count, int flags) {
        note_birth("eventfd", (flags & EFD_CLOEXEC) != 0);
        return kernel_syscalls().eventfd(count, flags);
    };
    return all;
}

// Every descriptor that this process has beside 0, 1 and 2 and that an exec would keep, and what it is open on.
std::string kept_over_an_exec() {
    std::string all;
    for (const auto& [number, what] : test::open_descriptors()) {
        if (number > 2 && (::fcntl(number, F_GETFD) & FD_CLOEXEC) == 0) all += what + " ";
    }
    return all;
}

}  // namespace

TEST_CASE("trap: every descriptor is close-on-exec from its birth, and no call takes that back") {
    const test::process_guard nothing_left;
    const auto before = kept_over_an_exec();
    const auto watched = suspicious();
    const exec::posix::replaced_syscalls in_use(watched);
    for (const std::string kind : {"pipes", "fork", "posix_spawn", "terminal", "cgroup", "namespace"}) {
        CAPTURE(kind);
        exec::local_options options;
        exec::limits within;
        auto what = sh("cat; head -c 300000 /dev/zero; exit 3");
        what.in = exec::input::bytes("fed");
        if (kind != "posix_spawn") options.cwd_root = "/tmp";
        if (kind == "fork") options.spawn = spawn_kind::fork;
        if (kind == "posix_spawn") options.spawn = spawn_kind::posix_spawn;
        if (kind == "terminal") what.terminal = exec::terminal_size{};
        if (kind == "cgroup") {
            options.cgroup = *exec::own_cgroup();
            within.contain = exec::containment::cgroup;
        }
        if (kind == "namespace") {
            options.pid_namespace = true;
            within.contain = exec::containment::pid_namespace;
        }
        // Past its cap, what nobody sees goes to a descriptor too.
        within.out.cap = 10;
        within.out.kept = exec::keep::head;
        within.out.show = 0;
        careless_calls.clear();
        descriptors_made = 0;
        local_host host(options);
        for (const drive how : both_drives) {
            CAPTURE(test::name_of(how));
            heard to;
            std::string during;
            to.on_start = [&] { during = kept_over_an_exec(); };
            exec::result<exec::outcome> ended = exec::fail(exec::errc::cancelled);
            if (how == drive::blocking) {
                std::stop_source stop;
                test::listener tell(to);
                ended = host.local().run(what, within, tell, stop.get_token());
            } else {
                ended = host.run(how, what, within, to);
            }
            REQUIRE(ended.has_value());
            CHECK(ended->exit == exit_status::exited(3));
            CHECK(during == before);
        }
        CHECK(careless_calls == "");
        CHECK(descriptors_made > 10);
    }
}

TEST_CASE("trap: nothing that the host shares becomes non-blocking, and no stream of a child is") {
    const test::process_guard nothing_left;
    const auto flags = [] {
        std::string all;
        for (const int number : {0, 1, 2}) all += std::to_string(::fcntl(number, F_GETFL)) + " ";
        return all;
    };
    const auto before = flags();
    for (const auto kind : every_kind()) {
        CAPTURE(static_cast<int>(kind));
        local_host host(by(kind));
        for (const drive how : both_drives) {
            CAPTURE(test::name_of(how));
            for (const bool terminal : {false, true}) {
                if (terminal && kind == spawn_kind::posix_spawn) continue;
                auto what = child({"fds"});
                what.in = exec::input::bytes("x");
                if (terminal) what.terminal = exec::terminal_size{};
                heard to;
                std::string during;
                to.on_start = [&] { during = flags(); };
                const auto ended = host.run(how, what, {}, to);
                REQUIRE(ended.has_value());
                CHECK(ended->out.bytes.find(" blocking") != std::string::npos);
                CHECK(ended->out.bytes.find("nonblocking") == std::string::npos);
                CHECK(during == before);
                CHECK(flags() == before);
            }
        }
    }
}

TEST_CASE("trap: a child may open its streams again by name") {
    const test::process_guard nothing_left;
    local_host host;
    auto what = sh("cat /dev/stdin; echo out >/dev/stdout; echo err >/dev/stderr; echo again >/proc/self/fd/1");
    what.in = exec::input::bytes("in\n");
    for (const drive how : both_drives) {
        CAPTURE(test::name_of(how));
        const auto ended = host.outcome_of(how, what);
        CHECK(ended.ok());
        CHECK(ended.out.bytes == "in\nout\nagain\n");
        CHECK(ended.err.bytes == "err\n");
    }
}

TEST_CASE("trap: a pipe that the kernel keeps small carries everything all the same") {
    const auto quota = std::atol(test::file_text("/proc/sys/fs/pipe-user-pages-soft").c_str());
    if (quota == 0 || quota > 20'000) {
        MESSAGE("SKIP: the pages of a user's pipes are not bounded here");
        return;
    }
    const test::process_guard nothing_left;
    for (const drive how : both_drives) {
        CAPTURE(test::name_of(how));
        const auto wrong = in_forked_host([how](findings& found) {
            const rlimit many{8192, 8192};
            if (!HOLDS(::setrlimit(RLIMIT_NOFILE, &many) == 0) || !HOLDS(become(54'322))) return;
            int ends[2] = {-1, -1};
            int size = 0;
            do {
                if (!HOLDS(::pipe2(ends, O_CLOEXEC) == 0)) return;
                size = ::fcntl(ends[1], F_GETPIPE_SZ);
            } while (size >= 65536);
            HOLDS(size < 65536);
            exec::local_options options;
            options.pipe_bytes = 1 * exec::MiB;  // which this user is refused
            local_host host(options);
            auto what = sh("cat; echo err >&2");
            what.in = exec::input::bytes(std::string(900'000, 'x'));
            const auto ended = host.run(how, what);
            HOLDS(ended.has_value() && ended->ok() && ended->out.total == 900'000 && ended->err.bytes == "err\n");
            HOLDS(ended.has_value() && ended->in_taken == 900'000);
        });
        CHECK(wrong == "");
    }
}

// ---- birth ------------------------------------------------------------------------------------------------------------

// A fork makes every page of the parent copy-on-write, so that its next write to each is a fault.
TEST_CASE("trap: a start copies none of the host's memory, however much there is") {
    const test::process_guard nothing_left;
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    constexpr std::size_t size = 64 * exec::MiB;
    const auto pages = static_cast<long>(size / page);
    void* const ballast = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(ballast != MAP_FAILED);
    ::madvise(ballast, size, MADV_NOHUGEPAGE);
    const auto faults_of_writing = [&] {
        rusage before{};
        rusage after{};
        ::getrusage(RUSAGE_THREAD, &before);
        for (std::size_t at = 0; at < size; at += page) static_cast<volatile char*>(ballast)[at] = 'x';
        ::getrusage(RUSAGE_THREAD, &after);
        return after.ru_minflt - before.ru_minflt;
    };
    faults_of_writing();
    for (const drive how : both_drives) {
        CAPTURE(test::name_of(how));
        for (const auto kind : {spawn_kind::automatic, spawn_kind::clone3, spawn_kind::posix_spawn, spawn_kind::fork}) {
            CAPTURE(static_cast<int>(kind));
            local_host host(by(kind));
            CHECK(host.outcome_of(how, child({"exit", "0"})).ok());
            const auto faults = faults_of_writing();
            if (kind == spawn_kind::fork) {
                CHECK(faults > pages / 2);  // or this measures nothing
            } else {
                CHECK(faults < pages / 8);
            }
        }
    }
    ::munmap(ballast, size);
}

TEST_CASE("trap: no handler of the host runs in a child, however many signals arrive at its birth") {
    test::on_each_rung(test::every_rung, [](test::rung how) {
        CHECK(test::in_other_host([how]() -> std::string {
                  static pid_t host;
                  static std::atomic<int>* handled_elsewhere;
                  host = ::getpid();
                  handled_elsewhere = new (::mmap(nullptr, sizeof *handled_elsewhere, PROT_READ | PROT_WRITE,
                                                  MAP_SHARED | MAP_ANONYMOUS, -1, 0)) std::atomic<int>(0);
                  ::setpgid(0, 0);
                  std::signal(SIGUSR1, [](int) {
                      if (::getpid() != host) ++*handled_elsewhere;
                  });
                  std::atomic<bool> over{false};
                  std::thread sender([&] {
                      while (!over.load()) {
                          ::kill(-host, SIGUSR1);
                          std::this_thread::yield();
                      }
                  });
                  std::string wrong;
                  for (int i = 0; i < 40 && wrong.empty(); ++i) {
                      // In the host's own group, so that what is sent to that reaches it from its first moment on.
                      const auto said = test::run({"exit", "0"}, how,
                                                  [](test::process::spawn_request& what) { what.new_session = false; });
                      if (said.end != "exit 0" && said.end != "signal 10") wrong = said.failed + said.end;
                  }
                  over = true;
                  sender.join();
                  if (handled_elsewhere->load() != 0) wrong += " handled in a child";
                  return wrong;
              }) == "");
    });
}

TEST_CASE("trap: every signal is blocked in the thread that bears a child, at the moment of the birth") {
    const test::process_guard nothing_left;
    static int births;
    static int unblocked;
    births = unblocked = 0;
    auto rungs = exec::process::rungs_in_use();
    rungs.clone3 = [](exec::process::child_plan& plan, const exec::process::birth_options& options) {
        sigset_t now;
        ::pthread_sigmask(SIG_BLOCK, nullptr, &now);
        ++births;
        for (int number = 1; number < 32; ++number) {
            if (number != SIGKILL && number != SIGSTOP && sigismember(&now, number) != 1) ++unblocked;
        }
        return exec::process::be_born_by_clone3(plan, options);
    };
    const exec::process::replaced_rungs replaced(rungs);
    local_host host;
    for (const drive how : both_drives) {
        CAPTURE(test::name_of(how));
        CHECK(host.outcome_of(how, child({"exit", "0"})).ok());
    }
    CHECK(births == 2);
    CHECK(unblocked == 0);
}

TEST_CASE("trap: a start, also one that fails, runs none of the host's exit and fork handlers and flushes nothing") {
    test::on_each_rung(test::every_rung, [](test::rung how) {
        CHECK(test::in_other_host([how]() -> std::string {
                  int said[2];
                  if (::pipe2(said, O_CLOEXEC | O_NONBLOCK) != 0) return "no pipe";
                  static int tell;
                  tell = said[1];
                  std::FILE* const unflushed = ::fdopen(::dup(said[1]), "w");
                  std::fputs("buffered", unflushed);
                  std::atexit([] { [[maybe_unused]] const auto told = ::write(tell, "atexit", 6); });
                  const auto forks = [] { [[maybe_unused]] const auto told = ::write(tell, "atfork", 6); };
                  ::pthread_atfork(forks, forks, forks);
                  test::command missing("/no/such/program", {});
                  if (test::process::spawn(missing.request, how)) return "it was started";
                  if (const auto ran = test::run({"exit", "0"}, how); ran.end != "exit 0") return ran.failed + ran.end;
                  std::string text;
                  test::drain(said[0], text);
                  return text;
              }) == "");
    });
}

TEST_CASE("trap: a signal that is sent at the first moment reaches the whole group") {
    const test::process_guard nothing_left;
    for (const auto kind : every_kind()) {
        CAPTURE(static_cast<int>(kind));
        local_host host(by(kind));
        for (int i = 0; i < 10; ++i) {
            heard to;
            exec::execution handle;
            bool sent = false;
            to.on_start = [&] { sent = handle.signal(SIGTERM).has_value(); };
            handle = host.start(child({"sleep"}), {}, to);
            host.finish(to);
            CHECK(sent);
            CHECK(to.outcome().exit == exit_status::signaled(SIGTERM));
            CHECK(to.outcome().tree == tree_state::group_gone);
        }
    }
}

TEST_CASE("trap: at another user's limit of processes it is the exec that fails, and that is a shortage") {
    const test::process_guard nothing_left;
    REQUIRE(::getuid() == 0);
    exec::local_options options;
    options.as = exec::identity{54'324, 54'324, {}};
    local_host unlimited(options);
    options.resources = {{RLIMIT_NPROC, 0, 0}};
    local_host limited(options);
    // Somebody has to be there already.
    heard first;
    auto running = unlimited.start(sh("echo here; exec sleep 1000"), {}, first);
    REQUIRE(test::drive_until(unlimited.on(), [&] { return first.out == "here\n"; }));
    for (const drive how : both_drives) {
        CAPTURE(test::name_of(how));
        const auto why = limited.failure_of(how, sh("exit 0"));
        CHECK_MESSAGE(is(why, EAGAIN, stage::process), why.message());
        CHECK(why.advise() == exec::advice::retry_later);
    }
    running.stop(0ms);
    unlimited.finish(first);
}

TEST_CASE("trap: a program that somebody is still writing is a failure that may be retried") {
    const test::process_guard nothing_left;
    const test::scratch_directory scratch;
    const auto program = scratch / "tool";
    test::write_file(program, test::file_text("/bin/true"), 0755);
    for (const auto kind : every_kind()) {
        CAPTURE(static_cast<int>(kind));
        local_host host(by(kind));
        for (const drive how : both_drives) {
            CAPTURE(test::name_of(how));
            {
                const exec::posix::fd writing(::open(program.c_str(), O_WRONLY | O_CLOEXEC));
                const auto ended = host.run(how, words({program}));
                if (ended.has_value()) {
                    MESSAGE("SKIP: this kernel executes what is open for writing");
                    return;
                }
                CHECK(is(ended.error(), ETXTBSY, stage::program));
                CHECK(ended.error().context == program);
                CHECK(ended.error().advise() == exec::advice::retry_later);
            }
            CHECK(host.outcome_of(how, words({program})).ok());
        }
    }
}

// ---- terminals --------------------------------------------------------------------------------------------------------

// With a group of its own, but in the host's session, it would be stopped by the first read and hang for ever.
TEST_CASE("trap: beneath a host with a terminal a command has none, and cannot be stopped by it") {
    const test::process_guard nothing_left;
    for (const auto kind : every_kind()) {
        CAPTURE(static_cast<int>(kind));
        for (const drive how : both_drives) {
            CAPTURE(test::name_of(how));
            const auto wrong = in_forked_host([=](findings& found) {
                const int master = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);  // closed, it would hang up
                ::grantpt(master);
                ::unlockpt(master);
                HOLDS(::setsid() > 0);
                const exec::posix::fd slave(::open(::ptsname(master), O_RDWR | O_CLOEXEC));
                const exec::posix::fd own(::open("/dev/tty", O_RDWR | O_CLOEXEC));
                if (!HOLDS(static_cast<bool>(own))) return;
                exec::limits within;
                within.run_timeout = 10s;
                local_host host(by(kind));
                const auto ended = host.run(
                    how,
                    sh("(read line </dev/tty) 2>/dev/null && echo read; (stty sane </dev/tty) 2>/dev/null; echo on"),
                    within);
                HOLDS(ended.has_value() && ended->stopped_by == stop_reason::nobody && ended->out.bytes == "on\n");
            });
            CHECK(wrong == "");
        }
    }
}

// ---- children and their numbers ---------------------------------------------------------------------------------------

namespace {

// Children that were reaped, and signals that were sent to a number after that; and groups that were killed before.
std::vector<int> reaped;
int sent_too_late;
int groups_killed;

table honest() {
    table all = kernel_syscalls();
    all.waitid = [](int kind, int id, siginfo_t* info, int options, rusage* used) {
        const int answer = kernel_syscalls().waitid(kind, id, info, options, used);
        if (answer == 0 && info->si_pid != 0 && (options & WNOWAIT) == 0) reaped.push_back(info->si_pid);
        return answer;
    };
    all.kill = [](pid_t to, int number) {
        if (number != 0 && std::find(reaped.begin(), reaped.end(), to < 0 ? -to : to) != reaped.end()) ++sent_too_late;
        if (number == SIGKILL && to < 0) ++groups_killed;
        return kernel_syscalls().kill(to, number);
    };
    return all;
}

}  // namespace

TEST_CASE("trap: the group is killed before its leader is reaped, and nothing is sent to the number afterwards") {
    const test::process_guard nothing_left;
    const auto watched = honest();
    const exec::posix::replaced_syscalls in_use(watched);
    for (const auto kind : every_kind()) {
        CAPTURE(static_cast<int>(kind));
        local_host host(by(kind));
        for (const drive how : both_drives) {
            CAPTURE(test::name_of(how));
            exec::limits short_lived;
            short_lived.run_timeout = 50ms;
            short_lived.stop.grace = 50ms;
            for (const auto& what : {child({"exit", "0"}), child({"hold-pipe"}), child({"ignore-term"}),
                                     sh("sleep 1000 <&- >/dev/null 2>&1 &")}) {
                reaped.clear();
                sent_too_late = groups_killed = 0;
                const auto ended = host.outcome_of(how, what, short_lived);
                CHECK(ended.tree == tree_state::group_gone);
                CHECK(reaped.size() == 1);
                CHECK(sent_too_late == 0);
                CHECK(groups_killed >= 1);
            }
        }
        // Dropped, and a signal that comes late.
        reaped.clear();
        sent_too_late = 0;
        heard to;
        auto handle = host.start(child({"exit", "0"}), {}, to);
        host.finish(to);
        CHECK_FALSE(handle.signal(SIGTERM).has_value());
        handle.stop(0ms);
        handle = {};
        host.on().run_ready();
        CHECK(reaped.size() == 1);
        CHECK(sent_too_late == 0);
    }
}

namespace {

// Another process that traces `pid`; says one byte when it does, and lets go when its input ends. A traced child that is
// killed is readable at its descriptor at once, and can be waited for by its parent only after its tracer has seen it.
class tracer {
   public:
    explicit tracer(pid_t pid) {
        int hold[2];
        int said[2];
        REQUIRE(::pipe2(hold, O_CLOEXEC) == 0);
        REQUIRE(::pipe2(said, O_CLOEXEC) == 0);
        pid_ = ::fork();
        if (pid_ == 0) {
            ::close(hold[1]);
            const bool traces = ::ptrace(PTRACE_SEIZE, pid, nullptr, nullptr) == 0;
            [[maybe_unused]] const auto told = ::write(said[1], traces ? "y" : "n", 1);
            char byte;
            [[maybe_unused]] const auto end = ::read(hold[0], &byte, 1);
            ::_exit(0);
        }
        ::close(hold[0]);
        ::close(said[1]);
        hold_ = exec::posix::fd(hold[1]);
        char answer = 'n';
        [[maybe_unused]] const auto got = ::read(said[0], &answer, 1);
        ::close(said[0]);
        traces_ = answer == 'y';
    }
    ~tracer() { let_go(); }
    tracer(const tracer&) = delete;
    tracer& operator=(const tracer&) = delete;

    bool traces() const noexcept { return traces_; }
    void let_go() {
        hold_.reset();
        if (pid_ > 0) ::waitpid(std::exchange(pid_, -1), nullptr, 0);
    }

   private:
    pid_t pid_ = -1;
    exec::posix::fd hold_{};
    bool traces_ = false;
};

}  // namespace

TEST_CASE("trap: a child whose tracer keeps its end to itself is looked at now and then, not in a busy loop") {
    const test::process_guard nothing_left;
    const test::watched_syscalls<&table::waitid, &table::ppoll, &table::epoll_wait> spies;
    for (const drive how : both_drives) {
        CAPTURE(test::name_of(how));
        local_host host;
        heard to;
        std::optional<tracer> other;
        bool refused = false;
        int looks = 0;
        int waits = 0;
        exec::limits within;
        within.heartbeat = 100ms;
        within.run_timeout = 60s;
        to.on_heartbeat = [&] {
            if (to.heartbeats == 1) {
                other.emplace(static_cast<pid_t>(*to.pid));
                refused = !other->traces();
                ::kill(static_cast<pid_t>(*to.pid), SIGKILL);
                looks = test::spy<&table::waitid>.calls;
                waits = test::spy<&table::ppoll>.calls + test::spy<&table::epoll_wait>.calls;
            }
            if (to.heartbeats == 6) {  // half a second later
                looks = test::spy<&table::waitid>.calls - looks;
                waits = test::spy<&table::ppoll>.calls + test::spy<&table::epoll_wait>.calls - waits;
                other->let_go();
            }
            return flow::more;
        };
        const auto ended = host.run(how, child({"sleep"}), within, to);
        if (refused) {
            MESSAGE("SKIP: no right to trace");
            continue;
        }
        REQUIRE(ended.has_value());
        CHECK(ended->exit == exit_status::signaled(SIGKILL));
        CHECK(ended->stopped_by == stop_reason::nobody);
        CHECK(to.heartbeats >= 6);  // not told before it was known
        CHECK(looks > 3);
        CHECK(looks < 400);
        CHECK(waits < 2000);
    }
}

TEST_CASE("trap: a stop request that comes between the last look and the sleep of a blocking run is heard of") {
    const test::process_guard nothing_left;
    static std::stop_source* request;
    std::stop_source stop;
    request = &stop;
    auto watched = kernel_syscalls();
    watched.ppoll = [](pollfd* descriptors, std::size_t count, const timespec* timeout, const sigset_t* mask) {
        if (count > 1) request->request_stop();
        return kernel_syscalls().ppoll(descriptors, count, timeout, mask);
    };
    const exec::posix::replaced_syscalls in_use(watched);
    exec::limits within;
    within.run_timeout = 30s;
    const auto ended = exec::run(child({"sleep"}), within, stop.get_token());
    REQUIRE(ended.has_value());
    CHECK(ended->stopped_by == stop_reason::cancelled);
    CHECK(ended->took.total < 20s);  // and not when something else wakes it
}

TEST_CASE("trap: a callback that throws stops a command that would go on for ever") {
    const test::process_guard nothing_left;
    local_host host;
    exec::limits within;
    within.run_timeout = 30s;
    within.heartbeat = 20ms;
    for (const drive how : both_drives) {
        CAPTURE(test::name_of(how));
        for (const std::string where : {"start", "output", "heartbeat"}) {
            CAPTURE(where);
            heard to;
            const auto fail_in = [&](const std::string& in) {
                if (in == where) throw std::runtime_error("the host's");
                return flow::more;
            };
            to.on_start = [&] { fail_in("start"); };
            to.on_output = [&](exec::stream, exec::bytes_view) { return fail_in("output"); };
            to.on_heartbeat = [&] { return fail_in("heartbeat"); };
            const auto ended = host.run(how, sh("echo one; exec sleep 1000"), within, to);
            REQUIRE(ended.has_value());
            REQUIRE(ended->stopped_by == stop_reason::observer_failed);
            CHECK(ended->exit == exit_status::signaled(SIGTERM));
            CHECK(to.broken.empty());
        }
    }
}

// The kernel ties the signal to the thread that started the child, not to the process.
TEST_CASE("trap: a command dies with the thread that started it only where somebody promised that this one stays") {
    const test::process_guard nothing_left;
    exec::limits run_on;
    run_on.if_orphaned = exec::orphan::run_on;
    exec::local_options options;
    options.spawning_thread_stays = true;
    for (const auto kind : these({spawn_kind::clone3, spawn_kind::clone, spawn_kind::fork})) {
        CAPTURE(static_cast<int>(kind));
        options.spawn = kind;
        local_host staying(options);
        local_host host(by(kind));
        // The thread of a blocking run waits for it.
        CHECK(host.outcome_of(drive::blocking, child({"parent-death"})).out.bytes == "9\n");
        CHECK(host.outcome_of(drive::on_loop, child({"parent-death"})).out.bytes == "0\n");
        CHECK(staying.outcome_of(drive::on_loop, child({"parent-death"})).out.bytes == "9\n");
        CHECK(host.outcome_of(drive::blocking, child({"parent-death"}), run_on).out.bytes == "0\n");
        CHECK(staying.outcome_of(drive::on_loop, child({"parent-death"}), run_on).out.bytes == "0\n");
    }
    CHECK_FALSE(local_host().local().can().stops_orphans);
    CHECK(local_host(options).local().can().stops_orphans);

    local_host host;
    heard to;
    const auto handle = host.start(sh("echo here; sleep 0.3; exit 3"), {}, to);
    std::thread([&] {
        while (to.out.empty()) {
            test::readable(host.on().poll_fd(), test::patience_ms);
            host.on().run_ready();
        }
    }).join();
    host.finish(to);
    CHECK(to.outcome().exit == exit_status::exited(3));
}

// ---- the host's end ---------------------------------------------------------------------------------------------------

TEST_CASE("trap: a host that keeps loop, thread and commands in statics leaves by exit, and they end with it") {
    const test::process_guard nothing_left;
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    std::fflush(nullptr);  // or its exit says it once more
    const pid_t host = ::fork();
    if (host == 0) {
        test::default_dispositions();
        static int tell;
        static std::atomic<int> begun{0};
        tell = ends[1];
        struct reporter final : exec::observer {
            void on_start(const exec::start_info& what) override {
                const auto pid = *what.pid;
                [[maybe_unused]] const auto told = ::write(tell, &pid, sizeof pid);
                ++begun;
            }
        };
        static const auto loop = *exec::make_loop();
        static const auto runner = *exec::make_local_runner(*loop);
        static exec::loop_thread driver(*loop);
        static exec::execution handles[3];
        for (auto& each : handles) each = runner->start(child({"ignore-term"}), {}, std::make_unique<reporter>());
        while (begun.load() < 3) std::this_thread::yield();
        std::exit(3);
    }
    ::close(ends[1]);
    int status = 0;
    CHECK(::waitpid(host, &status, 0) == host);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 3);
    std::int64_t pids[3]{};
    CHECK(::read(ends[0], pids, sizeof pids) == static_cast<ssize_t>(sizeof pids));
    for (const auto pid : pids) CHECK(test::ends(pid));
    ::close(ends[0]);
}
