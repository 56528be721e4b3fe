#include "posix/pipe.h"

#include <fcntl.h>

#include <cerrno>

#include "posix/syscalls.h"

namespace exec::inline v0::posix {

result<pipe_ends> make_pipe(our_end ours, std::size_t capacity) {
    int numbers[2] = {-1, -1};
    if (sys().pipe2(numbers, O_CLOEXEC) != 0) return os_failure(errno, stage::descriptors, "pipe");
    auto reading = above_stdio(fd(numbers[0]));
    auto writing = above_stdio(fd(numbers[1]));
    if (!reading) return std::move(reading).error();
    if (!writing) return std::move(writing).error();
    pipe_ends ends{std::move(*reading), std::move(*writing)};

    // A fresh end has no status flag but its access mode, so the flags need not be read first.
    if (ours != our_end::none) {
        const bool reads = ours == our_end::read;
        const int flags = (reads ? O_RDONLY : O_WRONLY) | O_NONBLOCK;
        if (sys().fcntl(reads ? ends.read.get() : ends.write.get(), F_SETFL, flags) != 0) {
            return os_failure(errno, stage::descriptors, "O_NONBLOCK");
        }
    }
    if (capacity != 0) sys().fcntl(ends.write.get(), F_SETPIPE_SZ, static_cast<long>(capacity));
    return ends;
}

}  // namespace exec::inline v0::posix
