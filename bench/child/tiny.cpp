// The least that a program can be: no libc, no loader, a page or two. What remains of a run is what runs it.
//
//   tiny            writes 4 bytes to standard output, 4 to standard error, and ends
//   tiny wait       waits for a signal, or until nobody reads its standard output any more
//   tiny flood MIB  writes so many MiB to standard output, 64 KiB at a time
#include <sys/syscall.h>

namespace {

long call(long number, long first = 0, long second = 0, long third = 0, long fourth = 0) {
#if defined(__x86_64__)
    long answer;
    register long argument4 asm("r10") = fourth;
    asm volatile("syscall"
                 : "=a"(answer)
                 : "a"(number), "D"(first), "S"(second), "d"(third), "r"(argument4)
                 : "rcx", "r11", "memory");
    return answer;
#elif defined(__aarch64__)
    register long which asm("x8") = number;
    register long answer asm("x0") = first;
    register long argument2 asm("x1") = second;
    register long argument3 asm("x2") = third;
    register long argument4 asm("x3") = fourth;
    asm volatile("svc #0" : "+r"(answer) : "r"(which), "r"(argument2), "r"(argument3), "r"(argument4) : "memory");
    return answer;
#endif
}

void write(int to, const char* text, long size) { call(SYS_write, to, reinterpret_cast<long>(text), size); }

constexpr long block_size = 64 * 1024;
char block[block_size];

void flood(const char* mebibytes) {
    long left = 0;
    for (; *mebibytes != '\0'; ++mebibytes) left = left * 10 + (*mebibytes - '0');
    left *= 1024 * 1024;
    while (left > 0) {
        const long wrote = call(SYS_write, 1, reinterpret_cast<long>(&block[0]), left < block_size ? left : block_size);
        if (wrote <= 0) return;
        left -= wrote;
    }
}

}  // namespace

// `stack`: argc, then argv.
extern "C" [[noreturn]] void tiny_main(const long* stack) {
    const char* const* words = reinterpret_cast<const char* const*>(stack + 1);
    if (stack[0] > 2) {
        flood(words[2]);
    } else if (stack[0] > 1) {
        // Standard output, no event asked for: a pipe whose reader is gone is an error, which is always told.
        struct {
            int fd;
            short events, revents;
        } watched = {1, 0, 0};
        call(SYS_ppoll, reinterpret_cast<long>(&watched), 1);
    } else {
        write(1, "out\n", 4);
        write(2, "err\n", 4);
    }
    for (;;) call(SYS_exit_group);
}

#if defined(__x86_64__)
asm(".globl _start\n_start:\n\tmovq %rsp, %rdi\n\tandq $-16, %rsp\n\tcall tiny_main\n");
#elif defined(__aarch64__)
asm(".globl _start\n_start:\n\tmov x0, sp\n\tbl tiny_main\n");
#endif
