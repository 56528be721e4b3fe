// Time as the library uses it: one monotonic clock, milliseconds in options, and arithmetic that saturates.
//
// A wall clock that jumps can neither shorten nor stretch a limit. The clock does not advance while the machine is
// suspended (CLOCK_MONOTONIC).
// Threads: values.
#pragma once

#include <chrono>

namespace exec::inline v0 {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using time_point = std::chrono::steady_clock::time_point;

// The one spelling of "no limit". Zero and negative durations are refused wherever a limit is taken.
inline constexpr milliseconds unlimited = (milliseconds::max)();
// A moment that does not come.
inline constexpr time_point never = (time_point::max)();

// `from + by`; `never` where the sum is too late to be told ("unlimited" stays unlimited), the first moment of all
// where it is too early.
constexpr time_point saturating_add(time_point from, nanoseconds by) noexcept {
    if (from == never) return never;
    if (by > nanoseconds::zero() && from > never - by) return never;
    if (by < nanoseconds::zero() && from < (time_point::min)() - by) return (time_point::min)();
    return from + by;
}
constexpr time_point saturating_add(time_point from, milliseconds by) noexcept {
    if (by > std::chrono::floor<milliseconds>((nanoseconds::max)())) return never;
    if (by < std::chrono::ceil<milliseconds>((nanoseconds::min)())) return from == never ? never : (time_point::min)();
    return saturating_add(from, nanoseconds(by));
}

// How long until `then`, never negative; `unlimited` for never and for what is too far away to be told.
constexpr milliseconds until(time_point then, time_point now) noexcept {
    if (then == never) return unlimited;
    if (then <= now) return milliseconds::zero();
    if (now < time_point{} && then > never + now.time_since_epoch()) return unlimited;
    return std::chrono::ceil<milliseconds>(then - now);
}

// Where a loop reads the time. Replaced by testing::manual_clock in tests of anything that takes time.
class time_source {
   public:
    virtual ~time_source() = default;
    virtual time_point now() const noexcept = 0;
};

}  // namespace exec::inline v0
