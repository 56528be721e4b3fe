// The calling thread's signal mask, and writing to a pipe without SIGPIPE. No disposition is ever changed.
#pragma once

#include <csignal>
#include <cstddef>

#include "exec/bytes.h"

namespace exec::inline v0::posix {

// Blocks every signal in this thread for as long as it lives, then restores the mask that it found.
class signals_blocked {
   public:
    signals_blocked() noexcept;
    ~signals_blocked();
    signals_blocked(const signals_blocked&) = delete;
    signals_blocked& operator=(const signals_blocked&) = delete;

    const sigset_t& before() const noexcept { return before_; }

   private:
    sigset_t before_;
};

// What one attempt to move bytes did: `error` is an errno value, 0 if there was none (EAGAIN: not now).
struct transfer {
    std::size_t bytes = 0;
    int error = 0;
};

// One write. EPIPE is an answer and never a signal: where the kernel has no RWF_NOSIGNAL (before 6.18), SIGPIPE is
// blocked in this thread for the length of the write and the one we caused is taken back; one that was pending before
// stays pending. Interrupted writes are repeated.
transfer write_no_sigpipe(int descriptor, bytes_view what) noexcept;

}  // namespace exec::inline v0::posix
