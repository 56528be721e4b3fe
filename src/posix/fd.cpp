#include "posix/fd.h"

#include <fcntl.h>

#include <cerrno>

#include "posix/syscalls.h"

namespace exec::inline v0::posix {

void fd::reset(int number) noexcept {
    const int old = std::exchange(number_, number);
    if (old < 0) return;
    const int saved = errno;
    sys().close(old);
    errno = saved;
}

result<fd> above_stdio(fd from) {
    if (from.get() > 2) return from;
    const int raised = sys().fcntl(from.get(), F_DUPFD_CLOEXEC, 3);
    if (raised < 0) return os_failure(errno, stage::descriptors, "duplicate above 2");
    return fd(raised);
}

result<void> set_nonblocking(int descriptor, bool on) {
    const int flags = sys().fcntl(descriptor, F_GETFL, 0);
    if (flags >= 0) {
        const int wanted = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
        if (wanted == flags || sys().fcntl(descriptor, F_SETFL, wanted) == 0) return {};
    }
    return os_failure(errno, stage::descriptors, "O_NONBLOCK");
}

}  // namespace exec::inline v0::posix
