// runner_wrapper, observer_wrapper: pass everything on. Inherit, and override what should be different.
//
// A member that is added to an interface later is passed on by its wrapper as well, so that a decorator in a host keeps
// working. dispatcher_wrapper is in dispatcher.h.
// Threads: as the interface that is wrapped; the wrappers hold no state that changes.
#pragma once

#include <cstdint>
#include <memory>
#include <stop_token>
#include <utility>

#include "exec/assert.h"
#include "exec/bytes.h"
#include "exec/capabilities.h"
#include "exec/command.h"
#include "exec/execution.h"
#include "exec/limits.h"
#include "exec/observer.h"
#include "exec/outcome.h"
#include "exec/result.h"
#include "exec/runner.h"
#include "exec/time.h"

namespace exec::inline v0 {

// A runner in front of a runner, which it keeps alive. run() goes to the inner run(): who changes what is started
// overrides both.
class runner_wrapper : public runner {
   public:
    // REQUIRES: inner is not null.
    explicit runner_wrapper(std::shared_ptr<runner> inner) : inner_(std::move(inner)) {
        EXEC_ASSERT(inner_ != nullptr, "runner_wrapper: nothing to wrap");
    }

    execution start(command what, limits within, std::unique_ptr<observer> tell) override {
        return inner_->start(std::move(what), std::move(within), std::move(tell));
    }
    using runner::run;
    result<outcome> run(command what, limits within, observer& tell, std::stop_token stop) override {
        return inner_->run(std::move(what), std::move(within), tell, std::move(stop));
    }
    capabilities can() const override { return inner_->can(); }

   protected:
    runner& inner() const noexcept { return *inner_; }

   private:
    std::shared_ptr<runner> inner_;
};

// An observer in front of an observer, which it owns. With nobody behind it, it goes on and says nothing.
class observer_wrapper : public observer {
   public:
    explicit observer_wrapper(std::unique_ptr<observer> inner) noexcept : inner_(std::move(inner)) {}

    void on_start(const start_info& what) override {
        if (inner_) inner_->on_start(what);
    }
    flow on_output(stream from, std::uint64_t at, bytes_view bytes) override {
        return inner_ ? inner_->on_output(from, at, bytes) : flow::more;
    }
    void on_gap(stream from, std::uint64_t at, std::uint64_t missing) override {
        if (inner_) inner_->on_gap(from, at, missing);
    }
    void on_room() override {
        if (inner_) inner_->on_room();
    }
    flow on_heartbeat(milliseconds running) override { return inner_ ? inner_->on_heartbeat(running) : flow::more; }
    void on_done(result<outcome> how) override {
        if (inner_) inner_->on_done(std::move(how));
    }

   protected:
    // Null if there is nobody.
    observer* inner() const noexcept { return inner_.get(); }

   private:
    std::unique_ptr<observer> inner_;
};

}  // namespace exec::inline v0
