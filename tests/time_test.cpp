#include <exec/time.h>

#include <doctest/doctest.h>

#include <chrono>
#include <type_traits>

namespace {

using namespace exec;
using namespace std::chrono_literals;

constexpr auto origin = time_point{};
constexpr auto earliest = time_point::min();
constexpr auto longest = nanoseconds::max();
constexpr auto shortest = nanoseconds::min();
constexpr time_point at(long long nanoseconds_since_origin) { return origin + nanoseconds(nanoseconds_since_origin); }

// Everything is checked at compile time too: an overflow would not compile.
static_assert(time_point::clock::is_steady);
static_assert(std::is_same_v<time_point::duration, nanoseconds>);

static_assert(saturating_add(origin, 5ms) == origin + 5ms);
static_assert(saturating_add(origin, 5ns) == at(5));
static_assert(saturating_add(origin, 0ms) == origin);
static_assert(saturating_add(origin, -5ms) == origin - 5ms);
static_assert(saturating_add(origin, unlimited) == never);
static_assert(saturating_add(at(1), longest) == never);
static_assert(saturating_add(origin, longest) == never);
static_assert(saturating_add(at(-1), longest) == never - 1ns);
static_assert(saturating_add(never - 1ns, 1ns) == never);
static_assert(saturating_add(never - 1ns, 2ns) == never);
static_assert(saturating_add(never - 1ns, -1ns) == never - 2ns);
static_assert(saturating_add(never - 1ms, 1ms) == never);
static_assert(saturating_add(never - 1ms, 2ms) == never);

// What does not come does not come earlier either.
static_assert(saturating_add(never, 0ns) == never && saturating_add(never, -1ns) == never);
static_assert(saturating_add(never, shortest) == never && saturating_add(never, longest) == never);
static_assert(saturating_add(never, milliseconds::min()) == never && saturating_add(never, unlimited) == never);

static_assert(saturating_add(earliest, -1ns) == earliest);
static_assert(saturating_add(earliest + 1ns, -1ns) == earliest);
static_assert(saturating_add(earliest, shortest) == earliest);
static_assert(saturating_add(at(-1), shortest) == earliest);
static_assert(saturating_add(origin, shortest) == earliest);
static_assert(saturating_add(at(1), shortest) == earliest + 1ns);
static_assert(saturating_add(origin, milliseconds::min()) == earliest);
static_assert(saturating_add(earliest, longest) == at(-1));

// The last milliseconds that fit in nanoseconds, and the first that do not.
constexpr auto last_fitting = std::chrono::floor<milliseconds>(longest);
static_assert(saturating_add(origin, last_fitting) == origin + last_fitting);
static_assert(saturating_add(origin, last_fitting + 1ms) == never);
constexpr auto first_fitting = std::chrono::ceil<milliseconds>(shortest);
static_assert(saturating_add(origin, first_fitting) == origin + first_fitting);
static_assert(saturating_add(origin, first_fitting - 1ms) == earliest);

static_assert(until(at(5'000'000), origin) == 5ms);
static_assert(until(at(5'000'001), origin) == 6ms);  // never too early
static_assert(until(at(1), origin) == 1ms);
static_assert(until(origin, origin) == 0ms);
static_assert(until(origin, at(1)) == 0ms);
static_assert(until(earliest, never) == 0ms);
static_assert(until(never, origin) == unlimited);
static_assert(until(never, never) == unlimited);
static_assert(until(never, earliest) == unlimited);
static_assert(until(never - 1ns, origin) == last_fitting + 1ms);
static_assert(until(never - 1ns, at(-1)) == last_fitting + 1ms);
static_assert(until(never - 1ns, at(-2)) == unlimited);
static_assert(until(never - 1ns, earliest) == unlimited);
static_assert(until(at(-5), earliest) == std::chrono::ceil<milliseconds>(longest - 4ns));

struct fixed_time final : time_source {
    time_point now() const noexcept override { return at(42); }
};

}  // namespace

TEST_CASE("time: the tables above hold at run time too, for values that the compiler does not know") {
    volatile long long some = 7'000'000;
    const auto moment = at(some);
    CHECK(saturating_add(moment, unlimited) == never);
    CHECK(saturating_add(moment, milliseconds(some)) == origin + 7'000'007ms);
    CHECK(until(moment, origin) == 7ms);
    CHECK(until(saturating_add(moment, unlimited), moment) == unlimited);
    CHECK(until(saturating_add(moment, milliseconds(some)), moment) == 7'000'000ms);
}

TEST_CASE("time: a limit is never shortened by the addition and the subtraction that it goes through") {
    for (const auto limit : {1ms, 2ms, 999ms, 3'600'000ms, milliseconds(1LL << 40)}) {
        for (const auto now : {origin, at(1), at(999'999), at(1'000'001), at(1LL << 60)}) {
            CHECK(until(saturating_add(now, limit), now) == limit);
        }
    }
}

TEST_CASE("time: a source of time can be replaced") {
    const fixed_time fixed;
    const time_source& source = fixed;
    CHECK(source.now() == at(42));
}
