#include <doctest/doctest.h>

#include <exec/future.h>

#include <future>
#include <memory>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

#include "threaded_runner.h"

namespace {

exec::command any_command() { return {.program_and_args = exec::argv("true")}; }

exec::result<exec::outcome> at_once(exec::observer&, const std::stop_token&) { return exited_with(7); }

// Breaks its promise to call on_done.
class forgetful_runner final : public exec::runner {
   public:
    exec::execution start(exec::command, exec::limits, std::unique_ptr<exec::observer>) override { return {}; }
    exec::capabilities can() const override { return {}; }
};

}  // namespace

TEST_CASE("future: it is ready with the outcome, whether the end comes before or after start() has returned") {
    for (const auto when : {threaded_runner::returns::at_once, threaded_runner::returns::after_the_end}) {
        threaded_runner runner(at_once, when);
        for (int round = 0; round < 200; ++round) {
            const auto how = exec::future_run(runner, any_command()).get();
            REQUIRE(how.has_value());
            CHECK(how->exit == exec::exit_status::exited(7));
        }
    }
}

TEST_CASE("future: what never ran is a value too, not an exception") {
    threaded_runner runner([](exec::observer&, const std::stop_token&) -> exec::result<exec::outcome> {
        return exec::fail(exec::errc::too_busy);
    });
    const auto how = exec::future_run(runner, any_command()).get();
    REQUIRE_FALSE(how.has_value());
    CHECK(how.error().code == exec::errc::too_busy);
}

TEST_CASE("future: a stop request stops the command, and the future tells how that ended") {
    threaded_runner runner(until_stopped);
    std::stop_source stop;
    auto end = exec::future_run(runner, any_command(), {}, stop.get_token());
    stop.request_stop();
    const auto how = end.get();
    REQUIRE(how.has_value());
    CHECK(how->stopped_by == exec::stop_reason::cancelled);
}

TEST_CASE("future: a stop that was requested before the start is not lost") {
    threaded_runner runner(until_stopped);
    std::stop_source stop;
    stop.request_stop();
    CHECK(exec::future_run(runner, any_command(), {}, stop.get_token()).get().has_value());
}

TEST_CASE("future: a stop request that meets the end, or comes after it, harms nothing") {
    threaded_runner runner(at_once);
    for (int round = 0; round < 300; ++round) {
        std::stop_source stop;
        std::jthread other([&stop] { stop.request_stop(); });
        auto end = exec::future_run(runner, any_command(), {}, stop.get_token());
        CHECK(end.get().has_value());
        stop.request_stop();
    }
}

TEST_CASE("future: dropping it neither stops the command nor waits for it") {
    std::promise<void> go;
    std::promise<bool> was_stopped;
    threaded_runner runner([&](exec::observer&, const std::stop_token& stop) -> exec::result<exec::outcome> {
        go.get_future().wait();
        was_stopped.set_value(stop.stop_requested());
        return exited_with(0);
    });
    { const auto dropped = exec::future_run(runner, any_command()); }
    go.set_value();
    CHECK_FALSE(was_stopped.get_future().get());
}

TEST_CASE("future: a runner that forgets its observer is answered for") {
    forgetful_runner runner;
    const auto how = exec::future_run(runner, any_command()).get();
    REQUIRE_FALSE(how.has_value());
    CHECK(how.error().code == exec::errc::broken_reply);
}
