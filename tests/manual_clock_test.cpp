#include <exec/testing/manual_clock.h>

#include <chrono>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "misuse.h"

using namespace std::chrono_literals;

TEST_CASE("manual_clock: stands still until it is advanced, and moves by exactly that") {
    exec::testing::manual_clock clock;
    const auto start = clock.now();
    CHECK(clock.now() == start);
    clock.advance(3ms);
    CHECK(clock.now() == start + 3ms);
    clock.advance(1ns);
    CHECK(clock.now() == start + 3ms + 1ns);
    clock.advance(0ns);
    CHECK(clock.now() == start + 3ms + 1ns);
    CHECK(exec::testing::manual_clock(exec::time_point(5s)).now() == exec::time_point(5s));
}

TEST_CASE("manual_clock: is never moved back") {
    const test::misuse_throws guard;
    exec::testing::manual_clock clock;
    const auto start = clock.now();
    CHECK_THROWS_WITH_AS(clock.advance(-1ns), "manual_clock: the time was moved back", test::misuse);
    CHECK(clock.now() == start);
}

TEST_CASE("manual_clock: advanced by many threads it loses nothing, and nobody sees it go back") {
    exec::testing::manual_clock clock;
    const auto start = clock.now();
    std::vector<std::thread> threads;
    std::atomic<int> backwards{0};
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&] {
            for (int i = 0; i < 10000; ++i) {
                const auto before = clock.now();
                clock.advance(1ns);
                if (clock.now() <= before) ++backwards;
            }
        });
    }
    for (auto& thread : threads) thread.join();
    CHECK(clock.now() == start + 40000ns);
    CHECK(backwards == 0);
}
