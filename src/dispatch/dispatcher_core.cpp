#include "dispatch/dispatcher_core.h"

#include <exec/dispatch_metrics.h>

#include <utility>
#include <vector>

#include "dispatch/flight.h"
#include "posix/syscalls.h"

namespace exec::inline v0::dispatch {

dispatcher_core::dispatcher_core(dispatcher_parts with)
    : parts(std::move(with)),
      loop(detail::core_of(*parts.loop)),
      bytes(parts.policy.concurrency.bytes),
      places(parts.policy.concurrency, bytes),
      keys(parts.keys, bytes, loop),
      tell(parts.log, parts.metrics),
      refused_(parts.refusals) {}

bool dispatcher_core::join(flight& who) {
    if (closed() || ending_) return false;
    if (!enrolled() && !loop->enroll(*this)) return false;
    who.at_ = flights_.insert(flights_.end(), who.shared_from_this());
    return true;
}

void dispatcher_core::leave(flight& who) {
    flights_.erase(who.at_);
    settle();
}

// A loop that ends waits for those who are enrolled.
void dispatcher_core::settle() {
    if (flights_.empty() && !summary_pending_ && enrolled()) client::leave();
}

void dispatcher_core::close() {
    closed_.store(true, std::memory_order_release);
    detail::post(*loop, [self = shared_from_this()] {
        self->end_waiting({});
        self->write_summaries(never);
        self->settle();
    });
}

void dispatcher_core::end_waiting(std::optional<milliseconds> within) {
    const auto self = shared_from_this();
    for (const auto& each : all()) each->shut_down(within);
}

// Any of them may end, and take others along, while one is told.
std::vector<std::shared_ptr<flight>> dispatcher_core::all() const { return {flights_.begin(), flights_.end()}; }

void dispatcher_core::shut_down(milliseconds within) noexcept {
    const auto self = shared_from_this();
    ending_ = true;
    end_waiting(within);
    write_summaries(never);
    settle();
}

void dispatcher_core::abandon() noexcept {
    const auto self = shared_from_this();
    ending_ = true;
    for (const auto& each : all()) each->abandon();
    summary_pending_ = false;
    if (enrolled()) client::leave();
}

audit_id dispatcher_core::make_id() {
    if (ids_left_ == 0) {
        // So few bytes are never cut short.
        if (posix::sys().random(ids_.data(), sizeof ids_, 0) != static_cast<ssize_t>(sizeof ids_)) return {};
        ids_left_ = ids_.size();
    }
    return audit_id(ids_[--ids_left_]);
}

// The trail ------------------------------------------------------------------------------------------------------------

void dispatcher_core::wrote(std::string_view step, const result<void>& how) const {
    tell.count(dispatch_metrics::audit_writes, 1,
               {{"step", step}, {"result", how ? std::string_view("ok") : std::string_view("error")}});
    if (how) return;
    const auto why = how.error().message();
    tell.say(log_level::error, "dispatch.audit.failed", {{"step", step}, {"why", std::string_view(why)}});
}

void dispatcher_core::finish_late(const audit_id& of, const audit_end& how) {
    parts.audit->finish(of, how, [self = shared_from_this()](result<void> done) { self->wrote("finish", done); });
}

void dispatcher_core::note_refusal(const audit_record& what, const failure& why) {
    const auto now = loop->now();
    if (refused_.admit(what, why, now)) {
        parts.audit->note(what, audit_end_of(why),
                          [self = shared_from_this()](result<void> done) { self->wrote("note", done); });
        return;
    }
    note_soon();
}

void dispatcher_core::write_summaries(time_point upto) {
    for (auto& each : refused_.due(upto)) {
        each.what.id = make_id();
        parts.audit->note(each.what, audit_end_of(each.why),
                          [self = shared_from_this()](result<void> done) { self->wrote("note", done); });
    }
    if (upto != never) note_soon();
}

void dispatcher_core::note_soon() {
    if (refused_.next() == never || std::exchange(summary_pending_, true)) return;
    parts.loop
        ->after(until(refused_.next(), loop->now()),
                [self = shared_from_this()] {
                    self->summary_pending_ = false;
                    self->write_summaries(self->loop->now());
                    self->settle();
                })
        .detach();
}

// Gauges are sums of changes, so that several dispatchers may share one.
void dispatcher_core::gauge_changes() {
    const auto tell_of = [this](const metric& which, std::size_t& told, std::size_t now) {
        if (told == now) return;
        tell.count(which, static_cast<double>(now) - static_cast<double>(told));
        told = now;
    };
    tell_of(dispatch_metrics::running, told_running_, places.running());
    tell_of(dispatch_metrics::waiting, told_waiting_, places.waiting());
    tell_of(dispatch_metrics::held_bytes, told_bytes_, bytes.held());
}

}  // namespace exec::inline v0::dispatch
