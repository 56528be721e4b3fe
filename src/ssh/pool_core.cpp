#include "ssh/pool_core.h"

#include <algorithm>
#include <utility>

namespace exec::inline v0::ssh {

pool_core::pool_core(std::shared_ptr<exec::detail::loop_core> core, pool_options options,
                     std::shared_ptr<connector> tcp)
    : core_(std::move(core)), options_(std::move(options)), tcp_(std::move(tcp)) {}

pool_core::~pool_core() = default;

pool_core::target& pool_core::find(const endpoint& of) {
    for (auto& each : targets_) {
        if (each.key.same_target(of)) return each;
    }
    targets_.push_back({of, {}, {}, never, false});
    return targets_.back();
}

pool_core::target* pool_core::find(const session& of) noexcept {
    for (auto& each : targets_) {
        if (place_of(each, of) != nullptr) return &each;
    }
    return nullptr;
}

pool_core::place* pool_core::place_of(target& in, const session& of) noexcept {
    for (auto& each : in.sessions) {
        if (each.is.get() == &of) return &each;
    }
    return nullptr;
}

// What waits ------------------------------------------------------------------------------------------------------------

void pool_core::wait_for(const endpoint& of, waiter& who, time_point by) {
    if (ended_ || (!enrolled() && !core_->enroll(*this))) return who.denied(fail(errc::shutting_down, "ssh pool"));
    auto& at = find(of);
    if (of.epoch > at.key.epoch) at.key.epoch = of.epoch;
    if (of.epoch < at.key.epoch) {
        return who.denied(fail(errc::target_not_ready, of.text() + ": the route was replaced by a newer one"));
    }
    if (at.queue.size() >= options_.waiting_per_target) {
        auto why = fail(errc::too_busy, of.text() + ": too many commands wait for a channel");
        why.at = stage::queue;
        return who.denied(why);
    }
    at.queue.push_back(&who);
    at.by = at.queue.size() == 1 ? by : (std::max)(at.by, by);
    serve(at);
    look_around();
}

void pool_core::leave(waiter& who) noexcept {
    for (auto& each : targets_) each.queue.remove(&who);
    publish();
}

bool pool_core::lends(const target& in, const place& which) const noexcept {
    return which.is->ready() && !which.is->suspect() && !which.retired && which.is->target().epoch >= in.key.epoch &&
           core_->now() < which.is->usable_until() && which.is->channels() < which.share;
}

void pool_core::serve(target& at) {
    while (!at.queue.empty()) {
        place* best = nullptr;
        for (auto& each : at.sessions) {
            if (lends(at, each) && (best == nullptr || each.is->channels() < best->is->channels())) best = &each;
        }
        if (best == nullptr) break;
        auto& next = *at.queue.front();
        at.queue.pop_front();
        best->idle_since = never;
        const auto held = best->is;
        next.granted(*held);
    }
    if (!at.queue.empty()) connect_more(at);
}

void pool_core::connect_more(target& at) {
    std::size_t coming = 0;
    std::size_t of_this_epoch = 0;
    for (const auto& each : at.sessions) {
        if (each.retired || each.is->target().epoch < at.key.epoch) continue;
        ++of_this_epoch;
        if (!each.is->ready() && !each.is->ended()) ++coming;
    }
    const auto wanted = (at.queue.size() + options_.channels_per_session - 1) / options_.channels_per_session;
    while (coming < wanted && coming < options_.handshakes_per_target && of_this_epoch < options_.sessions_per_target &&
           sessions_ < options_.sessions) {
        auto made = std::make_shared<session>(core_, at.key, options_, *this);
        at.sessions.push_back({made, options_.channels_per_session});
        ++sessions_;
        ++coming;
        ++of_this_epoch;
        ++counted_.connects;
        made->open(at.key.via ? *at.key.via : *tcp_, at.by, at.denied_once ? 2 : 1);
    }
}

session* pool_core::for_control(const endpoint& of) noexcept {
    auto& at = find(of);
    for (auto& each : at.sessions) {
        if (each.is->ready() && !each.is->suspect() && each.is->channels() <= each.share) return each.is.get();
    }
    return nullptr;
}

// What sessions tell ----------------------------------------------------------------------------------------------------

void pool_core::session_ready(session& which) noexcept {
    if (auto* at = find(which)) {
        at->denied_once = false;
        place_of(*at, which)->idle_since = core_->now();
        serve(*at);
    }
    look_around();
}

void pool_core::session_changed(session& which) noexcept {
    if (auto* at = find(which)) {
        auto& its = *place_of(*at, which);
        if (which.channels() == 0 && its.idle_since == never) its.idle_since = core_->now();
        serve(*at);
    }
    look_around();
}

void pool_core::session_ended(session& which, const failure& why) noexcept {
    auto* at = find(which);
    if (at == nullptr) return;
    const auto held = which.shared_from_this();
    const bool was_ready = which.was_ready();
    at->sessions.erase(std::find_if(at->sessions.begin(), at->sessions.end(),
                                    [&](const place& each) { return each.is.get() == &which; }));
    --sessions_;
    if (was_ready) {
        ++counted_.lost_sessions;
    } else {
        ++counted_.connect_failures;
        const bool again = why.code == errc::auth_failed && why.at == stage::login && !at->denied_once;
        at->denied_once = again;
        const bool others =
            std::any_of(at->sessions.begin(), at->sessions.end(), [](const place& each) { return !each.is->ended(); });
        if (!again && !others) {
            // What one connection was told, a second one would be told as well.
            auto told = std::exchange(at->queue, {});
            for (auto* each : told) each->denied(why);
        }
    }
    if (!ended_) serve(*at);
    look_around();
}

// The end -----------------------------------------------------------------------------------------------------------------

void pool_core::retire(const endpoint& of, milliseconds within) {
    for (auto& each : find(of).sessions) {
        each.retired = true;
        each.close_by = (std::min)(each.close_by, saturating_add(core_->now(), within));
    }
    look_around();
}

void pool_core::look_around() {
    const auto now = core_->now();
    auto next = never;
    for (auto& at : targets_) {
        for (std::size_t index = 0; index < at.sessions.size();) {
            auto& each = at.sessions[index];
            const auto held = each.is;
            const bool no_more = each.retired || held->target().epoch < at.key.epoch || now >= held->usable_until();
            const auto idle_end =
                each.idle_since == never ? never : saturating_add(each.idle_since, options_.idle_timeout);
            const bool empty = held->ready() && held->channels() == 0;
            if ((empty && (no_more || now >= idle_end)) || now >= each.close_by) {
                // Not told as lost: it is we who close it.
                at.sessions.erase(at.sessions.begin() + static_cast<std::ptrdiff_t>(index));
                --sessions_;
                held->end(fail(errc::connect_failed, "the session was closed"));
                continue;
            }
            if (held->ready()) next = (std::min)({next, each.close_by, idle_end, held->usable_until()});
            ++index;
        }
    }
    targets_.remove_if([](const target& at) { return at.sessions.empty() && at.queue.empty() && at.key.epoch == 0; });
    if (closing_ && !ended_) {
        const bool busy = std::any_of(targets_.begin(), targets_.end(), [](const target& at) {
            return !at.queue.empty() || std::any_of(at.sessions.begin(), at.sessions.end(), [](const place& each) {
                return each.is->channels() != each.is->zombies();
            });
        });
        if (!busy) return end();
    }
    if (next == never) {
        alarm_.clear();
    } else if (next > now) {
        alarm_.set(*core_, next);
    }
    publish();
}

void pool_core::publish() {
    auto now = counted_;
    for (const auto& at : targets_) {
        now.waiting += at.queue.size();
        for (const auto& each : at.sessions) {
            now.channels += each.is->channels();
            now.zombies += each.is->zombies();
            if (!each.is->ready()) {
                ++now.connecting;
            } else if (each.is->suspect()) {
                ++now.suspect;
            } else if (each.retired || each.is->target().epoch < at.key.epoch) {
                ++now.draining;
            } else {
                ++now.ready;
            }
        }
    }
    const std::lock_guard hold(guard_);
    published_ = now;
}

pool_stats pool_core::snapshot() const {
    const std::lock_guard hold(guard_);
    return published_;
}

void pool_core::end() {
    if (std::exchange(ended_, true)) return;
    const auto why = fail(errc::shutting_down, "ssh pool");
    for (auto& at : targets_) {
        auto waiting = std::exchange(at.queue, {});
        for (auto* each : waiting) each->denied(why);
        auto sessions = std::exchange(at.sessions, {});
        for (auto& each : sessions) each.is->end(why);
    }
    targets_.clear();
    sessions_ = 0;
    alarm_.clear();
    client::leave();
    publish();
}

// The commands are told by themselves first; what they still need of their sessions they have until abandon().
void pool_core::shut_down(milliseconds /*within*/) noexcept {
    closing_ = true;
    look_around();
}
void pool_core::abandon() noexcept { end(); }

}  // namespace exec::inline v0::ssh
