// dispatcher: one call in, one answer out. The seam between a host's server and the library, and what its tests mock.
//
// Behind it a call is held to the policy, its target is looked up, the gate is asked, a slot is waited for and the audit
// record is begun before a runner or job registry sees it. A mock that returns {} and drops its replies is complete: callers
// then learn errc::broken_reply.
// Threads: every member may be called from any thread and none but run() blocks. Observers are called and replies
// answered on the dispatcher's loop, whatever the route's, and never inside the call.
#pragma once

#include <memory>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "exec/assert.h"
#include "exec/call.h"
#include "exec/detail/blocking_run.h"
#include "exec/execution.h"
#include "exec/job_registry.h"
#include "exec/observer.h"
#include "exec/outcome.h"
#include "exec/reply.h"
#include "exec/result.h"

namespace exec::inline v0 {

class dispatcher {
   public:
    virtual ~dispatcher() = default;

    // Begins a command on the call's target, as runner::start. The observer may be null. A dropped execution stops the
    // command and is silent to the observer; the audit record still gets its true end.
    // Fails with (in on_done): errc::invalid_argument, the directory's codes, errc::denied, errc::too_busy,
    // errc::caller_too_busy, errc::start_timeout, errc::audit_unavailable, errc::shutting_down, and what the runner fails with.
    virtual execution submit(call what, std::unique_ptr<observer> tell) = 0;

    // Runs a command to its end in this thread, as runner::run: blocks for at most start + run + grace + drain and a
    // second, returns early after a stop request or flow::stop; calls to `tell` come in this thread and may block;
    // on_done is not called.
    // REQUIRES: this thread does not drive the dispatcher's loop.
    virtual result<outcome> run(call what, observer& tell, std::stop_token stop) {
        EXEC_ASSERT(!needs_this_thread(), "dispatcher: run() on the thread that drives the loop it would wait for");
        return detail::blocking_run(
            [&](std::unique_ptr<observer> relayed) { return submit(std::move(what), std::move(relayed)); }, tell,
            std::move(stop));
    }
    result<outcome> run(call what, std::stop_token stop = {}) {
        observer nobody;
        return run(std::move(what), nobody, std::move(stop));
    }

    // The job verbs: job_registry's members of the same meaning, through directory, gate and audit.
    // They fail with what submit and the registry fail with; errc::unsupported where the target has no registry.
    virtual void start_job(call what, std::string tag, reply<job_info> answer) = 0;
    virtual void jobs(caller who, target_id target, reply<std::vector<job_info>> answer) = 0;
    virtual execution attach(caller who, target_id target, job_selector which, attach_at from,
                             std::unique_ptr<observer> tell) = 0;
    virtual void signal_job(caller who, target_id target, job_selector which, int number, reply<void> answer) = 0;
    virtual void forget_job(caller who, target_id target, job_selector which, reply<void> answer) = 0;

   protected:
    // True on a thread that drives the loop on which submit() delivers.
    virtual bool needs_this_thread() const { return false; }
};

// A dispatcher in front of a dispatcher: inherit and override what you need. Keeps the inner one alive.
// run() goes to the inner run(): who changes what is submitted overrides both.
class dispatcher_wrapper : public dispatcher {
   public:
    // REQUIRES: inner is not null.
    explicit dispatcher_wrapper(std::shared_ptr<dispatcher> inner) : inner_(std::move(inner)) {
        EXEC_ASSERT(inner_ != nullptr, "dispatcher_wrapper: nothing to wrap");
    }

    execution submit(call what, std::unique_ptr<observer> tell) override {
        return inner_->submit(std::move(what), std::move(tell));
    }
    using dispatcher::run;
    result<outcome> run(call what, observer& tell, std::stop_token stop) override {
        return inner_->run(std::move(what), tell, std::move(stop));
    }
    void start_job(call what, std::string tag, reply<job_info> answer) override {
        inner_->start_job(std::move(what), std::move(tag), std::move(answer));
    }
    void jobs(caller who, target_id target, reply<std::vector<job_info>> answer) override {
        inner_->jobs(std::move(who), std::move(target), std::move(answer));
    }
    execution attach(caller who, target_id target, job_selector which, attach_at from,
                     std::unique_ptr<observer> tell) override {
        return inner_->attach(std::move(who), std::move(target), std::move(which), from, std::move(tell));
    }
    void signal_job(caller who, target_id target, job_selector which, int number, reply<void> answer) override {
        inner_->signal_job(std::move(who), std::move(target), std::move(which), number, std::move(answer));
    }
    void forget_job(caller who, target_id target, job_selector which, reply<void> answer) override {
        inner_->forget_job(std::move(who), std::move(target), std::move(which), std::move(answer));
    }

   protected:
    dispatcher& inner() const noexcept { return *inner_; }

   private:
    std::shared_ptr<dispatcher> inner_;
};

}  // namespace exec::inline v0
