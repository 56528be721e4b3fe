// relay: the handle of a command that cannot be started yet.
//
// For runners that have to look something up, connect or wait for a lease before another runner can begin. The handle
// goes to the caller at once; the relay waits in the look-up's reply. A caller who stops, drops or loses patience
// (limits::start_timeout, limits::deadline) meanwhile is answered without waiting for the look-up, and the command is
// then never started. Input, its end and the last resize are kept and passed on. One allocation, and a timer of the loop.
//
//     execution leasing_runner::start(command what, limits within, std::unique_ptr<observer> tell) {
//         auto [handle, waiting] = relay::make(loop_, std::move(what), std::move(within), std::move(tell));
//         provider_.lease([inner = inner_, waiting = std::move(waiting)](result<lease> got) mutable {
//             if (!got) return waiting.fail(std::move(got).error());
//             waiting.start(*inner);
//         });
//         return std::move(handle);
//     }
//
// Threads: the handle from any. The relay belongs to one thread at a time, whichever; nothing here blocks. Observers are
// called on the loop, before the start by the relay and after it by the inner runner.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <utility>

#include "exec/bytes.h"
#include "exec/command.h"
#include "exec/detail/execution_id.h"
#include "exec/error.h"
#include "exec/execution.h"
#include "exec/limits.h"
#include "exec/loop.h"
#include "exec/observer.h"
#include "exec/outcome.h"
#include "exec/result.h"
#include "exec/runner.h"
#include "exec/time.h"

namespace exec::inline v0 {

namespace detail {

// Control of the outer handle and observer of the inner run in one object. The handle, the run and whoever else works on
// it share it; who lets go last destroys it.
class relayed final : public execution::control, public observer {
   public:
    relayed(loop& on, command what, limits within, std::unique_ptr<observer> tell)
        : on_(on),
          made_at_(on.now()),
          streamed_(what.in.what() == input::kind::streamed),
          terminal_(what.terminal.has_value()),
          what_(std::move(what)),
          within_(std::move(within)),
          tell_(std::move(tell)) {}

    // The relay's side ---------------------------------------------------------------------------------------------

    execution hand_out(const std::shared_ptr<relayed>& self) {
        handle_claim_ = self;
        return execution(this);
    }
    command& what() noexcept { return what_; }
    limits& within() noexcept { return within_; }
    bool waiting() const {
        const std::lock_guard hold(guard_);
        return phase_ == phase::waiting;
    }

    // Calls `begin` unless it is over already. The lock is held meanwhile, so that the run's first call, which may come
    // on another thread before `begin` has returned, finds the inner handle.
    template <class Begin>
    bool start(const std::shared_ptr<relayed>& self, Begin&& begin) {
        const std::lock_guard hold(guard_);
        if (phase_ != phase::waiting) return false;
        phase_ = phase::started;
        waited_ = on_.now() - made_at_;
        if (within_.start_timeout != unlimited) {
            within_.start_timeout -= std::chrono::floor<milliseconds>(waited_);
            within_.start_timeout = (std::max)(within_.start_timeout, milliseconds(1));
        }
        if (what_.terminal && size_) what_.terminal = std::exchange(size_, std::nullopt);
        run_claim_ = self;
        inner_ = begin(std::move(what_), std::move(within_), std::unique_ptr<observer>(this));
        pass_on();
        return true;
    }
    // It will not be started, and that is why. Told on the loop.
    void end(const std::shared_ptr<relayed>& self, failure why) {
        {
            const std::lock_guard hold(guard_);
            if (phase_ != phase::waiting) return;
            phase_ = phase::ended;
            why_ = std::move(why);
        }
        on_.post(visit(self));
    }

    // What the loop calls, or destroys uncalled at its end: in either case it is our turn on its thread.
    class visit {
       public:
        explicit visit(std::shared_ptr<relayed> whom) noexcept : whom_(std::move(whom)) {}
        visit(visit&&) noexcept = default;
        visit& operator=(visit&&) = delete;
        ~visit() {
            if (!whom_) return;
#if defined(__cpp_exceptions)
            try {
                whom_->be_visited(errc::shutting_down);
            } catch (...) {  // the loop is ending: nobody is left to hear of it
            }
#else
            whom_->be_visited(errc::shutting_down);
#endif
        }
        void operator()() { std::exchange(whom_, nullptr)->be_visited(errc::start_timeout); }

       private:
        std::shared_ptr<relayed> whom_;
    };

    // The handle's side --------------------------------------------------------------------------------------------

    std::size_t write_in(bytes_view bytes) override {
        const std::lock_guard hold(guard_);
        if (!streamed_) return 0;
        if (ended_in_) return bytes.size();
        pass_on();
        std::size_t taken = 0;
        if (inner_ && kept_.empty()) return inner_.write_in(bytes);
        if (phase_ == phase::waiting) {
            taken = (std::min)(bytes.size(), within_.in_queue - (std::min)(within_.in_queue, kept_.size()));
            kept_ += bytes.substr(0, taken);
        }
        if (taken < bytes.size()) owes_room_ = true;
        return taken;
    }
    void close_in() override {
        const std::lock_guard hold(guard_);
        ended_in_ = true;
        pass_on();
    }
    void resume() override {
        const std::lock_guard hold(guard_);
        inner_.resume();
    }
    result<void> signal(int number) override {
        const std::lock_guard hold(guard_);
        return inner_.signal(number);
    }
    result<void> resize(terminal_size size) override {
        const std::lock_guard hold(guard_);
        if (began_) return inner_.resize(size);
        if (!terminal_) return fail(errc::unsupported, "resize: no terminal");
        if (size.columns == 0 || size.rows == 0) return fail(errc::invalid_argument, "resize: no size");
        if (phase_ == phase::ended) return fail(errc::wrong_state, "resize: it was not started");
        size_ = size;
        return {};
    }
    void stop(milliseconds grace) override {
        {
            const std::lock_guard hold(guard_);
            inner_.stop(grace);
        }
        end(handle_claim_, fail(errc::cancelled));
    }
    std::uint64_t id() const override { return id_; }
    // The inner handle stays: what is kept may have to wait for room.
    void detach() override { const auto last = take_handle_claim(); }
    void let_go() override {
        const auto last = take_handle_claim();
        execution dropped;
        {
            const std::lock_guard hold(guard_);
            muted_ = true;
            dropped = std::move(inner_);
        }
        end(last, fail(errc::cancelled));
    }

    // The run's side: the loop's thread -------------------------------------------------------------------------------

    void on_start(const start_info& what) override {
        {
            const std::lock_guard hold(guard_);
            began_ = true;
            if (size_) static_cast<void>(inner_.resize(*size_));
            pass_on();
        }
        if (tell_) tell_->on_start(what);
        tell_of_room();
    }
    flow on_output(stream from, std::uint64_t at, bytes_view bytes) override {
        return tell_ ? tell_->on_output(from, at, bytes) : flow::more;
    }
    void on_gap(stream from, std::uint64_t at, std::uint64_t missing) override {
        if (tell_) tell_->on_gap(from, at, missing);
    }
    void on_room() override {
        bool ours = false;
        {
            const std::lock_guard hold(guard_);
            ours = !kept_.empty();
            if (!ours) owes_room_ = false;
            pass_on();
        }
        if (ours) return tell_of_room();
        if (tell_) tell_->on_room();
    }
    flow on_heartbeat(milliseconds running) override { return tell_ ? tell_->on_heartbeat(running) : flow::more; }
    void on_done(result<outcome> how) override {
        if (how) {
            how->took.queue += waited_;
            how->took.total += waited_;
        }
        if (tell_) tell_->on_done(std::move(how));
    }
    // What the run owns is not this object, only its claim on it.
    static void operator delete(relayed* self, std::destroying_delete_t) {
        const auto last = std::move(self->run_claim_);
        self->tell_.reset();
    }

   private:
    enum class phase : std::uint8_t { waiting, started, ended };

    std::shared_ptr<relayed> take_handle_claim() {
        const std::lock_guard hold(guard_);
        return std::move(handle_claim_);
    }
    // Gives the inner handle what is kept, as far as it takes it. REQUIRES: the lock.
    void pass_on() {
        if (!inner_) return;
        if (!kept_.empty()) kept_.erase(0, inner_.write_in(kept_));
        if (kept_.empty() && ended_in_ && !std::exchange(passed_end_, true)) inner_.close_in();
    }
    // A write that fell short while we waited is answered as soon as everything kept has gone.
    void tell_of_room() {
        {
            const std::lock_guard hold(guard_);
            if (muted_ || !kept_.empty() || !std::exchange(owes_room_, false)) return;
        }
        if (tell_) tell_->on_room();
    }
    void be_visited(errc if_still_waiting) {
        std::unique_ptr<observer> last;
        {
            const std::lock_guard hold(guard_);
            if (phase_ == phase::started) return;
            if (phase_ == phase::waiting) why_ = fail(if_still_waiting);
            phase_ = phase::ended;
            last = std::move(tell_);
            if (muted_) return;
        }
        if (last) last->on_done(std::move(why_));
    }

    loop& on_;
    const std::uint64_t id_ = next_execution_id();
    const time_point made_at_;
    const bool streamed_;
    const bool terminal_;
    command what_;
    limits within_;
    nanoseconds waited_{};

    mutable std::mutex guard_{};  // of what follows
    phase phase_ = phase::waiting;
    execution inner_{};
    failure why_{};
    std::string kept_{};
    std::optional<terminal_size> size_{};
    bool ended_in_ = false;
    bool passed_end_ = false;
    bool owes_room_ = false;
    bool began_ = false;
    bool muted_ = false;
    std::shared_ptr<relayed> handle_claim_{};

    // Before the start as the rest; after it the run's, on its loop.
    std::unique_ptr<observer> tell_;
    std::shared_ptr<relayed> run_claim_{};
};

}  // namespace detail

class [[nodiscard]] relay {
   public:
    struct made;
    // `on` is the loop on which the observer is called: the inner runner's. The observer may be null.
    static made make(loop& on, command what, limits within, std::unique_ptr<observer> tell);

    relay(relay&&) noexcept = default;
    relay& operator=(relay&&) = delete;
    // One that was neither started nor failed ends with errc::broken_reply.
    ~relay() {
        if (state_) fail(exec::fail(errc::broken_reply, "relay: it was dropped"));
    }

    // What will be run: yours to look at and to change until the start.
    // REQUIRES: neither start nor fail was called.
    command& what() noexcept { return state_->what(); }
    limits& within() noexcept { return state_->within(); }

    // Nobody waits any more: the caller was answered, or does not want to be. Starting does nothing then.
    bool cancelled() const { return !state_ || !state_->waiting(); }

    // Starts it there; never blocks. False: it was cancelled, and nothing was done. What is left of limits::start_timeout
    // goes along. Once.
    bool start(runner& inner) {
        return start([&inner](command what, limits within, std::unique_ptr<observer> tell) {
            return inner.start(std::move(what), std::move(within), std::move(tell));
        });
    }
    // The same for what starts in another way: a dispatcher, an attachment. `begin` is called at once or not at all; like
    // a runner's start it neither blocks nor calls back inside, and gives its execution.
    template <class Begin>
    requires std::is_invocable_r_v<execution, Begin&, command, limits, std::unique_ptr<observer>>
    bool start(Begin&& begin) {
        const auto state = std::move(state_);
        const bool done = state && state->start(state, begin);
        patience_.cancel();
        return done;
    }
    // It will not be started. No effect on one that was cancelled. Once.
    void fail(failure why) {
        if (const auto state = std::move(state_)) state->end(state, std::move(why));
        patience_.cancel();
    }

   private:
    relay(std::shared_ptr<detail::relayed> state, deferred patience) noexcept
        : state_(std::move(state)), patience_(std::move(patience)) {}

    std::shared_ptr<detail::relayed> state_;
    deferred patience_;
};

struct relay::made {
    execution handle;
    relay link;
};

inline relay::made relay::make(loop& on, command what, limits within, std::unique_ptr<observer> tell) {
    // Where there is no limit the loop still has to tell us of its own end.
    constexpr milliseconds for_ever = std::chrono::hours(24 * 365 * 100);
    const auto budget = (std::min)({within.start_timeout, until(within.deadline.value_or(never), on.now()), for_ever});
    const auto state = std::make_shared<detail::relayed>(on, std::move(what), std::move(within), std::move(tell));
    auto patience = on.after(budget, detail::relayed::visit(state));
    return {state->hand_out(state), relay(state, std::move(patience))};
}

}  // namespace exec::inline v0
