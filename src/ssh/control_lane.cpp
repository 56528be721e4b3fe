#include "ssh/control_lane.h"

#include <algorithm>
#include <utility>

namespace exec::inline v0::ssh {
namespace {

// After a refused channel, and after a login of its own that failed: nobody is asked again at each command's end.
constexpr milliseconds next_channel{1'000};
constexpr milliseconds next_login{5'000};

}  // namespace

control_lane::control_lane(std::shared_ptr<exec::detail::loop_core> core, const pool_options& options,
                           std::shared_ptr<connector> tcp, callback<void(session&)> refused, callback<void()> changed)
    : core_(std::move(core)),
      options_(options),
      tcp_(std::move(tcp)),
      refused_(std::move(refused)),
      changed_(std::move(changed)) {}

void control_lane::end() {
    const auto here = shared_from_this();
    ended_ = true;
    if (const auto own = own_) own->end(fail(errc::shutting_down, "ssh pool"));
    for (auto& each : std::exchange(places_, {})) each.shell.reset();
}

control_lane::place& control_lane::place_on(const session& which) {
    for (auto& each : places_) {
        if (each.on == &which) return each;
    }
    return places_.emplace_back(place{&which});
}

bool control_lane::is_on(const session& which) const noexcept {
    return std::any_of(places_.begin(), places_.end(),
                       [&](const place& each) { return each.on == &which && each.shell != nullptr; });
}

bool control_lane::is_asked(const session& which) const noexcept {
    return std::any_of(places_.begin(), places_.end(), [&](const place& each) {
        return each.on == &which && each.shell != nullptr && each.shell->is_asked();
    });
}

void control_lane::leave(const session& which) {
    for (auto each = places_.begin(); each != places_.end(); ++each) {
        if (each->on != &which) continue;
        const auto last = std::move(each->shell);
        places_.erase(each);
        return;
    }
}

// Through the command's session -------------------------------------------------------------------------------------------

void control_lane::ask(session& on, std::size_t most, bool elsewhere, control_question what) {
    if (ended_) return what.tell(std::nullopt);
    if (!elsewhere) {
        if (auto* shell = shell_on(on, most)) return shell->ask(std::move(what));
    }
    ask_own(on.target(), std::move(what));
}

void control_lane::prepare(session& on, std::size_t most, bool login) {
    if (ended_) return;
    if (shell_on(on, most) != nullptr) {
        place_on(on).login_wanted = login;
        return;
    }
    if (login && own_ == nullptr && core_->now() >= no_login_before_) open_own(on.target());
}

control_shell* control_lane::shell_on(session& on, std::size_t most) {
    if (!on.ready() || on.suspect()) return nullptr;
    auto& at = place_on(on);
    if (at.shell) return at.shell.get();
    if (most < 2 || on.channels() >= most || core_->now() < at.not_before) return nullptr;
    at.shell = std::make_unique<control_shell>(on, [this, &on](std::deque<control_question> unanswered, bool served) {
        shell_ended(on, std::move(unanswered), served);
    });
    return at.shell.get();
}

void control_lane::shell_ended(session& on, std::deque<control_question> unanswered, bool served) {
    auto& at = place_on(on);
    const auto last = std::move(at.shell);
    if (!served) at.not_before = saturating_add(core_->now(), next_channel);
    const bool login = std::exchange(at.login_wanted, false) && !served;
    if (last->no_place() && &on != own_.get()) refused_(on);
    if (login && !on.ended()) prepare(on, 1, true);
    // What a shell that worked had no answer for, it may have carried out; an order that comes twice does no harm.
    if (ended_ || on.ended() || &on == own_.get()) return tell_nobody_knows(std::move(unanswered));
    for (auto& each : unanswered) ask_own(on.target(), std::move(each));
}

void control_lane::tell_nobody_knows(std::deque<control_question> questions) {
    for (auto& each : questions) each.tell(std::nullopt);
}

// Through its own session -------------------------------------------------------------------------------------------------

void control_lane::ask_own(const endpoint& target, control_question what) {
    // Another epoch may be another machine.
    if (own_ && own_->target().epoch != target.epoch) {
        const auto old = own_;
        old->end(fail(errc::target_not_ready, "the route was replaced by a newer one"));
    }
    if (!own_) {
        if (ended_ || core_->now() < no_login_before_) return what.tell(std::nullopt);
        open_own(target);
    }
    used_at_ = core_->now();
    if (!own_ || !own_->ready()) return waiting_.push_back(std::move(what));
    if (auto* shell = shell_on(*own_, 2)) return shell->ask(std::move(what));
    what.tell(std::nullopt);
}

void control_lane::open_own(const endpoint& target) {
    used_at_ = core_->now();
    own_ = std::make_shared<session>(core_, target, options_, *this);
    own_->open(target.via ? *target.via : *tcp_, never, 1);
}

void control_lane::session_ready(session& which) noexcept {
    const auto here = shared_from_this();
    alarm_.set(*core_, saturating_add(core_->now(), options_.idle_timeout));
    for (auto& each : std::exchange(waiting_, {})) ask_own(which.target(), std::move(each));
    if (!ended_) changed_();
}

void control_lane::session_changed(session& /*which*/) noexcept {
    const auto here = shared_from_this();
    if (!ended_) changed_();
}

void control_lane::session_ended(session& which, const failure& /*why*/) noexcept {
    const auto here = shared_from_this();
    if (!which.was_ready()) no_login_before_ = saturating_add(core_->now(), next_login);
    leave(which);
    own_.reset();
    alarm_.clear();
    tell_nobody_knows(std::exchange(waiting_, {}));
    if (!ended_) changed_();
}

void control_lane::due() noexcept {
    const auto end = saturating_add(used_at_, options_.idle_timeout);
    if (core_->now() < end) return alarm_.set(*core_, end);
    const auto own = own_;
    own->end(fail(errc::connect_failed, "the session was closed"));
}

}  // namespace exec::inline v0::ssh
