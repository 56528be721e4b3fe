// Calls an observer, and turns what it answers, throws, or takes of the time into what the time model is told.
// Threads: one at a time.
#pragma once

#include <algorithm>
#include <memory>
#include <type_traits>
#include <utility>

#include "exec/observer.h"
#include "exec/outcome.h"
#include "exec/testing/scripted/mailbox.h"
#include "exec/time.h"
#include "exec/timeline.h"

namespace exec::inline v0::testing::scripted {

class teller {
   public:
    // `to` may be null: nobody is told.
    teller(observer* to, std::shared_ptr<mailbox> asked) : to_(to), asked_(std::move(asked)) {}

    // Calls may take time, by this clock if it is not null, and a pause means `more`.
    void calls_may_block(const time_source* clock) noexcept {
        blocking_ = true;
        clock_of_calls_ = clock;
    }
    bool blocking() const noexcept { return blocking_; }
    bool listening() const { return to_ != nullptr && !asked_->dropped(); }
    // A callback has thrown, however late.
    bool failed() const noexcept { return failed_; }

    // `call` takes an observer, and returns what that wishes or nothing. Returns when that was.
    template <class F>
    time_point tell(F&& call, timeline& clock, time_point now) {
        if (!listening()) return now;
        // A call that blocks holds the output as a pause does.
        if (blocking_) clock.pause(now);
        asked_->calls_begin(now);
        auto wish = flow::more;
#if defined(__cpp_exceptions)
        bool threw = false;
        try {
            wish = wish_of(call);
        } catch (...) {
            threw = true;
        }
#else
        constexpr bool threw = false;
        wish = wish_of(call);
#endif
        asked_->calls_end();
        if (blocking_) {
            if (clock_of_calls_ != nullptr) now = (std::max)(now, clock_of_calls_->now());
            clock.resume(now);
        }
        if (threw) {
            failed_ = true;
            clock.stop(stop_reason::observer_failed, unlimited, now);
        } else if (wish == flow::stop) {
            clock.stop(stop_reason::cancelled, unlimited, now);
        } else if (wish == flow::pause && !blocking_ && !asked_->has_resume(now)) {
            clock.pause(now);
        }
        return now;
    }

   private:
    template <class F>
    flow wish_of(F& call) {
        if constexpr (std::is_void_v<std::invoke_result_t<F&, observer&>>) {
            call(*to_);
            return flow::more;
        } else {
            return call(*to_);
        }
    }

    observer* const to_;
    const std::shared_ptr<mailbox> asked_;
    bool blocking_ = false;
    const time_source* clock_of_calls_ = nullptr;
    bool failed_ = false;
};

}  // namespace exec::inline v0::testing::scripted
