// System calls without libc, for code that runs between a child's birth and its exec.
//
// There the memory may be shared with the host, one of whose threads waits; so nothing may touch errno, take a lock,
// call an interposed function of a sanitizer or return through a frame that the host still needs.
#pragma once

#include <sys/syscall.h>

// Code of the child: not instrumented in any way, because sanitizers, coverage and stack protectors keep their state in
// memory that is the host's.
#if defined(__clang__)
#define EXEC_UNINSTRUMENTED                                                                          \
    __attribute__((no_sanitize("address", "thread", "undefined", "memory"), no_sanitize("coverage"), \
                   disable_sanitizer_instrumentation, no_stack_protector, no_instrument_function))
#else
#define EXEC_UNINSTRUMENTED                                                                           \
    __attribute__((no_sanitize("address,thread,undefined"), no_sanitize_coverage, no_stack_protector, \
                   no_instrument_function, no_profile_instrument_function))
#endif
#define EXEC_CHILD_CODE EXEC_UNINSTRUMENTED __attribute__((noinline))

namespace exec::inline v0::process {

// The kernel's own answer: -errno, or the result.
#if defined(__x86_64__)
EXEC_UNINSTRUMENTED __attribute__((always_inline)) inline long raw_syscall(long number, long a = 0, long b = 0,
                                                                           long c = 0, long d = 0, long e = 0) {
    long answer;
    register long fourth asm("r10") = d;
    register long fifth asm("r8") = e;
    asm volatile("syscall"
                 : "=a"(answer)
                 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(fourth), "r"(fifth)
                 : "rcx", "r11", "memory");
    return answer;
}
#elif defined(__aarch64__)
EXEC_UNINSTRUMENTED __attribute__((always_inline)) inline long raw_syscall(long number, long a = 0, long b = 0,
                                                                           long c = 0, long d = 0, long e = 0) {
    register long which asm("x8") = number;
    register long first asm("x0") = a;
    register long second asm("x1") = b;
    register long third asm("x2") = c;
    register long fourth asm("x3") = d;
    register long fifth asm("x4") = e;
    asm volatile("svc #0"
                 : "+r"(first)
                 : "r"(which), "r"(second), "r"(third), "r"(fourth), "r"(fifth)
                 : "memory", "cc");
    return first;
}
#else
#error "exec needs x86-64 or arm64"
#endif

template <class T>
EXEC_UNINSTRUMENTED __attribute__((always_inline)) inline long raw_address(T* at) {
    return reinterpret_cast<long>(at);
}

}  // namespace exec::inline v0::process
