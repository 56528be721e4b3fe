#include "process/pump.h"

#include <algorithm>
#include <new>
#include <utility>

#include "posix/syscalls.h"

#include <cerrno>

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>

namespace exec::inline v0::process {
namespace {

// As much as the largest pipe of an unprivileged user holds.
constexpr std::size_t splice_bytes = 1 * MiB;

}  // namespace

void pump::open(posix::fd from, const capture_policy& policy, bool terminal) {
    from_ = std::move(from);
    kept_ = capture(policy);
    terminal_ = terminal;
    may_splice_ = !terminal;
}

pump::chunk pump::take(std::span<char> scratch, bool shown) {
    const auto at = kept_.total();
    if (!shown && may_splice_ && !kept_.wants_more()) return drop(at);

    // Straight into the ring where it is long enough: one copy less.
    auto into = kept_.window();
    const bool direct = into.size() >= scratch.size();
    if (!direct) into = scratch;
    const auto got = posix::sys().read(from_.get(), into.data(), (std::min)(into.size(), scratch.size()));
    if (got > 0) {
        const auto count = static_cast<std::size_t>(got);
        const bytes_view bytes(into.data(), count);
        if (direct) {
            kept_.wrote(count);
        } else {
            keep(bytes);
        }
        return {count == scratch.size() ? state::more : state::dry, bytes, at, count};
    }
    if (got < 0 && errno == EINTR) return {state::more, {}, at, 0};
    if (got < 0 && errno == EAGAIN) return {state::dry, {}, at, 0};
    // 0, or the EIO of a terminal that nobody has open any more. Any other error of a pipe is as final as its end.
    return {state::at_end, {}, at, 0};
}

void pump::keep(bytes_view bytes) {
#if defined(__cpp_exceptions)
    try {
        kept_.append(bytes);
    } catch (const std::bad_alloc&) {
        // The host is out of memory: that is no reason to lose the command. What cannot be kept is counted.
        kept_.skip(bytes.size());
    }
#else
    kept_.append(bytes);
#endif
}

pump::chunk pump::drop(std::uint64_t at) {
    if (!sink_) {
        posix::fd opened(posix::sys().open_at(AT_FDCWD, "/dev/null", O_WRONLY | O_CLOEXEC, 0));
        if (auto raised = posix::above_stdio(std::move(opened))) sink_ = *std::move(raised);
    }
    if (!sink_) {
        may_splice_ = false;
        return {state::more, {}, at, 0};
    }
    const auto gone = posix::sys().splice(from_.get(), sink_.get(), splice_bytes, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    if (gone > 0) {
        const auto count = static_cast<std::uint64_t>(gone);
        kept_.skip(count);
        return {state::more, {}, at, count};
    }
    if (gone == 0) return {state::at_end, {}, at, 0};
    if (errno == EAGAIN) return {state::dry, {}, at, 0};
    if (errno != EINTR) may_splice_ = false;
    return {state::more, {}, at, 0};
}

std::uint64_t pump::waiting() const noexcept {
    int bytes = 0;
    return is_open() && posix::sys().ioctl(from_.get(), FIONREAD, &bytes) == 0 && bytes > 0
               ? static_cast<std::uint64_t>(bytes)
               : 0;
}

bool pump::held() const noexcept {
    if (!is_open()) return false;
    pollfd look{from_.get(), POLLIN, 0};
    const timespec at_once{};
    return posix::sys().ppoll(&look, 1, &at_once, nullptr) < 1 || (look.revents & (POLLHUP | POLLERR)) == 0;
}

}  // namespace exec::inline v0::process
