// future_run: a command as a std::future, for hosts that start many and collect them later.
//
// The command lives on its runner's loop; the future only shows its end. Dropping the future neither stops the command nor
// waits for it: it goes on within its limits. What ends it early is the stop token.
// Threads: any. Waiting on the thread that drives the loop would wait for ever.
#pragma once

#include <future>
#include <memory>
#include <stop_token>
#include <utility>

#include "exec/command.h"
#include "exec/detail/answering_observer.h"
#include "exec/detail/kept_execution.h"
#include "exec/limits.h"
#include "exec/outcome.h"
#include "exec/result.h"
#include "exec/runner.h"

namespace exec::inline v0 {

// Starts a command; never blocks. The future becomes ready on the loop, always with a value: what never ran is the
// failure in its result, not an exception. A stop request stops the command; the future then tells how that ended.
inline std::future<result<outcome>> future_run(runner& where, command what, limits within = {},
                                               std::stop_token stop = {}) {
    std::promise<result<outcome>> promise;
    auto end = promise.get_future();
    const auto running = std::make_shared<detail::kept_execution>();
    auto tell = std::make_unique<detail::answering_observer>(
        [running, promise = std::move(promise)](result<outcome> how) mutable {
            running->release();
            promise.set_value(std::move(how));
        });
    running->keep(where.start(std::move(what), std::move(within), std::move(tell)), std::move(stop));
    return end;
}

}  // namespace exec::inline v0
