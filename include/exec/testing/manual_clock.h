// manual_clock: a time_source that moves only when it is told to.
//
// Hand it to loop_options::clock, advance() it, then call run_ready(): what is due by then runs. A loop that another thread
// drives does not notice that the time has moved until something wakes it: post() an empty callback.
// Threads: any.
#pragma once

#include <atomic>
#include <chrono>

#include "exec/assert.h"
#include "exec/time.h"

namespace exec::inline v0::testing {

class manual_clock final : public time_source {
   public:
    // The first moment is arbitrary but not the epoch, so that a forgotten deadline (the epoch) is visibly in the past.
    explicit manual_clock(time_point start = time_point(std::chrono::hours(1))) noexcept
        : now_(start.time_since_epoch().count()) {}

    time_point now() const noexcept override {
        return time_point(time_point::duration(now_.load(std::memory_order_acquire)));
    }
    // REQUIRES: by >= 0: a monotonic clock never goes back.
    void advance(nanoseconds by) {
        EXEC_ASSERT(by >= nanoseconds::zero(), "manual_clock: the time was moved back");
        now_.fetch_add(by.count(), std::memory_order_acq_rel);
    }

   private:
    std::atomic<time_point::rep> now_;
};

}  // namespace exec::inline v0::testing
