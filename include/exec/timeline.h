// The time model of one command, as a pure state machine: no clock, no system call, no thread.
//
//   running -> (run_timeout | idle_timeout | deadline | consumer | stop()) -> asked -> grace over -> killed
//           -> exited -> draining -> over
//
// Whoever runs a command tells it what happened and when (begin, activity, pause, stop, exited, closed), asks next()
// what to do now until the answer is `none`, and comes back at wake(). Local, SSH and scripted runners all follow it, so
// they time out alike. An exit must be told before next() is asked for the same moment: an exit that was seen first wins
// over a deadline.
// Threads: a value; one thread at a time.
#pragma once

#include <algorithm>
#include <cstdint>

#include "exec/limits.h"
#include "exec/outcome.h"
#include "exec/time.h"

namespace exec::inline v0 {

class timeline {
   public:
    enum class action : std::uint8_t {
        none,
        heartbeat,  // call observer::on_heartbeat
        ask,        // the polite signal to the group, and CONT
        kill,       // KILL to the group; asked for again every `kill_again` until exited()
        cut,        // stop reading what is still held open: the stream is not complete. Then over.
        give_up,    // killed and still not gone (a process in uninterruptible sleep): answer without it. Then over.
    };
    // A member that was being born during a KILL, or came in by setpgid, is caught by the next one.
    static constexpr milliseconds kill_again{20};
    // How long a killed leader may take to die. The "small constant" of the bound on a whole call.
    static constexpr milliseconds unreaped_after{1000};

    constexpr timeline() = default;
    constexpr timeline(const limits& within, time_point begin) noexcept
        : run_timeout_(within.run_timeout),
          idle_timeout_(within.idle_timeout),
          beat_(within.heartbeat),
          consumer_timeout_(within.consumer_timeout),
          grace_(within.stop.grace),
          drain_idle_(within.drain_idle),
          drain_max_(within.drain_max),
          deadline_(within.deadline.value_or(never)),
          begin_(begin),
          quiet_since_(begin),
          next_beat_(saturating_add(begin, within.heartbeat)) {}

    // Output arrived.
    constexpr void activity(time_point now) noexcept { quiet_since_ = now; }
    // The observer holds the output. The idle and drain clocks stand still until resume; run and deadline do not.
    constexpr void pause(time_point now) noexcept {
        if (paused_since_ == never) paused_since_ = now;
    }
    constexpr void resume(time_point now) noexcept {
        if (paused_since_ == never) return;
        quiet_since_ = saturating_add(quiet_since_, held(now));
        if (phase_ == phase::draining)
            drain_end_ =
                (std::min)(saturating_add(drain_end_, now - (std::max)(paused_since_, exited_)), longest_drain_);
        paused_since_ = never;
    }
    constexpr bool paused() const noexcept { return paused_since_ != never; }

    // Begins the stop policy. The first cause stays; a later call can only make the grace shorter. After exited() there is
    // nobody left to stop: the grace then bounds what is still read, and the cause stays nobody. Only observer_failed
    // is recorded even then: an exception of the host's must not vanish because the command was quick.
    // Whoever stops a command is not made to wait for itself: a pause then extends the drain no longer.
    constexpr void stop(stop_reason why, milliseconds grace, time_point now) noexcept {
        grace = (std::max)(grace, milliseconds::zero());
        switch (phase_) {
            case phase::running:
                cause_ = why;
                phase_ = phase::stopping;
                [[fallthrough]];
            case phase::stopping: grace_ = (std::min)(grace_, grace); return;
            case phase::asked: grace_end_ = (std::min)(grace_end_, saturating_add(now, grace)); return;
            case phase::draining:
                cut_ = (std::min)(cut_, saturating_add(now, (std::min)(grace, drain_max_)));
                if (why == stop_reason::observer_failed && cause_ == stop_reason::nobody) cause_ = why;
                return;
            case phase::killed:
            case phase::over: return;
        }
    }
    // The leader has ended. Over at once if every stream is at its end.
    constexpr void exited(time_point now) noexcept {
        if (phase_ == phase::draining || phase_ == phase::over) return;
        phase_ = closed_ ? phase::over : phase::draining;
        exited_ = now;
        quiet_since_ = now;
        drain_end_ = saturating_add(now, drain_max_);
        longest_drain_ = saturating_add(drain_end_, consumer_timeout_);
        if (stopped_by_its_caller()) cut_ = drain_end_;
    }
    // Every stream is at its end. Over at once if the leader has ended.
    constexpr void closed() noexcept {
        closed_ = true;
        if (phase_ == phase::draining) phase_ = phase::over;
    }

    // What to do now: at most one thing a call. Ask again until `none`.
    constexpr action next(time_point now) noexcept {
        if (phase_ == phase::running) watch(now);
        switch (phase_) {
            case phase::running: return beat(now);
            case phase::stopping:
                if (grace_ == milliseconds::zero() || now >= deadline_) return killing(now);
                phase_ = phase::asked;
                // Counted from here, so that a host that was late does not take it away from the command.
                grace_end_ = (std::min)(saturating_add(now, grace_), deadline_);
                return action::ask;
            case phase::asked: return now >= grace_end_ ? killing(now) : beat(now);
            case phase::killed:
                if (now >= give_up_) {
                    phase_ = phase::over;
                    return action::give_up;
                }
                return now >= next_kill_ ? kill_once(now) : action::none;
            case phase::draining:
                if (now < drain_ends()) return action::none;
                if (now >= held_until() && cause_ == stop_reason::nobody) cause_ = stop_reason::consumer;
                phase_ = phase::over;
                return action::cut;
            case phase::over: return action::none;
        }
        return action::none;
    }
    // When next() has something to say again, if nothing happens before. Once it said `none` for a moment, later than that
    // moment.
    constexpr time_point wake() const noexcept {
        switch (phase_) {
            case phase::running: return (std::min)(next_beat_, first_limit().when);
            case phase::stopping: return begin_;
            case phase::asked: return (std::min)(next_beat_, grace_end_);
            case phase::killed: return (std::min)(next_kill_, give_up_);
            case phase::draining: return drain_ends();
            case phase::over: return never;
        }
        return never;
    }

    constexpr bool over() const noexcept { return phase_ == phase::over; }
    constexpr bool running() const noexcept { return phase_ == phase::running; }
    constexpr bool has_exited() const noexcept { return exited_ != never; }
    constexpr bool was_killed() const noexcept { return give_up_ != never; }
    constexpr stop_reason cause() const noexcept { return cause_; }
    constexpr time_point began_at() const noexcept { return begin_; }
    constexpr time_point exited_at() const noexcept { return exited_; }

   private:
    enum class phase : std::uint8_t { running, stopping, asked, killed, draining, over };
    struct limit {
        time_point when;
        stop_reason why;
    };

    // What of the pause falls behind the last sign of life.
    constexpr nanoseconds held(time_point now) const noexcept { return now - (std::max)(paused_since_, quiet_since_); }

    constexpr limit first_limit() const noexcept {
        limit first{saturating_add(begin_, run_timeout_), stop_reason::run_timeout};
        const auto consider = [&first](time_point when, stop_reason why) {
            if (when < first.when) first = {when, why};
        };
        consider(deadline_, stop_reason::deadline);
        if (!paused()) consider(saturating_add(quiet_since_, idle_timeout_), stop_reason::idle_timeout);
        consider(held_until(), stop_reason::consumer);
        return first;
    }
    constexpr void watch(time_point now) noexcept {
        const auto first = first_limit();
        if (now >= first.when) stop(first.why, unlimited, now);
    }
    constexpr action beat(time_point now) noexcept {
        if (now < next_beat_) return action::none;
        next_beat_ = saturating_add(now, beat_);
        return action::heartbeat;
    }
    constexpr action killing(time_point now) noexcept {
        phase_ = phase::killed;
        give_up_ = saturating_add(now, unreaped_after);
        return kill_once(now);
    }
    constexpr action kill_once(time_point now) noexcept {
        next_kill_ = saturating_add(now, kill_again);
        return action::kill;
    }
    constexpr bool stopped_by_its_caller() const noexcept {
        return cause_ == stop_reason::cancelled || cause_ == stop_reason::observer_failed ||
               cause_ == stop_reason::shutdown;
    }
    // When an observer that holds the output is given up. In the drain all pauses together may take no longer than one:
    // an observer that is slow again and again may meet a writer that never ends.
    constexpr time_point held_until() const noexcept {
        return paused() ? (std::min)(saturating_add(paused_since_, consumer_timeout_), longest_drain_) : never;
    }
    // A paused observer is owed what the pipe holds, until it is given up.
    constexpr time_point drain_ends() const noexcept {
        const auto end = paused() ? held_until() : (std::min)(drain_end_, saturating_add(quiet_since_, drain_idle_));
        return (std::min)({end, deadline_, cut_});
    }

    milliseconds run_timeout_ = unlimited;
    milliseconds idle_timeout_ = unlimited;
    milliseconds beat_ = unlimited;
    milliseconds consumer_timeout_ = unlimited;
    milliseconds grace_{};
    milliseconds drain_idle_ = unlimited;
    milliseconds drain_max_ = unlimited;
    time_point deadline_ = never;
    time_point begin_{};
    time_point quiet_since_{};
    time_point next_beat_ = never;
    time_point paused_since_ = never;
    time_point grace_end_ = never;
    time_point next_kill_ = never;
    time_point give_up_ = never;
    time_point exited_ = never;
    time_point drain_end_ = never;
    time_point longest_drain_ = never;
    time_point cut_ = never;
    stop_reason cause_ = stop_reason::nobody;
    phase phase_ = phase::running;
    bool closed_ = false;
};

}  // namespace exec::inline v0
