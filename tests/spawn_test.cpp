#include "process/spawn.h"

#include <doctest/doctest.h>
#include <grp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "children.h"
#include "guards.h"
#include "process/resolve.h"
#include "seccomp.h"

using namespace test;
using process::spawn_request;

namespace {

std::string words_of(const std::string& separated) {
    std::string shown = separated;
    std::replace(shown.begin(), shown.end(), '\0', '|');
    return shown;
}

// The lines of the sub-command "fds", as number -> rest of the line.
std::map<int, std::string> listed(const std::string& text) {
    std::map<int, std::string> all;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) all[std::atoi(line.c_str())] = line.substr(line.find(' ') + 1);
    return all;
}

std::string ignored_of(const std::string& dispositions) {
    const auto at = dispositions.find("SigIgn:\t");
    return dispositions.substr(at + 8, 16);
}
std::string blocked_of(const std::string& dispositions) {
    const auto at = dispositions.find("SigBlk:\t");
    return dispositions.substr(at + 8, 16);
}

void ignore_all_signals() {
    for (int number = 1; number <= 64; ++number) std::signal(number, SIG_IGN);
}

}  // namespace

TEST_CASE("spawn: every rung starts the program with its words and its environment, and nothing else of either") {
    const process_guard nothing_left;
    on_each_rung(every_rung, [](rung how) {
        const auto said = run({"args", "a b", "", "'\"\\$"}, how);
        CHECK(said.failed == "");
        CHECK(words_of(said.out) == "a b||'\"\\$|");
        CHECK(said.end == "exit 0");
        CHECK(said.used == how);
        CHECK(words_of(run({"env"}, how).out) == "WHO=child|");
    });
}

TEST_CASE("spawn: the first rung is the one that is used") { CHECK(run({"exit", "0"}).used == rung::clone3); }

TEST_CASE("spawn: exit codes and signals come back as they were") {
    const process_guard nothing_left;
    on_each_rung(every_rung, [](rung how) {
        CHECK(run({"exit", "0"}, how).end == "exit 0");
        CHECK(run({"exit", "127"}, how).end == "exit 127");
        CHECK(run({"exit", "255"}, how).end == "exit 255");
        CHECK(run({"signal", "9"}, how).end == "signal 9");
        CHECK(run({"signal", "15"}, how).end == "signal 15");
    });
}

TEST_CASE("spawn: the child has descriptors 0, 1 and 2 and no other, whatever the host left open") {
    const process_guard nothing_left;
    std::vector<posix::fd> careless;
    for (const int number : {3, 77, 900}) {
        careless.emplace_back(::fcntl(2, F_DUPFD, number));
        REQUIRE(careless.back());
    }
    on_each_rung(every_rung, [](rung how) {
        const auto all = listed(run({"fds"}, how).out);
        REQUIRE(all.size() == 3);
        CHECK(all.at(0).starts_with("null"));
        CHECK(all.at(1).starts_with("pipe"));
        CHECK(all.at(2).starts_with("pipe"));
    });
}

TEST_CASE("spawn: and so it is where close_range is refused, in whatever words") {
    for (const int answer : {EPERM, ENOSYS, EINVAL}) {
        on_each_rung(able_rungs, [answer](rung how) {
            CHECK(in_other_host([answer, how]() -> std::string {
                      for (const int number : {3, 77, 900}) ::fcntl(2, F_DUPFD, number);
                      if (!refuse_syscall(SYS_close_range, answer)) return "no filter";
                      const auto said = run({"fds"}, how);
                      return listed(said.out).size() == 3 ? "" : said.failed + said.out;
                  }) == "");
        });
    }
}

TEST_CASE("spawn: and where there is no /proc either") {
    CHECK(
        in_other_host([]() -> std::string {
            for (const int number : {3, 77, 900}) ::fcntl(2, F_DUPFD, number);
            if (::unshare(CLONE_NEWNS) != 0) return "no mount namespace";
            ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
            if (::mount("none", "/proc", "tmpfs", 0, nullptr) != 0) return "no tmpfs";
            if (!refuse_syscall(SYS_close_range, EPERM)) return "no filter";
            command probe("/bin/bash", {"-c", "for i in 3 4 5 77 900; do { : >&$i; } 2>/dev/null && echo $i; done; :"});
            const auto said = run(probe.request, rung::clone3);
            return said.failed + said.out + (said.end == "exit 0" ? "" : said.end);
        }) == "");
}

TEST_CASE("spawn: a stream that was not given is /dev/null, and no stream is non-blocking") {
    on_each_rung(every_rung, [](rung how) {
        auto out = posix::make_pipe(posix::our_end::read);
        command child(child_program(), {"fds"});
        child.request.out = out->write.get();
        auto started = process::spawn(child.request, how);
        REQUIRE(started);
        out->write.reset();
        posix::wait_for_end(started->pidfd.get());
        std::string text;
        drain(out->read.get(), text);
        const auto all = listed(text);
        CHECK(all.at(0).starts_with("null"));
        CHECK(all.at(2).starts_with("null"));
        for (const auto& [number, kind] : all) CHECK(kind.ends_with(" blocking"));
    });
}

TEST_CASE("spawn: two streams on one pipe keep the order of what was written") {
    on_each_rung(every_rung, [](rung how) {
        command child("/bin/sh", {"-c", "echo 1; echo 2 >&2; echo 3; echo 4 >&2"});
        const auto said = run(child.request, how, true);
        CHECK(said.out == "1\n2\n3\n4\n");
        CHECK(said.err == "");
    });
}

// Three files stand on 0, 1 and 2 of a host, a fourth above; every arrangement of them is asked for.
TEST_CASE("spawn: sources that are themselves 0, 1 or 2 arrive where they should, in every arrangement") {
    on_each_rung(every_rung, [](rung how) {
        CHECK(in_other_host([how]() -> std::string {
                  unsigned long inode[4];
                  int number[4];
                  for (int i = 0; i < 4; ++i) {
                      const int file = ::memfd_create("source", MFD_CLOEXEC);
                      number[i] = i < 3 ? ::dup3(file, i, O_CLOEXEC) : file;
                      struct stat about {};
                      ::fstat(number[i], &about);
                      inode[i] = about.st_ino;
                  }
                  for (int arrangement = 0; arrangement < 64; ++arrangement) {
                      const int chosen[3] = {arrangement & 3, arrangement >> 2 & 3, arrangement >> 4 & 3};
                      command child(child_program(), {"fds"});
                      child.request.in = number[chosen[0]];
                      child.request.out = number[chosen[1]];
                      child.request.err = number[chosen[2]];
                      ::ftruncate(number[chosen[1]], 0);
                      ::lseek(number[chosen[1]], 0, SEEK_SET);
                      auto started = process::spawn(child.request, how);
                      if (!started) return describe(started.error());
                      posix::wait_for_end(started->pidfd.get());
                      char text[512] = {};
                      ::pread(number[chosen[1]], text, sizeof text - 1, 0);
                      std::string wanted;
                      for (int i = 0; i < 3; ++i) {
                          wanted += std::to_string(i) + " file " + std::to_string(inode[chosen[i]]) + " blocking\n";
                      }
                      if (text != wanted)
                          return "arrangement " + std::to_string(arrangement) + ":\n" + text + "not\n" + wanted;
                  }
                  return "";
              }) == "");
    });
}

TEST_CASE("spawn: a host that closed its own 0, 1 and 2 starts children like any other") {
    on_each_rung(every_rung, [](rung how) {
        CHECK(in_other_host([how]() -> std::string {
                  for (int i = 0; i < 3; ++i) ::close(i);
                  const auto said = run({"fds"}, how);
                  const auto all = listed(said.out);
                  const bool right = all.size() == 3 && all.at(0).starts_with("null") &&
                                     all.at(1).starts_with("pipe") && all.at(2).starts_with("pipe");
                  return right ? "" : said.failed + said.out;
              }) == "");
    });
}

TEST_CASE("spawn: the child starts with an empty mask and default dispositions, whatever the host blocks and ignores") {
    on_each_rung(every_rung, [](rung how) {
        CHECK(in_other_host([how]() -> std::string {
                  // What this process learned about the dispositions of the process it was forked from.
                  const process::replaced_rungs forget(process::rungs_in_use());
                  ignore_all_signals();
                  if (how == rung::posix_spawn) std::signal(SIGCHLD, SIG_DFL);  // it refuses such hosts
                  sigset_t all;
                  sigfillset(&all);
                  ::pthread_sigmask(SIG_SETMASK, &all, nullptr);
                  const auto before = host_state::now();
                  const auto said = run({"dispositions"}, how);
                  for (const auto& change : host_state::now().changes_since(before)) {
                      if (change != "the pending signals") return change;  // SIGCHLD, which it blocks
                  }
                  // glibc's posix_spawn leaves its own two, 32 and 33, ignored.
                  const std::string none = how == rung::posix_spawn ? "0000000180000000" : "0000000000000000";
                  const bool right = ignored_of(said.out) == none && blocked_of(said.out) == "0000000000000000";
                  return right ? "" : said.failed + said.out;
              }) == "");
    });
}

TEST_CASE("spawn: a standard signal that the host begins to ignore later is default in the child all the same") {
    CHECK(in_other_host([]() -> std::string {
              run({"exit", "0"});
              for (int number = 1; number < 32; ++number) std::signal(number, SIG_IGN);
              const auto said = run({"dispositions"});
              return ignored_of(said.out) == "0000000000000000" ? "" : said.out;
          }) == "");
}

TEST_CASE("spawn: mask and ignored signals are handed on when that is asked for, handlers never") {
    on_each_rung(every_rung, [](rung how) {
        CHECK(in_other_host([how]() -> std::string {
                  std::signal(SIGPIPE, SIG_IGN);
                  std::signal(SIGUSR1, [](int) {});
                  sigset_t some;
                  sigemptyset(&some);
                  sigaddset(&some, SIGUSR2);
                  ::pthread_sigmask(SIG_SETMASK, &some, nullptr);
                  const auto said = run({"dispositions"}, how, [](spawn_request& what) {
                      what.inherit_mask = true;
                      what.inherit_dispositions = true;
                  });
                  std::string ignored = ignored_of(said.out);
                  if (how == rung::posix_spawn) ignored.replace(7, 2, "00");
                  const bool right = ignored == "0000000000001000" && blocked_of(said.out) == "0000000000000800";
                  return right ? "" : said.failed + said.out;
              }) == "");
    });
}

TEST_CASE("spawn: a child leads its own session, or its own group, or neither") {
    const auto facts = [](const std::string& line) {
        int pid = 0, pgid = 0, sid = 0, ppid = 0;
        std::sscanf(line.c_str(), "pid %d pgid %d sid %d ppid %d", &pid, &pgid, &sid, &ppid);
        return std::array{pid, pgid, sid, ppid};
    };
    on_each_rung(every_rung, [&](rung how) {
        const auto [pid, pgid, sid, ppid] = facts(run({"session"}, how).out);
        CHECK(pgid == pid);
        CHECK(sid == pid);
        CHECK(ppid == ::getpid());

        const auto grouped = facts(run({"session"}, how, [](spawn_request& what) {
                                       what.new_session = false;
                                       what.new_group = true;
                                   }).out);
        CHECK(grouped[1] == grouped[0]);
        CHECK(grouped[2] == ::getsid(0));

        const auto plain = facts(run({"session"}, how, [](spawn_request& what) { what.new_session = false; }).out);
        CHECK(plain[1] == ::getpgrp());
        CHECK(plain[2] == ::getsid(0));
    });
}

TEST_CASE("spawn: a terminal becomes the controlling one, and the host does not get it") {
    on_each_rung(able_rungs, [](rung how) {
        const process_guard nothing_left;
        const posix::fd master(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
        REQUIRE(::grantpt(master.get()) == 0);
        REQUIRE(::unlockpt(master.get()) == 0);
        const posix::fd slave(::open(::ptsname(master.get()), O_RDWR | O_NOCTTY | O_CLOEXEC));
        REQUIRE(slave);
        const auto said = run({"session"}, how, [&](spawn_request& what) {
            what.in = slave.get();
            what.controlling_terminal = true;
        });
        CHECK(said.failed == "");
        CHECK(said.out.ends_with("tty yes\n"));
    });
    CHECK(run({"session"}).out.ends_with("tty no\n"));
}

TEST_CASE("spawn: umask and limits are the child's alone") {
    const std::array<process::limit_setting, 3> settings{
        {{RLIMIT_NOFILE, 64, 128}, {RLIMIT_CORE, 0, RLIM_INFINITY}, {RLIMIT_STACK, 1 << 20, RLIM_INFINITY}}};
    const mode_t mine = ::umask(022);
    on_each_rung(able_rungs, [&](rung how) {
        CHECK(run({"umask"}, how, [](spawn_request& what) { what.umask = 0077; }).out == "0077\n");
        CHECK(run({"umask"}, how).out == "0022\n");
        const auto said = run({"limits"}, how, [&](spawn_request& what) { what.limits = settings; });
        CHECK(said.out.find("\n7 64 128\n") != std::string::npos);
        CHECK(said.out.find("\n4 0 -\n") != std::string::npos);
        CHECK(said.out.find("\n3 1048576 -\n") != std::string::npos);
    });
    rlimit now{};
    ::getrlimit(RLIMIT_NOFILE, &now);
    CHECK(now.rlim_cur > 128);
    CHECK(::umask(mine) == 022);
}

TEST_CASE("spawn: the directory is entered by descriptor, also after it was renamed") {
    const process_guard nothing_left;
    char made[] = "/tmp/exec-spawn-XXXXXX";
    REQUIRE(::mkdtemp(made) != nullptr);
    const posix::fd directory(::open(made, O_PATH | O_DIRECTORY | O_CLOEXEC));
    const std::string renamed = std::string(made) + "-renamed";
    REQUIRE(::rename(made, renamed.c_str()) == 0);
    char before[4096];
    REQUIRE(::getcwd(before, sizeof before) != nullptr);
    on_each_rung(every_rung, [&](rung how) {
        CHECK(run({"cwd"}, how, [&](spawn_request& what) { what.cwd = directory.get(); }).out == renamed + "\n");
        CHECK(run({"cwd"}, how).out == std::string(before) + "\n");
    });
    char after[4096];
    REQUIRE(::getcwd(after, sizeof after) != nullptr);
    CHECK(std::string(before) == after);
    ::rmdir(renamed.c_str());
}

TEST_CASE("spawn: a user, a group and supplementary groups are set, in whatever order they were listed") {
    const process_guard nothing_left;
    const std::array<gid_t, 3> groups{3000, 7, 20};
    on_each_rung(able_rungs, [&](rung how) {
        const auto said = run({"ids"}, how, [&](spawn_request& what) {
            what.uid = 65534;
            what.gid = 1234;
            what.groups = groups;
        });
        CHECK(said.failed == "");
        CHECK(said.out == "uid 65534 65534 65534\ngid 1234 1234 1234\ngroups 7 20 3000\nno_new_privs 0\n");
    });
}

TEST_CASE("spawn: a user without groups has none of the host's") {
    on_each_rung(able_rungs, [](rung how) {
        CHECK(in_other_host([how]() -> std::string {
                  const gid_t mine[] = {0, 5};
                  if (::setgroups(2, mine) != 0) return "setgroups";
                  const auto said = run({"ids"}, how, [](spawn_request& what) { what.uid = 65534; });
                  return said.out == "uid 65534 65534 65534\ngid 0 0 0\ngroups\nno_new_privs 0\n"
                             ? ""
                             : said.failed + said.out;
              }) == "");
    });
}

// The kernel clears the flag of the memory in which somebody changed his user, and a child may share the host's.
TEST_CASE("spawn: a child that becomes another user leaves the host dumpable") {
    on_each_rung(able_rungs, [](rung how) {
        REQUIRE(::prctl(PR_GET_DUMPABLE) == 1);
        CHECK(run({"exit", "0"}, how, [](spawn_request& what) { what.uid = 65534; }).end == "exit 0");
        CHECK(::prctl(PR_GET_DUMPABLE) == 1);
    });
}

TEST_CASE("spawn: no new privileges, and a signal at the parent's death, are the child's alone") {
    on_each_rung(able_rungs, [](rung how) {
        CHECK(
            run({"ids"}, how, [](spawn_request& what) { what.no_new_privs = true; }).out.ends_with("no_new_privs 1\n"));
        CHECK(run({"parent-death"}, how, [](spawn_request& what) { what.parent_death_signal = SIGKILL; }).out == "9\n");
        CHECK(run({"parent-death"}, how, [](spawn_request& what) {
                  what.parent_death_signal = SIGTERM;
                  what.uid = 65534;
              }).out == "15\n");
    });
    CHECK(::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0);
}

TEST_CASE("spawn: a child dies with the host that asked for it") {
    on_each_rung(able_rungs, [](rung how) {
        // The pipe closes when the last process that holds it, the child, has gone.
        auto alive = posix::make_pipe(posix::our_end::none);
        REQUIRE(alive);
        CHECK(in_other_host([&]() -> std::string {
                  alive->read.reset();
                  command child(child_program(), {"sleep"});
                  child.request.out = alive->write.get();
                  child.request.parent_death_signal = SIGKILL;
                  auto started = process::spawn(child.request, how);
                  return started ? "" : describe(started.error());
              }) == "");
        alive->write.reset();
        pollfd watched{alive->read.get(), POLLIN, 0};
        CHECK(::poll(&watched, 1, 20'000) == 1);
    });
}

TEST_CASE("spawn: a child is born in the cgroup that was given") {
    const process_guard nothing_left;
    std::istringstream mounts(read_all("/proc/self/mountinfo"));
    std::string root;
    for (std::string line; std::getline(mounts, line);) {
        if (line.find(" - cgroup2 ") == std::string::npos) continue;
        std::istringstream fields(line);
        for (int i = 0; i < 5; ++i) fields >> root;
    }
    const std::string mine = root + "/exec-spawn-test-" + std::to_string(::getpid());
    if (root.empty() || ::mkdir(mine.c_str(), 0755) != 0) {
        MESSAGE("SKIP: no writable cgroup v2");
        return;
    }
    {
        const posix::fd group(::open(mine.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
        on_each_rung(able_rungs, [&](rung how) {
            const auto said = run({"cgroup"}, how, [&](spawn_request& what) { what.cgroup = group.get(); });
            CHECK(said.failed == "");
            CHECK(said.out == "0::" + mine.substr(root.size()) + "\n");
        });
    }
    CHECK(::rmdir(mine.c_str()) == 0);
}

TEST_CASE("spawn: a relative program is the host's, also when the child moves elsewhere") {
    const process_guard nothing_left;
    const std::string program = child_program();
    const auto slash = program.rfind('/');
    CHECK(in_other_host([&]() -> std::string {
              if (::chdir(program.substr(0, slash).c_str()) != 0) return "chdir";
              process::candidate_list paths;
              if (!paths.resolve("./" + program.substr(slash + 1), "", true)) return "not resolved";
              const posix::fd tmp(::open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC));
              const auto said = run({"cwd"}, rung::automatic, [&](spawn_request& what) {
                  what.candidates = paths.get();
                  what.cwd = tmp.get();
              });
              return said.out == "/tmp\n" ? "" : said.failed + said.out;
          }) == "");
}
