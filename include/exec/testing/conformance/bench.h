// Where a row of the kit plays its commands and makes its claims.
#pragma once

#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "exec/capabilities.h"
#include "exec/command.h"
#include "exec/display.h"
#include "exec/error.h"
#include "exec/execution.h"
#include "exec/limits.h"
#include "exec/outcome.h"
#include "exec/result.h"
#include "exec/runner.h"
#include "exec/testing/conformance/record.h"
#include "exec/testing/conformance/subject.h"
#include "exec/time.h"

namespace exec::inline v0::testing::conformance {

inline std::string describe(const exit_status& exit) {
    switch (exit.what) {
        case exit_status::kind::unknown: return "nobody knows how";
        case exit_status::kind::exited: return "exited " + std::to_string(exit.number);
        case exit_status::kind::signaled: return "signal " + std::to_string(exit.number);
    }
    return {};
}
inline std::string describe(const result<outcome>& how) {
    if (!how) return "it never ran (" + how.error().message() + ")";
    return "it ended: " + describe(how->exit) + ", stopped by " + std::string(to_string(how->stopped_by)) + ", out " +
           std::to_string(how->out.total) + (how->out.complete ? "" : " incomplete") + ", err " +
           std::to_string(how->err.total) + (how->err.complete ? "" : " incomplete") + ", tree " +
           std::string(to_string(how->tree));
}

class bench;

// One command, from before its start to after the end of its observer.
class trial {
   public:
    explicit trial(bench& of);
    // Drops the handle and waits for the observer's end.
    ~trial();
    trial(const trial&) = delete;
    trial& operator=(const trial&) = delete;

    hooks& on() noexcept { return told_->calls; }

    // To its end, in the drive mode of the subject.
    result<outcome> run(command what, limits within = {}, std::stop_token stop = {});
    // Returns at once; not in drive::blocking.
    void start(command what, limits within = {});

    // Until `enough(heard)`, or the end of the subject's patience: false.
    template <class F>
    bool wait(F&& enough);
    // Until the stream out has said this.
    bool wait_for(std::string_view text) {
        return wait([text](const heard& all) { return all.out.find(text) != std::string::npos || all.destroyed; });
    }
    // Until the observer is gone. What was its last word; a failure broken_reply if there was none.
    result<outcome> end();
    template <class F>
    auto look(F&& at) {
        return told_->look(std::forward<F>(at));
    }
    // Its loop was destroyed: what has not come by now does not come.
    void loop_is_gone() noexcept {
        told_->forget_loop();
        loop_gone_ = true;
    }

    execution handle{};

   private:
    bench& of_;
    std::shared_ptr<record> told_;
    bool begun_ = false;
    bool loop_gone_ = false;
};

class bench {
   public:
    bench(const conformance_subject& of, const row& which)
        : of_(of), tested_(of.tested), on_(of.on), refuse_(which.need != nullptr && !(of.tested->can().*which.need)) {}

    const conformance_subject& subject() const noexcept { return of_; }
    runner& tested() const noexcept { return *tested_; }
    loop* on() const noexcept { return on_; }
    capabilities can() const { return tested_->can(); }
    bool blocking() const noexcept { return of_.how == drive::blocking; }
    // From here on the row works with a loop and runner of its own.
    void use(loop* on, std::shared_ptr<runner> tested) {
        on_ = on;
        tested_ = std::move(tested);
    }

    command sh(std::string_view script, const std::vector<std::string>& words = {}) const {
        return of_.shell(script, words);
    }
    // A command that nobody watches.
    result<outcome> run(command what, limits within = {}) {
        trial quiet(*this);
        return quiet.run(std::move(what), std::move(within));
    }
    result<outcome> run_sh(std::string_view script, limits within = {}) { return run(sh(script), std::move(within)); }
    // Asks there again and again, until the script succeeds or patience ends.
    bool becomes_true(std::string_view script) {
        const auto last = std::chrono::steady_clock::now() + of_.patience;
        do {
            if (const auto how = run_sh(script); how && how->ok()) return true;
        } while (std::chrono::steady_clock::now() < last);
        return false;
    }
    // Calls it on another thread, which has come back when this returns.
    static void on_another_thread(const std::function<void()>& what) { std::async(std::launch::async, what).get(); }

    // The first sentence that is not true is the row's verdict.
    bool claim(bool holds, std::string sentence) {
        if (!holds && !refuse_ && verdict_.empty()) verdict_ = std::move(sentence);
        return holds;
    }
    bool exits(const result<outcome>& how, exit_status exit, stop_reason why = stop_reason::nobody) {
        return claim(
            how && how->exit == exit && how->stopped_by == why,
            "expected: " + describe(exit) + ", stopped by " + std::string(to_string(why)) + "; " + describe(how));
    }
    bool exits(const result<outcome>& how, int code = 0) { return exits(how, exit_status::exited(code)); }
    // It never ran.
    bool fails(const result<outcome>& how, errc code) {
        return claim(!how && how.error().kind() == code,
                     "expected a failure: " + make_error_code(code).message() + "; " + describe(how));
    }
    bool fails_at(const result<outcome>& how, stage at) {
        return claim(!how && how.error().at == at && how.error().kind() == errc::start_failed,
                     "expected a failure at: " + std::string(to_string(at)) + "; " + describe(how));
    }
    bool says(const result<outcome>& how, std::string_view out, std::string_view err = {}) {
        return claim(how && how->out.bytes == out && how->err.bytes == err && how->out.complete && how->err.complete,
                     "expected all of out: " + display(out) + ", err: " + display(err) + "; " + describe(how) +
                         (how ? ", out: " + display(how->out.bytes) + ", err: " + display(how->err.bytes) : ""));
    }
    // The runner does not offer it, and said so.
    void refused_as_it_should(bool holds, std::string sentence) {
        claim(holds, std::move(sentence));
        counts_as_refused_ = true;
    }
    // The first command of a row whose need is not offered.
    void judge_refusal(const result<outcome>& how) {
        if (std::exchange(judged_, true)) return;
        if (!how && how.error().code == errc::unsupported) return;
        verdict_ = "the runner does not offer this and must refuse it as unsupported; " + describe(how);
    }

    bool must_refuse() const noexcept { return refuse_; }
    bool was_refused() const noexcept { return judged_; }
    bool refused() const noexcept { return refuse_ || counts_as_refused_; }
    std::string verdict() const {
        if (refuse_ && !judged_) return "the row asked for nothing that could be refused";
        return verdict_;
    }

   private:
    const conformance_subject& of_;
    std::shared_ptr<runner> tested_;
    loop* on_;
    const bool refuse_;
    bool judged_ = false;
    bool counts_as_refused_ = false;
    std::string verdict_{};
};

inline trial::trial(bench& of) : of_(of), told_(std::make_shared<record>(of.blocking() ? nullptr : of.on())) {}

inline trial::~trial() {
    handle = {};
    if (begun_ && !wait([](const heard& all) { return all.destroyed; })) {
        of_.claim(false, "the observer was not destroyed");
        told_->forget_loop();  // whatever still comes may come after the loop's end
    }
    const auto broken = look([](const heard& all) { return all.broken; });
    of_.claim(broken.empty(), broken);
}

template <class F>
bool trial::wait(F&& enough) {
    const auto& subject = of_.subject();
    if (of_.blocking() || of_.was_refused() || loop_gone_) return look(enough);
    if (!subject.turn) return told_->wait(enough, subject.patience, subject.how == drive::here);
    for (const auto last = std::chrono::steady_clock::now() + subject.patience; !look(enough);) {
        if (std::chrono::steady_clock::now() >= last) return false;
        subject.turn();
    }
    return true;
}

inline result<outcome> trial::run(command what, limits within, std::stop_token stop) {
    if (!of_.blocking()) {
        start(std::move(what), std::move(within));
        const std::stop_callback on_stop(stop, [this] { handle.stop(); });
        return end();
    }
    auto how = [&] {
        listener tell(told_);
        return of_.tested().run(std::move(what), std::move(within), tell, std::move(stop));
    }();
    of_.claim(!look([](const heard& all) { return all.end.has_value(); }), "on_done was called in a blocking run");
    of_.claim(how.has_value() == look([](const heard& all) { return all.starts == 1; }) ||
                  (how && how->began == started::unknown),
              "on_start and a failure, or neither; " + describe(how));
    if (of_.must_refuse()) of_.judge_refusal(how);
    return how;
}

inline void trial::start(command what, limits within) {
    begun_ = true;
    told_->starting = true;
    handle = of_.tested().start(std::move(what), std::move(within), std::make_unique<listener>(told_));
    told_->starting = false;
    told_->starting.notify_all();
    if (of_.must_refuse()) of_.judge_refusal(end());  // what the row does next is done to an ended command
}

inline result<outcome> trial::end() {
    if (!wait([](const heard& all) { return all.destroyed; })) {
        of_.claim(false, "it did not end in time");
    }
    return look([](const heard& all) -> result<outcome> {
        if (!all.end) return fail(errc::broken_reply, "on_done was not called");
        return *all.end;
    });
}

}  // namespace exec::inline v0::testing::conformance
