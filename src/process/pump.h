// pump: one output stream of a child, from the pipe to the capture and the observer.
//
// Threads: the one that drives the run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "exec/bytes.h"
#include "exec/capture.h"

#include "posix/fd.h"

namespace exec::inline v0::process {

class pump {
   public:
    enum class state : std::uint8_t {
        more,    // there may be more right now
        dry,     // nothing at the moment
        at_end,  // end of file, or of the terminal
    };
    struct chunk {
        state then;
        bytes_view bytes{};       // what was read, valid until the next call; empty if it was dropped unseen
        std::uint64_t at = 0;     // offset of the first byte
        std::uint64_t count = 0;  // bytes that went by
    };

    pump() noexcept = default;
    // `terminal`: the master of a PTY, whose EIO is the end.
    void open(posix::fd from, const capture_policy& policy, bool terminal);

    bool is_open() const noexcept { return static_cast<bool>(from_); }
    int fd() const noexcept { return from_.get(); }
    std::uint64_t total() const noexcept { return kept_.total(); }
    bool over() const noexcept { return kept_.over(); }

    // Takes what one system call gives and keeps what the policy says. `shown`: somebody wants to see the bytes; if
    // nobody does and none can be kept, they are dropped inside the kernel.
    chunk take(std::span<char> scratch, bool shown);
    // How many bytes the pipe holds.
    std::uint64_t waiting() const noexcept;
    // Whether somebody still holds the other end.
    bool held() const noexcept;
    void close() noexcept { from_.reset(); }
    // What was kept. `complete`: everything that was written was seen.
    captured finish(bool complete) { return std::move(kept_).take(complete); }

   private:
    void keep(bytes_view bytes);
    chunk drop(std::uint64_t at);

    posix::fd from_{};
    posix::fd sink_{};  // /dev/null, opened when it is first needed
    capture kept_{};
    bool terminal_ = false;
    bool may_splice_ = true;
};

}  // namespace exec::inline v0::process
