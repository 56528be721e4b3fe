// executor: where work that may block is done.
//
// The library never starts a thread for it: name look-ups, fsync, key files and slow execs run on an executor that
// the host hands in, usually a few lines around the pool it already has.
// Threads: execute() is called from any thread, also from a loop's callbacks.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

#include "exec/callback.h"
#include "exec/export.h"
#include "exec/result.h"

namespace exec::inline v0 {

class executor {
   public:
    virtual ~executor() = default;

    // Calls `work` once, later, on a thread of its choice, and does not wait for it. Never calls it inside. An
    // implementation that must refuse destroys `work` uncalled; a reply in it then answers errc::broken_reply.
    virtual void execute(callback<void()> work) = 0;
};

// An executor with threads of its own, all started here, every signal blocked in them. Work starts in the order in which it came.
// Its destructor waits for the work in progress and destroys what is still queued uncalled, so that replies in it
// answer errc::broken_reply; it must not run on one of the threads. An exception that leaves `work` ends there: `log`,
// if any, is told in one line, on the thread where it happened, one at a time.
// REQUIRES: threads > 0.
// Fails with: EAGAIN (no thread could be made; none is left behind).
EXEC_API result<std::unique_ptr<executor>> make_thread_executor(std::size_t threads,
                                                                callback<void(std::string_view)> log = {});

}  // namespace exec::inline v0
