#include "process/error_pipe.h"

#include <cerrno>
#include <cstring>

#include "posix/syscalls.h"

namespace exec::inline v0::process {
namespace {

constexpr unsigned long forked_but_not_executed = 0x40;  // PF_FORKNOEXEC, in the ninth field of /proc/…/stat

// Asks /proc whether the child has executed. False where it cannot be told.
bool has_executed(pid_t pid) noexcept {
    char path[32] = "/proc/";
    char digits[12];
    char* end = path + 6;
    int count = 0;
    for (auto rest = static_cast<unsigned>(pid); count == 0 || rest != 0; rest /= 10) {
        digits[count++] = static_cast<char>('0' + rest % 10);
    }
    while (count > 0) *end++ = digits[--count];
    std::memcpy(end, "/stat", 6);

    const posix::fd file(posix::sys().open_at(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0));
    if (!file) return false;
    char text[512];
    const ssize_t size = posix::retry_interrupted([&] { return posix::sys().read(file.get(), text, sizeof text - 1); });
    if (size <= 0) return false;
    text[size] = '\0';
    // "pid (name) state ppid pgrp session tty tpgid flags": the name may hold anything, so the count begins after it.
    const char* at = std::strrchr(text, ')');
    for (int field = 0; at != nullptr && field < 7; ++field) at = std::strchr(at + 1, ' ');
    if (at == nullptr) return false;
    unsigned long flags = 0;
    for (++at; *at >= '0' && *at <= '9'; ++at) flags = flags * 10 + static_cast<unsigned long>(*at - '0');
    return (flags & forked_but_not_executed) == 0;
}

}  // namespace

bool open_error_pipe(posix::pipe_ends& ends, child_plan& plan, birth& made) {
    auto opened = posix::make_pipe(posix::our_end::read);
    if (!opened) {
        made.error = opened.error().code.value();
        made.lacks = "error pipe";
        return false;
    }
    ends = std::move(*opened);
    plan.error_pipe = ends.write.get();
    return true;
}

// The kernel wakes us when the child has executed or ended, so the first look is enough: a record, or the end of the
// file. Two things make it ambiguous, and then the child is watched as well. A process that another thread of the host
// forked at the same moment, and that never executes, keeps a copy of the writing end; and emulators (QEMU, valgrind)
// wake us at once.
start_record read_error_pipe(posix::pipe_ends& ends, child_plan& plan, const birth& made) {
    plan.error_pipe = -1;
    ends.write.reset();
    constexpr long longest_pause = 100'000'000;
    timespec pause{0, 1'000'000};
    for (;;) {
        start_record told;
        const ssize_t size =
            posix::retry_interrupted([&] { return posix::sys().read(ends.read.get(), &told, sizeof told); });
        if (size == static_cast<ssize_t>(sizeof told)) return told;
        if (size >= 0 || errno != EAGAIN || has_executed(made.pid)) return {};
        pollfd watched[2] = {{ends.read.get(), POLLIN, 0}, {made.pidfd, POLLIN, 0}};
        posix::sys().ppoll(watched, 2, &pause, nullptr);
        if (watched[1].revents != 0 && watched[0].revents == 0) return {};
        pause.tv_nsec = pause.tv_nsec * 2 < longest_pause ? pause.tv_nsec * 2 : longest_pause;
    }
}

}  // namespace exec::inline v0::process
