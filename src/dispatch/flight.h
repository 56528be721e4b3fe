// flight: one call on its way through directory, gate and audit trail.
//
// Asks one part after the other. A part may answer at once or later, on any thread: what comes inside the question is
// taken up when the question returns, what comes later on the loop, what comes too late is dropped. What the kinds of calls
// do differently is virtual: how they get a place, what they do, how their caller is told.
// Threads: the loop's driving thread, unless said otherwise. Owned by the core from its start to its end. A part that never
// answers holds a weak pointer: it may be what the flight itself keeps alive.
#pragma once

#include <exec/audit.h>
#include <exec/directory.h>
#include <exec/gate.h>
#include <exec/reply.h>
#include <exec/time.h>

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "dispatch/admission.h"
#include "dispatch/dispatcher_core.h"
#include "loop/alarm.h"
#include "loop/core.h"

namespace exec::inline v0::dispatch {

class flight : public std::enable_shared_from_this<flight>, protected admission::place {
   public:
    flight(std::shared_ptr<dispatcher_core> of, verb what, caller who, target_id target);
    flight(const flight&) = delete;
    flight& operator=(const flight&) = delete;
    virtual ~flight();

    // Sets out, soon and on the loop. Any thread; once.
    void set_out();
    // The loop or the dispatcher goes away. One that waits ends; one that runs is stopped if `within` says so.
    void shut_down(std::optional<milliseconds> within);
    // Nothing will be driven any more.
    void abandon();

   protected:
    // It must not be asked for at all. Before it sets out.
    void wrong(failure why) { wrong_ = std::move(why); }

    // The kinds ---------------------------------------------------------------------------------------------------------

    // For each answer of directory and gate, where nothing else bounds them.
    virtual milliseconds look_up_budget() const { return unlimited; }
    // Gate passed. Goes on with record().
    virtual void passed() { record(); }
    // The record is begun: do it, and call over() at its end.
    virtual void act() = 0;
    // It will not be done, and that is why. Calls over(), at once or later.
    virtual void refuse(failure why) = 0;
    // The loop goes away within so much, and this is being done.
    virtual void stop_within(milliseconds grace) = 0;
    // The loop has gone, and this is being done.
    virtual void lost_loop() = 0;
    // The record is finished: the caller may be told. The last call.
    virtual void answer() = 0;

    void record();
    void check();
    // How it ended. Writes that down and calls answer(). Again: no effect.
    void over(audit_end how);
    bool is_over() const noexcept { return step_ == step::closing || step_ == step::gone; }
    bool is_acting() const noexcept { return step_ == step::acting; }
    // What it was doing, for people: "while the gate was asked".
    const char* when() const noexcept;

    // Asks a part; `then` is called with its answer.
    template <class T, class Flight, class Question>
    void ask(Question&& question, void (Flight::*then)(result<T>)) {
        expect(then);
        // A part that throws has dropped its reply, and that is an answer.
        detail::at_the_border(*core_->loop, "dispatcher: a part", [&] {
            question(reply<T>([self = weak_from_this(), number = asked_](result<T> how) {
                if (const auto here = self.lock()) here->answered(number, std::move(how));
            }));
        });
        take_up();
    }
    // For the answer to the next question; a part that answers at once costs no timer.
    void wait_at_most(milliseconds how_long) noexcept { wait_at_most_ = how_long; }

    dispatcher_core& core() const noexcept { return *core_; }
    audit_record& what() noexcept { return record_; }
    const route& way() const noexcept { return way_; }

    std::size_t request_bytes_ = 0;  // of the budget, from the submit to the end

   private:
    friend class dispatcher_core;
    enum class step : std::uint8_t { outside, directory, gate, place, recording, acting, closing, gone };

    template <class T>
    result<T> take() {
        const std::lock_guard hold(guard_);
        auto how = std::get<result<T>>(std::exchange(arrived_, {}));
        ++asked_;
        return how;
    }
    // A question begins: until take_up() its answer is only kept.
    template <class T, class Flight>
    void expect(void (Flight::*then)(result<T>)) {
        const std::lock_guard hold(guard_);
        inside_ = true;
        arrived_ = std::monostate();
        go_on_ = [this, then] { (static_cast<Flight*>(this)->*then)(take<T>()); };
    }
    void take_up();
    // Any thread. False: it is too late.
    template <class T>
    bool answered(std::uint32_t number, result<T> how) {
        {
            const std::lock_guard hold(guard_);
            if (number != asked_ || arrived_.index() != 0) return false;
            arrived_ = std::move(how);
            if (inside_) return true;
        }
        detail::post(*core_->loop, [self = shared_from_this(), number] { self->go_on_with(number); });
        return true;
    }
    void go_on();
    void go_on_with(std::uint32_t number);
    void drop_question();

    void set_out_now();
    void find();
    void found(result<route> how);
    void checked(result<void> how);
    void recorded(result<void> how);
    class begun;
    void begun_late();
    void finished(result<void> how);
    void end();
    void out_of_patience() noexcept;

    const std::shared_ptr<dispatcher_core> core_;
    audit_record record_;
    route way_{};
    std::optional<failure> wrong_{};
    step step_ = step::outside;
    bool inside_house_ = false;  // in the core's list
    bool begun_ = false;         // the trail has a record
    milliseconds wait_at_most_ = unlimited;
    bool hasty_ = false;  // the loop is not driven much longer
    std::list<std::shared_ptr<flight>>::iterator at_{};
    audit_end how_{};
    detail::alarm_member<flight, &flight::out_of_patience> patience_{*this};

    std::mutex guard_{};  // of what follows
    std::uint32_t asked_ = 1;
    bool inside_ = false;
    std::variant<std::monostate, result<route>, result<void>, result<std::optional<audit_seen>>, result<job_info>,
                 result<std::vector<job_info>>>
        arrived_{};
    callback<void()> go_on_{};
};

}  // namespace exec::inline v0::dispatch
