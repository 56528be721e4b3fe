// runner: runs commands somewhere. The interface that every place implements and that hosts mock.
//
// Threads: start() and run() may be called from any thread, and by many at once. A runner may die before its
// executions; a loop outlives the runners made on it.
#pragma once

#include <memory>
#include <stop_token>
#include <utility>

#include "exec/assert.h"
#include "exec/capabilities.h"
#include "exec/command.h"
#include "exec/detail/blocking_run.h"
#include "exec/execution.h"
#include "exec/limits.h"
#include "exec/observer.h"
#include "exec/outcome.h"
#include "exec/result.h"
#include "exec/time.h"

namespace exec::inline v0 {

class runner {
   public:
    virtual ~runner() = default;

    // Begins a command and returns its handle. Never blocks, never calls back inside, cannot fail on the spot: every
    // error arrives in observer::on_done. The observer may be null.
    virtual execution start(command what, limits within, std::unique_ptr<observer> tell) = 0;

    // Runs a command to its end in this thread. Blocks for at most start + run + grace + drain and two seconds; returns
    // early after a stop request or flow::stop. Calls to `tell` come in this thread, one at a time, and may block:
    // the command is held back as by a full pipe, and deadlines are enforced as soon as they return. on_done is not
    // called: the return value is it. flow::pause means `more` here. limits::consumer_timeout stops nothing; the local
    // runner gives up a drain to which its observer's calls have added so much.
    // REQUIRES: this thread does not drive the loop that the runner needs (the local runner needs none).
    virtual result<outcome> run(command what, limits within, observer& tell, std::stop_token stop) {
        EXEC_ASSERT(!needs_this_thread(), "runner: run() on the thread that drives the loop it would wait for");
        // A call that blocks is allowed to. What start() has to refuse is left to it.
        if (within.consumer_timeout > milliseconds::zero()) within.consumer_timeout = unlimited;
        return detail::blocking_run(
            [&](std::unique_ptr<observer> relayed) {
                return start(std::move(what), std::move(within), std::move(relayed));
            },
            tell, std::move(stop));
    }
    result<outcome> run(command what, limits within = {}, std::stop_token stop = {}) {
        observer nobody;
        within.out.show = within.err.show = 0;  // what is not kept need not be copied
        return run(std::move(what), std::move(within), nobody, std::move(stop));
    }

    // A hint for menus; start() has the last word.
    virtual capabilities can() const = 0;

   protected:
    // True on a thread that drives the loop on which start() delivers.
    virtual bool needs_this_thread() const { return false; }
};

}  // namespace exec::inline v0
