#include <exec/loop.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <exec/reply.h>
#include <exec/testing/manual_clock.h>

#include "misuse.h"
#include "poll_host.h"

using exec::milliseconds;
using namespace std::chrono_literals;

namespace {

std::unique_ptr<exec::loop> new_loop(exec::loop_options options = {}) {
    auto made = exec::make_loop(std::move(options));
    REQUIRE(made);
    return *std::move(made);
}

// Says when it dies.
struct tracer {
    explicit tracer(bool& dead) : dead_(&dead) {}
    tracer(tracer&& other) noexcept : dead_(std::exchange(other.dead_, nullptr)) {}
    ~tracer() {
        if (dead_ != nullptr) *dead_ = true;
    }
    bool* dead_;
};

int open_descriptors() {
    int count = 0;
    for (int i = 0; i < 1024; ++i) count += ::fcntl(i, F_GETFD) != -1 ? 1 : 0;
    return count;
}
int survivors_of_exec() {
    int count = 0;
    for (int i = 0; i < 1024; ++i) {
        const int flags = ::fcntl(i, F_GETFD);
        count += flags != -1 && (flags & FD_CLOEXEC) == 0 ? 1 : 0;
    }
    return count;
}

}  // namespace

TEST_CASE("loop: an idle one leaves its descriptor unreadable and run_ready without work") {
    const auto loop = new_loop();
    CHECK_FALSE(test::readable(loop->poll_fd()));
    CHECK(loop->run_ready() == 0);
    CHECK_FALSE(test::readable(loop->poll_fd()));
}

TEST_CASE("loop: all its descriptors are close-on-exec, and all are given back") {
    const int before = open_descriptors();
    const int survivors = survivors_of_exec();
    {
        const auto loop = new_loop();
        CHECK(open_descriptors() == before + 3);
        CHECK(survivors_of_exec() == survivors);
        const exec::testing::manual_clock clock;
        const auto without_timer = new_loop({.clock = &clock});
        CHECK(open_descriptors() == before + 5);
    }
    CHECK(open_descriptors() == before);
}

TEST_CASE("loop: without descriptors there is a failure with its number, and nothing leaks") {
    rlimit before{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
    const int open_before = open_descriptors();
    const int next = ::dup(0);  // the lowest free number
    REQUIRE(next >= 0);
    ::close(next);
    for (int spare = 0; spare < 3; ++spare) {
        CAPTURE(spare);
        const rlimit low{static_cast<rlim_t>(next + spare), before.rlim_max};
        REQUIRE(::setrlimit(RLIMIT_NOFILE, &low) == 0);
        const auto made = exec::make_loop();
        REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
        REQUIRE_FALSE(made);
        CHECK(made.error().code == std::error_code(EMFILE, std::system_category()));
        CHECK(open_descriptors() == open_before);
    }
}

TEST_CASE("loop: a post makes the descriptor readable and comes in run_ready, not before") {
    const auto loop = new_loop();
    bool came = false;
    loop->post([&] { came = true; });
    CHECK_FALSE(came);
    CHECK(test::readable(loop->poll_fd()));
    CHECK(loop->run_ready() == 1);
    CHECK(came);
    CHECK_FALSE(test::readable(loop->poll_fd()));
}

TEST_CASE("loop: posts from eight threads all come, each thread's in its own order") {
    constexpr int per_thread = 2000;
    const auto loop = new_loop();
    std::vector<int> next(8, 0);
    int out_of_order = 0;
    std::vector<std::thread> threads;
    for (std::size_t t = 0; t < next.size(); ++t) {
        threads.emplace_back([&, t] {
            for (int i = 0; i < per_thread; ++i) {
                loop->post([&, t, i] { out_of_order += next[t]++ == i ? 0 : 1; });
            }
        });
    }
    const bool all = test::drive_until(*loop, [&] {
        for (const int count : next) {
            if (count != per_thread) return false;
        }
        return true;
    });
    for (auto& thread : threads) thread.join();
    CHECK(all);
    CHECK(out_of_order == 0);
    CHECK(test::drain(*loop) == 0);
}

TEST_CASE("loop: what a callback posts waits for the next turn") {
    const auto loop = new_loop();
    std::string order;
    loop->post([&] {
        order += 'a';
        loop->post([&] { order += 'c'; });
    });
    loop->post([&] { order += 'b'; });
    CHECK(loop->run_ready() == 2);
    CHECK(order == "ab");
    CHECK(test::readable(loop->poll_fd()));
    CHECK(loop->run_ready() == 1);
    CHECK(order == "abc");
    CHECK_FALSE(test::readable(loop->poll_fd()));
}

TEST_CASE("loop: a budget is kept to the callback, and what is left keeps the descriptor readable") {
    const auto loop = new_loop();
    int came = 0;
    for (int i = 0; i < 10; ++i) loop->post([&] { ++came; });
    for (const int expected : {3, 6, 9}) {
        CHECK(loop->run_ready({.events = 3}) == 3);
        CHECK(came == expected);
        CHECK(test::readable(loop->poll_fd()));
    }
    CHECK(loop->run_ready({.events = 3}) == 1);
    CHECK_FALSE(test::readable(loop->poll_fd()));
    SUBCASE("an empty budget still makes progress") {
        loop->post([&] { ++came; });
        CHECK(loop->run_ready({.events = 0, .within = 0ms}) == 1);
    }
    SUBCASE("one that is over in time begins nothing more") {
        for (int i = 0; i < 3; ++i) {
            loop->post([&] {
                const auto start = std::chrono::steady_clock::now();
                while (std::chrono::steady_clock::now() < start + 2ms) {
                }
            });
        }
        CHECK(loop->run_ready({.within = 1ms}) == 1);
        CHECK(test::readable(loop->poll_fd()));
        CHECK(loop->run_ready() == 2);
    }
}

TEST_CASE("loop: a callback that posts itself for ever starves neither a timer nor the host") {
    bool timer_came = false;
    std::size_t rounds = 0;
    const auto loop = new_loop();
    struct again {
        exec::loop& on;
        std::size_t& rounds;
        const bool& stop;
        void operator()() const {
            ++rounds;
            if (!stop) on.post(again(*this));
        }
    };
    loop->post(again{*loop, rounds, timer_came});
    const auto timer = loop->after(5ms, [&] { timer_came = true; });
    std::size_t most = 0;
    while (!timer_came && rounds < 100'000'000) most = (std::max)(most, loop->run_ready());
    CHECK(timer_came);
    CHECK(most <= 4);
}

TEST_CASE("loop: a timer is never early, and the loop sleeps until it") {
    const auto loop = new_loop();
    for (const auto delay : {0ms, 1ms, 3ms, 20ms}) {
        CAPTURE(delay.count());
        std::optional<exec::time_point> came;
        std::size_t wakes = 0;
        const auto start = std::chrono::steady_clock::now();
        const auto timer = loop->after(delay, [&] { came = std::chrono::steady_clock::now(); });
        REQUIRE(test::drive_until(
            *loop, [&] { return came.has_value(); }, &wakes));
        CHECK(*came - start >= delay);
        CHECK(wakes <= 2);  // to hear of it, and to do it
        CHECK_FALSE(test::readable(loop->poll_fd()));
    }
}

TEST_CASE("loop: timers come in the order of their deadlines, those of one moment in the order of the calls") {
    exec::testing::manual_clock clock;
    const auto loop = new_loop({.clock = &clock});
    std::string order;
    const auto c = loop->after(30ms, [&] { order += 'c'; });
    const auto a = loop->after(10ms, [&] { order += 'a'; });
    const auto d = loop->after(30ms, [&] { order += 'd'; });
    const auto b = loop->after(20ms, [&] { order += 'b'; });
    SUBCASE("one by one") {
        test::drain(*loop);
        CHECK(order.empty());
        clock.advance(10ms - 1ns);
        CHECK(loop->run_ready() == 0);
        clock.advance(1ns);
        CHECK(loop->run_ready() == 1);
        CHECK(order == "a");
        clock.advance(10ms);
        CHECK(loop->run_ready() == 1);
        clock.advance(10ms);
        CHECK(loop->run_ready() == 2);
    }
    SUBCASE("all late") {
        clock.advance(1h);
        test::drain(*loop);
    }
    CHECK(order == "abcd");
}

TEST_CASE("loop: a deferred that is dropped or cancelled does not come, a detached one does") {
    exec::testing::manual_clock clock;
    const auto loop = new_loop({.clock = &clock});
    std::string order;
    bool dead = false;
    {
        const auto dropped = loop->after(1ms, [&, t = tracer(dead)] { order += 'x'; });
    }
    auto cancelled = loop->after(1ms, [&] { order += 'y'; });
    loop->after(1ms, [&] { order += 'd'; }).detach();
    auto replaced = loop->after(1ms, [&] { order += 'z'; });
    replaced = loop->after(1ms, [&] { order += 'r'; });
    test::drain(*loop);
    CHECK(dead);  // what it held went with it, long before its moment
    cancelled.cancel();
    cancelled.cancel();
    CHECK_FALSE(static_cast<bool>(cancelled));
    clock.advance(1ms);
    loop->run_ready();
    CHECK(order == "dr");
    CHECK(static_cast<bool>(replaced));
}

TEST_CASE("loop: unlimited never comes, a negative delay is due at once") {
    exec::testing::manual_clock clock;
    const auto loop = new_loop({.clock = &clock});
    bool never_came = true;
    bool came = false;
    const auto later = loop->after(exec::unlimited, [&] { never_came = false; });
    const auto at_once = loop->after(-5ms, [&] { came = true; });
    clock.advance(std::chrono::hours(24 * 365 * 50));
    test::drain(*loop);
    CHECK(came);
    CHECK(never_came);
}

TEST_CASE("loop: handles may be dropped, moved and cancelled inside callbacks, their own included") {
    exec::testing::manual_clock clock;
    const auto loop = new_loop({.clock = &clock});
    std::string order;
    exec::deferred own;
    exec::deferred other;
    bool own_dead = false;
    own = loop->after(1ms, [&, t = tracer(own_dead)] {
        own = {};
        CHECK_FALSE(own_dead);  // the callback that runs is not destroyed under itself
        other.cancel();
        order += 'o';
    });
    other = loop->after(1ms, [&] { order += 'x'; });
    clock.advance(1ms);
    loop->run_ready();
    CHECK(order == "o");
    CHECK(own_dead);

    SUBCASE("a handle that its own callback holds dies with a cancel from elsewhere") {
        bool dead = false;
        auto self = std::make_shared<exec::deferred>();
        *self = loop->after(1ms, [self, t = tracer(dead)] { FAIL("cancelled"); });
        auto* raw = self.get();
        self.reset();
        SUBCASE("in the driving thread") {
            loop->post([&] {
                raw->cancel();
                CHECK(dead);
            });
        }
        SUBCASE("in another") { raw->cancel(); }
        test::drain(*loop);
        CHECK(dead);
    }
}

TEST_CASE("loop: cancels from other threads race with the deadline and lose nothing") {
    const auto loop = new_loop();
    std::stop_source stop;
    std::thread driver([&] { loop->run(stop.get_token()); });
    std::atomic<int> came{0};
    std::atomic<int> destroyed{0};
    struct counted {
        std::atomic<int>* of;
        explicit counted(std::atomic<int>& what) : of(&what) {}
        counted(counted&& other) noexcept : of(std::exchange(other.of, nullptr)) {}
        ~counted() {
            if (of != nullptr) of->fetch_add(1);
        }
    };
    constexpr int per_thread = 500;
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&, t] {
            for (int i = 0; i < per_thread; ++i) {
                auto timer = loop->after(milliseconds((i + t) % 3), [&, c = counted(destroyed)] { came.fetch_add(1); });
                if (i % 3 == 0) timer.detach();
                if (i % 3 == 1) std::this_thread::yield();
            }
        });
    }
    for (auto& thread : threads) thread.join();
    std::atomic<bool> settled{false};
    loop->post([&] { settled = true; });
    const auto last = loop->after(20ms, [] {});
    while (!settled) std::this_thread::yield();
    stop.request_stop();
    driver.join();
    CHECK(test::drive_until(*loop, [&] { return destroyed == 4 * per_thread; }));
    CHECK(came >= 4 * (per_thread / 3));  // the detached ones
    CHECK(came <= 4 * per_thread);
}

TEST_CASE("loop: run blocks until the stop, which may come from any thread and from a callback") {
    const auto loop = new_loop();
    SUBCASE("from another thread") {
        std::stop_source stop;
        std::thread stopper([&] { stop.request_stop(); });
        loop->run(stop.get_token());
        stopper.join();
    }
    SUBCASE("from a callback") {
        std::stop_source stop;
        loop->post([&] { stop.request_stop(); });
        loop->run(stop.get_token());
    }
    SUBCASE("before it began") {
        std::stop_source stop;
        stop.request_stop();
        loop->run(stop.get_token());
    }
    CHECK(test::drain(*loop) == 0);
    CHECK_FALSE(test::readable(loop->poll_fd()));
}

TEST_CASE("loop: driven_here is true in the callbacks and nowhere else") {
    const auto loop = new_loop();
    const auto other = new_loop();
    CHECK_FALSE(loop->driven_here());
    bool here = false;
    bool other_here = true;
    bool elsewhere = true;
    loop->post([&] {
        here = loop->driven_here();
        other_here = other->driven_here();
        std::thread([&] { elsewhere = loop->driven_here(); }).join();
    });
    loop->run_ready();
    CHECK(here);
    CHECK_FALSE(other_here);
    CHECK_FALSE(elsewhere);
    CHECK_FALSE(loop->driven_here());
}

TEST_CASE("loop: a second driver is misuse, on another thread and inside a callback") {
    const test::misuse_throws guard;
    const auto loop = new_loop();
    loop->post([&] {
        CHECK_THROWS_WITH_AS(loop->run_ready(), "loop: driven from inside one of its own callbacks", test::misuse);
        std::thread([&] {
            CHECK_THROWS_WITH_AS(loop->run_ready(), "loop: driven by two threads at once", test::misuse);
        }).join();
    });
    CHECK(loop->run_ready() == 1);
    CHECK(loop->exceptions() == 0);
    bool fine = false;
    loop->post([&] { fine = true; });
    loop->run_ready();
    CHECK(fine);
    CHECK_THROWS_WITH_AS(loop->post({}), "loop: an empty callback was posted", test::misuse);
    CHECK_THROWS_WITH_AS((void)loop->after(1ms, {}), "loop: an empty callback was deferred", test::misuse);
}

TEST_CASE("loop: an exception ends at the border, is told in one line and counted") {
    std::vector<std::string> lines;
    const auto loop = new_loop({.log = [&](std::string_view line) {
        lines.emplace_back(line);
        throw 1;  // not even the log's own comes out
    }});
    int after = 0;
    loop->post([] { throw std::runtime_error("disk on fire"); });
    loop->post([&] { ++after; });
    const auto timer = loop->after(0ms, [] { throw 7; });
    CHECK(loop->run_ready() == 4);  // two posts, the deferral's arrival, its call
    CHECK(after == 1);
    CHECK(loop->exceptions() == 2);
    REQUIRE(lines.size() == 2);
    CHECK(lines[0] == "post: a callback threw: disk on fire");
    CHECK(lines[1] == "after: a callback threw");
}

TEST_CASE("loop: after shutdown it is closing and can still be driven") {
    const auto loop = new_loop();
    CHECK_FALSE(loop->closing());
    int came = 0;
    loop->post([&] { ++came; });
    loop->shutdown(10s);  // nothing runs: it does not wait
    CHECK(loop->closing());
    CHECK(came == 1);
    loop->post([&] { ++came; });
    CHECK(test::drain(*loop) == 1);
    CHECK(came == 2);
    loop->shutdown(0ms);
}

TEST_CASE("loop: its end calls what was posted and destroys what was deferred") {
    bool posted = false;
    bool deferred_called = false;
    bool deferred_dead = false;
    std::error_code answered;
    exec::deferred handle;
    {
        const auto loop = new_loop();
        exec::reply<void> owed = [&](exec::result<void> answer) { answered = answer.error().code; };
        loop->post([&] { posted = true; });
        handle = loop->after(1h, [&, t = tracer(deferred_dead), owed = std::move(owed)] { deferred_called = true; });
    }
    CHECK(posted);
    CHECK_FALSE(deferred_called);
    CHECK(deferred_dead);
    CHECK(answered == exec::errc::broken_reply);
    handle.cancel();  // outlived its loop
}

TEST_CASE("loop: the child of a host's fork has an inert copy and the parent notices nothing") {
    const auto loop = new_loop();
    int came = 0;
    loop->post([&] { ++came; });
    const auto timer = loop->after(30ms, [&] { ++came; });
    SUBCASE("forked between turns") {
        const pid_t child = ::fork();
        REQUIRE(child >= 0);
        if (child == 0) {
            const auto in_child = [&] {
                if (loop->run_ready() != 0 || came != 0) return 1;
                loop->post([&] { came = 100; });
                (void)loop->after(0ms, [&] { came = 100; });
                loop->shutdown(1h);
                loop->run(std::stop_token{});
                if (came != 0) return 2;
                auto& owner = const_cast<std::unique_ptr<exec::loop>&>(loop);
                const int epoll = owner->poll_fd();
                owner.reset();
                return ::fcntl(epoll, F_GETFD) == -1 && came == 0 ? 0 : 3;
            };
            ::_exit(in_child());
        }
        int status = 0;
        REQUIRE(::waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status));
        CHECK(WEXITSTATUS(status) == 0);
    }
    SUBCASE("forked by a callback that returns into the loop") {
        pid_t child = -1;
        int second = 0;
        loop->post([&] { child = ::fork(); });
        loop->post([&] { ++second; });
        loop->run_ready();
        if (child == 0) ::_exit(second == 0 && loop->run_ready() == 0 ? 0 : 1);
        REQUIRE(child > 0);
        int status = 0;
        REQUIRE(::waitpid(child, &status, 0) == child);
        CHECK(WEXITSTATUS(status) == 0);
        CHECK(second == 1);
    }
    CHECK(test::drive_until(*loop, [&] { return came == 2; }));
}
