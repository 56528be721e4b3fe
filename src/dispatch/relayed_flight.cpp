#include "dispatch/relayed_flight.h"

#include <exec/error.h>

#include <string>
#include <utility>

namespace exec::inline v0::dispatch {

// What the run tells, on whatever loop it does. On the dispatcher's it is passed on at once, from another one it crosses.
class relayed_flight::front final : public observer {
   public:
    explicit front(std::shared_ptr<relayed_flight> of) noexcept : of_(std::move(of)), to_(*of_) {}
    // A runner that drops its observer has not told the end. What had begun by then is not a failure.
    ~front() override {
        if (done_) return;
        if (!began_) {
            finish(fail(errc::broken_reply, "the runner dropped its observer"));
            return;
        }
        outcome lost;
        lost.broke = make_error_code(errc::broken_reply);
        lost.out.complete = lost.err.complete = false;
        finish(std::move(lost));
    }

    void on_start(const start_info& what) override {
        began_ = true;
        if (here()) return to_.on_start(what);
        event told{event::kind::start};
        told.bytes = what.where;
        told.pid = what.pid;
        told.within = std::make_shared<const limits>(what.within);
        static_cast<void>(across().put(std::move(told)));
    }
    flow on_output(stream from, std::uint64_t at, bytes_view bytes) override {
        if (here()) return to_.on_output(from, at, bytes);
        event told{event::kind::output, from, at};
        told.bytes = bytes;
        return across().put(std::move(told));
    }
    void on_gap(stream from, std::uint64_t at, std::uint64_t missing) override {
        if (here()) return to_.on_gap(from, at, missing);
        static_cast<void>(across().put(event{event::kind::gap, from, at, missing}));
    }
    void on_room() override {
        if (here()) return to_.on_room();
        static_cast<void>(across().put(event{event::kind::room}));
    }
    flow on_heartbeat(milliseconds running) override {
        if (here()) return to_.on_heartbeat(running);
        event told{event::kind::heartbeat};
        told.running = running;
        static_cast<void>(across().put(std::move(told)));
        return flow::more;
    }
    void on_done(result<outcome> how) override { finish(std::move(how)); }

   private:
    using event = crossing::event;

    void finish(result<outcome> how) {
        done_ = true;
        if (here()) return to_.on_done(std::move(how));
        across().finish(std::move(how));
    }
    // Once across, always across: nothing may pass what is still queued.
    bool here() const noexcept { return across_ == nullptr && of_->core().loop->driven_here(); }
    crossing& across() {
        if (across_ == nullptr) across_ = &of_->across();
        return *across_;
    }

    const std::shared_ptr<relayed_flight> of_;
    observer& to_;
    crossing* across_ = nullptr;
    bool began_ = false;
    bool done_ = false;
};

relayed_flight::relayed_flight(std::shared_ptr<dispatcher_core> of, verb what, caller who, target_id target,
                               std::unique_ptr<observer> tell)
    : flight(std::move(of), what, std::move(who), std::move(target)), tell_(std::move(tell)) {}

execution relayed_flight::hand_out(command what, limits within) {
    claim_ = std::static_pointer_cast<relayed_flight>(shared_from_this());
    auto made = relay::make(*core().parts.loop, std::move(what), std::move(within), std::make_unique<front>(claim_));
    run_ = std::move(made.handle);
    link_.emplace(std::move(made.link));
    return execution(this);
}

// The handle ----------------------------------------------------------------------------------------------------------------

void relayed_flight::resume() {
    std::shared_ptr<crossing> across;
    {
        const std::lock_guard hold(claim_guard_);
        across = crossing_;
    }
    if (across) return across->resume();
    run_.resume();
}

void relayed_flight::detach() { const auto last = take_claim(); }

void relayed_flight::let_go() {
    const auto last = take_claim();
    muted_.store(true, std::memory_order_release);
    run_.stop();
    resume();
    // The observer is the host's, and is destroyed where it was called.
    detail::post(*core().loop, [last] {
        if (!last->ended_) last->tell_.reset();
    });
}

std::shared_ptr<relayed_flight> relayed_flight::take_claim() {
    const std::lock_guard hold(claim_guard_);
    return std::move(claim_);
}

crossing& relayed_flight::across() {
    const std::lock_guard hold(claim_guard_);
    if (!crossing_) {
        auto self = std::static_pointer_cast<relayed_flight>(shared_from_this());
        crossing_ = std::make_shared<crossing>(core().loop, run_,
                                               std::shared_ptr<observer>(self, static_cast<observer*>(self.get())));
    }
    return *crossing_;
}

// The run -------------------------------------------------------------------------------------------------------------------

void relayed_flight::on_start(const start_info& what) {
    if (auto* to = host()) to->on_start(what);
}
flow relayed_flight::on_output(stream from, std::uint64_t at, bytes_view bytes) {
    auto* to = host();
    return to != nullptr ? to->on_output(from, at, bytes) : flow::more;
}
void relayed_flight::on_gap(stream from, std::uint64_t at, std::uint64_t missing) {
    if (auto* to = host()) to->on_gap(from, at, missing);
}
void relayed_flight::on_room() {
    if (auto* to = host()) to->on_room();
}
flow relayed_flight::on_heartbeat(milliseconds running) {
    auto* to = host();
    return to != nullptr ? to->on_heartbeat(running) : flow::more;
}

// It is told by the relay, on the loop, as every other end.
void relayed_flight::refuse(failure why) { link_->fail(std::move(why)); }

void relayed_flight::ended(result<outcome> how) {
    if (std::exchange(ended_, true)) return;
    if (!how && how.error().code == errc::start_timeout && how.error().context.empty()) how.error().context = when();
    if (shutting_down_ && how && how->stopped_by == stop_reason::cancelled) how->stopped_by = stop_reason::shutdown;
    auto end = audit_end_of(how);
    how_.emplace(std::move(how));
    over(std::move(end));
}

// A run on this loop tells its end before the loop has its own. From another one nothing can be carried here any more.
void relayed_flight::lost_loop() {
    run_.stop(milliseconds::zero());
    {
        const std::lock_guard hold(claim_guard_);
        if (!crossing_) return;
    }
    outcome lost;
    lost.stopped_by = stop_reason::shutdown;
    lost.broke = make_error_code(errc::shutting_down);
    lost.out.complete = lost.err.complete = false;
    ended(std::move(lost));
}

void relayed_flight::answer() {
    {
        const std::lock_guard hold(claim_guard_);
        if (crossing_) crossing_->abandon();
    }
    const auto last = std::move(tell_);
    if (!last || !how_ || muted_.load(std::memory_order_acquire)) return;
    detail::at_the_border(*core().loop, "dispatcher: on_done", [&] { last->on_done(*std::move(how_)); });
}

}  // namespace exec::inline v0::dispatch
