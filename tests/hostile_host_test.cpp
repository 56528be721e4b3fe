// Hosts that make it hard: whatever they did to themselves, a command ends as it ends, and nothing is left over.
#include <exec/local_runner.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <exec/loop_thread.h>

#include "forked_host.h"
#include "guards.h"
#include "heard.h"
#include "living.h"
#include "local_host.h"
#include "syscall_spy.h"

using namespace std::chrono_literals;
using exec::exit_status;
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
using table = exec::posix::syscalls;

namespace {

// In this process, with no doctest about it.
exec::result<exec::outcome> run(drive how, exec::command what, exec::limits within = {},
                                exec::local_options options = {}, const std::function<void()>& on_start = {}) {
    auto loop = exec::make_loop();
    if (!loop) return std::move(loop).error();
    auto runner = exec::make_local_runner(**loop, std::move(options));
    if (!runner) return std::move(runner).error();
    heard to;
    to.on_start = on_start;
    if (how == drive::blocking) {
        test::listener tell(to);
        return (*runner)->run(std::move(what), std::move(within), tell, {});
    }
    std::stop_source end;
    to.on_done = [&] { end.request_stop(); };
    const auto handle = (*runner)->start(std::move(what), std::move(within), std::make_unique<test::listener>(to));
    (*loop)->run(end.get_token());
    return *std::move(to.end);
}

exec::command cat_of(std::size_t bytes) {
    auto what = sh("cat; echo err >&2; exit 3");
    what.in = exec::input::bytes(std::string(bytes, 'x'));
    return what;
}

bool as_it_should(const exec::result<exec::outcome>& ended, std::size_t bytes) {
    return ended.has_value() && ended->exit == exit_status::exited(3) && ended->out.bytes == std::string(bytes, 'x') &&
           ended->err.bytes == "err\n" && ended->in_taken == bytes;
}

bool is(const exec::result<exec::outcome>& ended, int number, stage at) {
    return !ended.has_value() && ended.error().code == std::error_code(number, std::system_category()) &&
           ended.error().at == at;
}

std::string said(const exec::result<exec::outcome>& ended) {
    return ended.has_value() ? "it ran: " + ended->out.bytes + ended->err.bytes : ended.error().message();
}

bool open_here(int descriptor) { return ::fcntl(descriptor, F_GETFD) >= 0; }

bool become_nobody() { return ::setgroups(0, nullptr) == 0 && ::setgid(65534) == 0 && ::setuid(65534) == 0; }

exec::result<exec::outcome> run_short_of_descriptors(exec::loop& loop, exec::runner& runner, drive how,
                                                     const exec::command& what, const exec::limits& within) {
    heard to;
    if (how == drive::blocking) {
        std::stop_source stop;  // one descriptor more
        test::listener tell(to);
        return runner.run(what, within, tell, stop.get_token());
    }
    const auto handle = runner.start(what, within, std::make_unique<test::listener>(to));
    if (!test::drive_until(loop, [&] { return to.over(); })) return exec::fail(exec::errc::wrong_state, "no end");
    return *to.end;
}

// As a kernel before 6.15, which cannot tell how somebody else's catch ended.
int no_pidfd_info(int descriptor, unsigned long request, void* argument) {
    if (request >> 8 != 0x5413 >> 8 && (request & 0xff) == 11) {
        errno = ENOTTY;
        return -1;
    }
    return exec::posix::kernel_syscalls().ioctl(descriptor, request, argument);
}

}  // namespace

TEST_CASE("hostile host: its own 0, 1 and 2 are closed, and stay its own") {
    const test::process_guard nothing_left;
    for (const drive how : both_drives) {
        CAPTURE(test::name_of(how));
        const auto wrong = in_forked_host([how](findings& found) {
            for (const int number : {0, 1, 2}) ::close(number);
            const auto untouched = [&found] {
                for (const int number : {0, 1, 2}) HOLDS(!open_here(number));
            };
            HOLDS(as_it_should(run(how, cat_of(200'000), {}, {}, untouched), 200'000));

            auto on_terminal = sh("tty >/dev/null && echo terminal");
            on_terminal.terminal = exec::terminal_size{};
            on_terminal.in = exec::input::bytes("");
            auto ended = run(how, on_terminal, {}, {}, untouched);
            HOLDS(ended.has_value() && ended->out.bytes.find("terminal\r\n") != std::string::npos);

            exec::local_options options;
            options.cwd_root = "/tmp";
            options.pid_namespace = true;
            exec::limits within;
            within.contain = exec::containment::pid_namespace;
            ended = run(how, child({"cwd"}), within, options, untouched);
            HOLDS(ended.has_value() && ended->out.bytes == "/tmp\n");

            within = {};
            within.contain = exec::containment::cgroup;
            options = {};
            options.cgroup = *exec::own_cgroup();
            ended = run(how, child({"exit", "0"}), within, options, untouched);
            HOLDS(ended.has_value() && ended->tree == tree_state::gone);

            // What is dropped goes to a descriptor as well.
            within = {};
            within.out.cap = 10;
            within.out.kept = exec::keep::head;
            within.out.show = 0;
            bool seen = true;
            heard to;
            to.on_heartbeat = [&] {
                for (const int number : {0, 1, 2}) seen = seen && !open_here(number);
                return exec::flow::more;
            };
            within.heartbeat = 20ms;
            test::listener tell(to);
            std::stop_source stop;
            const auto flood =
                exec::run(sh("head -c 300000 /dev/zero; exec sleep 0.1"), within, tell, stop.get_token());
            HOLDS(flood.has_value() && flood->out.total == 300'000);
            HOLDS(seen);
            HOLDS(to.heartbeats > 0);
        });
        CHECK(wrong == "");
    }
}

TEST_CASE("hostile host: SIGCHLD is ignored, and the exit is what the kernel can tell, or unknown, never 0") {
    const test::process_guard nothing_left;
    for (const drive how : both_drives) {
        CAPTURE(test::name_of(how));
        for (const bool old_kernel : {false, true}) {
            CAPTURE(old_kernel);
            for (const bool by_flag : {false, true}) {
                const auto wrong = in_forked_host([=](findings& found) {
                    struct sigaction action {};
                    action.sa_handler = by_flag ? SIG_DFL : SIG_IGN;
                    action.sa_flags = by_flag ? SA_NOCLDWAIT : 0;
                    ::sigaction(SIGCHLD, &action, nullptr);
                    auto changed = exec::posix::kernel_syscalls();
                    if (old_kernel) changed.ioctl = no_pidfd_info;
                    const exec::posix::replaced_syscalls in_use(changed);

                    for (const int code : {0, 3}) {
                        const auto ended = run(how, sh("echo said; exit $1", {std::to_string(code)}));
                        HOLDS(ended.has_value() && ended->out.bytes == "said\n");
                        if (old_kernel) {
                            HOLDS(ended->exit == exit_status{});
                            HOLDS(ended->how() == exec::ended::lost);
                            HOLDS(!ended->ok());
                        } else {
                            HOLDS(ended->exit == exit_status::exited(code));
                        }
                    }
                    HOLDS(is(run(how, test::words({"/no/such/program"})), ENOENT, stage::program));
                    exec::limits within;
                    within.run_timeout = 100ms;
                    const auto killed = run(how, child({"ignore-term"}), within);
                    HOLDS(killed.has_value() && killed->stopped_by == stop_reason::run_timeout);
                    // Whoever outlives its leader is still found.
                    const auto left = run(how, child({"hold-pipe"}));
                    HOLDS(left.has_value() && !test::alive(std::atol(left->out.bytes.c_str())));
                });
                CHECK(wrong == "");
            }
        }
    }
}

TEST_CASE("hostile host: once a leader was reaped by somebody else, nothing is sent to its number") {
    const test::process_guard nothing_left;
    for (const drive how : both_drives) {
        CAPTURE(test::name_of(how));
        const auto wrong = in_forked_host([how](findings& found) {
            std::signal(SIGCHLD, SIG_IGN);
            auto spied = exec::posix::kernel_syscalls();
            static std::atomic<int> after{0};
            spied.kill = [](pid_t to, int number) {
                // Its /proc entry goes when it is reaped: then the number may be anybody's. Signal 0 reaches nobody.
                if (number != 0 && !test::exists("/proc/" + std::to_string(to < 0 ? -to : to))) ++after;
                return exec::posix::kernel_syscalls().kill(to, number);
            };
            const exec::posix::replaced_syscalls in_use(spied);
            HOLDS(run(how, child({"exit", "3"})).has_value());
            HOLDS(run(how, child({"hold-pipe"})).has_value());
            HOLDS(after.load() == 0);
        });
        CHECK(wrong == "");
    }
}

TEST_CASE("hostile host: a thread that waits for every child steals the statuses, and no wrong one is told") {
    const test::process_guard nothing_left;
    for (const drive how : both_drives) {
        CAPTURE(test::name_of(how));
        for (const bool old_kernel : {false, true}) {
            CAPTURE(old_kernel);
            const auto wrong = in_forked_host([=](findings& found) {
                auto changed = exec::posix::kernel_syscalls();
                if (old_kernel) changed.ioctl = no_pidfd_info;
                const exec::posix::replaced_syscalls in_use(changed);
                std::atomic<bool> over{false};
                std::atomic<int> stolen{0};
                std::thread thief([&] {
                    while (!over.load()) {
                        if (::waitpid(-1, nullptr, WNOHANG) > 0) ++stolen;
                        std::this_thread::yield();
                    }
                });
                int unknown = 0;
                for (int i = 0; i < 60; ++i) {
                    const auto ended = run(how, sh("echo said; exit 3"));
                    if (!HOLDS(ended.has_value() && ended->out.bytes == "said\n")) break;
                    if (ended->exit == exit_status{}) {
                        ++unknown;
                    } else {
                        HOLDS(ended->exit == exit_status::exited(3));
                    }
                }
                over = true;
                thief.join();
                HOLDS(stolen.load() > 0);
                HOLDS(old_kernel ? unknown > 0 : unknown == 0);
                HOLDS(::waitpid(-1, nullptr, WNOHANG) < 0 && errno == ECHILD);
            });
            CHECK(wrong == "");
        }
    }
}

TEST_CASE("hostile host: SIGPIPE, whatever it does with it, never comes from a child that stopped reading") {
    const test::process_guard nothing_left;
    const auto deaf = [](drive how) {
        auto what = sh("exec 0<&-; echo closed; sleep 0.1; exit 3");
        what.in = exec::input::bytes(std::string(1'000'000, 'x'));
        const auto ended = run(how, what);
        return ended.has_value() && ended->exit == exit_status::exited(3);
    };
    for (const drive how : both_drives) {
        CAPTURE(test::name_of(how));
        for (const bool old_kernel : {false, true}) {  // without RWF_NOSIGNAL
            CAPTURE(old_kernel);
            for (const std::string state : {"default", "ignored", "handled", "blocked", "blocked and pending"}) {
                CAPTURE(state);
                const auto wrong = in_forked_host([&, how, old_kernel](findings& found) {
                    auto changed = exec::posix::kernel_syscalls();
                    if (old_kernel) {
                        changed.write_vector = [](int, const iovec*, int, int) -> ssize_t {
                            errno = EOPNOTSUPP;
                            return -1;
                        };
                    }
                    const exec::posix::replaced_syscalls in_use(changed);
                    static std::atomic<int> handled{0};
                    sigset_t one;
                    sigemptyset(&one);
                    sigaddset(&one, SIGPIPE);
                    std::signal(SIGPIPE, state == "ignored"   ? SIG_IGN
                                         : state == "handled" ? [](int) { ++handled; }
                                                              : SIG_DFL);
                    if (state.starts_with("blocked")) ::pthread_sigmask(SIG_BLOCK, &one, nullptr);
                    const bool pending = state.ends_with("pending");
                    if (pending) std::raise(SIGPIPE);
                    HOLDS(deaf(how));
                    HOLDS(handled.load() == 0);
                    sigset_t now;
                    ::sigpending(&now);
                    HOLDS((sigismember(&now, SIGPIPE) == 1) == pending);
                    ::pthread_sigmask(SIG_BLOCK, nullptr, &now);
                    HOLDS((sigismember(&now, SIGPIPE) == 1) == state.starts_with("blocked"));
                });
                CHECK(wrong == "");
            }
        }
    }
}

TEST_CASE("hostile host: every signal is blocked, and none of that reaches the child") {
    const test::process_guard nothing_left;
    for (const drive how : both_drives) {
        CAPTURE(test::name_of(how));
        const auto wrong = in_forked_host([how](findings& found) {
            sigset_t all;
            sigfillset(&all);
            ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
            const auto ended = run(how, child({"dispositions"}));
            HOLDS(ended.has_value() && ended->out.bytes.find("SigBlk:\t0000000000000000") != std::string::npos);
            HOLDS(as_it_should(run(how, cat_of(200'000)), 200'000));
            exec::limits within;
            within.run_timeout = 100ms;
            const auto stopped = run(how, child({"sleep"}), within);
            HOLDS(stopped.has_value() && stopped->exit == exit_status::signaled(SIGTERM));
        });
        CHECK(wrong == "");
    }
}

TEST_CASE("hostile host: a timer interrupts every system call that it makes") {
    const test::process_guard nothing_left;
    for (const drive how : both_drives) {
        CAPTURE(test::name_of(how));
        const auto wrong = in_forked_host([how](findings& found) {
            static std::atomic<int> ticks{0};
            struct sigaction action {};
            action.sa_handler = [](int) { ++ticks; };  // without SA_RESTART
            ::sigaction(SIGALRM, &action, nullptr);
            const itimerval often{{0, 300}, {0, 300}};
            ::setitimer(ITIMER_REAL, &often, nullptr);
            for (int i = 0; i < 10; ++i) HOLDS(as_it_should(run(how, cat_of(300'000)), 300'000));
            exec::limits within;
            within.run_timeout = 2000ms;  // until then a slow child, too, has begun to ignore it
            within.stop.grace = 100ms;
            const auto stopped = run(how, child({"ignore-term"}), within);
            HOLDS(stopped.has_value() && stopped->exit == exit_status::signaled(SIGKILL));
            HOLDS(stopped.has_value() && stopped->took.run >= 300ms);
            HOLDS(ticks.load() > 100);
        });
        CHECK(wrong == "");
    }
}

TEST_CASE("hostile host: short of descriptors, a start fails whole, and the next one that fits runs") {
    const test::process_guard nothing_left;
    for (const drive how : both_drives) {
        CAPTURE(test::name_of(how));
        for (const std::string kind : {"pipes", "terminal", "cgroup", "namespace"}) {
            CAPTURE(kind);
            const auto wrong = in_forked_host([&, how](findings& found) {
                exec::local_options options;
                exec::limits within;
                auto what = cat_of(10);
                if (kind == "terminal") what.terminal = exec::terminal_size{};
                if (kind == "cgroup") {
                    options.cgroup = *exec::own_cgroup();
                    within.contain = exec::containment::cgroup;
                }
                if (kind == "namespace") {
                    options.pid_namespace = true;
                    within.contain = exec::containment::pid_namespace;
                }
                what.cwd = "/";
                auto loop = exec::make_loop();
                auto runner = exec::make_local_runner(**loop, options);
                if (!HOLDS(runner.has_value())) return;
                const auto before = test::host_state::now();
                int failed = 0;
                int ran = 0;
                for (rlim_t more = 0; more < 20; ++more) {
                    const int next = ::fcntl(2, F_DUPFD_CLOEXEC, 0);
                    ::close(next);
                    const rlimit few{static_cast<rlim_t>(next) + more, 1024};
                    ::setrlimit(RLIMIT_NOFILE, &few);
                    const auto ended = run_short_of_descriptors(**loop, **runner, how, what, within);
                    const rlimit enough{1024, 1024};
                    ::setrlimit(RLIMIT_NOFILE, &enough);
                    if (ended.has_value()) {
                        ++ran;
                        found.check(ended->exit == exit_status::exited(3),
                                    "with " + std::to_string(more) + " it ran badly");
                        HOLDS(kind == "terminal" || ended->out.bytes == "xxxxxxxxxx");
                    } else {
                        ++failed;
                        found.check(ended.error().code == std::error_code(EMFILE, std::system_category()),
                                    "with " + std::to_string(more) + ": " + ended.error().message());
                        HOLDS(ran == 0);  // what was enough stays enough
                    }
                    for (const auto& change : test::host_state::now().changes_since(before)) {
                        found.check(false, "with " + std::to_string(more) + " descriptors: " + change);
                    }
                }
                HOLDS(failed > 3);
                HOLDS(ran > 5);
            });
            CHECK(wrong == "");
        }
    }
}

TEST_CASE("hostile host: a limit of descriptors as large as the machine allows costs nothing") {
    const test::process_guard nothing_left;
    const auto wrong = in_forked_host([](findings& found) {
        // The kernel's bound, where this process may raise its own so far; its own hard limit where it may not.
        rlimit all{};
        all.rlim_cur = all.rlim_max = static_cast<rlim_t>(std::stoll(test::file_text("/proc/sys/fs/nr_open")));
        if (::setrlimit(RLIMIT_NOFILE, &all) != 0) {
            ::getrlimit(RLIMIT_NOFILE, &all);
            all.rlim_cur = all.rlim_max;
            if (!HOLDS(::setrlimit(RLIMIT_NOFILE, &all) == 0)) return;
        }
        const auto begin = std::chrono::steady_clock::now();
        for (const drive how : both_drives) {
            for (int i = 0; i < 20; ++i) HOLDS(run(how, child({"exit", "0"})).has_value());
        }
        HOLDS(std::chrono::steady_clock::now() - begin < 10s);
    });
    CHECK(wrong == "");
}

TEST_CASE("hostile host: unprivileged, what needs a privilege fails at its stage and never runs as the host") {
    const test::process_guard nothing_left;
    const test::scratch_directory scratch;
    REQUIRE(::chmod(scratch.path().c_str(), 0777) == 0);
    REQUIRE(::getuid() == 0);
    for (const drive how : both_drives) {
        CAPTURE(test::name_of(how));
        const auto wrong = in_forked_host([&, how](findings& found) {
            if (!HOLDS(become_nobody())) return;
            const auto what = sh("> \"$1\"", {scratch / "ran"});
            exec::local_options options;
            options.as = exec::identity{1, 1, {}};
            auto ended = run(how, what, {}, options);
            found.check(is(ended, EPERM, stage::credentials), "uid: " + said(ended));
            // Its own numbers, but setting groups is a privilege too: never a run with the host's groups.
            options.as = exec::identity{65534, 65534, {}};
            ended = run(how, what, {}, options);
            found.check(is(ended, EPERM, stage::credentials), "groups: " + said(ended));

            options = {};
            options.resources = {{RLIMIT_NICE, 40, 40}};
            ended = run(how, what, {}, options);
            found.check(is(ended, EPERM, stage::limits), "limit: " + said(ended));

            options = {};
            options.pid_namespace = true;
            exec::limits within;
            within.contain = exec::containment::pid_namespace;
            ended = run(how, what, within, options);
            found.check(is(ended, EPERM, stage::containment), "namespace: " + said(ended));

            within.contain = exec::containment::cgroup;
            options = {};
            options.cgroup = *exec::own_cgroup();
            ended = run(how, what, within, options);
            found.check(is(ended, EACCES, stage::containment), "cgroup: " + said(ended));

            HOLDS(!test::exists(scratch / "ran"));
            HOLDS(run(how, what).has_value());
            HOLDS(test::exists(scratch / "ran"));
            ::unlink((scratch / "ran").c_str());
        });
        CHECK(wrong == "");
    }
}

TEST_CASE("hostile host: at its limit of processes, a start fails with the kernel's word") {
    const test::process_guard nothing_left;
    for (const drive how : both_drives) {
        CAPTURE(test::name_of(how));
        const auto wrong = in_forked_host([how](findings& found) {
            // A user of whom there is nobody else.
            if (!HOLDS(::setgroups(0, nullptr) == 0 && ::setgid(54321) == 0 && ::setuid(54321) == 0)) return;
            const rlimit one{1, 1};
            ::setrlimit(RLIMIT_NPROC, &one);
            const auto ended = run(how, sh("exit 0"));
            found.check(is(ended, EAGAIN, stage::process), said(ended));
            HOLDS(!ended.has_value() && ended.error().advise() == exec::advice::retry_later);
        });
        CHECK(wrong == "");
    }
}

TEST_CASE("hostile host: its directory was removed, and only what needs it fails") {
    const test::process_guard nothing_left;
    for (const drive how : both_drives) {
        CAPTURE(test::name_of(how));
        const auto wrong = in_forked_host([how](findings& found) {
            char name[] = "/tmp/exec-test-XXXXXX";
            HOLDS(::mkdtemp(name) != nullptr && ::chdir(name) == 0 && ::rmdir(name) == 0);
            HOLDS(run(how, child({"exit", "3"}))->exit == exit_status::exited(3));
            auto elsewhere = child({"cwd"});
            elsewhere.cwd = "/";
            const auto ended = run(how, elsewhere);
            HOLDS(ended.has_value() && ended->out.bytes == "/\n");
            auto relative = test::words({"./program"});
            relative.cwd = "/";
            HOLDS(is(run(how, relative), ENOENT, stage::program));
        });
        CHECK(wrong == "");
    }
}

TEST_CASE("hostile host: a subreaper that does not reap gets the orphans, and the group is still told as gone") {
    const test::process_guard nothing_left;
    for (const drive how : both_drives) {
        CAPTURE(test::name_of(how));
        const auto wrong = in_forked_host([how](findings& found) {
            ::prctl(PR_SET_CHILD_SUBREAPER, 1);
            const auto ended = run(how, child({"hold-pipe"}));
            HOLDS(ended.has_value() && ended->exit == exit_status::exited(0));
            HOLDS(ended.has_value() && ended->tree == tree_state::group_gone);
            HOLDS(ended.has_value() && ended->took.total < 20s);
            // It is the host's to reap, and nobody else's.
            int status = 0;
            HOLDS(::waitpid(-1, &status, WNOHANG) > 0);
            HOLDS(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        });
        CHECK(wrong == "");
    }
}

TEST_CASE("hostile host: a thread with a small stack runs commands on it, in every way to spawn") {
    const test::process_guard nothing_left;
    if (test::thread_sanitizer) {
        MESSAGE("SKIP: ThreadSanitizer needs deep stacks");
        return;
    }
    for (const auto kind :
         {exec::spawn_kind::clone3, exec::spawn_kind::clone, exec::spawn_kind::posix_spawn, exec::spawn_kind::fork}) {
        CAPTURE(static_cast<int>(kind));
        struct task {
            exec::spawn_kind kind;
            bool well = false;
        } work{kind};
        pthread_attr_t attributes;
        ::pthread_attr_init(&attributes);
        ::pthread_attr_setstacksize(&attributes, 128 * 1024);
        pthread_t thread;
        REQUIRE(::pthread_create(
                    &thread, &attributes,
                    [](void* given) -> void* {
                        auto& its = *static_cast<task*>(given);
                        exec::local_options options;
                        options.spawn = its.kind;
                        its.well = as_it_should(run(drive::blocking, cat_of(300'000), {}, options), 300'000) &&
                                   as_it_should(run(drive::on_loop, cat_of(300'000), {}, options), 300'000);
                        return nullptr;
                    },
                    &work) == 0);
        ::pthread_join(thread, nullptr);
        ::pthread_attr_destroy(&attributes);
        CHECK(work.well);
    }
}

TEST_CASE("hostile host: it forks while commands run, and the copy can do them no harm") {
    const test::process_guard nothing_left;
    local_host host;
    heard to;
    heard waiting;
    auto what =
        sh("trap 'echo signalled' USR1; trap 'exit 9' TERM HUP INT; echo ready; while read line; do echo $line; done; "
           "exit 3");
    what.in = exec::input::streamed();
    auto handle = host.start(what, {}, to);
    REQUIRE(test::drive_until(host.on(), [&] { return to.out == "ready\n"; }));
    auto other = host.start(child({"exit", "4"}), {}, waiting);  // not begun yet

    const auto wrong = in_forked_host([&](findings& found) {
        HOLDS(!handle.signal(SIGUSR1).has_value());
        HOLDS(!handle.resize({1, 1}).has_value());
        handle.write_in("from the copy\n");
        handle.close_in();
        handle.resume();
        handle.stop(0ms);
        other.stop();
        HOLDS(host.on().run_ready() == 0);
        host.on().shutdown(1s);
        handle = {};
        other.detach();
        // And its own commands run as ever.
        HOLDS(as_it_should(run(drive::blocking, cat_of(10)), 10));
        HOLDS(as_it_should(run(drive::on_loop, cat_of(10)), 10));
        host.~local_host();
        HOLDS(!to.end.has_value());
        HOLDS(!waiting.end.has_value());
    });
    CHECK(wrong == "");

    CHECK(handle.write_in("from the host\n") == 14);
    handle.close_in();
    host.finish(to);
    host.finish(waiting);
    CHECK(to.outcome().exit == exit_status::exited(3));
    CHECK(to.out == "ready\nfrom the host\n");
    CHECK(waiting.outcome().exit == exit_status::exited(4));
}

TEST_CASE("hostile host: it forks inside a callback, and the copy leaves by _exit") {
    const test::process_guard nothing_left;
    local_host host;
    heard to;
    pid_t copy = 0;
    to.on_output = [&](exec::stream, exec::bytes_view) {
        copy = ::fork();
        if (copy == 0) ::_exit(0);
        return exec::flow::more;
    };
    const auto handle = host.start(sh("echo one; sleep 0.05; exit 3"), {}, to);
    host.finish(to);
    CHECK(to.outcome().exit == exit_status::exited(3));
    // The copy is the host's child, not ours to wait for.
    int status = -1;
    CHECK(::waitpid(copy, &status, 0) == copy);
    CHECK(status == 0);
}

TEST_CASE("hostile host: its other children are never touched") {
    const test::process_guard nothing_left;
    int hold[2];
    REQUIRE(::pipe2(hold, O_CLOEXEC) == 0);
    const pid_t quick = ::fork();
    if (quick == 0) ::_exit(5);
    const pid_t slow = ::fork();
    if (slow == 0) {
        char byte;
        ::close(hold[1]);
        [[maybe_unused]] const auto end = ::read(hold[0], &byte, 1);
        ::_exit(6);
    }
    {
        local_host host;
        for (const drive how : both_drives) {
            for (int i = 0; i < 10; ++i) CHECK(host.outcome_of(how, child({"exit", "0"})).ok());
        }
    }
    ::close(hold[0]);
    ::close(hold[1]);
    for (const auto& [pid, code] : {std::pair(quick, 5), std::pair(slow, 6)}) {
        int status = 0;
        CHECK(::waitpid(pid, &status, 0) == pid);
        CHECK(WEXITSTATUS(status) == code);
    }
}
