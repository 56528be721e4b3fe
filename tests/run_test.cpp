// run(): one command in the calling thread, and what it costs there; with the costs of a start on a loop beside it.
#include <exec/local_runner.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "allocations.h"
#include "guards.h"
#include "living.h"
#include "local_host.h"

using namespace std::chrono_literals;
using exec::bytes_view;
using exec::exit_status;
using exec::flow;
using exec::stop_reason;
using exec::stream;
using test::child;
using test::drive;
using test::heard;
using test::local_host;
using test::sh;

namespace {

exec::result<exec::outcome> run_with(heard& to, exec::command what, exec::limits within = {},
                                     std::stop_token stop = {}) {
    test::listener tell(to);
    return exec::run(std::move(what), std::move(within), tell, std::move(stop));
}

}  // namespace

TEST_CASE("run: the shortest program there is") {
    const test::process_guard nothing_left;
    const auto ended = exec::run({.program_and_args = exec::argv("echo", "hello")});
    REQUIRE(ended.has_value());
    CHECK(ended->ok());
    CHECK(ended->out.bytes == "hello\n");
    CHECK(ended->where == "host");
    CHECK(ended->began == exec::started::yes);
}

TEST_CASE("run: the caller's thread hears everything, and the end by the return value alone") {
    const test::process_guard nothing_left;
    heard to;
    const auto here = std::this_thread::get_id();
    bool elsewhere = false;
    const auto look = [&] { elsewhere = elsewhere || std::this_thread::get_id() != here; };
    to.on_start = look;
    to.on_output = [&](stream, bytes_view) {
        look();
        return flow::pause;  // means `more`: a call that blocks holds the command by blocking
    };
    to.on_heartbeat = [&] {
        look();
        return flow::more;
    };
    exec::limits within;
    within.heartbeat = 10ms;
    const auto ended = run_with(to, sh("echo one; sleep 0.1; echo two >&2; exit 3"), within);
    REQUIRE(ended.has_value());
    CHECK(ended->exit == exit_status::exited(3));
    CHECK(to.pid.has_value());
    CHECK(to.out == "one\n");
    CHECK(to.err == "two\n");
    CHECK(to.heartbeats > 0);
    CHECK_FALSE(to.end.has_value());
    CHECK_FALSE(elsewhere);
    CHECK(to.broken.empty());
}

TEST_CASE("run: no thread is made, and no descriptor but its own is open while it runs") {
    const test::process_guard nothing_left;
    heard to;
    std::vector<std::string> during;
    to.on_start = [&] { during = nothing_left.changes(); };
    REQUIRE(run_with(to, child({"exit", "0"})).has_value());
    std::size_t descriptors = 0;
    for (const auto& change : during) {
        const bool descriptor = change.starts_with("new descriptor");
        const bool its_child = change.starts_with("new child");
        CHECK_MESSAGE((descriptor || its_child), change);
        if (descriptor) ++descriptors;
    }
    CHECK(descriptors == 3);  // two pipes and the pidfd
}

TEST_CASE("run: a stop request ends it, whenever it comes") {
    const test::process_guard nothing_left;
    const test::scratch_directory scratch;
    std::stop_source before;
    before.request_stop();
    heard to;
    const auto never = run_with(to, sh("> \"$1\"", {scratch / "ran"}), {}, before.get_token());
    REQUIRE_FALSE(never.has_value());
    CHECK(never.error().code == exec::errc::cancelled);
    CHECK_FALSE(test::exists(scratch / "ran"));

    std::stop_source within_callback;
    to = {};
    to.on_output = [&](stream, bytes_view) {
        within_callback.request_stop();
        within_callback.request_stop();
        return flow::more;
    };
    auto ended = run_with(to, child({"on-term", "7"}), {}, within_callback.get_token());
    REQUIRE(ended.has_value());
    CHECK(ended->stopped_by == stop_reason::cancelled);
    CHECK(ended->exit == exit_status::exited(7));

    std::stop_source from_outside;
    std::atomic<bool> ready{false};
    std::thread other([&] {
        while (!ready.load()) std::this_thread::yield();
        from_outside.request_stop();
    });
    to = {};
    to.on_output = [&](stream, bytes_view) {
        ready = true;
        return flow::more;
    };
    ended = run_with(to, child({"on-term", "7"}), {}, from_outside.get_token());
    other.join();
    REQUIRE(ended.has_value());
    CHECK(ended->stopped_by == stop_reason::cancelled);
    CHECK(ended->exit == exit_status::exited(7));

    // And one that never comes changes nothing.
    std::stop_source idle;
    CHECK(exec::run(child({"exit", "0"}), {}, idle.get_token())->ok());
}

TEST_CASE("run: one source of stop requests ends many runs") {
    const test::process_guard nothing_left;
    std::stop_source all;
    std::atomic<int> ready{0};
    std::atomic<int> cancelled{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 8; ++i) {
        threads.emplace_back([&] {
            heard to;
            to.on_output = [&](stream, bytes_view) {
                ++ready;
                return flow::more;
            };
            const auto ended = run_with(to, child({"on-term", "7"}), {}, all.get_token());
            if (ended && ended->stopped_by == stop_reason::cancelled && ended->exit == exit_status::exited(7))
                ++cancelled;
        });
    }
    while (ready.load() < 8) std::this_thread::yield();
    all.request_stop();
    for (auto& thread : threads) thread.join();
    CHECK(cancelled == 8);
}

TEST_CASE("run: an exception that leaves a callback ends the command, and the caller is told what it was") {
    const test::process_guard nothing_left;
    for (const std::string where : {"start", "output", "gap", "heartbeat"}) {
        CAPTURE(where);
        heard to;
        const auto fail_in = [&](const std::string& in) {
            if (in == where) throw std::runtime_error("the host's");
        };
        to.on_start = [&] { fail_in("start"); };
        to.on_output = [&](stream, bytes_view) {
            fail_in("output");
            return flow::more;
        };
        to.on_gap = [&] { fail_in("gap"); };
        to.on_heartbeat = [&] {
            fail_in("heartbeat");
            return flow::more;
        };
        exec::limits within;
        within.heartbeat = 20ms;
        within.out.show = 1;
        const auto ended = run_with(to, sh("echo one; sleep 0.1; exit 0"), within);
        REQUIRE(ended.has_value());
        CHECK(ended->stopped_by == stop_reason::observer_failed);
        CHECK_FALSE(ended->ok());
    }
}

TEST_CASE("run: inside a callback of a loop, which the local runner does not need") {
    const test::process_guard nothing_left;
    local_host host;
    exec::result<exec::outcome> ended = exec::fail(exec::errc::cancelled);
    bool done = false;
    host.on().post([&] {
        ended = host.local().run(child({"exit", "4"}));
        done = true;
    });
    REQUIRE(test::drive_until(host.on(), [&] { return done; }));
    REQUIRE(ended.has_value());
    CHECK(ended->exit == exit_status::exited(4));
}

TEST_CASE("run: a slow observer holds the command back, and memory does not grow") {
    const test::process_guard nothing_left;
    heard to;
    std::size_t seen = 0;
    int slow = 0;
    to.on_output = [&](stream, bytes_view bytes) {
        seen += bytes.size();
        if (slow < 3) {
            ++slow;
            std::this_thread::sleep_for(50ms);  // slowness is the subject
        }
        to.out.clear();
        return flow::more;
    };
    exec::limits within;
    within.out.kept = exec::keep::nothing;
    within.out.then = exec::at_cap::discard;
    const auto ended = run_with(to, child({"flood", "8000000"}), within);
    REQUIRE(ended.has_value());
    CHECK(seen == 8'000'000);
    CHECK(ended->ok());
}

TEST_CASE("run: the time that an observer takes is no idle time of the command") {
    const test::process_guard nothing_left;
    heard to;
    exec::limits within;
    within.idle_timeout = 700ms;
    to.on_output = [&](stream, bytes_view) {
        if (to.chunks == 1) std::this_thread::sleep_for(1s);  // longer than idle_timeout: the subject
        return flow::more;
    };
    // Speaks every 100 ms; its observer is what is slow.
    const auto ended = run_with(to, child({"trickle", "15", "100"}), within);
    REQUIRE(ended.has_value());
    CHECK(ended->stopped_by == stop_reason::nobody);
    CHECK(ended->ok());
    CHECK(to.out == "abcdefghijklmno");
}

TEST_CASE("run: nor is it taken from the drain") {
    const test::process_guard nothing_left;
    heard to;
    exec::limits within;
    within.drain_idle = 700ms;
    within.drain_max = 20s;
    to.on_output = [&](stream, bytes_view) {
        if (to.chunks == 1) std::this_thread::sleep_for(1s);  // longer than idle_timeout: the subject
        return flow::more;
    };
    const auto ended = run_with(to, sh("\"$1\" trickle 15 100 & exit 0", {EXEC_TEST_CHILD}), within);
    REQUIRE(ended.has_value());
    CHECK(ended->out.complete);
    CHECK(to.out == "abcdefghijklmno");
}

TEST_CASE("run: it takes nothing from the heap but what it keeps of each stream") {
    const test::process_guard nothing_left;
    struct expected {
        const char* script;
        std::size_t allocations;
    };
    for (const auto& each :
         {expected{"exit 0", 0}, expected{"echo 0123456789abcdef", 1}, expected{"ls /; ls / >&2", 2}}) {
        CAPTURE(std::string(each.script));
        static_cast<void>(exec::run(sh(each.script)));
        auto what = sh(each.script);
        const exec::limits within;
        const test::allocations counted;
        const auto ended = exec::run(std::move(what), within);
        CHECK(counted.count() == each.allocations);
        REQUIRE(ended.has_value());
        CHECK(ended->ok());
    }
    // And the same by way of a runner, with an observer.
    local_host host;
    exec::observer nobody;
    auto what = sh("ls /; ls / >&2");
    const test::allocations counted;
    const auto ended = host.local().run(std::move(what), {}, nobody, {});
    CHECK(counted.count() == 2);
    CHECK(ended->ok());
}

TEST_CASE("run: a start on a loop is one allocation, and one for each stream of which something is kept") {
    const test::process_guard nothing_left;
    struct expected {
        const char* script;
        std::size_t allocations;
    };
    struct last_words final : exec::observer {
        explicit last_words(bool& to_tell) : ended(to_tell) {}
        void on_done(exec::result<exec::outcome> how) override { ended = how.has_value() && how->ok(); }
        bool& ended;
    };
    local_host host;
    for (const auto& each :
         {expected{"exit 0", 1}, expected{"echo 0123456789abcdef", 2}, expected{"ls /; ls / >&2", 3}}) {
        CAPTURE(std::string(each.script));
        // The loop makes room for the most watches that were ever ready at once; what is left is the run's own.
        std::size_t least = 1000;
        for (int round = 0; round < 20; ++round) {
            bool ended = false;
            auto what = sh(each.script);
            auto tell = std::make_unique<last_words>(ended);
            const test::allocations counted;
            {
                const auto handle = host.local().start(std::move(what), {}, std::move(tell));
                while (!ended) {
                    REQUIRE(test::readable(host.on().poll_fd(), test::patience_ms));
                    host.on().run_ready();
                }
            }
            least = (std::min)(least, counted.count());
        }
        CHECK(least == each.allocations);
    }
}
