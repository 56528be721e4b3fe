// recording_dispatcher: a dispatcher that writes down what it is asked and plays scripts, for tests of a host's handlers.
//
//     testing::recording_dispatcher front(*loop);
//     front.plays().next(testing::script().says("Linux\n").exits(0));
//     ... the handler under test ...
//     CHECK(front.calls().at(0).who.subject == "user:ada");
//
// No policy, no gate and no trail: what it is asked is what it does. Job verbs are written down and answer
// errc::unsupported; override those that a test needs.
// Threads: any. Observers are called on the loop; run() plays in place, so that a blocking handler needs no thread.
#pragma once

#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "exec/dispatcher.h"
#include "exec/gate.h"
#include "exec/loop.h"
#include "exec/testing/scripted_runner.h"

namespace exec::inline v0::testing {

class recording_dispatcher : public dispatcher {
   public:
    struct asked {
        verb what = verb::run;
        caller who{};
        target_id target{};
        call whole{};        // run and start_job
        std::string tag{};   // start_job
        job_selector job{};  // the other verbs on jobs
        int signal_number = 0;
        attach_at from{};
    };

    explicit recording_dispatcher(loop& on, scripted_options options = {}) : on_(on), plays_(on, std::move(options)) {}
    // REQUIRES: the clock is the loop's.
    recording_dispatcher(loop& on, manual_clock& clock, scripted_options options = {})
        : on_(on), plays_(on, clock, std::move(options)) {}

    // Where commands come from.
    scripted_runner& plays() noexcept { return plays_; }
    // Everything that was asked, in order. A copy.
    std::vector<asked> calls() const {
        const std::lock_guard hold(guard_);
        return asked_;
    }

    execution submit(call what, std::unique_ptr<observer> tell) override {
        note_call(verb::run, what, {});
        return plays_.start(std::move(what.what), std::move(what.within), std::move(tell));
    }
    using dispatcher::run;
    result<outcome> run(call what, observer& tell, std::stop_token stop) override {
        note_call(verb::run, what, {});
        return plays_.run(std::move(what.what), std::move(what.within), tell, std::move(stop));
    }
    void start_job(call what, std::string tag, reply<job_info> answer) override {
        note_call(verb::start_job, what, std::move(tag));
        refuse(std::move(answer));
    }
    void jobs(caller who, target_id target, reply<std::vector<job_info>> answer) override {
        note({.what = verb::list, .who = std::move(who), .target = std::move(target)});
        refuse(std::move(answer));
    }
    execution attach(caller who, target_id target, job_selector which, attach_at from,
                     std::unique_ptr<observer> tell) override {
        note({.what = from.interact ? verb::interact : verb::watch,
              .who = std::move(who),
              .target = std::move(target),
              .job = std::move(which),
              .from = from});
        on_.post([tell = std::move(tell)] {
            if (tell) tell->on_done(fail(errc::unsupported, "jobs: not in this test"));
        });
        return {};
    }
    void signal_job(caller who, target_id target, job_selector which, int number, reply<void> answer) override {
        note({.what = verb::signal,
              .who = std::move(who),
              .target = std::move(target),
              .job = std::move(which),
              .signal_number = number});
        refuse(std::move(answer));
    }
    void forget_job(caller who, target_id target, job_selector which, reply<void> answer) override {
        note({.what = verb::forget, .who = std::move(who), .target = std::move(target), .job = std::move(which)});
        refuse(std::move(answer));
    }

   private:
    void note(asked what) {
        const std::lock_guard hold(guard_);
        asked_.push_back(std::move(what));
    }
    void note_call(verb as, const call& what, std::string tag) {
        note({.what = as, .who = what.who, .target = what.target, .whole = what, .tag = std::move(tag)});
    }
    template <class T>
    void refuse(reply<T> answer) {
        on_.post([answer = std::move(answer)]() mutable { answer(fail(errc::unsupported, "jobs: not in this test")); });
    }

    loop& on_;
    scripted_runner plays_;
    mutable std::mutex guard_{};
    std::vector<asked> asked_{};
};

}  // namespace exec::inline v0::testing
