// A blocking run on top of any asynchronous start: the calls of the loop's thread are carried to the waiting one.
//
// The loop never waits: output is copied into a queue of `queue_bytes`, and a full queue pauses the command until the
// waiting thread has emptied half of it.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>

#include "exec/bytes.h"
#include "exec/error.h"
#include "exec/execution.h"
#include "exec/limits.h"
#include "exec/observer.h"
#include "exec/outcome.h"
#include "exec/result.h"
#include "exec/time.h"

namespace exec::inline v0::detail {

class run_relay {
   public:
    static constexpr std::size_t queue_bytes = 256 * KiB;

    struct event {
        enum class kind : std::uint8_t { start, output, gap, heartbeat, room };
        kind what = kind::start;
        stream from{};
        std::uint64_t at = 0;
        std::uint64_t missing = 0;
        std::string bytes{};  // output, or where it runs
        milliseconds running{};
        std::optional<std::int64_t> pid{};
        std::shared_ptr<const limits> within{};
    };

    // On the loop's thread. True: there is room for more.
    bool put(event what) {
        const std::lock_guard hold(mutex_);
        if (what.what == event::kind::heartbeat && !events_.empty() && events_.back().what == event::kind::heartbeat) {
            events_.back().running = what.running;  // so that a slow callback cannot make the queue grow
        } else {
            held_ += cost(what);
            events_.push_back(std::move(what));
        }
        changed_.notify_one();
        if (held_ >= queue_bytes) full_ = true;
        return !full_;
    }
    void finish(result<outcome> how) {
        const std::lock_guard hold(mutex_);
        how_.emplace(std::move(how));
        changed_.notify_one();
    }

    // On the waiting thread: empty = it is over.
    std::optional<event> take() {
        std::unique_lock hold(mutex_);
        changed_.wait(hold, [this] { return !events_.empty() || how_.has_value(); });
        if (events_.empty()) return std::nullopt;
        auto next = std::move(events_.front());
        events_.pop_front();
        held_ -= cost(next);
        return next;
    }
    // Once after put() said that there is no room.
    bool has_room_again() {
        const std::lock_guard hold(mutex_);
        return held_ <= queue_bytes / 2 && std::exchange(full_, false);
    }
    result<outcome> take_result() {
        const std::lock_guard hold(mutex_);
        return std::move(*how_);
    }

   private:
    // A command that writes single bytes fills the queue with events.
    static std::size_t cost(const event& what) noexcept { return sizeof(event) + what.bytes.size(); }

    std::mutex mutex_{};
    std::condition_variable changed_{};
    std::deque<event> events_{};
    std::size_t held_ = 0;
    bool full_ = false;
    std::optional<result<outcome>> how_{};
};

class relaying_observer final : public observer {
   public:
    explicit relaying_observer(std::shared_ptr<run_relay> to) : to_(std::move(to)) {}
    // A runner that drops its observer without on_done still ends the wait. What had begun by then is not a failure.
    ~relaying_observer() override {
        if (done_) return;
        if (began_) {
            outcome lost;
            lost.broke = make_error_code(errc::broken_reply);
            lost.out.complete = lost.err.complete = false;
            to_->finish(std::move(lost));
        } else {
            to_->finish(fail(errc::broken_reply, "the runner dropped its observer"));
        }
    }

    void on_start(const start_info& what) override {
        began_ = true;
        to_->put({run_relay::event::kind::start,
                  {},
                  0,
                  0,
                  std::string(what.where),
                  {},
                  what.pid,
                  std::make_shared<const limits>(what.within)});
    }
    flow on_output(stream from, std::uint64_t at, bytes_view bytes) override {
        const bool room = to_->put({run_relay::event::kind::output, from, at, 0, std::string(bytes), {}, {}, {}});
        return room ? flow::more : flow::pause;
    }
    void on_gap(stream from, std::uint64_t at, std::uint64_t missing) override {
        to_->put({run_relay::event::kind::gap, from, at, missing, {}, {}, {}, {}});
    }
    flow on_heartbeat(milliseconds running) override {
        to_->put({run_relay::event::kind::heartbeat, {}, 0, 0, {}, running, {}, {}});
        return flow::more;
    }
    void on_done(result<outcome> how) override {
        done_ = true;
        to_->finish(std::move(how));
    }

   private:
    std::shared_ptr<run_relay> to_;
    bool began_ = false;
    bool done_ = false;
};

inline flow deliver(const run_relay::event& what, observer& to) {
    switch (what.what) {
        case run_relay::event::kind::start: to.on_start({what.pid, what.bytes, *what.within}); return flow::more;
        case run_relay::event::kind::output: return to.on_output(what.from, what.at, what.bytes);
        case run_relay::event::kind::gap: to.on_gap(what.from, what.at, what.missing); return flow::more;
        case run_relay::event::kind::heartbeat: return to.on_heartbeat(what.running);
        case run_relay::event::kind::room: to.on_room(); return flow::more;
    }
    return flow::more;
}

// `start` takes a std::unique_ptr<observer> and returns the execution.
template <class Start>
result<outcome> blocking_run(Start&& start, observer& tell, std::stop_token stop) {
    const auto queue = std::make_shared<run_relay>();
    execution running = start(std::make_unique<relaying_observer>(queue));
    const std::stop_callback on_stop(stop, [&running] { running.stop(); });

    bool lost_interest = false;
    bool threw = false;
    const auto show = [&](const run_relay::event& what) {
        if (lost_interest) return;
#if defined(__cpp_exceptions)
        try {
            lost_interest = deliver(what, tell) == flow::stop;
        } catch (...) {
            lost_interest = threw = true;
        }
#else
        lost_interest = deliver(what, tell) == flow::stop;
#endif
        if (lost_interest) running.stop();
    };
    while (auto next = queue->take()) {
        if (queue->has_room_again()) running.resume();
        show(*next);
    }
    auto how = queue->take_result();
    // However late it came: an exception of the host's must not vanish because the command was quick.
    if (threw && how && (how->stopped_by == stop_reason::cancelled || how->stopped_by == stop_reason::nobody)) {
        how->stopped_by = stop_reason::observer_failed;
    }
    return how;
}

}  // namespace exec::inline v0::detail
