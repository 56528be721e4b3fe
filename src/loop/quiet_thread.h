// quiet_thread: a thread in which no signal of the host is ever handled.
//
// Only the faults of the thread's own code (SIGSEGV and its like) stay unblocked: the kernel kills a process whose fault
// is blocked, past the host's crash handler.
#pragma once

#include <string>

#include <pthread.h>

#include "exec/callback.h"
#include "exec/result.h"

namespace exec::inline v0::detail {

class quiet_thread {
   public:
    quiet_thread() noexcept = default;
    // REQUIRES: joined, or never started.
    ~quiet_thread();
    quiet_thread(const quiet_thread&) = delete;
    quiet_thread& operator=(const quiet_thread&) = delete;

    // `name` is cut to the kernel's 15 bytes. The calling thread's mask is not touched.
    // Fails with: EAGAIN.
    result<void> start(const std::string& name, callback<void()> body);
    bool is_this_one() const noexcept { return started_ && pthread_equal(thread_, pthread_self()) != 0; }
    // No effect if it was never started.
    void join() noexcept;

   private:
    pthread_t thread_{};
    bool started_ = false;
};

}  // namespace exec::inline v0::detail
