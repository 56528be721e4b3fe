// loop: waits for descriptors, children and deadlines on behalf of a host.
//
// The loop is a guest. It owns one epoll descriptor, the same for life, in which everything it waits for is nested:
// pipes, pidfds, one timer, one wake-up. A host polls that descriptor from the loop it already has and calls
// run_ready(); or calls run() from a thread it can spare; or lets a loop_thread (loop_thread.h) do that.
// Threads: one thread at a time drives (run_ready, run, shutdown, the destructor); it may be another one each time.
// post, after, now, closing and driven_here may be called from any thread. Callbacks come in the driving thread only.
// Never: starts a thread, handles a signal, calls back outside the driving calls, or blocks outside run and shutdown.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <string_view>
#include <utility>

#include "exec/callback.h"
#include "exec/export.h"
#include "exec/result.h"
#include "exec/time.h"

namespace exec::inline v0 {

class loop;

namespace detail {
class loop_core;
class deferral;
EXEC_API const std::shared_ptr<loop_core>& core_of(const loop& of) noexcept;
}  // namespace detail

struct loop_options {
    // What the loop calls now; it must outlive the loop. nullptr is the steady clock. With any other clock no timer of
    // the kernel is armed, since the kernel cannot know when it moves: what is due runs in the next run_ready().
    const time_source* clock = nullptr;
    // Told in one line when a callback of post() or after() throws; the exception ends there. Called in the driving
    // thread; empty: loop::exceptions() still counts it.
    callback<void(std::string_view)> log{};
};

// How much one run_ready() may do before it gives the thread back.
struct budget {
    std::size_t events = 256;  // callbacks and ready descriptors; 0 counts as 1. The kernel is asked once per 256
    milliseconds within = unlimited;  // and no further callback begins once this has passed
};

// A callback that is still to come: what loop::after() returns. Move-only; empty ones are inert.
// Threads: any, at any time, also inside its own callback. It may outlive the loop.
class [[nodiscard]] deferred {
   public:
    deferred() noexcept = default;
    deferred(deferred&& other) noexcept : of_(std::exchange(other.of_, nullptr)) {}
    EXEC_API deferred& operator=(deferred&& other) noexcept;
    // Drop: cancelled.
    EXEC_API ~deferred();

    // It will not come any more. In the driving thread no call comes after this; in another one at most the call
    // already in progress finishes, which is not waited for. What the callback holds is destroyed by the driving thread.
    EXEC_API void cancel() noexcept;
    // Gives up the handle and lets the callback come.
    EXEC_API void detach() noexcept;
    // True until cancel(), detach() or a move; also after the callback has come.
    explicit operator bool() const noexcept { return of_ != nullptr; }

   private:
    friend class loop;
    explicit deferred(detail::deferral* of) noexcept : of_(of) {}

    detail::deferral* of_ = nullptr;
};

class loop {
   public:
    // shutdown(0); then what was posted until now comes, and what was deferred is destroyed uncalled. What the
    // callbacks refer to must live until here.
    // REQUIRES: no thread drives it, and no driven callback is on the stack. Stop a loop_thread first.
    EXEC_API ~loop();
    loop(const loop&) = delete;
    loop& operator=(const loop&) = delete;

    // The one descriptor to wait for: readable while anything is due. Watch it level-triggered, or look again after each
    // run_ready(). It belongs to the loop: do not close it, do not add to it.
    EXEC_API int poll_fd() const noexcept;

    // Handles what is due and returns how many callbacks and ready descriptors that was. Never blocks. What it had no budget
    // for, and what became due meanwhile, keeps poll_fd() readable. Nothing starves: every kind of event has its turn
    // before any has a second one.
    // REQUIRES: no other thread drives this loop, and this is not one of its callbacks.
    EXEC_API std::size_t run_ready(budget upto = {});

    // Drives the loop in this thread, blocking while nothing is due, until a stop is requested.
    // REQUIRES: as run_ready.
    EXEC_API void run(std::stop_token stop);

    // Runs `what` once in the driving thread: in the order of the posts of each thread, after what is due already. What
    // is posted by a callback comes after everything else had its turn. After the loop's end it is destroyed uncalled.
    EXEC_API void post(callback<void()> what);

    // Runs `what` once in the driving thread when `delay` has passed by the loop's clock, never earlier; callbacks that are
    // due together come in the order of their deadlines. A delay of zero or less is due at once, `unlimited` never comes.
    EXEC_API deferred after(milliseconds delay, callback<void()> what);

    // Whether this thread is driving this loop right now: always true in its callbacks.
    EXEC_API bool driven_here() const noexcept;

    // By loop_options::clock.
    EXEC_API time_point now() const noexcept;

    // Ends what is left: tells everything that runs on the loop to stop, drives the loop in this thread until all of it has
    // reported its end, but at most for `within` and a last moment (by the steady clock, whatever the loop's), then makes
    // the rest end at once. What comes later fails with errc::shutting_down. Again: tells nobody twice. The loop can still be
    // driven afterwards: posted callbacks come as before.
    // REQUIRES: as run_ready.
    EXEC_API void shutdown(milliseconds within);
    // Who is killed when `within` is over needs a moment to be seen dead: one or two milliseconds, more on a busy machine.
    static constexpr milliseconds last_moment{200};
    // Whether shutdown() has begun.
    EXEC_API bool closing() const noexcept;

    // How many callbacks of post() and after() have thrown.
    EXEC_API std::uint64_t exceptions() const noexcept;

   private:
    friend result<std::unique_ptr<loop>> make_loop(loop_options options);
    friend EXEC_API const std::shared_ptr<detail::loop_core>& detail::core_of(const loop& of) noexcept;
    explicit loop(std::shared_ptr<detail::loop_core> core) noexcept : core_(std::move(core)) {}

    std::shared_ptr<detail::loop_core> core_;
};

// Takes three descriptors (two with a clock of your own), all closed by the loop's end; a wake-up descriptor stays for as
// long as a handle of something that ran on the loop does.
// After a fork the child's copy is inert: it is not driven, not woken and touches nothing that the parent still uses; its
// destructor closes descriptors and leaves the rest to the process's end.
// Fails with: EMFILE, ENFILE, ENOMEM.
EXEC_API result<std::unique_ptr<loop>> make_loop(loop_options options = {});

}  // namespace exec::inline v0
