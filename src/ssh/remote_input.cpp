#include "ssh/remote_input.h"

#include <utility>

#include "ssh/channel.h"

namespace exec::inline v0::ssh {
namespace {

// VEOF of a fresh terminal: at the start of a line it is the end of input.
constexpr bytes_view end_of_transmission{"\x04", 1};

}  // namespace

remote_input::remote_input(const input& in, bool on_terminal, std::size_t bound)
    : terminal_(on_terminal), typed_(on_terminal && in.what() != input::kind::none) {
    if (in.what() == input::kind::streamed) queue_.open(bound);
    if (in.what() == input::kind::bytes) fixed_ = in.data();
}

void remote_input::may_send(bool all) noexcept {
    may_send_preamble_ = true;
    if (all) may_send_own_ = true;
}

void remote_input::flush(channel& to) {
    if (closed_ || !may_send_preamble_) return;
    if (to.is_deaf()) return close();
    while (preamble_sent_ < preamble_.size()) {
        const auto sent = to.write(bytes_view(preamble_).substr(preamble_sent_));
        if (sent == 0) return;
        preamble_sent_ += sent;
    }
    if (may_send_own_ && send_own(to)) end_of_input(to);
}

// True: everything was sent, and nothing follows.
bool remote_input::send_own(channel& to) {
    for (;;) {
        const auto next = queue_.is_open() ? queue_.front() : fixed_;
        if (next.empty()) return queue_.is_open() ? queue_.at_end() : true;
        const char last_of_it = next.back();
        const auto sent = to.write(next);
        if (sent == 0) return false;
        taken_ += sent;
        if (sent == next.size()) inside_line_ = last_of_it != '\n' && last_of_it != '\r';
        if (queue_.is_open()) {
            queue_.pop(sent);
        } else {
            fixed_.remove_prefix(sent);
        }
    }
}

// A terminal has no end that could be closed while its output is wanted: the end is typed. In the middle of a line the first one
// only hands that line over.
void remote_input::end_of_input(channel& to) {
    if (!terminal_) to.end_of_input();
    if (!typed_) return close();
    if (ends_to_type_ == 0) ends_to_type_ = inside_line_ ? 2 : 1;
    while (ends_to_type_ > 0 && to.write(end_of_transmission) > 0) --ends_to_type_;
    if (ends_to_type_ == 0) close();
}

void remote_input::close() noexcept {
    closed_ = true;
    fixed_ = {};
    queue_.close();
}

}  // namespace exec::inline v0::ssh
