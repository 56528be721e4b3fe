// What the handle of a scripted command leaves for whoever plays it, each thing with its moment, and the record of it for
// the test.
// Threads: any.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "exec/bytes.h"
#include "exec/command.h"
#include "exec/error.h"
#include "exec/limits.h"
#include "exec/result.h"
#include "exec/time.h"

namespace exec::inline v0::testing {

// One start() or run() of a scripted_runner: what was asked, as it was asked.
struct scripted_call {
    command what{};
    limits within{};
    bool matched = false;  // there was a script for it
    bool refused = false;  // check() said no, before any script was looked for
    std::string input{};   // what write_in took
    bool input_closed = false;
    std::vector<int> signals{};  // that signal() has sent; those of the stop policy are not among them
    std::vector<terminal_size> resizes{};
    std::vector<milliseconds> stops{};  // the grace of each stop()
    int resumes = 0;
    bool detached = false;
    bool dropped = false;
    bool over = false;  // its end was told, or nobody was left to tell
};

namespace scripted {

class mailbox {
   public:
    struct request {
        enum class kind : std::uint8_t { stop, resume, signal, input, end_of_input };
        kind what;
        time_point when;
        milliseconds grace{};
        int number = 0;
        std::string bytes{};
    };
    using kind = request::kind;

    explicit mailbox(scripted_call asked) : call_(std::move(asked)) {}

    scripted_call copy() const {
        const std::lock_guard hold(guard_);
        return call_;
    }

    // From the handle; `now` is what it knows of the time ----------------------------------------------------------------

    std::size_t write_in(bytes_view bytes, time_point now) {
        const std::lock_guard hold(guard_);
        if (call_.what.in.what() != input::kind::streamed) return 0;
        if (deaf_ || call_.input_closed) return bytes.size();
        const auto bound = call_.within.in_queue;
        const auto taken = (std::min)(bytes.size(), bound - (std::min)(bound, waiting_));
        if (taken < bytes.size()) owes_room_ = true;
        if (taken == 0) return 0;
        waiting_ += taken;
        call_.input += bytes.substr(0, taken);
        leave({.what = kind::input, .when = now, .bytes = std::string(bytes.substr(0, taken))});
        return taken;
    }
    void close_in(time_point now) {
        const std::lock_guard hold(guard_);
        if (std::exchange(call_.input_closed, true)) return;
        leave({.what = kind::end_of_input, .when = now});
    }
    void resume(time_point now) {
        const std::lock_guard hold(guard_);
        ++call_.resumes;
        leave({.what = kind::resume, .when = now});
    }
    result<void> signal(int number, bool offered, time_point now) {
        const std::lock_guard hold(guard_);
        if (!offered) return fail(errc::unsupported, "signal");
        if (state_ != state::running) return fail(errc::wrong_state, "signal: it does not run");
        if (number < 1 || number > 64) return fail(errc::invalid_argument, "signal: no such number");
        call_.signals.push_back(number);
        leave({.what = kind::signal, .when = now, .number = number});
        return {};
    }
    result<void> resize(terminal_size size, time_point now) {
        constexpr int window_changed = 28;
        const std::lock_guard hold(guard_);
        if (state_ == state::running && !call_.what.terminal) return fail(errc::unsupported, "resize: no terminal");
        if (state_ != state::running) return fail(errc::wrong_state, "resize: it does not run");
        call_.resizes.push_back(size);
        leave({.what = kind::signal, .when = now, .number = window_changed});
        return {};
    }
    void stop(milliseconds grace, time_point now) {
        const std::lock_guard hold(guard_);
        call_.stops.push_back(grace);
        leave({.what = kind::stop, .when = now, .grace = grace});
    }
    void detach() {
        const std::lock_guard hold(guard_);
        call_.detached = true;
    }
    // Nothing more is told; a call in progress finishes.
    void drop(time_point now) {
        const std::lock_guard hold(guard_);
        call_.dropped = true;
        leave({.what = kind::stop, .when = now, .grace = unlimited});
    }

    // From the player --------------------------------------------------------------------------------------------------

    // What comes while an observer is called, is of that moment, wherever the clock is by now.
    void calls_begin(time_point now) {
        const std::lock_guard hold(guard_);
        moment_ = now;
    }
    void calls_end() {
        const std::lock_guard hold(guard_);
        moment_.reset();
    }
    // The moment of the next request; of the next stop, if nothing else can be done yet.
    time_point next(bool only_stops) const {
        const std::lock_guard hold(guard_);
        for (const auto& each : requests_) {
            if (!only_stops || each.what == kind::stop) return each.when;
        }
        return never;
    }
    std::optional<request> take(time_point now) {
        const std::lock_guard hold(guard_);
        if (requests_.empty() || requests_.front().when > now) return std::nullopt;
        auto first = std::move(requests_.front());
        requests_.pop_front();
        return first;
    }
    // A resume that comes after forget_resumes() ends the pause that a call is just returning.
    void forget_resumes(time_point now) {
        const std::lock_guard hold(guard_);
        std::erase_if(requests_, [now](const request& each) { return each.what == kind::resume && each.when <= now; });
    }
    bool has_resume(time_point now) const {
        const std::lock_guard hold(guard_);
        return std::any_of(requests_.begin(), requests_.end(),
                           [now](const request& each) { return each.what == kind::resume && each.when <= now; });
    }
    // So many bytes of input wait no longer.
    void accepted(std::size_t bytes) {
        const std::lock_guard hold(guard_);
        waiting_ -= bytes;
    }
    // Nobody reads any more.
    void deafen() {
        const std::lock_guard hold(guard_);
        deaf_ = true;
    }
    // True once after each short write_in, as soon as there is room.
    bool owes_room() {
        const std::lock_guard hold(guard_);
        if (!deaf_ && waiting_ >= call_.within.in_queue) return false;
        return std::exchange(owes_room_, false);
    }
    bool dropped() const {
        const std::lock_guard hold(guard_);
        return call_.dropped;
    }
    void began() {
        const std::lock_guard hold(guard_);
        state_ = state::running;
    }
    void ended() {
        const std::lock_guard hold(guard_);
        state_ = state::ended;
        deaf_ = true;
    }
    void over() {
        const std::lock_guard hold(guard_);
        call_.over = true;
    }

   private:
    enum class state : std::uint8_t { queued, running, ended };

    void leave(request last) {
        if (moment_) last.when = *moment_;
        // In the order of their moments, which the threads that ask may have read in another one.
        const auto behind = std::upper_bound(requests_.begin(), requests_.end(), last.when,
                                             [](time_point when, const request& each) { return when < each.when; });
        requests_.insert(behind, std::move(last));
    }

    mutable std::mutex guard_{};
    scripted_call call_;
    state state_ = state::queued;
    std::deque<request> requests_{};
    std::optional<time_point> moment_{};
    std::size_t waiting_ = 0;  // bytes of input that the child's pipe has not accepted
    bool deaf_ = false;
    bool owes_room_ = false;
};

}  // namespace scripted

}  // namespace exec::inline v0::testing
