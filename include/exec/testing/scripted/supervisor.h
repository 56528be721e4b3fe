// One scripted command from its start to its end: the child, the time model and the captures, and what the observer is told.
//
// It knows no loop and no clock: whoever drives it says up to which moment it may go on, and every event until then is
// played at its own moment, so that an hour that passes at once is still told in order.
// Threads: one at a time; other threads leave what they want in the mailbox.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "exec/bytes.h"
#include "exec/capture.h"
#include "exec/error.h"
#include "exec/limits.h"
#include "exec/observer.h"
#include "exec/outcome.h"
#include "exec/result.h"
#include "exec/testing/script.h"
#include "exec/testing/scripted/child.h"
#include "exec/testing/scripted/mailbox.h"
#include "exec/testing/scripted/order.h"
#include "exec/testing/scripted/teller.h"
#include "exec/time.h"
#include "exec/timeline.h"

namespace exec::inline v0::testing::scripted {

class supervisor {
   public:
    // `tell` may be null.
    supervisor(order what, const scripted_call& asked, observer* tell, time_point called)
        : asked_(std::move(what.asked)),
          script_(std::move(what.plays)),
          refused_(std::move(what.refused)),
          at_(std::move(what.at)),
          pid_(what.pid),
          within_(asked.within),
          teller_(tell, asked_),
          called_(called),
          ready_at_(saturating_add(called, script_->connect_)),
          now_(called),
          input_(asked.what.in.data()),
          // Nothing is typed on a terminal, and nothing is no end.
          input_ends_(asked.what.in.what() == input::kind::bytes ||
                      (asked.what.in.what() == input::kind::none && !asked.what.terminal)),
          child_(script_, asked.what.merge_err_into_out || asked.what.terminal.has_value()),
          kept_{capture(within_.out), capture(within_.err)} {}

    // See teller.
    void calls_may_block(const time_source* clock) noexcept { teller_.calls_may_block(clock); }

    // Plays what is due until then.
    void advance(time_point upto) {
        for (step(); !finished() && wake() <= upto; step()) now_ = (std::max)(now_, wake());
        if (!finished() && upto != never) now_ = (std::max)(now_, upto);
    }
    // Later than what was played; `never` if only somebody else can make it go on.
    time_point wake() const noexcept {
        return state_ == state::connecting ? (std::min)({latest(), ready_at_, asked_->next(true)})
                                           : (std::min)({child_.wake(), clock_.wake(), asked_->next(false)});
    }
    time_point now() const noexcept { return now_; }
    void stop(stop_reason why, milliseconds grace) {
        if (state_ == state::running) {
            clock_.stop(why, grace, now_);
        } else if (state_ == state::connecting) {
            conclude(fail(why == stop_reason::shutdown ? errc::shutting_down : errc::cancelled));
        }
    }
    bool finished() const noexcept { return state_ == state::over; }
    // Tells the last gaps, and hands over how it ended. REQUIRES: finished().
    result<outcome> take() {
        if (!ended_) ended_.emplace(outcome_of_run());
        return *std::move(ended_);
    }

   private:
    enum class state : std::uint8_t { connecting, running, over };

    // The start --------------------------------------------------------------------------------------------------------

    time_point latest() const noexcept {
        return (std::min)(saturating_add(called_, within_.start_timeout), within_.deadline.value_or(never));
    }
    void connect() {
        if (refused_) return conclude(*std::move(refused_));
        if (asked_->next(true) <= now_) return conclude(fail(errc::cancelled));
        if (now_ >= latest()) return conclude(fail(errc::start_timeout));
        if (now_ < ready_at_) return;
        if (script_->failure_) return conclude(*script_->failure_);
        if (script_->unconfirmed_) return conclude(unconfirmed());
        begin();
    }
    void begin() {
        state_ = state::running;
        auto timed = within_;
        if (teller_.blocking()) timed.consumer_timeout = unlimited;
        clock_ = timeline(timed, now_);
        asked_->began();
        const start_info info{pid_, at_->where, within_};
        tell([&](observer& to) { to.on_start(info); });
    }
    // Without a run.
    void conclude(result<outcome> how) {
        finish();
        ended_.emplace(std::move(how));
    }
    outcome unconfirmed() const {
        outcome how;
        how.broke = script_->unconfirmed_;
        how.began = started::unknown;
        how.out.complete = how.err.complete = false;
        how.within = within_;
        how.where = at_->where;
        how.took.connect = how.took.total = now_ - called_;
        return how;
    }

    // The run ----------------------------------------------------------------------------------------------------------

    // Everything that happens at this moment.
    void step() {
        if (state_ == state::connecting) connect();
        for (bool more = state_ == state::running; more && state_ == state::running;) {
            obey();
            child_.play(now_);
            more = feed();
            more = read(0) || more;
            more = read(1) || more;
            look_at_end();
            more = act() || more;
        }
    }
    void obey() {
        while (const auto next = asked_->take(now_)) {
            switch (next->what) {
                case mailbox::kind::stop: clock_.stop(stop_reason::cancelled, next->grace, now_); break;
                case mailbox::kind::resume: clock_.resume(now_); break;
                case mailbox::kind::signal: child_.deliver(next->number); break;
                case mailbox::kind::input: input_ += next->bytes; break;
                case mailbox::kind::end_of_input: input_ends_ = true; break;
            }
        }
    }

    // Each returns whether anything happened that may lead to more.
    bool feed() {
        std::size_t count = 0;
        if (child_.reads()) {
            auto& pipe = child_.given();
            count = (std::min)(child::pipe_bytes - pipe.size(), input_.size());
            pipe.append(input_, 0, count);
            input_.erase(0, count);
            in_taken_ += count;
            asked_->accepted(count);
        } else {
            asked_->deafen();
        }
        const bool ends = input_ends_ && input_.empty() && child_.end_of_input();
        if (!asked_->owes_room()) return count != 0 || ends;
        tell([](observer& to) { to.on_room(); });
        return true;
    }
    bool read(std::size_t index) {
        auto& pipe = child_.said(index);
        if (clock_.paused() || pipe.empty()) return false;
        const auto bytes = std::exchange(pipe, {});
        clock_.activity(now_);
        const auto at = kept_[index].total();
        kept_[index].append(bytes);
        show(index, at, bytes);
        if (kept_[index].over() && policy(index).then == at_cap::stop) {
            clock_.stop(stop_reason::output_limit, unlimited, now_);
        }
        return true;
    }
    void show(std::size_t index, std::uint64_t at, bytes_view bytes) {
        const auto allowed = policy(index).show - shown_[index];
        bytes = bytes.substr(0, static_cast<std::size_t>((std::min)(allowed, std::uint64_t{bytes.size()})));
        if (bytes.empty() || !teller_.listening()) return;
        shown_[index] = at + bytes.size();
        asked_->forget_resumes(now_);
        tell([&](observer& to) { return to.on_output(name(index), at, bytes); });
    }
    void look_at_end() {
        if (!child_.exit()) return;
        if (!clock_.has_exited()) {
            asked_->ended();
            clock_.exited(now_);
        }
        if (!child_.holds_output() && child_.said(0).empty() && child_.said(1).empty()) clock_.closed();
    }
    bool act() {
        for (bool acted = false;; acted = true) {
            switch (clock_.next(now_)) {
                case timeline::action::none:
                    if (clock_.over()) finish();
                    return acted;
                case timeline::action::heartbeat: {
                    const auto running = std::chrono::duration_cast<milliseconds>(now_ - clock_.began_at());
                    if (!clock_.paused()) asked_->forget_resumes(now_);
                    tell([&](observer& to) { return to.on_heartbeat(running); });
                    break;
                }
                case timeline::action::ask: child_.deliver(within_.stop.polite); return true;
                case timeline::action::kill: child_.deliver(9); return true;
                case timeline::action::cut:
                case timeline::action::give_up: cut(); break;
            }
        }
    }
    // What the pipes hold is taken, what is not there yet is given up. An observer that holds the output does not see it.
    void cut() {
        const bool held = clock_.paused();
        for (std::size_t index = 0; index < 2; ++index) {
            const auto bytes = std::exchange(child_.said(index), {});
            const auto at = kept_[index].total();
            kept_[index].append(bytes);
            if (!held) show(index, at, bytes);
            complete_[index] = !child_.holds_output() && (!held || bytes.empty());
        }
    }

    // The end ----------------------------------------------------------------------------------------------------------

    void finish() {
        state_ = state::over;
        asked_->ended();
    }
    tree_state left() const noexcept {
        if (child_.broke()) return tree_state::unknown;
        const bool reached = at_->can.kills_group && within_.stop.after_exit == survivors::kill;
        if (!clock_.has_exited() || (child_.holds_output() && !reached)) return tree_state::may_survive;
        return within_.contain == containment::session ? tree_state::group_gone : tree_state::gone;
    }
    outcome outcome_of_run() {
        for (std::size_t index = 0; index < 2; ++index) {
            const auto missing = kept_[index].total() - shown_[index];
            if (missing == 0) continue;
            tell([&](observer& to) { to.on_gap(name(index), shown_[index], missing); });
        }
        outcome how;
        how.exit = child_.exit().value_or(exit_status{});
        how.stopped_by = clock_.cause();
        if (teller_.failed() && how.stopped_by == stop_reason::nobody) how.stopped_by = stop_reason::observer_failed;
        how.broke = child_.broke();
        how.out = std::move(kept_[0]).take(complete_[0] && !how.broke);
        how.err = std::move(kept_[1]).take(complete_[1] && !how.broke);
        how.in_taken = in_taken_;
        how.tree = left();
        how.where = at_->where;
        if (at_->can.resource_use) how.used = script_->used_;
        const auto exited = clock_.has_exited() ? clock_.exited_at() : now_;
        how.took.connect = clock_.began_at() - called_;
        how.took.run = exited - clock_.began_at();
        how.took.drain = now_ - exited;
        how.took.total = now_ - called_;
        how.within = std::move(within_);
        return how;
    }

    template <class F>
    void tell(F&& call) {
        now_ = teller_.tell(std::forward<F>(call), clock_, now_);
    }
    static stream name(std::size_t index) noexcept { return index == 0 ? stream::out : stream::err; }
    const capture_policy& policy(std::size_t index) const noexcept { return index == 0 ? within_.out : within_.err; }

    const std::shared_ptr<mailbox> asked_;
    const std::shared_ptr<const script> script_;
    std::optional<failure> refused_;
    const std::shared_ptr<const place> at_;
    const std::int64_t pid_;
    limits within_;
    teller teller_;

    state state_ = state::connecting;
    const time_point called_;
    const time_point ready_at_;
    time_point now_;
    timeline clock_{};
    std::string input_;  // that waits for room in the child's pipe
    bool input_ends_;    // after it
    child child_;
    capture kept_[2];
    std::uint64_t shown_[2]{};
    bool complete_[2]{true, true};
    std::uint64_t in_taken_ = 0;
    std::optional<result<outcome>> ended_{};
};

}  // namespace exec::inline v0::testing::scripted
