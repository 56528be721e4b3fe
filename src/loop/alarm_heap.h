// alarm_heap: all deadlines of a loop, the earliest first; those of one moment in the order in which they were set.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "exec/time.h"

#include "loop/alarm.h"

namespace exec::inline v0::detail {

class alarm_heap {
   public:
    // `when` is not `never`.
    void set(alarm& what, loop_core& in, time_point when);
    // REQUIRES: it is set.
    void clear(alarm& what) noexcept;
    time_point earliest() const noexcept { return heap_.empty() ? never : heap_.front().when; }

    // Opens the alarms' part of a turn at `now`: due() then gives out one after another what was due and set by then.
    // What is set later, however far in the past, queues behind it.
    void open(time_point now) noexcept {
        opened_at_ = now;
        last_in_turn_ = set_count_;
    }
    bool has_due() const noexcept {
        return !heap_.empty() && heap_.front().when <= opened_at_ && heap_.front().number <= last_in_turn_;
    }
    // The first one, not set any more. REQUIRES: has_due().
    alarm& take_due() noexcept;
    // Any one that is set, not set any more; nullptr if there is none.
    alarm* take_any() noexcept;

   private:
    struct entry {
        time_point when;
        std::uint64_t number;  // of the call of set()
        alarm* what;
        bool before(const entry& other) const noexcept {
            return when != other.when ? when < other.when : number < other.number;
        }
    };
    void place(std::size_t at, const entry& what) noexcept;
    void rise(std::size_t at) noexcept;
    void sink(std::size_t at) noexcept;

    std::vector<entry> heap_;
    std::uint64_t set_count_ = 0;
    std::uint64_t last_in_turn_ = 0;
    time_point opened_at_ = (time_point::min)();
};

}  // namespace exec::inline v0::detail
