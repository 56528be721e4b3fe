// The handle of a command that somebody waits for through a future, a coroutine or a completion handler: kept from the
// start to the end, where a stop request finds it.
#pragma once

#include <mutex>
#include <optional>
#include <stop_token>
#include <utility>

#include "exec/execution.h"

namespace exec::inline v0::detail {

// Threads: any. The loop may release before the starter has come to keep.
class kept_execution {
   public:
    void keep(execution running, std::stop_token stop = {}) {
        const std::lock_guard hold(mutex_);
        if (released_) return;
        running_ = std::move(running);
        if (stop.stop_possible()) on_stop_.emplace(std::move(stop), stop_it{running_});
    }
    void stop() {
        const std::lock_guard hold(mutex_);
        running_.stop();
    }
    // Drops the handle. Waits for a stop request that is just being passed on; that one never waits for us.
    void release() {
        execution last;
        const std::lock_guard hold(mutex_);
        released_ = true;
        on_stop_.reset();
        last = std::move(running_);
    }

   private:
    // Takes no lock: running_ does not change while this exists.
    struct stop_it {
        execution& running;
        void operator()() const { running.stop(); }
    };

    std::mutex mutex_;
    bool released_ = false;
    execution running_{};
    std::optional<std::stop_callback<stop_it>> on_stop_{};
};

}  // namespace exec::inline v0::detail
