#include "dispatch/flight.h"

#include <exec/dispatch_metrics.h>

#include <utility>

namespace exec::inline v0::dispatch {

flight::flight(std::shared_ptr<dispatcher_core> of, verb what, caller who, target_id target) : core_(std::move(of)) {
    record_.what = what;
    record_.who = std::move(who);
    record_.target = std::move(target);
}

flight::~flight() {
    if (request_bytes_ > 0) core_->bytes.give_back(request_bytes_);
}

void flight::set_out() {
    detail::post(*core_->loop, [self = shared_from_this()] { self->set_out_now(); });
}

void flight::set_out_now() {
    if (step_ != step::outside) return;
    if (!core_->join(*this)) return refuse(fail(errc::shutting_down, "dispatcher"));
    inside_house_ = true;
    if (wrong_) return refuse(*std::move(wrong_));
    if (auto in = core_->places.arrive(*this, record_.who.subject, record_.target); !in) {
        return refuse(std::move(in).error());
    }
    record_.id = core_->make_id();
    if (!record_.id) return refuse(fail(errc::too_busy, "no random bytes"));
    find();
}

// Questions ---------------------------------------------------------------------------------------------------------------

void flight::take_up() {
    bool now = false;
    {
        const std::lock_guard hold(guard_);
        inside_ = false;
        now = arrived_.index() != 0;
    }
    const auto how_long = std::exchange(wait_at_most_, unlimited);
    if (now) return go_on();
    if (how_long != unlimited) patience_.set(*core_->loop, saturating_add(core_->loop->now(), how_long));
}

void flight::go_on() {
    callback<void()> next;
    {
        const std::lock_guard hold(guard_);
        next = std::move(go_on_);
    }
    patience_.clear();
    next();
}

void flight::go_on_with(std::uint32_t number) {
    {
        const std::lock_guard hold(guard_);
        if (number != asked_ || arrived_.index() == 0) return;
    }
    go_on();
}

// What is answered to it from now on is late.
void flight::drop_question() {
    callback<void()> last;
    const std::lock_guard hold(guard_);
    ++asked_;
    arrived_ = std::monostate();
    last = std::move(go_on_);
}

void flight::out_of_patience() noexcept {
    const auto self = shared_from_this();
    switch (step_) {
        case step::recording: {
            drop_question();
            recorded(fail(errc::audit_unavailable, "it did not answer in time"));
            return;
        }
        case step::closing: {
            drop_question();
            finished(fail(errc::audit_unavailable, "it did not answer in time"));
            return;
        }
        default: {
            auto why = fail(errc::start_timeout, when());
            drop_question();
            refuse(std::move(why));
        }
    }
}

const char* flight::when() const noexcept {
    switch (step_) {
        case step::outside: return "before anything was asked";
        case step::directory: return "while the directory was asked";
        case step::gate: return "while the gate was asked";
        case step::place: return "while it waited for a place";
        case step::recording: return "while its audit record was begun";
        case step::acting: return "while it was being started";
        case step::closing:
        case step::gone: break;
    }
    return "";
}

// The way -----------------------------------------------------------------------------------------------------------------

void flight::find() {
    step_ = step::directory;
    wait_at_most(look_up_budget());
    ask<route>([this](reply<route> how) { core_->parts.directory->find(record_.who, record_.target, std::move(how)); },
               &flight::found);
}

void flight::found(result<route> how) {
    if (is_over()) return;
    if (!how) return refuse(std::move(how).error());
    way_ = *std::move(how);
    record_.labels = way_.labels;
    check();
}

void flight::check() {
    step_ = step::gate;
    wait_at_most(look_up_budget());
    ask<void>(
        [this](reply<void> how) {
            core_->parts.gate->check(record_.who, record_.what, record_.target, way_, std::move(how));
        },
        &flight::checked);
}

void flight::checked(result<void> how) {
    if (is_over()) return;
    if (!how) {
        core_->note_refusal(record_, how.error());
        return refuse(std::move(how).error());
    }
    step_ = step::place;
    passed();
}

// The answer to a begin. A yes that comes when nobody waits any more is a record to close.
class flight::begun {
   public:
    explicit begun(const std::shared_ptr<flight>& of)
        : of_(of), number_(of->asked_), sink_(of->core_->parts.audit), id_(of->record_.id) {}
    void operator()(result<void> how) {
        const bool yes = how.has_value();
        if (const auto of = of_.lock()) {
            if (of->answered(number_, std::move(how)) || !yes) return;
            return detail::post(*of->core_->loop, [of] { of->begun_late(); });
        }
        const auto sink = sink_.lock();
        if (yes && sink) sink->finish(id_, audit_end_of(fail(errc::cancelled, too_late)), [](result<void>) {});
    }
    static constexpr const char* too_late = "it was given up while its record was begun";

   private:
    std::weak_ptr<flight> of_;
    std::uint32_t number_;
    std::weak_ptr<audit_sink> sink_;
    audit_id id_;
};

void flight::record() {
    step_ = step::recording;
    wait_at_most(core_->parts.audit_timeout);
    expect(&flight::recorded);
    detail::at_the_border(*core_->loop, "dispatcher: the audit trail",
                          [this] { core_->parts.audit->begin(record_, begun(shared_from_this())); });
    take_up();
}

void flight::recorded(result<void> how) {
    core_->wrote("begin", how);
    begun_ = how.has_value();
    if (is_over()) return;
    if (!how && core_->parts.without_audit == unrecorded::refuse) {
        auto why = fail(errc::audit_unavailable, how.error().message());
        why.retry_after = core_->parts.policy.concurrency.retry_after;
        return refuse(std::move(why));
    }
    step_ = step::acting;
    act();
}

void flight::begun_late() {
    core_->wrote("begin", {});
    if (is_acting()) {  // it runs all the same, and now has its record
        begun_ = true;
        return;
    }
    core_->finish_late(record_.id, is_over() ? how_ : audit_end_of(fail(errc::cancelled, begun::too_late)));
}

void flight::over(audit_end how) {
    if (is_over()) return;
    const bool recording = step_ == step::recording;
    step_ = step::closing;
    how_ = std::move(how);
    patience_.clear();
    if (recording) {  // it may have begun, and nobody was told yet
        const std::lock_guard hold(guard_);
        const auto* yes = std::get_if<result<void>>(&arrived_);
        begun_ = yes != nullptr && yes->has_value();
    }
    drop_question();
    core_->places.leave(*this);
    if (!begun_) return end();
    if (hasty_) {
        core_->finish_late(record_.id, how_);
        return end();
    }
    wait_at_most(core_->parts.audit_timeout);
    ask<void>([this](reply<void> done) { core_->parts.audit->finish(record_.id, how_, std::move(done)); },
              &flight::finished);
}

void flight::finished(result<void> how) {
    core_->wrote("finish", how);
    end();
}

void flight::end() {
    if (step_ == step::gone) return;
    const auto self = shared_from_this();
    step_ = step::gone;
    if (request_bytes_ > 0) core_->bytes.give_back(std::exchange(request_bytes_, 0));
    core_->gauge_changes();
    answer();
    if (std::exchange(inside_house_, false)) core_->leave(*this);  // which ends us, but for `self`
}

void flight::shut_down(std::optional<milliseconds> within) {
    if (is_over()) return;
    if (is_acting()) {
        if (within) stop_within(*within);
        return;
    }
    drop_question();
    patience_.clear();
    refuse(fail(errc::shutting_down, "dispatcher"));
}

// What is posted still comes, and nothing after it: nobody is waited for any more.
void flight::abandon() {
    const auto self = shared_from_this();
    hasty_ = true;
    patience_.clear();
    if (step_ == step::closing) {
        drop_question();
        return end();
    }
    if (is_acting()) return lost_loop();
    drop_question();
    if (!is_over()) refuse(fail(errc::shutting_down, "dispatcher"));
}

}  // namespace exec::inline v0::dispatch
