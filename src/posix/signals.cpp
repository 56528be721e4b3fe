#include "posix/signals.h"

#include <cerrno>

#include <atomic>

#include "posix/syscalls.h"

namespace exec::inline v0::posix {
namespace {

constexpr int without_signal = 0x100;  // RWF_NOSIGNAL, Linux 6.18; in no header of Debian 12

// Learned at the first write: whether the kernel knows the flag.
constinit std::atomic<bool> kernel_lacks_flag{false};

transfer write_once(int descriptor, bytes_view what, int flags) noexcept {
    const iovec part{const_cast<char*>(what.data()), what.size()};
    const ssize_t moved = retry_interrupted([&] {
        return flags == 0 ? sys().write(descriptor, what.data(), what.size())
                          : sys().write_vector(descriptor, &part, 1, flags);
    });
    return moved >= 0 ? transfer{static_cast<std::size_t>(moved), 0} : transfer{0, errno};
}

// SIGPIPE is sent to the writing thread, so while that thread blocks it the signal waits here to be taken back.
transfer write_masked(int descriptor, bytes_view what) noexcept {
    sigset_t pipe_signal;
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);

    sigset_t pending;
    sigemptyset(&pending);
    sys().pending_signals(&pending);
    const bool was_pending = sigismember(&pending, SIGPIPE) == 1;

    sigset_t before;
    if (sys().thread_mask(SIG_BLOCK, &pipe_signal, &before) != 0) return {0, errno};
    const transfer done = write_once(descriptor, what, 0);
    if (done.error == EPIPE && !was_pending) {
        constexpr timespec at_once{0, 0};
        retry_interrupted([&] { return sys().take_signal(&pipe_signal, nullptr, &at_once); });
    }
    sys().thread_mask(SIG_SETMASK, &before, nullptr);
    return done;
}

}  // namespace

signals_blocked::signals_blocked() noexcept {
    sigset_t all;
    sigfillset(&all);
    sys().thread_mask(SIG_SETMASK, &all, &before_);
}

signals_blocked::~signals_blocked() {
    const int saved = errno;
    sys().thread_mask(SIG_SETMASK, &before_, nullptr);
    errno = saved;
}

transfer write_no_sigpipe(int descriptor, bytes_view what) noexcept {
    if (!kernel_lacks_flag.load(std::memory_order_relaxed)) {
        const transfer done = write_once(descriptor, what, without_signal);
        if (done.error != EOPNOTSUPP && done.error != ENOSYS && done.error != EPERM) return done;
        // A filter answers EPERM, and so does a sealed file: only the latter keeps saying so.
        const transfer again = write_masked(descriptor, what);
        if (again.error != done.error) kernel_lacks_flag.store(true, std::memory_order_relaxed);
        return again;
    }
    return write_masked(descriptor, what);
}

}  // namespace exec::inline v0::posix
