// waker: gets the driving thread to look, with one write(2) where it sleeps and none where it is awake.
//
// The eventfd is watched edge-triggered: every write is one event and nobody has to read it.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

#include "posix/fd.h"
#include "posix/syscalls.h"

namespace exec::inline v0::detail {

class waker {
   public:
    void adopt(posix::fd eventfd) noexcept { eventfd_ = std::move(eventfd); }
    int fd() const noexcept { return eventfd_.get(); }
    void close() noexcept { eventfd_.reset(); }

    // Any thread, after it has put something where the driving thread will look. Sequentially consistent, as is sleep():
    // either this sees that the other sleeps, or the other sees what was put.
    void wake() noexcept {
        if (!awake_.load(std::memory_order_seq_cst) && !awake_.exchange(true, std::memory_order_seq_cst)) ring();
    }

    // The driving thread. After sleep() it looks once more before it really does.
    void sleep() noexcept { awake_.store(false, std::memory_order_seq_cst); }
    void get_up() noexcept { awake_.store(true, std::memory_order_seq_cst); }
    // Stays awake, but leaves the descriptor readable: whoever polls has to come back.
    void call_back() noexcept {
        if (!std::exchange(rung_, true)) ring();
    }
    // The kernel has reported the event.
    void heard() noexcept { rung_ = false; }

   private:
    void ring() noexcept {
        const std::uint64_t one = 1;
        // Cannot fail in a way that matters: EAGAIN would need 2^64 unread wake-ups.
        static_cast<void>(posix::sys().write(eventfd_.get(), &one, sizeof one));
    }

    std::atomic<bool> awake_{false};
    bool rung_ = false;  // by call_back(), and not reported yet
    posix::fd eventfd_;
};

}  // namespace exec::inline v0::detail
