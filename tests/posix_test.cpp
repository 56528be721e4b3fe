#include <doctest/doctest.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <exec/error.h>
#include <cerrno>
#include <string>
#include <thread>
#include <utility>

#include "children.h"
#include "posix/fd.h"
#include "posix/pidfd.h"
#include "posix/pipe.h"
#include "posix/signals.h"
#include "posix/syscalls.h"
#include "seccomp.h"

using namespace test;
using posix::kernel_syscalls;
using posix::replaced_syscalls;
using posix::syscalls;

namespace {

bool is_open(int descriptor) { return ::fcntl(descriptor, F_GETFD) >= 0; }
bool closes_on_exec(int descriptor) { return (::fcntl(descriptor, F_GETFD) & FD_CLOEXEC) != 0; }
bool blocks(int descriptor) { return (::fcntl(descriptor, F_GETFL) & O_NONBLOCK) == 0; }

// CHECKs at its end that the same descriptors are open as at its beginning.
class same_descriptors {
   public:
    same_descriptors() : before_(open_descriptors()) {}
    ~same_descriptors() { CHECK(open_descriptors() == before_); }
    same_descriptors(const same_descriptors&) = delete;
    same_descriptors& operator=(const same_descriptors&) = delete;

   private:
    std::map<int, std::string> before_;
};

// The mask of this thread, and what is pending for it.
std::string signal_state() {
    sigset_t sets[2];
    ::pthread_sigmask(SIG_SETMASK, nullptr, &sets[0]);
    ::sigpending(&sets[1]);
    std::string state;
    for (const sigset_t& set : sets) {
        for (int number = 1; number < 65; ++number) state += sigismember(&set, number) == 1 ? '1' : '0';
    }
    return state;
}

bool pipe_signal_pends() {
    sigset_t pending;
    ::sigpending(&pending);
    return sigismember(&pending, SIGPIPE) == 1;
}

// Blocks SIGPIPE in this thread, so that one can be seen pending.
class sigpipe_blocked {
   public:
    sigpipe_blocked() {
        sigset_t only;
        sigemptyset(&only);
        sigaddset(&only, SIGPIPE);
        ::pthread_sigmask(SIG_BLOCK, &only, &before_);
    }
    ~sigpipe_blocked() {
        sigset_t only;
        sigemptyset(&only);
        sigaddset(&only, SIGPIPE);
        const timespec at_once{0, 0};
        ::sigtimedwait(&only, nullptr, &at_once);
        ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    }

   private:
    sigset_t before_;
};

// Nothing reaches the child before it is one.
pid_t fork_and(int (*what)()) {
    const posix::signals_blocked quiet;
    const pid_t child = ::fork();
    if (child == 0) {
        default_dispositions();
        ::pthread_sigmask(SIG_SETMASK, &quiet.before(), nullptr);
        ::_exit(what());
    }
    return child;
}

}  // namespace

TEST_CASE("fd: it is closed once, by its last owner") {
    const same_descriptors nothing_left;
    int number;
    {
        posix::fd first(::open("/dev/null", O_RDONLY | O_CLOEXEC));
        number = first.get();
        posix::fd second(std::move(first));
        CHECK(!first);  // NOLINT: what is left is the question
        CHECK(second.get() == number);
        first = std::move(second);
        posix::fd& same = first;
        first = std::move(same);
        CHECK(first.get() == number);
        CHECK(is_open(number));
        CHECK(first.release() == number);
        CHECK(!first);
        CHECK(is_open(number));
        first.reset(number);
        first.reset();
        CHECK(!is_open(number));
        first.reset(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    }
    CHECK(!is_open(number));
}

TEST_CASE("fd: an interrupted close is not repeated, and errno is kept") {
    static int closed;
    closed = 0;
    syscalls table = kernel_syscalls();
    table.close = [](int descriptor) {
        ++closed;
        kernel_syscalls().close(descriptor);
        errno = EINTR;
        return -1;
    };
    const replaced_syscalls replaced(table);
    posix::fd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    errno = ENOTTY;
    file.reset();
    CHECK(errno == ENOTTY);
    CHECK(closed == 1);
}

TEST_CASE("fd: numbers below 3 are raised, others stay") {
    CHECK(in_other_host([]() -> std::string {
              ::close(1);
              posix::fd low(::open("/dev/null", O_RDONLY | O_CLOEXEC));
              if (low.get() != 1) return "not low";
              auto raised = posix::above_stdio(std::move(low));
              if (!raised || raised->get() < 3 || !closes_on_exec(raised->get()) || is_open(1)) return "not raised";
              const int number = raised->get();
              auto kept = posix::above_stdio(std::move(*raised));
              return kept && kept->get() == number ? "" : "not kept";
          }) == "");
}

TEST_CASE("fd: non-blocking is set and taken back, and fails where there is nothing to set") {
    auto pipe = posix::make_pipe(posix::our_end::none);
    REQUIRE(pipe);
    CHECK(posix::set_nonblocking(pipe->read.get(), true));
    CHECK(!blocks(pipe->read.get()));
    CHECK(posix::set_nonblocking(pipe->read.get(), false));
    CHECK(blocks(pipe->read.get()));
    CHECK(posix::set_nonblocking(-1, true).error().at == exec::stage::descriptors);
}

TEST_CASE("pipe: only our end does not block, both close on exec, and it is a pipe") {
    const same_descriptors nothing_left;
    for (const auto ours : {posix::our_end::none, posix::our_end::read, posix::our_end::write}) {
        auto pipe = posix::make_pipe(ours);
        REQUIRE(pipe);
        CHECK(blocks(pipe->read.get()) == (ours != posix::our_end::read));
        CHECK(blocks(pipe->write.get()) == (ours != posix::our_end::write));
        CHECK(closes_on_exec(pipe->read.get()));
        CHECK(closes_on_exec(pipe->write.get()));
        CHECK(::write(pipe->write.get(), "x", 1) == 1);
        char byte;
        CHECK(::read(pipe->read.get(), &byte, 1) == 1);
    }
}

TEST_CASE("pipe: a capacity is asked for, and not to get it is no failure") {
    auto pipe = posix::make_pipe(posix::our_end::read, 1 << 20);
    REQUIRE(pipe);
    CHECK(::fcntl(pipe->read.get(), F_GETPIPE_SZ) == 1 << 20);
    syscalls table = kernel_syscalls();
    table.fcntl = [](int descriptor, int command, long argument) {
        if (command != F_SETPIPE_SZ) return kernel_syscalls().fcntl(descriptor, command, argument);
        errno = EPERM;
        return -1;
    };
    const replaced_syscalls replaced(table);
    CHECK(posix::make_pipe(posix::our_end::read, 1 << 20));
}

TEST_CASE("pipe: in a host without 0, 1 and 2 its ends are 3 and more") {
    CHECK(in_other_host([]() -> std::string {
              for (int i = 0; i < 3; ++i) ::close(i);
              auto pipe = posix::make_pipe(posix::our_end::read);
              const bool right = pipe && pipe->read.get() > 2 && pipe->write.get() > 2 && !is_open(0) && !is_open(1) &&
                                 !blocks(pipe->read.get()) && closes_on_exec(pipe->write.get());
              return right ? "" : "wrong ends";
          }) == "");
}

TEST_CASE("pipe: whichever call fails, it is a failure of the descriptors and nothing stays open") {
    CHECK(in_other_host([]() -> std::string {
              for (int i = 0; i < 3; ++i) ::close(i);
              static int left;
              syscalls table = kernel_syscalls();
              table.pipe2 = [](int ends[2], int flags) {
                  if (left-- > 0) return kernel_syscalls().pipe2(ends, flags);
                  errno = EMFILE;
                  return -1;
              };
              table.fcntl = [](int descriptor, int command, long argument) {
                  if (left-- > 0) return kernel_syscalls().fcntl(descriptor, command, argument);
                  errno = EMFILE;
                  return -1;
              };
              const replaced_syscalls replaced(table);
              const auto before = open_descriptors();
              for (int calls = 0; calls < 4; ++calls) {
                  left = calls;
                  const auto pipe = posix::make_pipe(posix::our_end::read);
                  if (pipe) return "made with " + std::to_string(calls) + " calls";
                  if (describe(pipe.error()).substr(0, 14) != "descriptors 24") return describe(pipe.error());
                  if (open_descriptors() != before) return "left open";
              }
              left = 4;
              return posix::make_pipe(posix::our_end::read) ? "" : "four calls are not enough";
          }) == "");
}

TEST_CASE("signals: all are blocked for a while, in this thread only, and then as before") {
    sigset_t mine;
    sigset_t before;
    sigemptyset(&mine);
    sigaddset(&mine, SIGUSR2);
    ::pthread_sigmask(SIG_BLOCK, &mine, &before);
    {
        const posix::signals_blocked quiet;
        sigset_t now;
        ::pthread_sigmask(SIG_SETMASK, nullptr, &now);
        for (const int number : {SIGTERM, SIGINT, SIGCHLD, SIGPIPE, SIGUSR1, SIGALRM, SIGRTMIN, SIGRTMAX}) {
            CHECK(sigismember(&now, number) == 1);
        }
        CHECK(sigismember(&quiet.before(), SIGUSR2) == 1);
        CHECK(sigismember(&quiet.before(), SIGUSR1) == 0);
    }
    sigset_t now;
    ::pthread_sigmask(SIG_SETMASK, &before, &now);
    CHECK(sigismember(&now, SIGUSR2) == 1);
    CHECK(sigismember(&now, SIGTERM) == 0);
}

TEST_CASE("signals: a write to a pipe that nobody reads is EPIPE and no signal, with the kernel's help and without") {
    for (const int filtered : {0, EOPNOTSUPP, ENOSYS, EPERM}) {
        CAPTURE(filtered);
        CHECK(in_other_host([filtered]() -> std::string {
                  if (filtered != 0 && !refuse_syscall(SYS_pwritev2, filtered)) return "no filter";
                  auto pipe = posix::make_pipe(posix::our_end::write);
                  pipe->read.reset();
                  for (int i = 0; i < 3; ++i) {
                      const auto done = posix::write_no_sigpipe(pipe->write.get(), "x");
                      if (done.error != EPIPE || done.bytes != 0) return "error " + std::to_string(done.error);
                      if (pipe_signal_pends()) return "a signal is left";
                  }
                  return "";  // SIGPIPE would have ended this host
              }) == "");
    }
}

TEST_CASE("signals: a SIGPIPE that was pending before the write is pending after it") {
    for (const bool filtered : {false, true}) {
        CHECK(in_other_host([filtered]() -> std::string {
                  if (filtered && !refuse_syscall(SYS_pwritev2, ENOSYS)) return "no filter";
                  const sigpipe_blocked blocked;
                  ::raise(SIGPIPE);
                  auto pipe = posix::make_pipe(posix::our_end::write);
                  pipe->read.reset();
                  if (posix::write_no_sigpipe(pipe->write.get(), "x").error != EPIPE) return "no EPIPE";
                  return pipe_signal_pends() ? "" : "the host's signal was eaten";
              }) == "");
    }
}

TEST_CASE("signals: a write reports what was taken, EAGAIN when nothing was, and goes on after an interruption") {
    for (const bool filtered : {false, true}) {
        CHECK(in_other_host([filtered]() -> std::string {
                  if (filtered && !refuse_syscall(SYS_pwritev2, ENOSYS)) return "no filter";
                  auto pipe = posix::make_pipe(posix::our_end::write);
                  const std::string much(1 << 20, 'x');
                  const auto part = posix::write_no_sigpipe(pipe->write.get(), much);
                  if (part.error != 0 || part.bytes == 0 || part.bytes >= much.size()) return "no part";
                  const auto full = posix::write_no_sigpipe(pipe->write.get(), much);
                  if (full.error != EAGAIN || full.bytes != 0) return "not full";
                  const std::string before = signal_state();
                  static int interruptions;
                  interruptions = 2;
                  syscalls table = kernel_syscalls();
                  table.write = [](int descriptor, const void* from, std::size_t size) -> ssize_t {
                      if (interruptions-- <= 0) return kernel_syscalls().write(descriptor, from, size);
                      errno = EINTR;
                      return -1;
                  };
                  table.write_vector = [](int descriptor, const iovec* parts, int count, int flags) -> ssize_t {
                      if (interruptions-- <= 0) return kernel_syscalls().write_vector(descriptor, parts, count, flags);
                      errno = EINTR;
                      return -1;
                  };
                  const replaced_syscalls replaced(table);
                  if (posix::write_no_sigpipe(pipe->write.get(), "x").error != EAGAIN || interruptions > 0)
                      return "interrupted";
                  return signal_state() == before ? "" : "the mask changed";
              }) == "");
    }
}

// A sealed file answers EPERM, as a filter would; it must not make every later write slow.
TEST_CASE("signals: a write that is truly forbidden is told, and not taken for a kernel without the flag") {
    CHECK(in_other_host([]() -> std::string {
              static int slow;
              static int fast;
              syscalls table = kernel_syscalls();
              table.write = [](int descriptor, const void* from, std::size_t size) {
                  ++slow;
                  return kernel_syscalls().write(descriptor, from, size);
              };
              table.write_vector = [](int descriptor, const iovec* parts, int count, int flags) {
                  ++fast;
                  return kernel_syscalls().write_vector(descriptor, parts, count, flags);
              };
              const replaced_syscalls replaced(table);
              const posix::fd sealed(::memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING));
              ::fcntl(sealed.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW);
              if (posix::write_no_sigpipe(sealed.get(), "x").error != EPERM) return "not forbidden";
              auto pipe = posix::make_pipe(posix::our_end::write);
              fast = slow = 0;
              posix::write_no_sigpipe(pipe->write.get(), "x");
              // A kernel before 6.18 has learned from the pipe itself that it is slow.
              return fast == 1 ? "" : "not tried again";
          }) == "");
}

TEST_CASE("pidfd: a child is looked at without being reaped, and reaped once") {
    const same_descriptors nothing_left;
    auto gate = posix::make_pipe(posix::our_end::none);
    static int reading;
    static int writing;
    reading = gate->read.get();
    writing = gate->write.get();
    const pid_t pid = fork_and([] {
        ::close(writing);
        char byte;
        return ::read(reading, &byte, 1) == 0 ? 42 : 1;
    });
    auto pidfd = posix::open_pidfd(pid);
    REQUIRE(pidfd);
    CHECK(closes_on_exec(pidfd->get()));
    CHECK(!posix::look(pidfd->get(), posix::reap::no));
    CHECK(!posix::look(pidfd->get(), posix::reap::yes));
    gate->write.reset();
    pollfd watched{pidfd->get(), POLLIN, 0};
    REQUIRE(::poll(&watched, 1, -1) == 1);
    for (int i = 0; i < 3; ++i) {
        const auto end = posix::look(pidfd->get(), posix::reap::no);
        REQUIRE(end);
        CHECK(describe(end->status) == "exit 42");
    }
    CHECK(::kill(pid, 0) == 0);
    const auto end = posix::look(pidfd->get(), posix::reap::yes);
    REQUIRE(end);
    CHECK(describe(end->status) == "exit 42");
    CHECK(end->used.ru_maxrss > 0);
    CHECK(::kill(pid, 0) != 0);
}

TEST_CASE("pidfd: signals go to the child and to nobody once it has ended") {
    const same_descriptors nothing_left;
    const pid_t pid = fork_and([]() -> int {
        for (;;) ::pause();
    });
    auto pidfd = posix::open_pidfd(pid);
    REQUIRE(pidfd);
    CHECK(posix::send_signal(pidfd->get(), SIGTERM) == 0);
    const auto end = posix::wait_for_end(pidfd->get());
    CHECK(describe(end.status) == "signal 15");
    CHECK(!end.status.core);
    CHECK(posix::send_signal(pidfd->get(), SIGTERM) == ESRCH);
    CHECK(posix::send_signal(-1, SIGTERM) == EBADF);
}

TEST_CASE("pidfd: a whole group is reached by its leader's descriptor, after the leader was reaped too") {
    const same_descriptors nothing_left;
    auto alive = posix::make_pipe(posix::our_end::read);
    const pid_t pid = fork_and([] {
        ::setpgid(0, 0);
        if (::fork() == 0) {
            for (;;) ::pause();
        }
        return 0;
    });
    auto pidfd = posix::open_pidfd(pid);
    REQUIRE(pidfd);
    alive->write.reset();
    CHECK(describe(posix::wait_for_end(pidfd->get()).status) == "exit 0");
    const int sent = posix::send_signal_to_group(pidfd->get(), SIGKILL);
    if (sent == EINVAL) {
        MESSAGE("SKIP: this kernel (before 6.9) cannot signal a group by pidfd");
        ::kill(-pid, SIGKILL);
    } else {
        CHECK(sent == 0);
    }
    pollfd watched{alive->read.get(), POLLIN, 0};
    CHECK(::poll(&watched, 1, 20'000) == 1);
}

TEST_CASE("pidfd: a status that somebody else took is asked for again, and unknown where nobody can tell") {
    for (const bool ignored : {false, true}) {
        for (const bool can_tell : {true, false}) {
            CHECK(in_other_host([=]() -> std::string {
                      syscalls table = kernel_syscalls();
                      table.ioctl = [](int, unsigned long, void*) {
                          errno = ENOTTY;
                          return -1;
                      };
                      if (ignored) std::signal(SIGCHLD, SIG_IGN);
                      const pid_t pid = fork_and([] { return 42; });
                      // While it can still be opened: a vanished one could not.
                      auto pidfd = posix::open_pidfd(pid);
                      if (!pidfd) return "";
                      pollfd watched{pidfd->get(), POLLIN, 0};
                      ::poll(&watched, 1, -1);
                      if (!ignored) ::waitpid(-1, nullptr, 0);
                      const replaced_syscalls replaced(can_tell ? kernel_syscalls() : table);
                      const auto end = posix::look(pidfd->get(), posix::reap::yes);
                      if (!end) return "still running";
                      const std::string how = describe(end->status);
                      const std::string again = describe(posix::wait_for_end(pidfd->get()).status);
                      if (how != again) return how + " and then " + again;
                      // PIDFD_GET_INFO came with 6.13 and its exit code with 6.15.
                      return how == "unknown" || (can_tell && how == "exit 42") ? "" : how;
                  }) == "");
        }
    }
}

TEST_CASE("pidfd: a living process that is not our child has not ended") {
    auto self = posix::open_pidfd(::getppid());
    REQUIRE(self);
    CHECK(!posix::look(self->get(), posix::reap::no));
}

TEST_CASE("pidfd: the words of waitid and wait4 keep codes and signals apart") {
    CHECK(describe(posix::status_from_siginfo(CLD_EXITED, 9)) == "exit 9");
    CHECK(describe(posix::status_from_siginfo(CLD_KILLED, 9)) == "signal 9");
    CHECK(posix::status_from_siginfo(CLD_DUMPED, 11).core);
    CHECK(describe(posix::status_from_siginfo(CLD_STOPPED, 19)) == "unknown");
    CHECK(describe(posix::status_from_wait(137 << 8)) == "exit 137");
    CHECK(describe(posix::status_from_wait(9)) == "signal 9");
    CHECK(posix::status_from_wait(11 | 0x80).core);
    CHECK(!posix::status_from_wait(11).core);
}

TEST_CASE("pidfd: to have no descriptor left and to be refused are different failures") {
    static int answer;
    syscalls table = kernel_syscalls();
    table.pidfd_open = [](pid_t, unsigned) {
        errno = answer;
        return -1;
    };
    const replaced_syscalls replaced(table);
    answer = EMFILE;
    CHECK(posix::open_pidfd(1).error().at == exec::stage::descriptors);
    answer = EPERM;
    CHECK(posix::open_pidfd(1).error().at == exec::stage::process);
}

TEST_CASE("syscalls: a path that leaves its directory is not opened beneath it") {
    const posix::fd etc(::open("/etc", O_PATH | O_DIRECTORY | O_CLOEXEC));
    const posix::fd inside(posix::sys().open_beneath(etc.get(), "passwd", O_RDONLY | O_CLOEXEC));
    CHECK(inside);
    const posix::fd outside(posix::sys().open_beneath(etc.get(), "../etc/passwd", O_RDONLY | O_CLOEXEC));
    CHECK(!outside);
    CHECK(errno == EXDEV);
}
