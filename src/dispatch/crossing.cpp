#include "dispatch/crossing.h"

namespace exec::inline v0::dispatch {

flow crossing::put(event what) {
    using kind = event::kind;
    const auto output = what.what == kind::output;
    const std::lock_guard hold(guard_);
    if (what.what == kind::heartbeat && !events_.empty() && events_.back().what == kind::heartbeat) {
        events_.back().running = what.running;  // a loop that is not driven cannot make the queue grow
    } else {
        events_.push_back(std::move(what));
    }
    schedule();
    return output ? flow::pause : flow::more;
}

void crossing::finish(result<outcome> how) {
    const std::lock_guard hold(guard_);
    how_.emplace(std::move(how));
    schedule();
}

void crossing::resume() {
    {
        const std::lock_guard hold(guard_);
        resumed_ = true;
        if (!std::exchange(paused_, false)) return;
    }
    run_.resume();
}

void crossing::abandon() {
    std::shared_ptr<observer> last;
    const std::lock_guard hold(guard_);
    last = std::move(tell_);
}

// REQUIRES: the lock.
void crossing::schedule() {
    if (tell_ == nullptr || std::exchange(scheduled_, true)) return;
    detail::post(*on_, [self = shared_from_this()] { self->deliver(); });
}

void crossing::deliver() {
    for (;;) {
        std::shared_ptr<observer> tell;
        std::optional<event> next;
        std::optional<result<outcome>> how;
        {
            const std::lock_guard hold(guard_);
            tell = tell_;
            if (tell && !events_.empty()) {
                next.emplace(std::move(events_.front()));
                events_.pop_front();
                if (next->what == event::kind::output) resumed_ = false;
            } else {
                scheduled_ = false;
                if (tell && how_) {
                    how = std::exchange(how_, std::nullopt);
                    tell_.reset();
                }
            }
        }
        if (next) {
            show(*tell, *next);
            continue;
        }
        if (!how) return;
        auto& end = *how;
        if (end && threw_ && (end->stopped_by == stop_reason::cancelled || end->stopped_by == stop_reason::nobody)) {
            end->stopped_by = stop_reason::observer_failed;
        }
        return tell->on_done(std::move(end));
    }
}

void crossing::show(observer& tell, const event& what) {
    const bool output = what.what == event::kind::output;
    auto wanted = flow::more;
    if (!lost_interest_) {
#if defined(__cpp_exceptions)
        try {
            wanted = detail::deliver(what, tell);
        } catch (...) {
            on_->swallowed("dispatcher: an observer");
            threw_ = true;
            wanted = flow::stop;
        }
#else
        wanted = detail::deliver(what, tell);
#endif
    }
    if (wanted == flow::stop) {
        lost_interest_ = true;
        run_.stop();
    }
    if (!output) return;
    if (wanted == flow::pause) {
        const std::lock_guard hold(guard_);
        if (!std::exchange(resumed_, false)) {
            paused_ = true;
            return;
        }
    }
    run_.resume();
}

}  // namespace exec::inline v0::dispatch
