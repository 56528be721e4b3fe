#include "process/feed.h"

#include <utility>

#include "posix/signals.h"

#include <cerrno>

namespace exec::inline v0::process {
namespace {

// VEOF of a fresh terminal: at the start of a line it is the end of input.
constexpr bytes_view end_of_transmission{"\x04", 1};

}  // namespace

void feed::open(posix::fd to, bytes_view fixed, bool terminal) {
    to_ = std::move(to);
    fixed_ = fixed;
    terminal_ = terminal;
}

void feed::close() noexcept {
    queue_.close();
    to_.reset();
}

feed::state feed::flush() {
    if (!to_) return state::closed;
    return queue_.is_open() ? write_queued() : write_fixed();
}

feed::state feed::write_fixed() {
    while (!fixed_.empty()) {
        const auto wrote = write_some(fixed_);
        if (wrote < 0) return state::closed;
        if (wrote == 0) return state::full;
        fixed_.remove_prefix(static_cast<std::size_t>(wrote));
    }
    return end_of_input();
}

feed::state feed::write_queued() {
    for (auto next = queue_.front(); !next.empty(); next = queue_.front()) {
        const auto wrote = write_some(next);
        if (wrote < 0) return state::closed;
        if (wrote == 0) return state::full;
        queue_.pop(static_cast<std::size_t>(wrote));
    }
    return queue_.at_end() ? end_of_input() : state::empty;
}

feed::state feed::end_of_input() {
    if (!terminal_) return state::closed;
    // A terminal has no end that could be closed while its output is wanted: the end is typed. In the middle of a line the
    // first one only hands that line over.
    const auto before = taken_;
    if (ends_to_type_ == 0) ends_to_type_ = inside_line_ ? 2 : 1;
    std::ptrdiff_t typed = 1;
    while (ends_to_type_ > 0 && (typed = write_some(end_of_transmission)) > 0) --ends_to_type_;
    taken_ = before;
    return typed == 0 ? state::full : state::closed;
}

std::ptrdiff_t feed::write_some(bytes_view bytes) {
    const auto wrote = posix::write_no_sigpipe(to_.get(), bytes);
    taken_ += wrote.bytes;
    if (wrote.bytes > 0) inside_line_ = bytes[wrote.bytes - 1] != '\n' && bytes[wrote.bytes - 1] != '\r';
    if (wrote.error == 0) return static_cast<std::ptrdiff_t>(wrote.bytes);
    return wrote.error == EAGAIN ? 0 : -1;
}

}  // namespace exec::inline v0::process
