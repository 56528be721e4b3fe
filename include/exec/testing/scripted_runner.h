// scripted_runner: a runner whose commands are played from scripts, for tests of code that uses a runner.
//
//     testing::manual_clock clock;
//     auto loop = *make_loop({.clock = &clock});
//     testing::scripted_runner runner(*loop, clock);
//     runner.next(testing::script().says("cloning\n").hangs());
//     ... the code under test starts a command ...
//     clock.advance(30s);
//     while (loop->run_ready() != 0) {
//     }
//     ... and was told of a run_timeout; no time has passed ...
//     CHECK(runner.calls().at(0).what.program_and_args == argv("git", "clone"));
//
// It keeps the promises of runner.h: limits, captures, pauses and handles are those of the real ones, and what can() denies
// is refused. Every event is played at its own moment, whatever the steps in which the clock is moved: an exit after 20 ms
// comes before a timeout of 30 s although both have become due. One command is played up to the present before the next
// one; for a finer order between commands move the clock in smaller steps.
// Threads: all members from any. Observers are called in run_ready() of the loop, or by run() in its own thread.
// loop::shutdown() does not reach a scripted command that nothing wakes: that one is ended, with
// stop_reason::shutdown, by the loop's destructor.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "exec/assert.h"
#include "exec/capabilities.h"
#include "exec/display.h"
#include "exec/loop.h"
#include "exec/runner.h"
#include "exec/testing/manual_clock.h"
#include "exec/testing/script.h"
#include "exec/testing/scripted/execution.h"
#include "exec/testing/scripted/mailbox.h"
#include "exec/testing/scripted/order.h"
#include "exec/testing/scripted/supervisor.h"

namespace exec::inline v0::testing {

struct scripted_options {
    // What it does not refuse. The default offers everything, but resource_use: nothing is charged unless a script says so.
    capabilities can = everything();
    std::string where = "script";  // start_info::where, outcome::where

    static capabilities everything() {
        capabilities all;
        for (const auto each :
             {&capabilities::input_bytes, &capabilities::input_streamed, &capabilities::terminal, &capabilities::merge,
              &capabilities::environment, &capabilities::cwd, &capabilities::signals, &capabilities::kills_group,
              &capabilities::cgroup, &capabilities::pid_namespace, &capabilities::stops_orphans,
              &capabilities::leaves_orphans, &capabilities::leaves_survivors, &capabilities::pauses}) {
            all.*each = true;
        }
        return all;
    }
};

class scripted_runner final : public runner {
   public:
    // Plays by the clock of the loop. run() then plays in a time of its own, which begins now and ends with it.
    explicit scripted_runner(loop& on, scripted_options options = {})
        : scripted_runner(on, nullptr, std::move(options)) {}
    // run() moves this clock as its command goes on.
    // REQUIRES: it is the loop's.
    scripted_runner(loop& on, manual_clock& clock, scripted_options options = {})
        : scripted_runner(on, &clock, std::move(options)) {}

    // The scripts ------------------------------------------------------------------------------------------------------

    // For the next command that has none yet; queued in the order of the calls, each used once.
    void next(script plays) {
        const std::lock_guard hold(guard_);
        queue_.push_back(std::make_shared<const script>(std::move(plays)));
    }
    // Where the queue is empty: asked in the thread that starts the command, at once by as many as start one. An empty
    // answer means that the command was not expected.
    void otherwise(std::function<std::optional<script>(const command&)> choose) {
        const std::lock_guard hold(guard_);
        choose_ = std::make_shared<const chooser>(std::move(choose));
    }
    // Queued scripts that no command has asked for: 0 at the end of most tests.
    std::size_t unplayed() const {
        const std::lock_guard hold(guard_);
        return queue_.size();
    }

    // Everything that was asked, in the order of the starts, refused and unexpected commands included. A copy.
    std::vector<scripted_call> calls() const {
        const std::lock_guard hold(guard_);
        std::vector<scripted_call> all;
        all.reserve(calls_.size());
        for (const auto& each : calls_) all.push_back(each->copy());
        return all;
    }

    // runner -----------------------------------------------------------------------------------------------------------

    // Fails with: errc::unsupported "no script for ..." where no script is found, and so as real runners do.
    execution start(command what, limits within, std::unique_ptr<observer> tell) override {
        scripted_call asked{.what = std::move(what), .within = std::move(within)};
        auto ordered = order_for(asked, at_->can);
        return scripted::scripted_execution::start(on_, std::move(ordered), asked, std::move(tell));
    }

    using runner::run;
    // Plays the script in place; takes the time of the calls to `tell`, and of what those add to the clock. May be called
    // on the thread that drives the loop.
    // REQUIRES: the command ends by itself, by its limits, or by a stop request.
    result<outcome> run(command what, limits within, observer& tell, std::stop_token stop) override {
        auto can = at_->can;
        can.input_streamed = false;  // there is no handle to write to
        scripted_call asked{.what = std::move(what), .within = std::move(within)};
        auto ordered = order_for(asked, can);
        const auto record = ordered.asked;
        scripted::supervisor run(std::move(ordered), asked, &tell, on_.now());
        run.calls_may_block(clock_);
        for (bool stopped = false;;) {
            if (stop.stop_requested() && !std::exchange(stopped, true)) run.stop(stop_reason::cancelled, unlimited);
            run.advance(run.now());
            if (run.finished()) break;
            if (stop.stop_requested() && !stopped) continue;
            const auto next = run.wake();
            if (next == never) {
                EXEC_ASSERT(stop.stop_possible() && !stopped, "scripted_runner: run() of a command that nothing ends");
                wait_for(stop);
            } else {
                if (clock_ != nullptr)
                    clock_->advance((std::max)(nanoseconds(next - clock_->now()), nanoseconds::zero()));
                run.advance(next);
            }
        }
        record->over();
        return run.take();
    }

    capabilities can() const override { return at_->can; }

   private:
    using chooser = std::function<std::optional<script>(const command&)>;

    scripted_runner(loop& on, manual_clock* clock, scripted_options options)
        : on_(on),
          clock_(clock),
          at_(std::make_shared<const scripted::place>(
              scripted::place{std::move(options.can), std::move(options.where)})) {}

    // Notes the call and finds what to play for it.
    scripted::order order_for(scripted_call& asked, const capabilities& can) {
        std::optional<failure> refused;
        std::shared_ptr<const script> plays;
        if (auto checked = check(asked.what, asked.within, can); !checked) {
            refused = std::move(checked).error();
            asked.refused = true;
        } else if (plays = script_for(asked.what); plays == nullptr) {
            refused = fail(errc::unsupported,
                           "scripted_runner: no script for " + display(asked.what.program_and_args.program()) +
                               " with " + std::to_string(asked.what.program_and_args.size() - 1) + " arguments");
        } else {
            asked.matched = true;
        }
        if (plays == nullptr) plays = std::make_shared<const script>();
        auto record = std::make_shared<scripted::mailbox>(asked);
        const std::lock_guard hold(guard_);
        calls_.push_back(record);
        return {std::move(record), std::move(plays), std::move(refused), at_, first_pid + std::int64_t(calls_.size())};
    }
    std::shared_ptr<const script> script_for(const command& what) {
        std::shared_ptr<const chooser> choose;
        {
            const std::lock_guard hold(guard_);
            if (!queue_.empty()) {
                auto front = std::move(queue_.front());
                queue_.pop_front();
                return front;
            }
            choose = choose_;
        }
        if (choose == nullptr || !*choose) return nullptr;
        auto chosen = (*choose)(what);
        return chosen ? std::make_shared<const script>(*std::move(chosen)) : nullptr;
    }
    static void wait_for(const std::stop_token& stop) {
        std::atomic<bool> requested{false};
        const std::stop_callback wake(stop, [&requested] {
            requested = true;
            requested.notify_all();
        });
        requested.wait(false);
    }

    // Above every pid that Linux gives (PID_MAX_LIMIT), so that nobody is hit by a host that uses it.
    static constexpr std::int64_t first_pid = std::int64_t{1} << 22U;

    loop& on_;
    manual_clock* const clock_;
    const std::shared_ptr<const scripted::place> at_;
    mutable std::mutex guard_{};
    std::deque<std::shared_ptr<const script>> queue_{};
    std::shared_ptr<const chooser> choose_{};
    std::vector<std::shared_ptr<const scripted::mailbox>> calls_{};
};

}  // namespace exec::inline v0::testing
