// A process born on the stack of the one that bears it.
#pragma once

#include "process/raw_syscall.h"

namespace exec::inline v0::process {

// Makes the system call `number` (SYS_clone or SYS_clone3, without a stack of its own) and has the child run
// `enter(plan)`, which does not return. Gives the kernel's answer to the parent.
//
// With CLONE_VM the parent must sleep meanwhile (CLONE_VFORK): the child's frames lie right below this one. It may not be
// done through libc's syscall(), whose frame the child would return through and overwrite; sanitizers, which make
// something else of vfork() and clone(), do not see it either. The child's first push leaves alone what the caller may
// keep below the stack pointer, the 128 bytes of the red zone.
EXEC_UNINSTRUMENTED __attribute__((always_inline)) inline long clone_in_place(long number, long first, long second,
                                                                              long third, void (*enter)(const void*),
                                                                              const void* plan) {
#if defined(__x86_64__)
    long answer;
    register long fourth asm("r10") = 0;
    register long fifth asm("r8") = 0;
    asm volatile(
        "syscall\n\t"
        "testq %%rax, %%rax\n\t"
        "jnz 1f\n\t"
        "subq $128, %%rsp\n\t"
        "andq $-16, %%rsp\n\t"
        "movq %[plan], %%rdi\n\t"
        "call *%[enter]\n\t"
        "ud2\n"
        "1:"
        : "=a"(answer)
        : "a"(number), "D"(first), "S"(second), "d"(third), "r"(fourth),
          "r"(fifth), [plan] "r"(plan), [enter] "r"(enter)
        : "rcx", "r11", "cc", "memory");
    return answer;
#elif defined(__aarch64__)
    register long which asm("x8") = number;
    register long answer asm("x0") = first;
    register long argument2 asm("x1") = second;
    register long argument3 asm("x2") = third;
    register long argument4 asm("x3") = 0;
    register long argument5 asm("x4") = 0;
    asm volatile(
        "svc #0\n\t"
        "cbnz x0, 1f\n\t"
        "mov x0, %[plan]\n\t"
        "blr %[enter]\n\t"
        "brk #1\n"
        "1:"
        : "+r"(answer)
        : "r"(which), "r"(argument2), "r"(argument3), "r"(argument4),
          "r"(argument5), [plan] "r"(plan), [enter] "r"(enter)
        : "cc", "memory");
    return answer;
#endif
}

// The argument of clone3 and the flags that <sched.h> does not know.
struct clone_arguments {
    unsigned long long flags;
    unsigned long long pidfd;
    unsigned long long child_tid;
    unsigned long long parent_tid;
    unsigned long long exit_signal;
    unsigned long long stack;
    unsigned long long stack_size;
    unsigned long long tls;
    unsigned long long set_tid;
    unsigned long long set_tid_size;
    unsigned long long cgroup;
};
constexpr unsigned long long clone_clear_handlers = 0x100000000;  // 5.5
constexpr unsigned long long clone_into_cgroup = 0x200000000;     // 5.7
constexpr long clone_arguments_before_cgroup = 80;                // the size that kernels before 5.7 accept

}  // namespace exec::inline v0::process
