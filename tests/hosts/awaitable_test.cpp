// A host with coroutines and no framework: a bare task type, and poll(2) underneath.
#include <doctest/doctest.h>

#include <exec/awaitable.h>
#include <exec/local_runner.h>
#include <exec/loop.h>

#include <cerrno>
#include <coroutine>
#include <exception>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include <signal.h>

#include "guards.h"
#include "poll_host.h"

namespace {

using exec::argv;

// Starts at once; belongs to whoever holds it; destroying it while it waits gives up what it waits for.
class task {
   public:
    struct promise_type {
        task get_return_object() { return task(std::coroutine_handle<promise_type>::from_promise(*this)); }
        std::suspend_never initial_suspend() const noexcept { return {}; }
        std::suspend_always final_suspend() const noexcept { return {}; }
        void return_void() const noexcept {}
        void unhandled_exception() const noexcept { std::terminate(); }
    };
    task(task&& other) noexcept : frame_(std::exchange(other.frame_, nullptr)) {}
    task& operator=(task&&) = delete;
    ~task() {
        if (frame_) frame_.destroy();
    }
    bool done() const { return frame_.done(); }

   private:
    explicit task(std::coroutine_handle<promise_type> frame) : frame_(frame) {}
    std::coroutine_handle<promise_type> frame_;
};

struct host {
    std::unique_ptr<exec::loop> loop = exec::make_loop().value();
    std::shared_ptr<exec::runner> runner = exec::make_local_runner(*loop).value();

    bool drive_until_done(const task& of) {
        return test::drive_until(*loop, [&of] { return of.done(); });
    }
};

// The output of one command becomes the argument of the next.
task count_down(host& on, std::vector<std::string>& heard) {
    std::string word = "3";
    while (word != "0") {
        exec::command next{.program_and_args = argv("sh", "-c", "printf %s $(($0 - 1))", word)};
        auto how = co_await exec::awaitable_run(*on.runner, std::move(next));
        CHECK(on.loop->driven_here());
        REQUIRE(how.has_value());
        word = how->out.bytes;
        heard.push_back(word);
    }
}

task run_into(host& on, std::optional<exec::result<exec::outcome>>& end, exec::command what, exec::limits within = {},
              std::stop_token stop = {}) {
    end = co_await exec::awaitable_run(*on.runner, std::move(what), std::move(within), std::move(stop));
}

// The pid of a command, told while it runs.
struct tells_pid final : exec::observer {
    explicit tells_pid(std::optional<std::int64_t>& to) : pid(to) {}
    void on_start(const exec::start_info& what) override { pid = what.pid; }
    std::optional<std::int64_t>& pid;
};

task run_telling_pid(host& on, std::optional<std::int64_t>& pid, bool& resumed) {
    exec::command sleep{.program_and_args = argv("sleep", "60")};
    static_cast<void>(
        co_await exec::awaitable_run(*on.runner, std::move(sleep), {}, {}, std::make_unique<tells_pid>(pid)));
    resumed = true;
}

}  // namespace

TEST_CASE("awaitable host: one command after the other, each resumed on the loop") {
    const test::process_guard nothing_left;
    host on;
    std::vector<std::string> heard;
    const auto counting = count_down(on, heard);
    REQUIRE(on.drive_until_done(counting));
    CHECK(heard == std::vector<std::string>{"2", "1", "0"});
}

TEST_CASE("awaitable host: many coroutines wait at once, and none gets another's answer") {
    const test::process_guard nothing_left;
    host on;
    std::vector<std::optional<exec::result<exec::outcome>>> ends(100);
    std::vector<task> tasks;
    for (std::size_t each = 0; each < ends.size(); ++each) {
        tasks.push_back(run_into(on, ends[each], {.program_and_args = argv("echo", std::to_string(each))}));
    }
    for (std::size_t each = 0; each < ends.size(); ++each) {
        REQUIRE(on.drive_until_done(tasks[each]));
        CHECK((*ends[each])->out.bytes == std::to_string(each) + "\n");
    }
}

TEST_CASE("awaitable host: a limit and a stop request end the wait with the true cause") {
    const test::process_guard nothing_left;
    host on;
    exec::limits short_run;
    short_run.run_timeout = exec::milliseconds(50);
    std::optional<exec::result<exec::outcome>> timed, stopped;
    const auto first = run_into(on, timed, {.program_and_args = argv("sleep", "60")}, short_run);
    std::stop_source stop;
    const auto second = run_into(on, stopped, {.program_and_args = argv("sh", "-c", "echo ready; exec sleep 60")}, {},
                                 stop.get_token());
    REQUIRE(on.drive_until_done(first));
    CHECK((*timed)->how() == exec::ended::timed_out);
    stop.request_stop();
    REQUIRE(on.drive_until_done(second));
    CHECK((*stopped)->how() == exec::ended::cancelled);
}

TEST_CASE("awaitable host: the process of a coroutine that was destroyed while it waited is gone") {
    const test::process_guard nothing_left;
    host on;
    std::optional<std::int64_t> pid;
    bool resumed = false;
    {
        const auto waiting = run_telling_pid(on, pid, resumed);
        REQUIRE(test::drive_until(*on.loop, [&pid] { return pid.has_value(); }));
    }
    // Reaped: the number is nobody's.
    REQUIRE(
        test::drive_until(*on.loop, [&pid] { return ::kill(static_cast<pid_t>(*pid), 0) == -1 && errno == ESRCH; }));
    CHECK_FALSE(resumed);
}

TEST_CASE("awaitable host: the loop's end resumes who still waits, with the cause") {
    const test::process_guard nothing_left;
    std::optional<exec::result<exec::outcome>> end;
    std::optional<task> waiting;
    {
        host on;
        waiting.emplace(run_into(on, end, {.program_and_args = argv("sleep", "60")}));
        on.loop->shutdown(exec::milliseconds(5000));
    }
    REQUIRE(end.has_value());
    if (end->has_value()) {
        CHECK((*end)->stopped_by == exec::stop_reason::shutdown);
    } else {
        CHECK(end->error().code == exec::errc::shutting_down);
    }
}
