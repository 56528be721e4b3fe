#include "sides/raw_child.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace bench {
namespace {

constexpr unsigned long long clear_handlers = 0x100000000;  // CLONE_CLEAR_SIGHAND

struct clone_arguments {
    std::uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
};

struct plan {
    words what;
    int out;
    int err;
    amount of_calls;
};

// On the parent's stack, while the parent sleeps.
extern "C" [[noreturn]] void bench_raw_child(const plan* how) {
    if (how->of_calls == amount::contract) {
        ::setsid();
        ::dup2(::open("/dev/null", O_RDWR | O_CLOEXEC), 0);
    }
    ::dup2(how->out, 1);
    ::dup2(how->err, 2);
    if (how->of_calls == amount::contract) {
        ::syscall(SYS_close_range, 3, ~0u, 0);
        const std::uint64_t none = 0;
        ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, nullptr, sizeof none);
    }
    ::syscall(SYS_execve, how->what[0], how->what, environ);
    for (;;) ::_exit(127);
}

[[gnu::noinline]] long clone3(const clone_arguments& how, const plan& child) {
#if defined(__x86_64__)
    long answer;
    asm volatile(
        "syscall\n\t"
        "testq %%rax, %%rax\n\t"
        "jnz 1f\n\t"
        "subq $128, %%rsp\n\t"
        "andq $-16, %%rsp\n\t"
        "movq %[child], %%rdi\n\t"
        "call bench_raw_child\n"
        "1:"
        : "=a"(answer)
        : "a"(SYS_clone3), "D"(&how), "S"(sizeof how), [child] "r"(&child)
        : "rcx", "r11", "cc", "memory");
    return answer;
#elif defined(__aarch64__)
    register long which asm("x8") = SYS_clone3;
    register long answer asm("x0") = reinterpret_cast<long>(&how);
    register long size asm("x1") = sizeof how;
    asm volatile(
        "svc #0\n\t"
        "cbnz x0, 1f\n\t"
        "mov x0, %[child]\n\t"
        "bl bench_raw_child\n"
        "1:"
        : "+r"(answer)
        : "r"(which), "r"(size), [child] "r"(&child)
        : "cc", "memory");
    return answer;
#endif
}

void must(bool held, const char* what) {
    if (held) return;
    std::perror(what);
    std::exit(2);
}

}  // namespace

raw_child start_raw(words what, amount of_calls) {
    const bool contract = of_calls == amount::contract;
    sigset_t before;
    if (contract) {
        sigset_t all;
        sigfillset(&all);
        ::pthread_sigmask(SIG_SETMASK, &all, &before);
    }
    int out[2];
    int err[2];
    must(::pipe2(out, O_CLOEXEC) == 0 && ::pipe2(err, O_CLOEXEC) == 0, "pipe2");
    raw_child made{out[0], err[0], -1, -1};
    const plan child{what, out[1], err[1], of_calls};
    clone_arguments how{};
    how.flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | (contract ? clear_handlers : 0);
    how.pidfd = reinterpret_cast<std::uintptr_t>(&made.pidfd);
    how.exit_signal = SIGCHLD;
    const long pid = clone3(how, child);
    errno = static_cast<int>(-pid);
    must(pid > 0, "clone3");
    made.pid = static_cast<pid_t>(pid);
    if (contract) ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    ::close(out[1]);
    ::close(err[1]);
    return made;
}

bool end_raw(const raw_child& child, amount of_calls) {
    siginfo_t info{};
    bool there = true;
    if (of_calls == amount::contract) {
        there = ::waitid(P_PIDFD, static_cast<id_t>(child.pidfd), &info, WEXITED | WNOWAIT) == 0;
        ::kill(-child.pid, SIGKILL);
    }
    there = ::waitid(P_PIDFD, static_cast<id_t>(child.pidfd), &info, WEXITED) == 0 && there;
    if (of_calls == amount::contract) there = ::kill(-child.pid, 0) != 0 && there;
    ::close(child.out);
    ::close(child.err);
    ::close(child.pidfd);
    return there;
}

}  // namespace bench
