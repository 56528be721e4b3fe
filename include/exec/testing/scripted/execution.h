// The object behind the handle of a scripted command on a loop.
//
// The handle and the loop each hold it: the handle until detach or a drop, the loop until the end was told. Verbs leave
// their wish in the mailbox and post a visit; everything else happens in visits. A last callback that the loop can only
// destroy tells of the loop's own end.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>

#include "exec/detail/execution_id.h"
#include "exec/execution.h"
#include "exec/loop.h"
#include "exec/observer.h"
#include "exec/testing/scripted/mailbox.h"
#include "exec/testing/scripted/order.h"
#include "exec/testing/scripted/supervisor.h"
#include "exec/time.h"

namespace exec::inline v0::testing::scripted {

class scripted_execution final : public execution::control, public std::enable_shared_from_this<scripted_execution> {
   public:
    static execution start(loop& on, order what, const scripted_call& asked, std::unique_ptr<observer> tell) {
        const auto made = std::make_shared<scripted_execution>(on, std::move(what), asked, std::move(tell));
        made->handle_claim_ = made;
        execution handle(made.get());
        on.post([made] { made->begin(); });
        return handle;
    }
    scripted_execution(loop& on, order what, const scripted_call& asked, std::unique_ptr<observer> tell)
        : on_(&on),
          asked_(what.asked),
          signals_offered_(what.at->can.signals),
          tell_(std::move(tell)),
          run_(std::move(what), asked, tell_.get(), on.now()) {}

    // execution::control: any thread.
    std::size_t write_in(bytes_view bytes) override {
        std::size_t taken = 0;
        ask([&](time_point now) { taken = asked_->write_in(bytes, now); });
        return taken;
    }
    void close_in() override {
        ask([&](time_point now) { asked_->close_in(now); });
    }
    void resume() override {
        ask([&](time_point now) { asked_->resume(now); });
    }
    result<void> signal(int number) override {
        auto sent = result<void>(fail(errc::wrong_state, "signal: it has ended"));
        ask([&](time_point now) { sent = asked_->signal(number, signals_offered_, now); });
        return sent;
    }
    result<void> resize(terminal_size size) override {
        auto sent = result<void>(fail(errc::wrong_state, "resize: it has ended"));
        ask([&](time_point now) { sent = asked_->resize(size, now); });
        return sent;
    }
    void stop(milliseconds grace) override {
        ask([&](time_point now) { asked_->stop(grace, now); });
    }
    std::uint64_t id() const override { return id_; }
    void detach() override {
        asked_->detach();
        const auto last = std::move(handle_claim_);
    }
    void let_go() override {
        ask([&](time_point now) { asked_->drop(now); });
        const auto last = std::move(handle_claim_);
    }

   private:
    // Is destroyed uncalled when the loop ends, which is how we learn of it.
    class sentinel {
       public:
        explicit sentinel(std::shared_ptr<scripted_execution> of) noexcept : of_(std::move(of)) {}
        sentinel(sentinel&&) noexcept = default;
        sentinel& operator=(sentinel&&) = delete;
        ~sentinel() {
            if (of_ == nullptr) return;
#if defined(__cpp_exceptions)
            try {
                of_->loop_ended();
            } catch (...) {  // of on_done; there is no loop left to count it
            }
#else
            of_->loop_ended();
#endif
        }
        void operator()() noexcept {}

       private:
        std::shared_ptr<scripted_execution> of_;
    };

    // A moment that no test waits for, and that loop::after still takes for one.
    static constexpr milliseconds a_century = std::chrono::hours(24 * 36'525);

    // After the end there is nobody to ask, and maybe no loop.
    template <class F>
    void ask(F&& wish) {
        const std::lock_guard hold(guard_);
        if (on_ == nullptr) return;
        wish(on_->now());
        if (std::exchange(visit_is_due_, true)) return;
        on_->post([self = shared_from_this()] {
            {
                const std::lock_guard now(self->guard_);
                self->visit_is_due_ = false;
            }
            self->visit();
        });
    }

    // On the loop ------------------------------------------------------------------------------------------------------

    void begin() {
        sentinel_ = on_->after(a_century, sentinel(shared_from_this()));
        visit();
    }
    void visit() {
        if (on_ == nullptr) return;
        auto& on = *on_;
        if (on.closing()) run_.stop(stop_reason::shutdown, milliseconds::zero());
        run_.advance(on.closing() ? never : on.now());
        if (run_.finished()) return conclude();
        if (asked_->dropped()) tell_.reset();
        if (const auto next = run_.wake(); next != armed_for_) {
            armed_for_ = next;
            timer_ = {};
            const auto left = until(next, on.now());
            if (left <= a_century) timer_ = on.after(left, [self = shared_from_this()] { self->due(); });
        }
    }
    void due() {
        armed_for_ = never;
        visit();
    }
    void loop_ended() {
        if (on_ == nullptr) return;
        run_.stop(stop_reason::shutdown, milliseconds::zero());
        run_.advance(never);
        conclude();
    }
    void conclude() {
        auto how = run_.take();
        {
            const std::lock_guard hold(guard_);
            on_ = nullptr;
        }
        timer_ = {};
        sentinel_ = {};
        asked_->over();
        // Destroyed here, also if its last call throws; the loop counts that.
        if (const auto last = std::move(tell_); last != nullptr && !asked_->dropped()) last->on_done(std::move(how));
    }

    std::mutex guard_{};
    loop* on_;  // null when it is over; written by the loop's thread alone
    bool visit_is_due_ = false;
    const std::shared_ptr<mailbox> asked_;
    const bool signals_offered_;
    const std::uint64_t id_ = detail::next_execution_id();

    std::shared_ptr<scripted_execution> handle_claim_{};
    std::unique_ptr<observer> tell_;
    supervisor run_;
    time_point armed_for_ = never;
    deferred timer_{};
    deferred sentinel_{};
};

}  // namespace exec::inline v0::testing::scripted
