#include "dispatch/job_flights.h"

#include <exec/policy.h>

namespace exec::inline v0::dispatch {

attach_flight::attach_flight(std::shared_ptr<dispatcher_core> of, caller who, target_id target, job_selector which,
                             attach_at from, std::unique_ptr<observer> tell)
    : relayed_flight(std::move(of), from.interact ? verb::interact : verb::watch, std::move(who), std::move(target),
                     std::move(tell)),
      from_(from) {
    what().job = std::move(which);
}

execution attach_flight::submit(const std::shared_ptr<dispatcher_core>& to, caller who, target_id target,
                                job_selector which, attach_at from, std::unique_ptr<observer> tell) {
    const auto flight =
        std::make_shared<attach_flight>(to, std::move(who), std::move(target), std::move(which), from, std::move(tell));
    // What the relay keeps until the job is attached to: input and size, if they may be given at all.
    command like;
    if (from.interact) {
        like.in = input::streamed();
        like.terminal.emplace();
    }
    limits within = to->parts.policy.job_defaults;
    within.start_timeout = to->parts.look_up_timeout;
    auto handle = flight->hand_out(std::move(like), std::move(within));
    flight->set_out();
    return handle;
}

result<void> attach_flight::signal(int number) {
    if (!from_.interact) return fail(errc::denied, "signal: this one only watches");
    if (auto may = check_signal(core().parts.policy, number); !may) return may;
    return relayed_flight::signal(number);
}

void attach_flight::passed() {
    if (!way().jobs) return refuse(fail(errc::unsupported, "this target keeps no jobs"));
    record();
}

void attach_flight::act() {
    link().start([this](command, limits, std::unique_ptr<observer> tell) {
        return way().jobs->attach(*what().job, from_, std::move(tell));
    });
}

}  // namespace exec::inline v0::dispatch
