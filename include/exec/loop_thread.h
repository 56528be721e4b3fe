// loop_thread: a thread that drives a loop, for hosts that have no loop of their own.
//
// The thread blocks every signal, so that the host's handlers run where they always did.
// Threads: callbacks of the loop come in the new thread. The loop must outlive the loop_thread.
// Never: touches the loop's descriptors or the host's signal dispositions.
#pragma once

#include <memory>
#include <string>

#include "exec/export.h"
#include "exec/loop.h"
#include "exec/result.h"

namespace exec::inline v0 {

class loop_thread {
   public:
    // As start(), for hosts to which a missing thread is the end. Throws bad_result where start() fails (in a
    // build without exceptions: reports misuse).
    EXEC_API explicit loop_thread(loop& drives);

    // `name` is what ps and debuggers show, cut to the kernel's 15 bytes.
    // Fails with: EAGAIN (no thread could be made).
    EXEC_API static result<loop_thread> start(loop& drives, std::string name = "exec-loop");

    // Stops driving and joins the thread. Blocks until the callback in progress has returned.
    // REQUIRES: this is not one of the loop's callbacks.
    EXEC_API ~loop_thread();
    EXEC_API loop_thread(loop_thread&& other) noexcept;
    EXEC_API loop_thread& operator=(loop_thread&& other) noexcept;

   private:
    struct state;
    explicit loop_thread(std::unique_ptr<state> of) noexcept;

    std::unique_ptr<state> state_;
};

}  // namespace exec::inline v0
