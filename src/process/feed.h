// feed: what a child is given on its descriptor 0.
//
// Bytes known in advance are written from where they lie; streamed ones wait in a bounded queue. A child that stopped
// reading is no error: what comes after is taken and dropped, so that no writer waits for it.
// Threads: push and finish_input from any; the rest from the one that drives the run.
#pragma once

#include <cstddef>
#include <cstdint>

#include "exec/bytes.h"
#include "exec/detail/input_queue.h"

#include "posix/fd.h"

namespace exec::inline v0::process {

class feed {
   public:
    enum class state : std::uint8_t {
        full,    // the pipe is full and there is more to write
        empty,   // everything so far was written
        closed,  // the end was given, or the child stopped reading: whoever watches fd() forgets it, then close()
    };

    feed() noexcept = default;
    // It is streamed, with a queue of at most `bound` bytes, which takes bytes before it is opened. Once, before any push.
    void prepare(std::size_t bound) { queue_.open(bound); }
    // `fixed` must stay where it is; ignored if it is streamed.
    void open(posix::fd to, bytes_view fixed, bool terminal);

    // How many bytes were taken; after fewer than given, room() says when to go on.
    std::size_t push(bytes_view bytes) { return queue_.push(bytes); }
    void finish_input() { queue_.finish(); }

    // Writes what the pipe takes.
    state flush();
    // True once after each short push, as soon as there is room.
    bool room() { return queue_.room(); }
    bool is_open() const noexcept { return static_cast<bool>(to_); }
    int fd() const noexcept { return to_.get(); }
    // No more will be written. Later pushes are taken and dropped.
    void close() noexcept;
    std::uint64_t taken() const noexcept { return taken_; }

   private:
    state write_fixed();
    state write_queued();
    // How many of `bytes` the kernel took; -1 = the reader is gone.
    std::ptrdiff_t write_some(bytes_view bytes);
    state end_of_input();

    posix::fd to_{};
    bytes_view fixed_{};
    std::uint64_t taken_ = 0;
    bool terminal_ = false;
    bool inside_line_ = false;  // of a terminal: the last byte did not end one
    int ends_to_type_ = 0;
    exec::detail::input_queue queue_{};
};

}  // namespace exec::inline v0::process
