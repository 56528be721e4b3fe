// What local_options promises, and how a start fails: in both drive modes, with real children.
#include <exec/local_runner.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guards.h"
#include "living.h"
#include "local_host.h"

using namespace std::chrono_literals;
using exec::errc;
using exec::exit_status;
using exec::stage;
using test::both_drives;
using test::child;
using test::drive;
using test::local_host;
using test::sh;
using test::words;

namespace {

constexpr std::uint32_t nobody = 65534;

// "A=1|B=2|", in the order of the child's block.
std::string environment_of(local_host& host, drive how, exec::environment env) {
    auto what = child({"env"});
    what.env = std::move(env);
    auto block = host.outcome_of(how, std::move(what)).out.bytes;
    std::replace(block.begin(), block.end(), '\0', '|');
    return block;
}

bool has(const std::string& block, const std::string& entry) {
    return ("|" + block).find("|" + entry + "|") != std::string::npos;
}

std::string said_in(local_host& host, drive how, const std::string& cwd, exec::command what) {
    what.cwd = cwd;
    return host.outcome_of(how, std::move(what)).out.bytes;
}

exec::failure failure_in(local_host& host, drive how, const std::string& cwd) {
    auto what = child({"cwd"});
    what.cwd = cwd;
    return host.failure_of(how, std::move(what));
}

// The system error, the step and the object of a start failure.
void is(const exec::failure& why, int number, stage at, std::string_view about) {
    CHECK(why.code == std::error_code(number, std::system_category()));
    CHECK(why.kind() == errc::start_failed);
    CHECK(exec::to_string(why.at) == exec::to_string(at));
    CHECK_MESSAGE(why.context.find(about) != std::string::npos, why.context);
}

class variable {
   public:
    variable(const char* name, const char* value) : name_(name) { ::setenv(name, value, 1); }
    ~variable() { ::unsetenv(name_); }

   private:
    const char* name_;
};

}  // namespace

TEST_CASE("local_runner: can everything, and says what not") {
    const test::process_guard nothing_left;
    local_host host;
    const auto can = host.local().can();
    CHECK((can.input_bytes && can.input_streamed && can.terminal && can.merge && can.environment && can.cwd));
    CHECK((can.signals && can.kills_group && can.leaves_orphans && can.leaves_survivors && can.resource_use &&
           can.pauses));
    CHECK_FALSE((can.cgroup || can.pid_namespace || can.stops_orphans));  // unless local_options offer them
    CHECK(can.max_word_bytes == static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)) * 32 - 1);
}

TEST_CASE("local_runner: an exit code, a signal and a core dump come back as the kernel said") {
    const test::process_guard nothing_left;
    const test::scratch_directory scratch;
    exec::local_options options;
    options.cwd = scratch.path();
    local_host host(options);
    options.resources = {{RLIMIT_CORE, RLIM_INFINITY, RLIM_INFINITY}};
    local_host with_cores(options);
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        for (const int code : {0, 1, 126, 127, 128, 137, 255}) {
            const auto ended = host.outcome_of(how, child({"exit", std::to_string(code)}));
            CHECK(ended.exit == exit_status::exited(code));
            CHECK(ended.stopped_by == exec::stop_reason::nobody);
            CHECK(ended.ok() == (code == 0));
            CHECK(ended.how() == exec::ended::exited);
            CHECK(ended.where == "host");
            CHECK(ended.tree == exec::tree_state::group_gone);
        }
        for (const int number : {SIGHUP, SIGKILL, SIGTERM, SIGSEGV, SIGRTMIN, SIGRTMAX}) {
            const auto ended = host.outcome_of(how, child({"signal", std::to_string(number)}));
            CHECK(ended.exit == exit_status::signaled(number));
            CHECK(ended.how() == exec::ended::signaled);
        }
        const auto dumped = with_cores.outcome_of(how, sh("kill -ABRT $$"));
        CHECK(dumped.exit == exit_status::signaled(SIGABRT, true));
    }
}

TEST_CASE("local_runner: a program that is not there, not executable, or has no interpreter, is told apart") {
    const test::process_guard nothing_left;
    const test::scratch_directory scratch;
    test::write_file(scratch / "data", "echo ran", 0644);
    test::write_file(scratch / "orphan", "#!/no/such/interpreter\n", 0755);
    test::write_file(scratch / "headless", "echo ran\n", 0755);
    local_host host;
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        is(host.failure_of(how, words({"/no/such/program"})), ENOENT, stage::program, "/no/such/program");
        is(host.failure_of(how, words({"no-such-program"})), ENOENT, stage::program, "no-such-program");
        is(host.failure_of(how, words({scratch / "data"})), EACCES, stage::program, scratch / "data");
        is(host.failure_of(how, words({scratch.path()})), EACCES, stage::program, scratch.path());
        is(host.failure_of(how, words({(scratch / "data") + "/below"})), ENOTDIR, stage::program, "below");
        is(host.failure_of(how, words({scratch / "orphan"})), ENOENT, stage::interpreter, scratch / "orphan");
        // A shell would run it; nobody asked for one.
        is(host.failure_of(how, words({scratch / "headless"})), ENOEXEC, stage::program, scratch / "headless");
    }
}

TEST_CASE("local_runner: a directory that cannot be entered is a failure of its own, naming it") {
    const test::process_guard nothing_left;
    const test::scratch_directory scratch;
    test::write_file(scratch / "file", "");
    const auto closed = scratch / "closed";
    REQUIRE(::mkdir(closed.c_str(), 0700) == 0);
    const auto removed = scratch / "removed";
    local_host host;
    exec::local_options options;
    options.as = exec::identity{nobody, nobody, {}};
    REQUIRE(::chmod(scratch.path().c_str(), 0755) == 0);
    local_host as_nobody(options);
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        is(failure_in(host, how, removed), ENOENT, stage::cwd, removed);
        is(failure_in(host, how, scratch / "file"), ENOTDIR, stage::cwd, scratch / "file");
        // Entered as the new user, who may not.
        is(failure_in(as_nobody, how, closed), EACCES, stage::cwd, closed);
        // And a program that is missing in a directory that is there is not the directory's fault.
        auto what = words({"./none"});
        what.cwd = scratch.path();
        is(host.failure_of(how, what), ENOENT, stage::program, "none");
    }
}

TEST_CASE("local_runner: the command runs where it says, else where the runner says, else where the host is") {
    const test::process_guard nothing_left;
    const test::scratch_directory one;
    const test::scratch_directory two;
    exec::local_options options;
    options.cwd = one.path();
    local_host host(options);
    local_host plain;
    char here[4096];
    REQUIRE(::getcwd(here, sizeof here) != nullptr);
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        CHECK(host.outcome_of(how, child({"cwd"})).out.bytes == one.path() + "\n");
        CHECK(said_in(host, how, two.path(), child({"cwd"})) == two.path() + "\n");
        CHECK(plain.outcome_of(how, child({"cwd"})).out.bytes == std::string(here) + "\n");
    }
}

TEST_CASE("local_runner: beneath a root, nothing that is not beneath it is entered, however it is spelled") {
    const test::process_guard nothing_left;
    const test::scratch_directory scratch;
    const auto root = scratch / "root";
    const auto inside = root + "/inside";
    for (const auto& path : {root, inside, inside + "/deep", scratch / "rootless"})
        REQUIRE(::mkdir(path.c_str(), 0755) == 0);
    REQUIRE(::symlink("inside/deep", (root + "/shortcut").c_str()) == 0);
    REQUIRE(::symlink("../rootless", (root + "/out").c_str()) == 0);
    REQUIRE(::symlink("/", (root + "/slash").c_str()) == 0);
    exec::local_options options;
    options.cwd_root = root;
    local_host host(options);
    options.cwd_root = root + "/";
    local_host with_slash(options);
    options.cwd = "inside";
    local_host with_default(options);
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        for (auto* const each : {&host, &with_slash}) {
            CHECK(said_in(*each, how, "", child({"cwd"})) == root + "\n");
            CHECK(said_in(*each, how, root, child({"cwd"})) == root + "\n");
            CHECK(said_in(*each, how, root + "/", child({"cwd"})) == root + "\n");
            CHECK(said_in(*each, how, inside, child({"cwd"})) == inside + "\n");
            CHECK(said_in(*each, how, "inside", child({"cwd"})) == inside + "\n");
            CHECK(said_in(*each, how, "inside/../inside", child({"cwd"})) == inside + "\n");
            CHECK(said_in(*each, how, "shortcut", child({"cwd"})) == inside + "/deep\n");
            for (const std::string out : {"..", "inside/../..", "out", "slash", "slash/tmp", "/", "/tmp"}) {
                is(failure_in(*each, how, out), EXDEV, stage::cwd, out);
            }
            is(failure_in(*each, how, scratch / "rootless"), EXDEV, stage::cwd, "rootless");
            is(failure_in(*each, how, root + "/../rootless"), EXDEV, stage::cwd, "rootless");
            is(failure_in(*each, how, "none"), ENOENT, stage::cwd, "none");
        }
        CHECK(with_default.outcome_of(how, child({"cwd"})).out.bytes == inside + "\n");
    }
}

TEST_CASE("local_runner: a relative program is the caller's, whatever directory the child enters") {
    const test::process_guard nothing_left;
    const test::scratch_directory here;
    const test::scratch_directory there;
    test::write_file(here / "tool", "#!/bin/sh\necho here in $(pwd)\n", 0755);
    test::write_file(there / "tool", "#!/bin/sh\necho there\n", 0755);
    const int before = ::open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    REQUIRE(::chdir(here.path().c_str()) == 0);
    {
        local_host host;
        for (const drive how : both_drives) {
            INFO(test::name_of(how));
            CHECK(host.outcome_of(how, words({"./tool"})).out.bytes == "here in " + here.path() + "\n");
            CHECK(said_in(host, how, there.path(), words({"./tool"})) == "here in " + there.path() + "\n");
        }
    }
    REQUIRE(::fchdir(before) == 0);
    ::close(before);
}

TEST_CASE("local_runner: the base is PATH HOME USER LANG of the host, and nothing else of it") {
    const test::process_guard nothing_left;
    const variable secret("EXEC_TEST_SECRET", "x");
    const variable user("USER", "somebody");
    const variable lang("LANG", "C.UTF-8");
    const char* path = std::getenv("PATH");
    local_host host;
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        const auto block = environment_of(host, how, {});
        CHECK(has(block, "USER=somebody"));
        CHECK(has(block, "LANG=C.UTF-8"));
        CHECK(has(block, "PATH=" + std::string(path != nullptr ? path : "")));
        CHECK(block.find("EXEC_TEST_SECRET") == std::string::npos);
        CHECK(std::count(block.begin(), block.end(), '|') <= 4);
    }
}

TEST_CASE("local_runner: variables are added, replaced, let through by name, and taken away") {
    const test::process_guard nothing_left;
    const variable passed("EXEC_TEST_PASSED", "host's");
    const variable kept("EXEC_TEST_KEPT", "secret");
    const variable user("USER", "somebody");
    local_host host;
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        exec::environment env{
            {"ONE", "1"}, {"USER", "other"}, {"EMPTY", ""}, {"EQUALS", "a=b=c"}, {"WIDE", "a b\n\xff"}};
        REQUIRE(env.inherit("EXEC_TEST_PASSED"));
        REQUIRE(env.inherit("EXEC_TEST_NOT_THERE"));
        REQUIRE(env.unset("HOME"));
        const auto block = environment_of(host, how, env);
        for (const char* entry :
             {"ONE=1", "USER=other", "EMPTY=", "EQUALS=a=b=c", "WIDE=a b\n\xff", "EXEC_TEST_PASSED=host's"}) {
            CHECK_MESSAGE(has(block, entry), entry);
        }
        for (const char* name : {"HOME=", "EXEC_TEST_KEPT", "EXEC_TEST_NOT_THERE", "USER=somebody"}) {
            CHECK_MESSAGE(block.find(name) == std::string::npos, name);
        }
        CHECK(environment_of(host, how, exec::environment{{"A", "1"}, {"B", "2"}}.without_base()) == "A=1|B=2|");
        CHECK(environment_of(host, how, exec::environment{}.without_base()).empty());
    }
}

TEST_CASE("local_runner: a base of the host's own replaces the usual one") {
    const test::process_guard nothing_left;
    const variable passed("EXEC_TEST_PASSED", "host's");
    exec::local_options options;
    options.base = exec::environment{{"BASE", "1"}, {"BOTH", "base"}};
    REQUIRE(options.base->inherit("EXEC_TEST_PASSED"));
    local_host host(options);
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        CHECK(environment_of(host, how, exec::environment{{"BOTH", "command"}}) ==
              "BASE=1|BOTH=command|EXEC_TEST_PASSED=host's|");
        CHECK(environment_of(host, how, exec::environment{{"A", "1"}}.without_base()) == "A=1|");
    }
}

TEST_CASE("local_runner: the host's environment is the one of the moment in which the runner was made") {
    const test::process_guard nothing_left;
    const variable early("EXEC_TEST_MOMENT", "early");
    local_host host;
    const variable late("EXEC_TEST_MOMENT", "late");
    exec::environment env;
    REQUIRE(env.inherit("EXEC_TEST_MOMENT"));
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        CHECK(has(environment_of(host, how, env), "EXEC_TEST_MOMENT=early"));
    }
}

TEST_CASE("local_runner: the PATH of the child decides what a name means, not the host's") {
    const test::process_guard nothing_left;
    const test::scratch_directory first;
    const test::scratch_directory second;
    const char* script = "#!/bin/sh\necho $0\n";
    test::write_file(first / "tool", script, 0644);  // there, and no program
    test::write_file(second / "tool", script, 0755);
    test::write_file(first / "only", script, 0644);
    local_host host;
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        const auto with_path = [&](const std::string& program, const std::string& path) {
            auto what = words({program});
            what.env = exec::environment{{"PATH", path}};
            return what;
        };
        const auto both = first.path() + ":" + second.path();
        CHECK(host.outcome_of(how, with_path("tool", both)).out.bytes == (second / "tool") + "\n");
        is(host.failure_of(how, with_path("only", both)), EACCES, stage::program, first / "only");
        is(host.failure_of(how, with_path("sh", both)), ENOENT, stage::program, "sh");
        // The current directory is on no path, not by an empty element either.
        is(host.failure_of(how, with_path("tool", "")), ENOENT, stage::program, "tool");
        is(host.failure_of(how, with_path("tool", "::.:relative")), ENOENT, stage::program, "tool");
        // A child without PATH is looked up on the usual one.
        auto bare = words({"true"});
        bare.env.without_base();
        CHECK(host.outcome_of(how, bare).ok());
    }
}

TEST_CASE("local_runner: as nobody, a command is nobody in every respect") {
    const test::process_guard nothing_left;
    REQUIRE(::getuid() == 0);
    const variable home("HOME", "/somewhere");
    const variable user("USER", "somebody");
    exec::local_options options;
    options.as = exec::identity{nobody, nobody, {}};
    local_host host(options);
    options.as = exec::identity{nobody, 12, {30, 7, 4711}};
    local_host with_groups(options);
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        // The helper may lie where nobody may not go.
        CHECK(host.outcome_of(how, sh("id -u; id -g; id -G; id -ru; id -rg")).out.bytes ==
              "65534\n65534\n65534\n65534\n65534\n");
        CHECK(with_groups
                  .outcome_of(
                      how,
                      sh("id -u; id -g; grep ^Groups: /proc/self/status | tr -d ' \t'; grep ^Uid: /proc/self/status"))
                  .out.bytes == "65534\n12\nGroups:7304711\nUid:\t65534\t65534\t65534\t65534\n");
        // Nobody's home is not the host's.
        CHECK(host.outcome_of(how, sh("echo ${HOME-none} ${USER-none}")).out.bytes == "none none\n");
        CHECK_FALSE(host.outcome_of(how, sh("echo x > /etc/exec-test")).ok());
    }
}

TEST_CASE("local_runner: umask, resource limits and no_new_privs are the child's and not the host's") {
    const test::process_guard nothing_left;
    exec::local_options options;
    options.umask = 0137;
    options.resources = {{RLIMIT_NOFILE, 17, 23}, {RLIMIT_CORE, 0, 0}, {RLIMIT_FSIZE, 4096, RLIM_INFINITY}};
    options.no_new_privs = true;
    local_host host(options);
    local_host plain;
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        CHECK(host.outcome_of(how, child({"umask"})).out.bytes == "0137\n");
        const auto limits = host.outcome_of(how, child({"limits"})).out.bytes;
        CHECK(limits.find("\n" + std::to_string(RLIMIT_NOFILE) + " 17 23\n") != std::string::npos);
        CHECK(limits.find("\n" + std::to_string(RLIMIT_CORE) + " 0 0\n") != std::string::npos);
        CHECK(limits.find("\n" + std::to_string(RLIMIT_FSIZE) + " 4096 -\n") != std::string::npos);
        CHECK(host.outcome_of(how, child({"ids"})).out.bytes.find("no_new_privs 1\n") != std::string::npos);
        CHECK(plain.outcome_of(how, child({"ids"})).out.bytes.find("no_new_privs 0\n") != std::string::npos);
        CHECK(plain.outcome_of(how, child({"limits"})).out.bytes.find(" 17 23\n") == std::string::npos);
    }
}

TEST_CASE("local_runner: a limit that the kernel refuses is a failure at its stage, naming it") {
    const test::process_guard nothing_left;
    exec::local_options options;
    options.resources = {{RLIMIT_CORE, 0, 0}, {RLIMIT_NOFILE, 23, 17}};
    local_host host(options);
    options.resources = {{99, 1, 1}};
    local_host unknown(options);
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        is(host.failure_of(how, child({"exit", "0"})), EINVAL, stage::limits, "RLIMIT_NOFILE");
        is(unknown.failure_of(how, child({"exit", "0"})), EINVAL, stage::limits, "99");
    }
}

TEST_CASE(
    "local_runner: a command starts with default dispositions and an empty mask, or as the host has them if asked") {
    const test::process_guard nothing_left;
    struct sigaction before {};
    ::sigaction(SIGUSR1, nullptr, &before);
    sigset_t one;
    sigset_t mask;
    sigemptyset(&one);
    sigaddset(&one, SIGUSR2);
    std::signal(SIGUSR1, SIG_IGN);
    ::pthread_sigmask(SIG_BLOCK, &one, &mask);
    {
        local_host host;
        exec::local_options options;
        options.inherit_signals = true;
        local_host inheriting(options);
        for (const drive how : both_drives) {
            INFO(test::name_of(how));
            const auto clean = host.outcome_of(how, child({"dispositions"})).out.bytes;
            CHECK(clean.find("SigIgn:\t0000000000000000") != std::string::npos);
            CHECK(clean.find("SigBlk:\t0000000000000000") != std::string::npos);
            const auto inherited = inheriting.outcome_of(how, child({"dispositions"})).out.bytes;
            CHECK(inherited.find("SigIgn:\t0000000000000200") != std::string::npos);
            CHECK(inherited.find("SigBlk:\t0000000000000800") != std::string::npos);
        }
    }
    ::pthread_sigmask(SIG_SETMASK, &mask, nullptr);
    ::sigaction(SIGUSR1, &before, nullptr);
}

TEST_CASE("local_runner: a command has a session of its own, no terminal, and descriptors 0, 1 and 2 only") {
    const test::process_guard nothing_left;
    const int foreign =
        ::open("/dev/zero", O_RDONLY);  // without O_CLOEXEC: the host's mistake, not the child's problem
    {
        local_host host;
        for (const drive how : both_drives) {
            INFO(test::name_of(how));
            const auto session = host.outcome_of(how, child({"session"})).out.bytes;
            int pid = 0;
            int pgid = 0;
            int sid = 0;
            int ppid = 0;
            char tty[8] = "";
            REQUIRE(std::sscanf(session.c_str(), "pid %d pgid %d sid %d ppid %d tty %7s", &pid, &pgid, &sid, &ppid,
                                tty) == 5);
            CHECK(pid == pgid);
            CHECK(pid == sid);
            CHECK(ppid == ::getpid());
            CHECK(std::string(tty) == "no");
            const auto fds = host.outcome_of(how, child({"fds"})).out.bytes;
            CHECK(std::count(fds.begin(), fds.end(), '\n') == 3);
            CHECK(fds.find("0 null ") == 0);
            CHECK(fds.find("nonblocking") == std::string::npos);
        }
    }
    ::close(foreign);
}

TEST_CASE("local_runner: every way to make a child gives the same command, and what a way cannot do it refuses") {
    const test::process_guard nothing_left;
    for (const auto kind : {exec::spawn_kind::automatic, exec::spawn_kind::clone3, exec::spawn_kind::clone,
                            exec::spawn_kind::posix_spawn, exec::spawn_kind::fork}) {
        if (kind == exec::spawn_kind::clone && test::thread_sanitizer) continue;
        INFO(static_cast<int>(kind));
        exec::local_options options;
        options.spawn = kind;
        options.where = "somewhere";
        local_host host(options);
        options.umask = 022;
        local_host with_umask(options);
        for (const drive how : both_drives) {
            INFO(test::name_of(how));
            const auto ended = host.outcome_of(how, sh("cat; echo err >&2; exit 5"));
            CHECK(ended.exit == exit_status::exited(5));
            CHECK(ended.err.bytes == "err\n");
            CHECK(ended.where == "somewhere");
            if (kind == exec::spawn_kind::posix_spawn) {
                CHECK(with_umask.failure_of(how, sh("exit 0")).code == errc::unsupported);
            } else {
                CHECK(with_umask.outcome_of(how, sh("umask")).out.bytes == "0022\n");
            }
        }
    }
}

TEST_CASE("local_runner: a runner whose own options cannot be had is not made") {
    const test::process_guard nothing_left;
    const auto loop = test::new_loop();
    exec::local_options options;
    options.cwd_root = "/no/such/directory";
    const auto rootless = exec::make_local_runner(*loop, options);
    REQUIRE_FALSE(rootless.has_value());
    is(rootless.error(), ENOENT, stage::cwd, "/no/such/directory");

    options = {};
    options.cgroup = "/no/such/cgroup";
    const auto groupless = exec::make_local_runner(*loop, options);
    REQUIRE_FALSE(groupless.has_value());
    is(groupless.error(), ENOENT, stage::containment, "/no/such/cgroup");

    options.cgroup = "/tmp";
    const auto elsewhere = exec::make_local_runner(*loop, options);
    REQUIRE_FALSE(elsewhere.has_value());
    CHECK(elsewhere.error().code == errc::invalid_argument);
}

TEST_CASE("local_runner: what this host does not offer is refused by name, before anything runs") {
    const test::process_guard nothing_left;
    local_host host;
    exec::limits within;
    within.contain = exec::containment::cgroup;
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        within.contain = exec::containment::cgroup;
        auto why = host.failure_of(how, sh("exit 0"), within);
        CHECK(why.code == errc::unsupported);
        CHECK(why.context.find("cgroup") != std::string::npos);
        within.contain = exec::containment::pid_namespace;
        why = host.failure_of(how, sh("exit 0"), within);
        CHECK(why.code == errc::unsupported);
        CHECK(why.context.find("pid_namespace") != std::string::npos);
    }
    // Nobody could write to a command that its caller waits for.
    auto what = sh("cat");
    what.in = exec::input::streamed();
    CHECK(host.failure_of(drive::blocking, what).code == errc::unsupported);
}
