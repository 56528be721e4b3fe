#include "ssh/pool_core.h"

#include <algorithm>
#include <utility>

namespace exec::inline v0::ssh {
namespace {

// A server says that a channel is closed a moment before it counts one less: a refusal so soon after tells nothing about how
// many it allows.
constexpr milliseconds counted_late{50};
constexpr milliseconds first_rest{5};
constexpr milliseconds longest_rest{80};
// How long what was learned of a server holds, before one more is tried.
constexpr milliseconds learned_for{120'000};
// Between a denied login and the only other one: a grant may take a moment to be seen.
constexpr milliseconds next_login{1'000};
// Between connections that fail while other sessions serve the target.
constexpr milliseconds first_reconnect{250};
constexpr milliseconds longest_reconnect{8'000};

}  // namespace

pool_core::pool_core(std::shared_ptr<exec::detail::loop_core> core, pool_options options,
                     std::shared_ptr<connector> tcp)
    : core_(std::move(core)), options_(std::move(options)), tcp_(std::move(tcp)) {}

pool_core::~pool_core() = default;

pool_core::target* pool_core::find_kept(const endpoint& of) noexcept {
    for (auto& each : targets_) {
        if (each.key.same_target(of)) return &each;
    }
    return nullptr;
}

pool_core::target& pool_core::find(const endpoint& of) {
    if (auto* kept = find_kept(of)) return *kept;
    auto& made = targets_.emplace_back();
    made.key = of;
    made.most = most_at_first();
    made.lane = std::make_shared<control_lane>(
        core_, options_, tcp_, [this](session& on) { refused(on); },
        [this] {
            if (!ended_) look_around();
        });
    return made;
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

void pool_core::wait_for(const endpoint& of, waiter& who, time_point by, bool again) {
    if (ended_ || (!enrolled() && !core_->enroll(*this))) return who.denied(fail(errc::shutting_down, "ssh pool"));
    auto& at = find(of);
    if (of.epoch > at.key.epoch) at.key.epoch = of.epoch;
    if (of.epoch < at.key.epoch) {
        return who.denied(fail(errc::target_not_ready, of.text() + ": the route was replaced by a newer one"));
    }
    if (at.queue.size() >= options_.waiting_per_target && !again) {
        auto why = fail(errc::too_busy, of.text() + ": too many commands wait for a channel");
        why.at = stage::queue;
        return who.denied(why);
    }
    at.by = at.queue.empty() ? by : (std::max)(at.by, by);
    at.queue.insert(again ? at.queue.begin() : at.queue.end(), &who);
    serve(at);
    look_around();
}

void pool_core::leave(waiter& who) noexcept {
    for (auto& each : targets_) each.queue.remove(&who);
    publish();
}

// One place of a session is for control, if there is more than one.
std::size_t pool_core::share(const target& in) const noexcept {
    return (std::min)(options_.channels_per_session, (std::max)(in.most, std::size_t{2}) - 1);
}

std::size_t pool_core::commands_on(const target& in, const place& which) noexcept {
    return which.is->channels() - (in.lane->is_on(*which.is) ? 1 : 0);
}

// A channel that only waits for the server's close is nobody's any more.
bool pool_core::is_used(const target& in, const place& which) noexcept {
    return commands_on(in, which) > which.is->zombies() || in.lane->is_asked(*which.is);
}

// It takes new commands, now or when a place is free.
bool pool_core::serves(const target& in, const place& which) const noexcept {
    return which.is->ready() && !which.is->suspect() && !is_draining(in, which);
}

// Retired, replaced, old or past its credential.
bool pool_core::is_draining(const target& in, const place& which) const noexcept {
    return which.retired || which.is->target().epoch < in.key.epoch || core_->now() >= which.is->usable_until();
}

bool pool_core::lends(const target& in, const place& which) const noexcept {
    return serves(in, which) && core_->now() >= which.rests_until && commands_on(in, which) < share(in) &&
           which.is->channels() < in.most;
}

void pool_core::serve(target& at) {
    if (at.most < most_at_first() && core_->now() >= saturating_add(at.learned_at, learned_for)) learn(at, at.most + 1);
    while (!at.queue.empty()) {
        place* best = nullptr;
        for (auto& each : at.sessions) {
            if (lends(at, each) && (best == nullptr || each.is->channels() < best->is->channels())) best = &each;
        }
        if (best == nullptr) break;
        auto& next = *at.queue.front();
        at.queue.pop_front();
        best->idle_since = never;
        best->served = true;
        const auto held = best->is;
        next.granted(*held);
    }
    if (!at.queue.empty()) connect_more(at);
}

void pool_core::serve_all() {
    for (auto& each : targets_) {
        if (!each.queue.empty()) serve(each);
    }
}

void pool_core::connect_more(target& at) {
    if (core_->now() < at.connect_not_before) return;
    std::size_t coming = 0;
    std::size_t of_this_epoch = 0;
    bool proven = false;
    for (const auto& each : at.sessions) {
        if (each.retired || each.is->target().epoch < at.key.epoch) continue;
        ++of_this_epoch;
        if (each.is->ready()) proven = true;
        if (!each.is->ready() && !each.is->ended()) ++coming;
    }
    // What the first connection is told, all would be told: they follow when it has come through.
    const auto at_once = proven ? options_.handshakes_per_target : 1;
    const auto wanted = (at.queue.size() + share(at) - 1) / share(at);
    while (coming < wanted && coming < at_once && of_this_epoch < options_.sessions_per_target && make_place_for(at)) {
        auto made = std::make_shared<session>(core_, at.key, options_, *this);
        at.sessions.push_back({made});
        ++sessions_;
        ++coming;
        ++of_this_epoch;
        ++counted_.connects;
        made->open(at.key.via ? *at.key.via : *tcp_, at.by, at.denied_once ? 2 : 1);
    }
}

// Under the bound of all targets together, an unused session makes place for one that is needed.
bool pool_core::make_place_for(const target& at) {
    if (sessions_ < options_.sessions) return true;
    target* owner = nullptr;
    place* longest = nullptr;
    for (auto& other : targets_) {
        if (&other == &at) continue;
        for (auto& each : other.sessions) {
            if (!each.is->ready() || is_used(other, each) || !other.queue.empty()) continue;
            if (longest == nullptr || each.idle_since < longest->idle_since) {
                owner = &other;
                longest = &each;
            }
        }
    }
    if (longest == nullptr) return false;
    const auto lane = owner->lane;
    const auto closed = take_out(*owner, *longest);
    lane->leave(*closed);  // it owes no answer
    closed->end(fail(errc::connect_failed, "the session was closed"));
    return true;
}

// What a server allows ----------------------------------------------------------------------------------------------------

void pool_core::learn(target& at, std::size_t most) {
    at.most = (std::min)(most, most_at_first());
    at.learned_at = core_->now();
    if (at.most > 1) return;
    for (const auto& each : at.sessions) at.lane->leave(*each.is);
}

void pool_core::refused(session& on) {
    ++counted_.refusals;
    auto* at = find(on);
    if (at == nullptr) return;
    const auto now = core_->now();
    const auto open = on.open_channels();
    if (open > 0 && now >= saturating_add(on.freed_at(), counted_late)) {
        if (open < at->most) learn(*at, open);
        return;
    }
    auto& its = *place_of(*at, on);
    const bool lately = now < saturating_add(its.rests_until, longest_rest);
    its.rest = lately ? (std::min)(its.rest * 2, longest_rest) : first_rest;
    its.rests_until = saturating_add(now, its.rest);
}

void pool_core::ask(session& on, bool elsewhere, control_question what) {
    auto* at = find(on);
    if (at == nullptr) {
        // A session that takes no new command is closed behind its last one; what that has left may be asked about over the lane's.
        at = find_kept(on.target());
        elsewhere = true;
        if (at != nullptr && at->lane->own() == nullptr) at = nullptr;
    }
    if (at == nullptr || ended_) return what.tell(std::nullopt);
    const auto lane = at->lane;
    // With the last answer a session may be of no more use.
    auto tell = [here = shared_from_this(), told = std::move(what.tell)](std::optional<group_state> said) mutable {
        told(said);
        if (here->ended_) return;
        if (here->sessions_ >= here->options_.sessions) here->serve_all();
        here->look_around();
    };
    lane->ask(on, at->most, elsewhere, {what.order, std::move(tell)});
}

void pool_core::prepare_to_ask(session& on, bool login) {
    if (auto* at = find(on); at != nullptr && !ended_) at->lane->prepare(on, at->most, login);
}

// What sessions tell ----------------------------------------------------------------------------------------------------

void pool_core::session_ready(session& which) noexcept {
    if (auto* at = find(which)) {
        at->denied_once = false;
        serve(*at);
        if (const auto* its = place_of(*at, which); its != nullptr && its->served) at->rest = {};
    }
    look_around();
}

void pool_core::session_changed(session& which) noexcept {
    if (auto* at = find(which)) {
        const auto& its = *place_of(*at, which);
        const bool unused = !is_used(*at, its);
        serve(*at);
        // Another target may be waiting for this one's place.
        if (unused && sessions_ >= options_.sessions) serve_all();
    }
    look_around();
}

void pool_core::session_ended(session& which, const failure& why) noexcept {
    auto* at = find(which);
    if (at == nullptr) return;
    const auto here = shared_from_this();
    const auto held = take_out(*at, *place_of(*at, which));
    at->lane->leave(which);  // which it did by itself
    if (which.was_ready()) {
        ++counted_.lost_sessions;
    } else {
        ++counted_.connect_failures;
        not_connected(*at, why);
    }
    if (ended_) return;
    serve_all();
    look_around();
}

void pool_core::rest(target& at) noexcept {
    at.rest = (std::min)((std::max)(at.rest * 2, first_reconnect), longest_reconnect);
    at.connect_not_before = saturating_add(core_->now(), at.rest);
}

// What one connection was told, the next one would be told as well. Those that wait are told too, unless a session serves the
// target that they may still get a place on.
void pool_core::not_connected(target& at, const failure& why) {
    const bool denied = why.code == errc::auth_failed && why.at == stage::login;
    const bool again = denied && !at.denied_once && at.key.login->renews();
    at.denied_once = again;
    if (again) {
        at.connect_not_before = saturating_add(core_->now(), next_login);
        return;
    }
    rest(at);
    // Only the way there may be better the next time.
    const bool final = why.at == stage::host_key || why.at == stage::grant || why.at == stage::login;
    const bool served = std::any_of(at.sessions.begin(), at.sessions.end(), [&](const place& each) {
        return serves(at, each) || !(each.is->was_ready() || each.is->ended());
    });
    if (served && !final) return;
    if (!served) at.connect_not_before = {};  // whoever asks anew has not been told yet
    auto told = std::exchange(at.queue, {});
    for (auto* each : told) each->denied(why);
}

// The end -----------------------------------------------------------------------------------------------------------------

void pool_core::retire(const endpoint& of, milliseconds within) {
    for (auto& each : find(of).sessions) {
        each.retired = true;
        each.close_by = (std::min)(each.close_by, saturating_add(core_->now(), within));
    }
    look_around();
}

// It is not told of its end.
std::shared_ptr<session> pool_core::take_out(target& of, const place& which) {
    auto held = which.is;
    of.sessions.erase(of.sessions.begin() + (&which - of.sessions.data()));
    --sessions_;
    return held;
}

void pool_core::look_around() {
    const auto here = shared_from_this();
    const auto now = core_->now();
    auto next = never;
    // What has passed needs no alarm: whoever ends it looks around.
    const auto consider = [&](time_point when) {
        if (when > now) next = (std::min)(next, when);
    };
    std::vector<std::pair<std::shared_ptr<control_lane>, std::shared_ptr<session>>> closed;
    for (auto& at : targets_) {
        for (std::size_t index = 0; index < at.sessions.size();) {
            auto& each = at.sessions[index];
            const bool no_more = is_draining(at, each);
            const bool unused = each.is->ready() && !is_used(at, each);
            if (unused && each.idle_since == never) each.idle_since = now;
            const auto idle_end =
                each.idle_since == never ? never : saturating_add(each.idle_since, options_.idle_timeout);
            if ((unused && (no_more || now >= idle_end)) || now >= each.close_by) {
                if (!each.served) rest(at);  // a target whose sessions end before they are of use
                closed.emplace_back(at.lane, take_out(at, each));
                continue;
            }
            consider(each.close_by);
            if (each.is->ready()) {
                consider(idle_end);
                consider(each.is->usable_until());
            }
            if (!at.queue.empty()) consider(each.rests_until);
            ++index;
        }
        if (!at.queue.empty()) consider(at.connect_not_before);
    }
    alarm_.set(*core_, next);
    // Whoever is told may end the pool.
    for (const auto& [lane, each] : closed) {
        lane->leave(*each);
        each->end(fail(errc::connect_failed, "the session was closed"));
    }
    if (ended_) return;
    if (!closed.empty()) serve_all();
    targets_.remove_if([](const target& at) {
        const bool forgotten =
            at.sessions.empty() && at.queue.empty() && at.key.epoch == 0 && at.lane->own() == nullptr;
        if (forgotten) at.lane->end();
        return forgotten;
    });
    if (closing_ && std::none_of(targets_.begin(), targets_.end(), [](const target& at) { return is_busy(at); })) {
        return end();
    }
    publish();
}

bool pool_core::is_busy(const target& at) noexcept {
    return !at.queue.empty() ||
           std::any_of(at.sessions.begin(), at.sessions.end(), [&](const place& each) { return is_used(at, each); });
}

void pool_core::due() noexcept {
    serve_all();
    look_around();
}

void pool_core::publish() {
    auto now = counted_;
    for (const auto& at : targets_) {
        now.waiting += at.queue.size();
        const auto add = [&](const session& one, bool draining) {
            now.channels += one.channels();
            now.zombies += one.zombies();
            if (!one.ready()) {
                ++now.connecting;
            } else if (one.suspect()) {
                ++now.suspect;
            } else if (draining) {
                ++now.draining;
            } else {
                ++now.ready;
            }
        };
        for (const auto& each : at.sessions) add(*each.is, is_draining(at, each));
        if (const auto* own = at.lane->own()) add(*own, false);
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
    const auto here = shared_from_this();
    const auto why = fail(errc::shutting_down, "ssh pool");
    for (auto& at : std::exchange(targets_, {})) {
        for (auto* each : at.queue) each->denied(why);
        for (auto& each : at.sessions) each.is->end(why);
        at.lane->end();
    }
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
