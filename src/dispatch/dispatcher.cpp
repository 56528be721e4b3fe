#include <exec/dispatcher_parts.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "dispatch/dispatcher_core.h"
#include "dispatch/job_flights.h"
#include "dispatch/run_flight.h"

namespace exec::inline v0 {
namespace dispatch {
namespace {

class front_desk final : public dispatcher {
   public:
    explicit front_desk(std::shared_ptr<dispatcher_core> core) noexcept : core_(std::move(core)) {}
    ~front_desk() override { core_->close(); }

    execution submit(call what, std::unique_ptr<observer> tell) override {
        return run_flight::submit(core_, std::move(what), std::move(tell));
    }
    void start_job(call what, std::string tag, reply<job_info> answer) override {
        auto within = check_job(what, tag);
        audit_record about = record_of(verb::start_job, std::move(what.who), std::move(what.target));
        about.redacted_argv = core_->parts.redact->argv(what.what.program_and_args);
        for (const auto entry : what.what.env) about.env_names.emplace_back(entry.name);
        about.cwd = what.what.cwd;
        about.tag = tag;
        auto valid = within ? result<void>() : result<void>(within.error());
        if (within) about.within = *within;
        ask<job_info>(
            std::move(about), std::move(valid),
            [what = std::move(what.what), within = within ? *std::move(within) : limits(), tag = std::move(tag)](
                job_registry& jobs, reply<job_info> how) mutable {
                jobs.start(std::move(what), std::move(within), std::move(tag), std::move(how));
            },
            std::move(answer));
    }
    void jobs(caller who, target_id target, reply<std::vector<job_info>> answer) override {
        ask<std::vector<job_info>>(
            record_of(verb::list, std::move(who), std::move(target)), {},
            [](job_registry& jobs, reply<std::vector<job_info>> how) { jobs.list(std::move(how)); }, std::move(answer));
    }
    execution attach(caller who, target_id target, job_selector which, attach_at from,
                     std::unique_ptr<observer> tell) override {
        return attach_flight::submit(core_, std::move(who), std::move(target), std::move(which), from, std::move(tell));
    }
    void signal_job(caller who, target_id target, job_selector which, int number, reply<void> answer) override {
        audit_record about = record_of(verb::signal, std::move(who), std::move(target));
        about.job = which;
        about.signal_number = number;
        ask<void>(
            std::move(about), check_signal(core_->parts.policy, number),
            [which = std::move(which), number](job_registry& jobs, reply<void> how) {
                jobs.signal(which, number, std::move(how));
            },
            std::move(answer));
    }
    void forget_job(caller who, target_id target, job_selector which, reply<void> answer) override {
        audit_record about = record_of(verb::forget, std::move(who), std::move(target));
        about.job = which;
        ask<void>(
            std::move(about), {},
            [which = std::move(which)](job_registry& jobs, reply<void> how) { jobs.forget(which, std::move(how)); },
            std::move(answer));
    }

   protected:
    bool needs_this_thread() const override { return core_->loop->driven_here(); }

   private:
    static audit_record record_of(verb what, caller who, target_id target) {
        audit_record about;
        about.what = what;
        about.who = std::move(who);
        about.target = std::move(target);
        return about;
    }
    template <class T>
    void ask(audit_record about, result<void> valid, typename registry_flight<T>::question request, reply<T> answer) {
        std::make_shared<registry_flight<T>>(core_, std::move(about), std::move(request), std::move(answer))
            ->begin(std::move(valid));
    }
    result<limits> check_job(const call& what, const std::string& tag) const {
        if (what.target.empty()) return fail(errc::invalid_argument, "target: empty");
        if (!what.idempotency_key.empty()) return fail(errc::unsupported, "idempotency key: of a job");
        if (!tag.empty()) {
            if (auto bad = check_tag(tag); !bad) return std::move(bad).error();
        }
        return apply(core_->parts.policy, what.what, what.within, work::job);
    }

    const std::shared_ptr<dispatcher_core> core_;
};

result<void> check_parts(const dispatcher_parts& parts) {
    const auto missing = [](const char* which) {
        return fail(errc::invalid_argument, std::string("dispatcher: no ") + which);
    };
    if (parts.loop == nullptr) return missing("loop");
    if (!parts.directory) return missing("directory");
    if (!parts.gate) return missing("gate");
    if (!parts.audit) return missing("audit trail; no_audit is one that keeps nothing");
    const auto& within = parts.policy.concurrency;
    if (within.running == 0 || within.running_per_target == 0 || within.running_per_caller == 0 || within.bytes == 0) {
        return fail(errc::invalid_argument, "dispatcher: nothing may run under this policy");
    }
    for (const auto time : {parts.audit_timeout, parts.look_up_timeout, parts.refusals.window, parts.keys.age}) {
        if (time <= milliseconds::zero()) return fail(errc::invalid_argument, "dispatcher: a time is not positive");
    }
    if (parts.loop->closing()) return fail(errc::shutting_down, "dispatcher");
    return {};
}

}  // namespace
}  // namespace dispatch

result<std::shared_ptr<dispatcher>> make_dispatcher(dispatcher_parts parts) {
    if (auto bad = dispatch::check_parts(parts); !bad) return std::move(bad).error();
    if (!parts.redact) {
        auto made = make_redactor();
        if (!made) return std::move(made).error();
        parts.redact = *std::move(made);
    }
    return std::shared_ptr<dispatcher>(
        std::make_shared<dispatch::front_desk>(std::make_shared<dispatch::dispatcher_core>(std::move(parts))));
}

}  // namespace exec::inline v0
