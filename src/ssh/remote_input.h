// remote_input: what a remote command is given on its input: the wrapper's preamble first, then the command's own.
//
// Bytes known in advance are sent from where they lie; streamed ones wait in a bounded queue. Neither is sent before the far side
// is ready for it: on a terminal it would echo the preamble, and a command's input that came too early would be typed into a
// terminal that is not yet the command's.
// Threads: push and finish from any; the rest the loop's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "exec/bytes.h"
#include "exec/command.h"
#include "exec/detail/input_queue.h"

namespace exec::inline v0::ssh {

class channel;

class remote_input {
   public:
    // `in` must stay where it is.
    remote_input(const input& in, bool on_terminal, std::size_t bound);

    std::size_t push(bytes_view bytes) { return queue_.push(bytes); }
    void finish() { queue_.finish(); }

    void precede(std::string preamble) { preamble_ = std::move(preamble); }
    bool has_preamble() const noexcept { return !preamble_.empty(); }
    // From now on the preamble may be sent; `all`: what follows it, too.
    void may_send(bool all) noexcept;
    // Sends what the channel takes. Not inside channel_user::output().
    void flush(channel& to);
    // True once after each short push, as soon as there is room.
    bool room() { return queue_.room(); }
    // No more will be sent: later pushes are taken and dropped.
    void close() noexcept;
    // Of the command's own, by the channel.
    std::uint64_t taken() const noexcept { return taken_; }

   private:
    bool send_own(channel& to);
    void end_of_input(channel& to);

    std::string preamble_{};
    std::size_t preamble_sent_ = 0;
    bytes_view fixed_{};
    exec::detail::input_queue queue_{};
    const bool terminal_;
    const bool typed_;          // on a terminal, by somebody
    bool inside_line_ = false;  // of a terminal: the last byte did not end one
    int ends_to_type_ = 0;
    bool may_send_preamble_ = false;
    bool may_send_own_ = false;
    bool closed_ = false;
    std::uint64_t taken_ = 0;
};

}  // namespace exec::inline v0::ssh
