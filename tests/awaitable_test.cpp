#include <doctest/doctest.h>

#include <exec/awaitable.h>

#include <atomic>
#include <coroutine>
#include <exception>
#include <future>
#include <memory>
#include <optional>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

#include "threaded_runner.h"

namespace {

exec::command any_command() { return {.program_and_args = exec::argv("true")}; }

exec::result<exec::outcome> at_once(exec::observer&, const std::stop_token&) { return exited_with(7); }

// A coroutine that starts at once and frees itself at its end.
struct detached {
    struct promise_type {
        detached get_return_object() noexcept { return {}; }
        std::suspend_never initial_suspend() const noexcept { return {}; }
        std::suspend_never final_suspend() const noexcept { return {}; }
        void return_void() const noexcept {}
        void unhandled_exception() const noexcept { std::terminate(); }
    };
};

// A coroutine that starts at once and belongs to whoever holds it.
class owned {
   public:
    struct promise_type {
        owned get_return_object() { return owned(std::coroutine_handle<promise_type>::from_promise(*this)); }
        std::suspend_never initial_suspend() const noexcept { return {}; }
        std::suspend_always final_suspend() const noexcept { return {}; }
        void return_void() const noexcept {}
        void unhandled_exception() const noexcept { std::terminate(); }
    };
    owned(owned&& other) noexcept : frame_(std::exchange(other.frame_, nullptr)) {}
    ~owned() {
        if (frame_) frame_.destroy();
    }

   private:
    explicit owned(std::coroutine_handle<promise_type> frame) : frame_(frame) {}
    std::coroutine_handle<promise_type> frame_;
};

detached await_into(std::promise<exec::result<exec::outcome>>& end, exec::runner& runner, std::stop_token stop = {},
                    std::unique_ptr<exec::observer> tell = nullptr) {
    auto how = co_await exec::awaitable_run(runner, any_command(), {}, std::move(stop), std::move(tell));
    end.set_value(std::move(how));
}

}  // namespace

TEST_CASE("awaitable: the coroutine is resumed once, with the outcome, on the thread that delivers it") {
    for (const auto when : {threaded_runner::returns::at_once, threaded_runner::returns::after_the_end}) {
        threaded_runner runner(at_once, when);
        for (int round = 0; round < 300; ++round) {
            std::promise<std::pair<int, std::thread::id>> end;
            [](exec::runner& on, auto& to) -> detached {
                const auto how = co_await exec::awaitable_run(on, any_command());
                to.set_value({how.has_value() ? how->exit.number : -1, std::this_thread::get_id()});
            }(runner, end);
            const auto [code, where] = end.get_future().get();
            CHECK(code == 7);
            CHECK(where != std::this_thread::get_id());
        }
    }
}

TEST_CASE("awaitable: a coroutine may await one command after the other") {
    threaded_runner runner(at_once, threaded_runner::returns::after_the_end);
    std::promise<int> end;
    [](exec::runner& on, std::promise<int>& to) -> detached {
        int sum = 0;
        for (int round = 0; round < 20; ++round) sum += (co_await exec::awaitable_run(on, any_command()))->exit.number;
        to.set_value(sum);
    }(runner, end);
    CHECK(end.get_future().get() == 140);
    CHECK(runner.starts == 20);
}

TEST_CASE("awaitable: nothing runs before it is awaited") {
    threaded_runner runner(at_once);
    { const auto never_awaited = exec::awaitable_run(runner, any_command()); }
    CHECK(runner.starts == 0);
}

TEST_CASE("awaitable: a stop request stops the command, and the coroutine learns how that ended") {
    threaded_runner runner(until_stopped);
    std::stop_source stop;
    std::promise<exec::result<exec::outcome>> end;
    await_into(end, runner, stop.get_token());
    stop.request_stop();
    const auto how = end.get_future().get();
    REQUIRE(how.has_value());
    CHECK(how->stopped_by == exec::stop_reason::cancelled);
}

TEST_CASE("awaitable: destroying the waiting coroutine drops the command and resumes nobody") {
    std::promise<bool> stopped;
    {
        threaded_runner runner([&stopped](exec::observer& tell, const std::stop_token& stop) {
            auto how = until_stopped(tell, stop);
            stopped.set_value(true);
            return how;
        });
        bool resumed = false;
        {
            const auto waiting = [](exec::runner& on, bool& came) -> owned {
                static_cast<void>(co_await exec::awaitable_run(on, any_command()));
                came = true;
            }(runner, resumed);
        }
        CHECK(stopped.get_future().get());
        CHECK_FALSE(resumed);
    }
}

TEST_CASE("awaitable: a coroutine that has its answer may be destroyed without another word") {
    threaded_runner runner(at_once, threaded_runner::returns::after_the_end);
    std::optional<int> code;
    {
        const auto ended = [](exec::runner& on, std::optional<int>& to) -> owned {
            to = (co_await exec::awaitable_run(on, any_command()))->exit.number;
        }(runner, code);
    }
    CHECK(code == 7);
}

TEST_CASE("awaitable: an observer is told what happens before the coroutine is, and is gone by then") {
    struct watcher final : exec::observer {
        explicit watcher(std::atomic<int>& sum_of_calls) : calls(sum_of_calls) {}
        ~watcher() override { calls += 100; }
        exec::flow on_output(exec::stream, std::uint64_t, exec::bytes_view) override {
            calls += 1;
            return exec::flow::more;
        }
        void on_done(exec::result<exec::outcome>) override { calls += 10'000; }
        std::atomic<int>& calls;
    };
    threaded_runner runner([](exec::observer& tell, const std::stop_token&) -> exec::result<exec::outcome> {
        tell.on_output(exec::stream::out, 0, "x");
        tell.on_output(exec::stream::out, 1, "y");
        return exited_with(0);
    });
    std::atomic<int> calls = 0;
    std::promise<int> end;
    [](exec::runner& on, std::atomic<int>& counted, std::promise<int>& to) -> detached {
        static_cast<void>(co_await exec::awaitable_run(on, any_command(), {}, {}, std::make_unique<watcher>(counted)));
        to.set_value(counted);
    }(runner, calls, end);
    CHECK(end.get_future().get() == 102);
}

TEST_CASE("awaitable: a runner that forgets its observer is answered for") {
    class forgetful_runner final : public exec::runner {
       public:
        exec::execution start(exec::command, exec::limits, std::unique_ptr<exec::observer>) override { return {}; }
        exec::capabilities can() const override { return {}; }
    } runner;
    std::promise<exec::result<exec::outcome>> end;
    await_into(end, runner);
    const auto how = end.get_future().get();
    REQUIRE_FALSE(how.has_value());
    CHECK(how.error().code == exec::errc::broken_reply);
}
