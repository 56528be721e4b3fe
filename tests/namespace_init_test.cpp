#include "process/namespace_init.h"

#include <doctest/doctest.h>
#include <grp.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <exec/error.h>
#include <algorithm>
#include <string>
#include <vector>

#include "children.h"
#include "guards.h"
#include "posix/syscalls.h"
#include "process/spawn.h"
#include "seccomp.h"

using namespace test;
using process::spawn_request;

namespace {

// A command in a namespace, its output and its init.
class confined {
   public:
    confined(const std::vector<std::string>& words, rung how,
             const std::function<void(spawn_request&)>& change = nullptr)
        : command_(child_program(), words) {
        auto out = posix::make_pipe(posix::our_end::read);
        REQUIRE(out);
        command_.request.out = out->write.get();
        command_.request.new_pid_namespace = true;
        if (change) change(command_.request);
        auto started = process::spawn(command_.request, how);
        if (!started) {
            failed = describe(started.error());
            return;
        }
        out_ = std::move(out->read);
        child = std::move(*started);
    }
    ~confined() { end_init(SIGKILL); }
    confined(const confined&) = delete;
    confined& operator=(const confined&) = delete;

    // Its output up to a newline, or all of it.
    std::string line() {
        std::string text;
        for (;;) {
            pollfd watched{out_.get(), POLLIN, 0};
            ::poll(&watched, 1, -1);
            char byte;
            if (::read(out_.get(), &byte, 1) != 1) return text;
            if (byte == '\n') return text;
            text += byte;
        }
    }
    void wait_for_end_of_output() {
        std::string rest;
        do {
            pollfd watched{out_.get(), POLLIN, 0};
            ::poll(&watched, 1, -1);
        } while (drain(out_.get(), rest));
    }

    std::string leader_end() {
        pollfd watched{child.leader.get(), POLLIN, 0};
        ::poll(&watched, 1, -1);
        const auto end = process::look_leader(child.leader.get());
        if (!end) return "nothing";
        used = end->used;
        return describe(end->status);
    }

    bool init_runs() const { return !posix::look(child.pidfd.get(), posix::reap::no); }
    std::string end_init(int signal) {
        if (!child.pidfd) return "";
        if (signal != 0) posix::send_signal(child.pidfd.get(), signal);
        const auto end = describe(posix::wait_for_end(child.pidfd.get()).status);
        child.pidfd.reset();
        return end;
    }
    std::string about_init(const std::string& file) const {
        return read_all("/proc/" + std::to_string(child.pid) + "/" + file);
    }

    std::string failed{};
    process::spawned child{};
    rusage used{};

   private:
    command command_;
    posix::fd out_{};
};

long field(const std::string& status, const std::string& name) {
    const auto at = status.find(name + ":");
    return at == std::string::npos ? -1 : std::strtol(status.c_str() + at + name.size() + 1, nullptr, 10);
}

bool may_make_namespaces() {
    static const bool may = [] {
        confined probe({"exit", "0"}, rung::automatic);
        return probe.failed != "containment 1 pid namespace";
    }();
    if (!may) MESSAGE("SKIP: no right to make a pid namespace");
    return may;
}

}  // namespace

TEST_CASE("pid namespace: the leader's exit code, signal and resource use are exact, and then the init ends") {
    if (!may_make_namespaces()) return;
    const process_guard nothing_left;
    on_each_rung(able_rungs, [](rung how) {
        confined coded({"exit", "7"}, how);
        CHECK(coded.failed == "");
        CHECK(coded.child.used == how);
        CHECK(coded.leader_end() == "exit 7");
        CHECK(coded.end_init(0) == "exit 0");

        confined killed({"signal", "11"}, how);
        CHECK(killed.leader_end() == "signal 11");
        confined busy({"spin", "30"}, how);
        CHECK(busy.leader_end() == "exit 0");
        CHECK(busy.used.ru_utime.tv_sec * 1'000'000 + busy.used.ru_utime.tv_usec +
                  busy.used.ru_stime.tv_sec * 1'000'000 + busy.used.ru_stime.tv_usec >=
              25'000);
    });
}

TEST_CASE("pid namespace: the command is process 2, leads a session of its own and has three descriptors") {
    if (!may_make_namespaces()) return;
    on_each_rung(able_rungs, [](rung how) {
        confined session({"session"}, how);
        CHECK(session.line() == "pid 2 pgid 2 sid 2 ppid 1 tty no");
        confined descriptors({"fds"}, how);
        CHECK(descriptors.line().starts_with("0 null"));
        CHECK(descriptors.line().starts_with("1 pipe"));
        CHECK(descriptors.line().starts_with("2 null"));
        CHECK(descriptors.line() == "");
    });
}

TEST_CASE("pid namespace: signals reach the leader, and its own answer to them is its end") {
    if (!may_make_namespaces()) return;
    const process_guard nothing_left;
    on_each_rung(able_rungs, [](rung how) {
        confined polite({"on-term", "5"}, how);
        CHECK(polite.line() == "ready");
        CHECK(process::signal_leader(polite.child.pidfd.get(), SIGTERM) == 0);
        CHECK(polite.leader_end() == "exit 5");

        confined plain({"sleep"}, how);
        CHECK(process::signal_leader(plain.child.pidfd.get(), SIGTERM) == 0);
        CHECK(plain.leader_end() == "signal 15");

        confined deaf({"ignore-term"}, how);
        CHECK(deaf.line() == "ready");
        CHECK(process::signal_leader(deaf.child.pidfd.get(), SIGTERM) == 0);
        CHECK(process::signal_leader(deaf.child.pidfd.get(), SIGKILL) == 0);
        CHECK(deaf.leader_end() == "signal 9");
        deaf.end_init(0);
        CHECK(process::signal_leader(-1, SIGTERM) == EBADF);
    });
}

TEST_CASE("pid namespace: an escapee outlives the leader, and the init stays with it; killing the init ends both") {
    if (!may_make_namespaces()) return;
    const process_guard nothing_left;
    on_each_rung(able_rungs, [](rung how) {
        confined tree({"escape"}, how);
        CHECK(tree.line() == "3");
        CHECK(tree.leader_end() == "exit 0");
        CHECK(!process::look_leader(tree.child.leader.get()));
        CHECK(tree.init_runs());
        CHECK(tree.end_init(SIGKILL) == "signal 9");
        // The escapee held the output: its end is the proof that it has gone.
        tree.wait_for_end_of_output();
    });
}

TEST_CASE("pid namespace: orphans are reaped, and the init ends with the last of them") {
    if (!may_make_namespaces()) return;
    const process_guard nothing_left;
    confined tree({"escape", "100"}, rung::automatic);
    CHECK(tree.leader_end() == "exit 0");
    CHECK(tree.end_init(0) == "exit 0");
}

TEST_CASE("pid namespace: a killed init is an unknown end of the leader, never a success") {
    if (!may_make_namespaces()) return;
    const process_guard nothing_left;
    confined sleeper({"sleep"}, rung::automatic);
    CHECK(!process::look_leader(sleeper.child.leader.get()));
    CHECK(sleeper.end_init(SIGKILL) == "signal 9");
    CHECK(sleeper.leader_end() == "unknown");
}

TEST_CASE("pid namespace: the init holds nothing of the host: no descriptor, no directory, no memory, no signal") {
    if (!may_make_namespaces()) return;
    const process_guard nothing_left;
    const std::string ballast(64 << 20, 'x');
    on_each_rung(able_rungs, [](rung how) {
        confined sleeper({"ignore-term"}, how);
        CHECK(sleeper.line() == "ready");
        // It lets go of the last of it after the leader has started.
        std::string status;
        do {
            status = sleeper.about_init("status");
        } while (status.find("State:\tS") == std::string::npos);
        CHECK(field(status, "VmRSS") < 1024);
        CHECK(field(status, "VmSize") < 1024);
        CHECK(status.starts_with("Name:\texec-init\n"));
        CHECK(status.find("SigIgn:\t0000000000000000") != std::string::npos);
        const std::string at = "/proc/" + std::to_string(sleeper.child.pid);
        char target[64] = {};
        CHECK(::readlink((at + "/cwd").c_str(), target, sizeof target) == 1);
        CHECK(std::string(target) == "/");
        CHECK(::access((at + "/fd/0").c_str(), F_OK) == 0);
        for (int number = 1; number < 64; ++number)
            CHECK(::access((at + "/fd/" + std::to_string(number)).c_str(), F_OK) != 0);
        CHECK(::getpgid(sleeper.child.pid) == sleeper.child.pid);
    });
}

TEST_CASE("pid namespace: start failures are typed like any other, and no init is left behind") {
    if (!may_make_namespaces()) return;
    const process_guard nothing_left;
    on_each_rung(able_rungs, [](rung how) {
        command missing("/no/such/program", {});
        missing.request.new_pid_namespace = true;
        auto refused = process::spawn(missing.request, how);
        REQUIRE(!refused);
        CHECK(describe(refused.error()) == "program 2 /no/such/program");
        CHECK(confined({"exit", "0"}, how, [](spawn_request& what) { what.out = 999; }).failed ==
              "descriptors 9 standard output");
        const process::limit_setting none{99, 1, 1};
        CHECK(confined({"exit", "0"}, how, [&](spawn_request& what) {
                  what.limits = {&none, 1};
              }).failed == "limits 22 limit 99");
        const posix::fd file(::open("/etc/passwd", O_PATH | O_CLOEXEC));
        CHECK(confined({"exit", "0"}, how, [&](spawn_request& what) { what.cwd = file.get(); }).failed == "cwd 20 ");
    });
    command child(child_program(), {"exit", "0"});
    child.request.new_pid_namespace = true;
    CHECK(process::spawn(child.request, rung::posix_spawn).error().code == exec::errc::unsupported);
    child.request.new_session = false;
    CHECK(process::spawn(child.request).error().code == exec::errc::invalid_argument);
}

TEST_CASE("pid namespace: without the right to make one, it is the containment that fails") {
    CHECK(in_other_host([]() -> std::string {
              if (::setgroups(0, nullptr) != 0 || ::setresuid(65534, 65534, 65534) != 0) return "not root";
              command child(child_program(), {"exit", "0"});
              child.request.new_pid_namespace = true;
              for (const rung how : {rung::automatic, rung::clone3, rung::fork}) {
                  const auto refused = process::spawn(child.request, how);
                  if (refused || describe(refused.error()) != "containment 1 pid namespace")
                      return describe(refused.error());
              }
              return "";
          }) == "");
}

TEST_CASE("pid namespace: another user, and hosts that ignore SIGCHLD or filter clone3, change nothing") {
    if (!may_make_namespaces()) return;
    on_each_rung(able_rungs, [](rung how) {
        CHECK(in_other_host([how]() -> std::string {
                  std::signal(SIGCHLD, SIG_IGN);
                  confined coded({"exit", "7"}, how, [](spawn_request& what) { what.uid = 65534; });
                  const std::string end = coded.failed.empty() ? coded.leader_end() : coded.failed;
                  return end == "exit 7" ? "" : end;
              }) == "");
    });
    CHECK(in_other_host([]() -> std::string {
              const process::replaced_rungs forget(process::rungs_in_use());
              if (!refuse_syscall(SYS_clone3, EPERM)) return "no filter";
              confined coded({"exit", "7"}, rung::automatic);
              const std::string end = coded.failed.empty() ? coded.leader_end() : coded.failed;
              return end == "exit 7" && coded.child.used == rung::clone ? "" : end;
          }) == "");
}

TEST_CASE(
    "pid namespace: it ends with a host that asked for it, and asks the leader first if the signal is a polite one") {
    if (!may_make_namespaces()) return;
    for (const int signal : {SIGKILL, SIGTERM}) {
        auto alive = posix::make_pipe(posix::our_end::read);
        REQUIRE(alive);
        CHECK(in_other_host([&]() -> std::string {
                  alive->read.reset();
                  command child(child_program(), {"on-term", "5"});
                  child.request.out = alive->write.get();
                  child.request.new_pid_namespace = true;
                  child.request.parent_death_signal = signal;
                  auto started = process::spawn(child.request);
                  return started ? "" : describe(started.error());
              }) == "");
        alive->write.reset();
        std::string said;
        pollfd watched{alive->read.get(), POLLIN, 0};
        do {
            REQUIRE(::poll(&watched, 1, 20'000) == 1);
        } while (drain(alive->read.get(), said));
    }
}
