#include <doctest/doctest.h>
#include <grp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <exec/error.h>
#include <atomic>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "children.h"
#include "guards.h"
#include "posix/signals.h"
#include "posix/syscalls.h"
#include "process/rung.h"
#include "process/spawn.h"
#include "seccomp.h"

using namespace test;
using exec::failure;
using exec::stage;
using posix::syscalls;
using process::birth;
using process::birth_options;
using process::child_plan;
using process::spawn_request;

namespace {

// A directory of its own with a few files in it.
class folder {
   public:
    folder() {
        REQUIRE(::mkdtemp(path_) != nullptr);
        REQUIRE(::chmod(path_, 0755) == 0);
    }
    ~folder() {
        for (const auto& name : names_) ::unlink(name.c_str());
        ::rmdir(path_);
    }
    folder(const folder&) = delete;
    folder& operator=(const folder&) = delete;

    std::string file(const std::string& name, const std::string& text, mode_t mode) {
        names_.push_back(std::string(path_) + "/" + name);
        std::ofstream(names_.back()) << text;
        ::chmod(names_.back().c_str(), mode);
        return names_.back();
    }
    std::string path() const { return path_; }

   private:
    char path_[32] = "/tmp/exec-failure-XXXXXX";
    std::vector<std::string> names_{};
};

failure why_not(const spawn_request& what, rung how = rung::automatic) {
    auto child = process::spawn(what, how);
    REQUIRE_MESSAGE(!child, "it was started");
    return child.error();
}

failure why_not(const std::vector<const char*>& candidates, rung how) {
    command child(candidates[0], {});
    std::vector<const char*> list(candidates);
    list.push_back(nullptr);
    child.request.candidates = list.data();
    return why_not(child.request, how);
}

bool is(const failure& why, stage at, int error) {
    return why.at == at && why.code == std::error_code(error, std::system_category());
}

// The table of system calls with one of them failing from its nth call on.
std::atomic<int> calls_left;
int fail_when_due(int error) {
    if (calls_left.fetch_sub(1) > 0) return 0;
    errno = error;
    return -1;
}

}  // namespace

TEST_CASE("spawn: a missing program, a missing interpreter and a program that is none are told apart") {
    const process_guard nothing_left;
    folder files;
    const std::string not_executable = files.file("data", "x", 0644);
    const std::string bad_script = files.file("script", "#!/no/such/interpreter\n", 0755);
    const std::string not_a_directory = files.file("script2", "#!/etc/passwd/x\n", 0755);
    const std::string no_format = files.file("text", "echo hi\n", 0755);
    on_each_rung(every_rung, [&](rung how) {
        const auto missing = why_not({"/no/such/program"}, how);
        CHECK(is(missing, stage::program, ENOENT));
        CHECK(missing.context == "/no/such/program");
        CHECK(is(why_not({"/etc/passwd/x"}, how), stage::program, ENOTDIR));
        CHECK(is(why_not({not_executable.c_str()}, how), stage::program, EACCES));
        CHECK(is(why_not({"/tmp"}, how), stage::program, EACCES));
        CHECK(is(why_not({no_format.c_str()}, how), stage::program, ENOEXEC));
        const auto script = why_not({bad_script.c_str()}, how);
        CHECK(is(script, stage::interpreter, ENOENT));
        CHECK(script.context == bad_script);
        CHECK(is(why_not({not_a_directory.c_str()}, how), stage::interpreter, ENOTDIR));
    });
}

TEST_CASE("spawn: a search goes on past what is missing or forbidden, and remembers what was forbidden") {
    const process_guard nothing_left;
    folder files;
    const std::string forbidden = files.file("tool", "x", 0644);
    const std::string bad_script = files.file("script", "#!/no/such/interpreter\n", 0755);
    on_each_rung(every_rung, [&](rung how) {
        const std::string program = child_program();
        command found(program, {"exit", "3"});
        const std::vector<const char*> list{"/no/tool", "/etc/passwd/tool", forbidden.c_str(), program.c_str(),
                                            nullptr};
        found.request.candidates = list.data();
        CHECK(run(found.request, how).end == "exit 3");

        const auto denied = why_not({"/no/tool", forbidden.c_str(), "/nor/tool"}, how);
        CHECK(is(denied, stage::program, EACCES));
        CHECK(denied.context == forbidden);
        const auto missing = why_not({"/no/tool", "/nor/tool"}, how);
        CHECK(is(missing, stage::program, ENOENT));
        CHECK(missing.context == "tool");
        const auto script = why_not({"/no/script", bad_script.c_str()}, how);
        CHECK(is(script, stage::interpreter, ENOENT));
        CHECK(script.context == bad_script);
    });
}

TEST_CASE("spawn: words beyond what the kernel takes are a failure and not a crash") {
    const process_guard nothing_left;
    on_each_rung(every_rung, [](rung how) {
        command child(child_program(), {"args", std::string(256 * 1024, 'x')});
        CHECK(is(why_not(child.request, how), stage::program, E2BIG));
    });
}

TEST_CASE("spawn: a directory that the child may not enter is its own failure") {
    const process_guard nothing_left;
    folder secret;
    REQUIRE(::chmod(secret.path().c_str(), 0700) == 0);
    const posix::fd closed(::open(secret.path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    const posix::fd no_directory(::open("/etc/passwd", O_PATH | O_CLOEXEC));
    on_each_rung(able_rungs, [&](rung how) {
        command child(child_program(), {"cwd"});
        child.request.cwd = closed.get();
        CHECK(run(child.request, how).end == "exit 0");
        child.request.uid = 65534;
        CHECK(is(why_not(child.request, how), stage::cwd, EACCES));
    });
    on_each_rung(every_rung, [&](rung how) {
        command child(child_program(), {"cwd"});
        child.request.cwd = no_directory.get();
        CHECK(is(why_not(child.request, how), stage::cwd, ENOTDIR));
    });
}

TEST_CASE("spawn: limits and credentials that are not permitted are failures that name them") {
    on_each_rung(able_rungs, [](rung how) {
        CHECK(in_other_host([how]() -> std::string {
                  const rlimit low{10, 10};
                  if (::setrlimit(RLIMIT_MEMLOCK, &low) != 0) return "setrlimit";
                  if (::setgroups(0, nullptr) != 0 || ::setresgid(65534, 65534, 65534) != 0 ||
                      ::setresuid(65534, 65534, 65534) != 0) {
                      return "not root";
                  }
                  std::string all;
                  const auto note = [&](const std::function<void(spawn_request&)>& change) {
                      all += run({"exit", "0"}, how, change).failed + "; ";
                  };
                  const process::limit_setting more{RLIMIT_MEMLOCK, 20, 20};
                  const process::limit_setting none{99, 1, 1};
                  const gid_t group = 5;
                  note([&](spawn_request& what) { what.limits = {&more, 1}; });
                  note([&](spawn_request& what) { what.limits = {&none, 1}; });
                  note([&](spawn_request& what) { what.groups = std::span(&group, 1); });
                  note([&](spawn_request& what) { what.groups = std::span<const gid_t>(); });
                  note([&](spawn_request& what) { what.uid = 1; });
                  return all == "limits 1 RLIMIT_MEMLOCK; limits 22 limit 99; credentials 1 supplementary groups; "
                                "credentials 1 supplementary groups; credentials 1 supplementary groups; "
                             ? ""
                             : all;
              }) == "");
        // With the right to set groups, but not ids.
        CHECK(in_other_host([how]() -> std::string {
                  if (!refuse_syscall(SYS_setresuid, EPERM)) return "no filter";
                  const auto uid = run({"exit", "0"}, how, [](spawn_request& what) { what.uid = 1; });
                  return uid.failed == "credentials 1 uid 1" ? "" : uid.failed;
              }) == "");
        CHECK(in_other_host([how]() -> std::string {
                  if (!refuse_syscall(SYS_setresgid, EPERM)) return "no filter";
                  const auto gid = run({"exit", "0"}, how, [](spawn_request& what) { what.gid = 1; });
                  return gid.failed == "credentials 1 gid 1" ? "" : gid.failed;
              }) == "");
    });
}

TEST_CASE("spawn: credentials that the kernel says it set and did not are found by reading them back") {
    on_each_rung(able_rungs, [](rung how) {
        for (const auto& [number, wanted] :
             {std::pair<long, std::string>{SYS_setgroups, "credentials 1 supplementary groups"},
              {SYS_setresgid, "credentials 1 gid 1"},
              {SYS_setresuid, "credentials 1 uid 1"}}) {
            CHECK(in_other_host([&, call = number, expected = wanted]() -> std::string {
                      const gid_t mine = 9;
                      if (::setgroups(1, &mine) != 0 || !refuse_syscall(call, 0)) return "no filter";
                      const auto said = run({"ids"}, how, [](spawn_request& what) {
                          what.uid = 1;
                          what.gid = 1;
                      });
                      return said.failed == expected ? "" : said.failed + said.out;
                  }) == "");
        }
    });
}

TEST_CASE("spawn: without /dev/null it is the descriptors that fail") {
    char root[] = "/tmp/exec-test-XXXXXX";
    REQUIRE(::mkdtemp(root) != nullptr);
    on_each_rung(every_rung, [&root](rung how) {
        CHECK(in_other_host([how, &root]() -> std::string {
                  if (::unshare(CLONE_NEWNS) != 0) return "no mount namespace";
                  if (::chroot(root) != 0 || ::chdir("/") != 0) return "chroot";
                  const std::string failed = run({"exit", "0"}, how).failed;
                  return failed == "descriptors 2 /dev/null" ? "" : failed;
              }) == "");
    });
    CHECK(::rmdir(root) == 0);
}

TEST_CASE("spawn: a descriptor that is not open, and a terminal that is none, are failures of the descriptors") {
    const process_guard nothing_left;
    on_each_rung(able_rungs, [](rung how) {
        command child(child_program(), {"exit", "0"});
        child.request.out = 999;
        const auto why = why_not(child.request, how);
        CHECK(is(why, stage::descriptors, EBADF));
        CHECK(why.context == "standard output");

        const posix::fd file(::open("/etc/passwd", O_RDONLY | O_CLOEXEC));
        command typed(child_program(), {"exit", "0"});
        typed.request.in = file.get();
        typed.request.controlling_terminal = true;
        CHECK(is(why_not(typed.request, how), stage::descriptors, ENOTTY));
    });
}

TEST_CASE("spawn: a cgroup that is none is a failure of the containment") {
    const process_guard nothing_left;
    const posix::fd directory(::open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC));
    on_each_rung(able_rungs, [&](rung how) {
        command child(child_program(), {"exit", "0"});
        child.request.cgroup = directory.get();
        const auto why = why_not(child.request, how);
        CHECK(why.at == stage::containment);
        CHECK(why.context == "cgroup");
    });
}

TEST_CASE("spawn: a rung that cannot do what was asked says so and does not do less") {
    const process_guard nothing_left;
    const auto refuses = [](const std::function<void(spawn_request&)>& change) {
        command child(child_program(), {"exit", "0"});
        change(child.request);
        const auto why = why_not(child.request, rung::posix_spawn);
        CHECK(why.code == exec::errc::unsupported);
        CHECK(why.context == "posix_spawn");
    };
    const process::limit_setting limit{RLIMIT_CORE, 0, 0};
    refuses([](spawn_request& what) { what.uid = 1; });
    refuses([](spawn_request& what) { what.gid = 1; });
    refuses([](spawn_request& what) { what.groups = std::span<const gid_t>(); });
    refuses([](spawn_request& what) { what.umask = 077; });
    refuses([&](spawn_request& what) { what.limits = {&limit, 1}; });
    refuses([](spawn_request& what) { what.no_new_privs = true; });
    refuses([](spawn_request& what) { what.parent_death_signal = SIGKILL; });
    refuses([](spawn_request& what) { what.new_pid_namespace = true; });
    refuses([](spawn_request& what) { what.cgroup = 1; });

    command child(child_program(), {"exit", "0"});
    child.request.controlling_terminal = true;
    CHECK(why_not(child.request).code == exec::errc::invalid_argument);
}

TEST_CASE("spawn: a rung that the kernel refuses is left for the next, for good") {
    const process_guard nothing_left;
    for (const int answer : {ENOSYS, EPERM, EINVAL, E2BIG, EOPNOTSUPP}) {
        static int refused_with;
        static int asked;
        refused_with = answer;
        asked = 0;
        process::rungs table = process::rungs_in_use();
        table.clone3 = [](child_plan&, const birth_options&) {
            ++asked;
            birth made;
            made.error = refused_with;
            return made;
        };
        table.clone = table.clone3;
        const process::replaced_rungs replaced(table);
        CHECK(run({"exit", "7"}).used == rung::posix_spawn);
        CHECK(asked == 2);
        CHECK(run({"exit", "7"}).end == "exit 7");
        CHECK(asked == 2);
        // What posix_spawn cannot do goes to fork, and plain requests stay where they were.
        CHECK(run({"umask"}, rung::automatic, [](spawn_request& what) { what.umask = 0; }).used == rung::fork);
        CHECK(run({"exit", "7"}).used == rung::posix_spawn);

        command child(child_program(), {"exit", "0"});
        CHECK(why_not(child.request, rung::clone3).code == exec::errc::unsupported);
    }
}

TEST_CASE("spawn: where only a plain fork is known, as in an emulator, that does, and failures are still typed") {
    CHECK(in_other_host([]() -> std::string {
              if (!refuse_flags(SYS_clone, CLONE_PIDFD | CLONE_VFORK, EINVAL)) return "no filter";
              if (!refuse_syscall(SYS_clone3, ENOSYS)) return "no filter";
              const auto said = run({"exit", "7"}, rung::automatic, [](spawn_request& what) { what.umask = 0; });
              if (said.used != rung::fork || said.end != "exit 7") return said.failed + said.end;
              command missing("/no/such/program", {});
              missing.request.umask = 0;
              const auto why = why_not(missing.request);
              return is(why, stage::program, ENOENT) ? "" : why.message();
          }) == "");
}

TEST_CASE("spawn: where no descriptor may be opened for a process, only a birth that comes with one will do") {
    const process_guard nothing_left;
    process::rungs rungs = process::rungs_in_use();
    rungs.clone3 = [](child_plan&, const birth_options&) {
        birth made;
        made.error = ENOSYS;
        return made;
    };
    rungs.clone = rungs.clone3;
    const process::replaced_rungs replaced_too(rungs);
    syscalls table = posix::kernel_syscalls();
    table.pidfd_open = [](pid_t, unsigned) {
        errno = EPERM;
        return -1;
    };
    const posix::replaced_syscalls replaced(table);
    const auto said = run({"exit", "7"});
    CHECK(said.used == rung::fork);
    CHECK(said.end == "exit 7");
}

TEST_CASE("spawn: a shortage is an answer at once, and no reason to try another way") {
    const process_guard nothing_left;
    for (const int answer : {EAGAIN, ENOMEM}) {
        static int shortage;
        shortage = answer;
        process::rungs table = process::rungs_in_use();
        table.clone3 = [](child_plan&, const birth_options&) {
            birth made;
            made.error = shortage;
            return made;
        };
        const process::replaced_rungs replaced(table);
        command child(child_program(), {"exit", "0"});
        const auto why = why_not(child.request);
        CHECK(is(why, stage::process, answer));
        CHECK(why.advise() == exec::advice::retry_later);
    }
}

TEST_CASE("spawn: a container's filter on clone3 and pidfd_open does not keep children from starting") {
    for (const int answer : {EPERM, ENOSYS}) {
        CHECK(in_other_host([answer]() -> std::string {
                  const process::replaced_rungs forget(process::rungs_in_use());
                  if (!refuse_syscall(SYS_clone3, answer) || !refuse_syscall(SYS_pidfd_open, answer))
                      return "no filter";
                  const auto said = run({"exit", "7"});
                  return said.used != rung::clone3 && said.end == "exit 7" ? "" : said.failed + name_of(said.used);
              }) == "");
    }
}

TEST_CASE("spawn: whichever descriptor cannot be had, it is a typed failure, and nothing is left") {
    on_each_rung(every_rung, [](rung how) {
        CHECK(in_other_host([how]() -> std::string {
                  ::close(0);  // so that the child's /dev/null has to be moved
                  const int highest = open_descriptors().rbegin()->first;
                  // Room for nothing more; then for one, for two, ... until it is enough.
                  for (int room = 0;; ++room) {
                      if (room > 20) return "it never succeeds";
                      for (int i = 3; i < highest; ++i) {
                          if (::fcntl(i, F_GETFD) < 0) ::dup2(1, i);
                      }
                      rlimit now{};
                      ::getrlimit(RLIMIT_NOFILE, &now);
                      now.rlim_cur = static_cast<rlim_t>(highest + 1 + room);
                      const auto before = host_state::now();
                      command child(child_program(), {"exit", "7"});
                      ::setrlimit(RLIMIT_NOFILE, &now);
                      auto started = process::spawn(child.request, how);
                      now.rlim_cur = now.rlim_max;
                      ::setrlimit(RLIMIT_NOFILE, &now);
                      if (started) {
                          const auto end = describe(posix::wait_for_end(started->pidfd.get()).status);
                          return end == "exit 7" && room > 0 ? "" : end + " with room for " + std::to_string(room);
                      }
                      if (!is(started.error(), stage::descriptors, EMFILE)) return describe(started.error());
                      for (const auto& change : host_state::now().changes_since(before)) return change;
                  }
              }) == "");
    });
}

TEST_CASE("spawn: every system call of this process that fails is a typed failure with the mask restored") {
    const process_guard nothing_left;
    syscalls table = posix::kernel_syscalls();
    table.pipe2 = [](int ends[2], int flags) {
        return fail_when_due(ENFILE) != 0 ? -1 : posix::kernel_syscalls().pipe2(ends, flags);
    };
    table.map = [](std::size_t size, int protection, int flags) -> void* {
        return fail_when_due(ENOMEM) != 0 ? MAP_FAILED : posix::kernel_syscalls().map(size, protection, flags);
    };
    table.pidfd_open = [](pid_t pid, unsigned flags) {
        return fail_when_due(EMFILE) != 0 ? -1 : posix::kernel_syscalls().pidfd_open(pid, flags);
    };
    const posix::replaced_syscalls replaced(table);
    const auto fails = [](rung how, int after, int error, stage at, const std::function<void(spawn_request&)>& change) {
        CAPTURE(name_of(how));
        command child(child_program(), {"exit", "0"});
        if (change) change(child.request);
        const process_guard nothing_left_by_this;
        calls_left = after;
        CHECK(is(why_not(child.request, how), at, error));
    };
    const auto another_user = [](spawn_request& what) { what.uid = 65534; };
    fails(rung::clone3, 0, ENOMEM, stage::descriptors, another_user);
    on_each_rung({rung::clone, rung::fork}, [&](rung how) { fails(how, 0, ENFILE, stage::descriptors, nullptr); });
    fails(rung::posix_spawn, 0, EMFILE, stage::descriptors, nullptr);
    fails(rung::posix_spawn, 1, EMFILE, stage::descriptors, nullptr);
    fails(rung::clone3, 0, ENFILE, stage::descriptors, [](spawn_request& what) { what.new_pid_namespace = true; });
}

// Another thread forks between our pipe and our clone, and its child lives on without an exec: it holds the writing end.
TEST_CASE("spawn: a process that the host forked meanwhile does not hold up the start") {
    on_each_rung({rung::clone, rung::fork}, [](rung how) {
        CHECK(in_other_host([how]() -> std::string {
                  static pid_t holder;
                  syscalls table = posix::kernel_syscalls();
                  table.pipe2 = [](int ends[2], int flags) {
                      const int made = posix::kernel_syscalls().pipe2(ends, flags);
                      holder = ::fork();
                      if (holder == 0) {
                          for (;;) ::pause();
                      }
                      return made;
                  };
                  command works(child_program(), {"exit", "7"});
                  command fails("/no/such/program", {});
                  std::string wrong;
                  {
                      const posix::replaced_syscalls replaced(table);
                      auto started = process::spawn(works.request, how);
                      if (!started || describe(posix::wait_for_end(started->pidfd.get()).status) != "exit 7")
                          wrong += "not started ";
                      ::kill(holder, SIGKILL);
                      auto missing = process::spawn(fails.request, how);
                      if (missing || !is(missing.error(), stage::program, ENOENT)) wrong += "not refused ";
                      ::kill(holder, SIGKILL);
                  }
                  while (::waitpid(-1, nullptr, 0) > 0) {
                  }
                  return wrong;
              }) == "");
    });
}

TEST_CASE("spawn: a host that ignores SIGCHLD gets failures and statuses all the same") {
    on_each_rung(able_rungs, [](rung how) {
        CHECK(in_other_host([how]() -> std::string {
                  std::signal(SIGCHLD, SIG_IGN);
                  command missing("/no/such/program", {});
                  auto refused = process::spawn(missing.request, how);
                  if (refused || !is(refused.error(), stage::program, ENOENT)) return "not refused";
                  const std::string end = run({"exit", "7"}, how).end;
                  if (end != "exit 7" && end != "unknown") return end;
                  const auto other = process::spawn(missing.request, rung::posix_spawn);
                  return !other && other.error().code == exec::errc::unsupported ? "" : "posix_spawn did not refuse";
              }) == "");
    });
}

TEST_CASE("spawn: a child that somebody else reaped at once has ended in a way that nobody knows") {
    for (const bool gone : {true, false}) {
        CHECK(in_other_host([gone]() -> std::string {
                  static bool vanish;
                  vanish = gone;
                  // Between libc's return and our pidfd_open the host reaps the child, and its number is given away.
                  syscalls table = posix::kernel_syscalls();
                  table.pidfd_open = [](pid_t pid, unsigned flags) {
                      if (pid == ::getpid()) return posix::kernel_syscalls().pidfd_open(pid, flags);
                      int status;
                      ::waitpid(pid, &status, 0);
                      return posix::kernel_syscalls().pidfd_open(vanish ? pid : ::getppid(), flags);
                  };
                  const posix::replaced_syscalls replaced(table);
                  const std::string end = run({"exit", "7"}, rung::posix_spawn).end;
                  return end == "unknown" ? "" : end;
              }) == "");
    }
}

TEST_CASE("spawn: the mask of the thread is what it was, after a start and after a failure") {
    sigset_t mine;
    sigset_t before;
    sigemptyset(&mine);
    sigaddset(&mine, SIGUSR1);
    REQUIRE(::pthread_sigmask(SIG_BLOCK, &mine, &before) == 0);
    {
        const process_guard nothing_left;
        on_each_rung(every_rung, [](rung how) {
            CHECK(run({"exit", "0"}, how).end == "exit 0");
            command missing("/no/such/program", {});
            CHECK(is(why_not(missing.request, how), stage::program, ENOENT));
        });
    }
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

TEST_CASE("spawn: many threads start children at once, and each hears of its own") {
    std::thread([] {}).join();  // with the first one ThreadSanitizer starts one of its own
    const process_guard nothing_left;
    on_each_rung(every_rung, [](rung how) {
        std::vector<std::thread> threads;
        std::atomic<int> wrong{0};
        for (int t = 0; t < 4; ++t) {
            threads.emplace_back([&, t] {
                for (int i = 0; i < 25; ++i) {
                    if (run({"exit", std::to_string(10 * t + 1)}, how).end != "exit " + std::to_string(10 * t + 1))
                        ++wrong;
                    const std::string mine = "/no/such/" + std::to_string(t);
                    command missing(mine, {});
                    auto started = process::spawn(missing.request, how);
                    if (started || started.error().context != mine) ++wrong;
                }
            });
        }
        for (auto& thread : threads) thread.join();
        CHECK(wrong == 0);
    });
}
