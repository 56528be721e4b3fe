#include "process/supervisor.h"

#include <algorithm>
#include <utility>

#include "process/births.h"

namespace exec::inline v0::process {
namespace {

// Where a tracer holds the status of a child whose descriptor already says that it ended.
constexpr milliseconds look_again{10};
// The first look at a killed group; doubled each time.
constexpr std::chrono::microseconds first_probe{100};
constexpr milliseconds slowest_probe{10};
// From here on, 0.7 ms after the KILL, every process is looked at.
constexpr std::chrono::microseconds look_at_each{800};
// The most that is still read at a cut: two of the largest pipes of an unprivileged user, should a writer race with us.
constexpr std::uint64_t last_bytes = 2 * MiB;

}  // namespace

supervisor::supervisor(command what, limits within, observer* tell, driver* by, time_point called)
    : what_(std::move(what)), within_(std::move(within)), tell_(tell), by_(by), called_(called) {
    if (what_.in.what() == input::kind::streamed) feed_.prepare(within_.in_queue);
}

void supervisor::begin(launched ready, const std::string& where, time_point now) {
    clock_ = timeline(within_, now);
    newborns_ = births_begun();
    where_ = &where;
    child_.adopt(std::move(ready.process), within_.contain, std::move(ready.own_cgroup), std::move(ready.terminal));
    const bool on_terminal = what_.terminal.has_value();
    pumps_[0].open(std::move(ready.out), within_.out, on_terminal);
    if (ready.err) pumps_[1].open(std::move(ready.err), within_.err, false);

    const start_info info{child_.pid(), where, within_};
    tell(
        [&](observer& to) {
            to.on_start(info);
            return flow::more;
        },
        now);
    if (ready.in) {
        feed_.open(std::move(ready.in), what_.in.data(), on_terminal);
        input_ready(now);
    }
}

template <class F>
time_point supervisor::tell(F&& call, time_point now) {
    if (tell_ == nullptr || muted()) return now;
    // A call that blocks holds the output as a pause does.
    if (by_ == nullptr) clock_.pause(now);
    auto wish = flow::more;
#if defined(__cpp_exceptions)
    bool threw = false;
    try {
        wish = call(*tell_);
    } catch (...) {
        threw = true;
    }
#else
    constexpr bool threw = false;
    wish = call(*tell_);
#endif
    if (by_ == nullptr) {
        now = std::chrono::steady_clock::now();
        clock_.resume(now);
    }
    if (threw) {
        observer_failed_ = true;
        clock_.stop(stop_reason::observer_failed, unlimited, now);
        return now;
    }
    switch (wish) {
        case flow::more: break;
        case flow::stop: clock_.stop(stop_reason::cancelled, unlimited, now); break;
        case flow::pause:
            // A resume() that came since the call was entered has ended this pause already. It is not taken here: it may
            // also be meant for a pause that was there before.
            if (by_ != nullptr && !resume_.load(std::memory_order_acquire)) clock_.pause(now);
            break;
    }
    return now;
}

bool supervisor::listening(std::size_t index) const noexcept {
    return tell_ != nullptr && !muted() && shown_[index] < policy(index).show;
}

bool supervisor::output_ready(stream from, bool readable, bool hung_up, std::span<char> scratch, time_point now) {
    const auto index = static_cast<std::size_t>(from);
    auto& source = pumps_[index];
    // A hung-up pipe with nothing in it is at its end; a terminal says so only when it is read.
    if (!readable && hung_up && !what_.terminal) {
        at_end(index);
        return false;
    }
    for (std::uint64_t done = 0; done < bytes_a_turn;) {
        if (wanted(source) < 0) return false;
        const auto got = source.take(scratch, listening(index));
        done += (std::max)(got.count, std::uint64_t{1});
        if (got.count != 0) {
            clock_.activity(now);
            now = show(index, got, now);
            if (source.over() && policy(index).then == at_cap::stop) {
                clock_.stop(stop_reason::output_limit, unlimited, now);
            }
        }
        if (got.then == pump::state::at_end) {
            at_end(index);
            return false;
        }
        if (got.then == pump::state::more && scratch.size() < full_read) return true;
        // After a hang-up the end follows what was read; nothing else would tell of it again.
        if (got.then == pump::state::dry && !(hung_up && got.count != 0)) return false;
    }
    return true;
}

time_point supervisor::show(std::size_t index, const pump::chunk& what, time_point now) {
    if (!listening(index) || what.bytes.empty()) return now;
    const auto allowed = policy(index).show - shown_[index];
    const auto bytes =
        what.bytes.substr(0, static_cast<std::size_t>((std::min)(allowed, std::uint64_t{what.bytes.size()})));
    shown_[index] = what.at + bytes.size();
    resume_.store(false, std::memory_order_release);
    return tell([&](observer& to) { return to.on_output(name(index), what.at, bytes); }, now);
}

void supervisor::close_output(std::size_t index, bool ended) {
    if (!pumps_[index].is_open()) return;
    if (by_ != nullptr) by_->forget(index == 0 ? source::out : source::err, ended);
    pumps_[index].close();
}

void supervisor::close_input() {
    in_full_ = false;
    if (by_ != nullptr && feed_.is_open()) by_->forget(source::in, false);
    feed_.close();
}

void supervisor::at_end(std::size_t index) {
    close_output(index, true);
    if (!pumps_[0].is_open() && !pumps_[1].is_open()) clock_.closed();
}

void supervisor::input_ready(time_point now) {
    if (!feed_.is_open()) return;
    const auto then = feed_.flush();
    in_full_ = then == feed::state::full;
    if (then == feed::state::closed) close_input();
    if (feed_.room()) {
        tell(
            [](observer& to) {
                to.on_room();
                return flow::more;
            },
            now);
    }
}

void supervisor::exit_ready(time_point now) {
    if (clock_.has_exited() || !child_) return;
    blind_until_ = never;
    if (const auto ended = child_.look()) {
        exit_ = *ended;
        clock_.exited(now);
    } else if (child_.says_it_ended()) {
        blind_until_ = now + look_again;
    }
}

bool supervisor::look_at_resume(time_point now) {
    if (!clock_.paused() || !resume_.exchange(false, std::memory_order_acq_rel)) return false;
    clock_.resume(now);
    return true;
}

time_point supervisor::wake() const noexcept {
    return settling_ ? next_probe_ : (std::min)(clock_.wake(), blind_until_);
}

void supervisor::tick(std::span<char> scratch, time_point now) {
    if (finished_) return;
    // An exit that can be seen wins over a limit that has passed.
    if (now >= blind_until_ || (clock_.running() && now >= clock_.wake())) exit_ready(now);
    // A child of another command that is just being born may hold the pipes: it is not the silence that ends a drain.
    if (clock_.has_exited() && newborns_ != 0) {
        if (any_birth_among(newborns_)) {
            clock_.activity(now);
        } else {
            newborns_ = 0;
        }
    }
    while (!settling_) {
        const auto due = clock_.next(now);
        switch (due) {
            case timeline::action::none:
                if (!clock_.over()) return;
                begin_settling(now);
                break;
            case timeline::action::heartbeat: {
                const auto running = std::chrono::duration_cast<milliseconds>(now - clock_.began_at());
                if (!clock_.paused()) resume_.store(false, std::memory_order_release);
                now = tell([&](observer& to) { return to.on_heartbeat(running); }, now);
                break;
            }
            case timeline::action::ask: child_.ask(within_.stop); break;
            case timeline::action::kill: child_.kill(); break;
            case timeline::action::cut: cut(scratch, now); break;
            case timeline::action::give_up:
                cut(scratch, now);
                child_.give_up();
                break;
        }
    }
    settle(now);
}

void supervisor::cut(std::span<char> scratch, time_point now) {
    for (std::size_t index = 0; index < 2; ++index) {
        auto& from = pumps_[index];
        if (!from.is_open()) continue;
        bool ended = false;
        bool unseen = false;
        for (std::uint64_t done = 0; !ended && done < last_bytes;) {
            // A paused observer does not see what is taken here: it is told as a gap, and the stream as not complete.
            const bool held = clock_.paused();
            const auto got = from.take(scratch, listening(index) && !held);
            if (!held) now = show(index, got, now);
            unseen = unseen || (held && got.count != 0);
            done += (std::max)(got.count, std::uint64_t{1});
            ended = got.then == pump::state::at_end;
            if (got.then == pump::state::dry && got.count == 0) break;
        }
        complete_[index] = ended && !unseen;
        if (ended) close_output(index, true);
    }
}

void supervisor::begin_settling(time_point now) {
    settling_ = true;
    close_input();
    if (clock_.has_exited()) child_.close_down(within_.stop.after_exit);
    settle_until_ = now + settle_for;
    next_probe_ = now;
    probe_pause_ = first_probe;
}

void supervisor::settle(time_point now) {
    if (now < next_probe_) return;
    if (const auto left = child_.probe(probe_pause_ >= look_at_each)) return finish(*left, now);
    if (now >= settle_until_) return finish(tree_state::may_survive, now);
    next_probe_ = now + probe_pause_;
    probe_pause_ = (std::min)(probe_pause_ * 2, nanoseconds(slowest_probe));
}

void supervisor::finish(tree_state left, time_point now) {
    // The group is empty and still somebody holds a pipe: a descendant that left the group.
    if (left == tree_state::group_gone && (pumps_[0].held() || pumps_[1].held())) left = tree_state::may_survive;
    left_ = left;
    close_output(0, false);
    close_output(1, false);
    if (by_ != nullptr) by_->forget(source::exit, clock_.has_exited());
    child_.close();
    finished_at_ = now;
    finished_ = true;
}

void supervisor::abandon(std::span<char> scratch, time_point now) {
    if (finished_) return;
    clock_.stop(stop_reason::shutdown, milliseconds::zero(), now);
    if (!clock_.has_exited()) {
        child_.kill();
        child_.wait_for_exit(last_wait);
        exit_ready(now);
    }
    if (!settling_) {
        cut(scratch, now);
        if (!clock_.has_exited()) child_.give_up();
        begin_settling(now);
    }
    finish(child_.probe(true).value_or(tree_state::may_survive), now);
}

outcome supervisor::take(time_point now) {
    for (std::size_t index = 0; index < 2; ++index) {
        const auto total = pumps_[index].total();
        if (shown_[index] >= total) continue;
        tell(
            [&](observer& to) {
                to.on_gap(name(index), shown_[index], total - shown_[index]);
                return flow::more;
            },
            now);
    }
    outcome how;
    how.exit = exit_;
    how.tree = left_;
    how.where = *where_;
    how.stopped_by = clock_.cause();
    // However late it came: an exception of the host's must not vanish because the command was quick.
    if (observer_failed_ && how.stopped_by == stop_reason::nobody) how.stopped_by = stop_reason::observer_failed;
    how.out = pumps_[0].finish(complete_[0]);
    how.err = pumps_[1].finish(complete_[1]);
    how.in_taken = feed_.taken();
    how.used = child_.used();
    const auto exited = clock_.has_exited() ? clock_.exited_at() : finished_at_;
    how.took.queue = clock_.began_at() - called_;
    how.took.run = exited - clock_.began_at();
    how.took.drain = finished_at_ - exited;
    how.took.total = finished_at_ - called_;
    how.within = std::move(within_);
    return how;
}

}  // namespace exec::inline v0::process
