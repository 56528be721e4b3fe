// The verbs on background jobs: those that answer with a value, and the one that gives a handle.
// Threads: as flight.
#pragma once

#include <exec/job_registry.h>
#include <exec/reply.h>

#include <memory>
#include <optional>
#include <utility>

#include "dispatch/flight.h"
#include "dispatch/relayed_flight.h"

namespace exec::inline v0::dispatch {

// Answers with what the target's registry says to `request`.
template <class T>
class registry_flight final : public flight {
   public:
    using question = callback<void(job_registry&, reply<T>)>;

    registry_flight(std::shared_ptr<dispatcher_core> of, audit_record about, question request, reply<T> answer)
        : flight(std::move(of), about.what, {}, {}), request_(std::move(request)), answer_(std::move(answer)) {
        what() = std::move(about);
    }

    // Any thread; once. A failure is a request that is wrong already.
    void begin(result<void> valid) {
        if (!valid) wrong(std::move(valid).error());
        set_out();
    }

   private:
    milliseconds look_up_budget() const override { return core().parts.look_up_timeout; }
    void passed() override {
        if (!way().jobs) return refuse(fail(errc::unsupported, "this target keeps no jobs"));
        // To look at a list changes nothing and shows nothing that was said.
        if (what().what == verb::list) return act();
        record();
    }
    void act() override {
        ask<T>([this](reply<T> how) { request_(*way().jobs, std::move(how)); }, &registry_flight::acted);
    }
    void acted(result<T> how) {
        audit_end end;
        if (how) {
            end.status = audit_status::ok;
            end.ran = true;
            if constexpr (std::is_same_v<T, job_info>) {
                end.job = how->id;
                end.where = how->where;
            }
        } else {
            end = audit_end_of(how.error());
        }
        how_.emplace(std::move(how));
        over(std::move(end));
    }
    void admitted() override {}
    void refuse(failure why) override {
        if (is_over()) return;
        auto end = audit_end_of(why);
        how_.emplace(std::move(why));
        over(std::move(end));
    }
    void stop_within(milliseconds /*grace*/) override {}
    void lost_loop() override { refuse(fail(errc::shutting_down, "dispatcher")); }
    void answer() override {
        if (!how_ || !answer_) return;
        detail::at_the_border(*core().loop, "dispatcher: a reply", [this] { answer_(*std::move(how_)); });
    }

    question request_;
    reply<T> answer_;
    std::optional<result<T>> how_{};
};

class attach_flight final : public relayed_flight {
   public:
    static execution submit(const std::shared_ptr<dispatcher_core>& to, caller who, target_id target,
                            job_selector which, attach_at from, std::unique_ptr<observer> tell);

    attach_flight(std::shared_ptr<dispatcher_core> of, caller who, target_id target, job_selector which, attach_at from,
                  std::unique_ptr<observer> tell);

    result<void> signal(int number) override;

   private:
    void passed() override;
    void act() override;

    const attach_at from_;
};

}  // namespace exec::inline v0::dispatch
