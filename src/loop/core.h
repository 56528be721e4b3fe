// loop_core: what a loop is made of, for the rooms that run things on one.
//
// Shared by the loop and by whatever holds a handle that may outlive it. One *turn* gives every kind of event its share:
// descriptors first (so that an exit that was seen wins over a deadline), then notes, then alarms. What a callback
// adds waits for the next turn, so nothing starves; a turn that runs out of budget goes on where it stopped.
// Threads: notify(), closing(), now() and driven_here() from any thread; the rest in the driving thread, inside a callback.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stop_token>
#include <string_view>
#include <thread>

#include "exec/export.h"
#include "exec/loop.h"
#include "exec/result.h"
#include "exec/time.h"

#include "loop/alarm.h"
#include "loop/alarm_heap.h"
#include "loop/client.h"
#include "loop/inbox.h"
#include "loop/loop_memory.h"
#include "loop/waker.h"
#include "loop/watch.h"
#include "loop/watch_table.h"
#include "posix/fd.h"

namespace exec::inline v0::detail {

class loop_core {
   public:
    // Fails with: what the kernel says to a descriptor or a mapping too many.
    static result<std::shared_ptr<loop_core>> make(loop_options options);
    explicit loop_core(loop_options options) noexcept;
    loop_core(const loop_core&) = delete;
    loop_core& operator=(const loop_core&) = delete;

    // Descriptors -----------------------------------------------------------------------------------------------------

    // Calls `by.ready()` while `fd` shows any of `events` (EPOLLIN, EPOLLOUT, EPOLLET ...; EPOLLHUP and EPOLLERR always).
    // One system call. The caller keeps `fd` open until it removed or retired the watch.
    // REQUIRES: `by` is not watching.
    // Fails with: ENOSPC, ENOMEM (the kernel's bounds), EPERM (a descriptor that cannot be waited for).
    EXEC_API result<void> add(watch& by, int fd, std::uint32_t events);
    // One system call. An edge that is already there is reported again.
    EXEC_API result<void> modify(watch& by, std::uint32_t events);
    // Nothing comes after it, not even what was reported already. One system call; no effect if it is not watching.
    EXEC_API void remove(watch& by) noexcept;
    // The same without the system call, for a descriptor that has said its last word (end of file, an exit) and that the
    // caller closes at once. A copy that a child still holds then keeps a dead entry in the kernel, which
    // reports at most one edge, to nobody.
    // REQUIRES: it was added with EPOLLET.
    EXEC_API void retire(watch& by) noexcept;
    // Calls by.ready(events) in the next turn without asking the kernel (in this one, if its call is still to come). For one
    // who stopped short of EAGAIN, and for one who resumes after a pause. No system call.
    // REQUIRES: `by` is watching.
    EXEC_API void again(watch& by, std::uint32_t events);

    // 256 KiB to read into, valid until the callback returns; one for all, so that a thousand idle readers cost nothing.
    static constexpr std::size_t scratch_bytes = std::size_t{256} * 1024;
    std::span<char> scratch() noexcept { return memory_.scratch(); }

    // Other threads ---------------------------------------------------------------------------------------------------

    // Makes the driving thread call what.notified() once, soon. Any thread; never blocks; no system call if the loop is
    // awake already. False: the loop has ended, nothing was retained and nothing will come. In a child of a
    // host's fork also false.
    EXEC_API bool notify(note& what) noexcept;
    EXEC_API bool driven_here() const noexcept;
    time_point now() const noexcept { return clock_ != nullptr ? clock_->now() : std::chrono::steady_clock::now(); }

    // The end ---------------------------------------------------------------------------------------------------------

    // False: the loop is closing; fail with errc::shutting_down.
    EXEC_API bool enroll(client& who) noexcept;
    bool closing() const noexcept { return closing_.load(std::memory_order_acquire); }
    // Whether this process is a child of the one that made the loop, by a fork of the host's.
    bool inherited() const noexcept { return memory_.inherited(); }
    // Tells the host's log about an exception that left its callback. Call it inside a catch block.
    EXEC_API void swallowed(std::string_view where) noexcept;
    std::uint64_t exceptions() const noexcept { return exceptions_.load(std::memory_order_relaxed); }

    // What class loop is made of; its contract is in exec/loop.h ------------------------------------------------------

    int poll_fd() const noexcept { return epoll_.get(); }
    EXEC_API std::size_t run_ready(budget upto);
    void run(const std::stop_token& stop);
    void shutdown(milliseconds within);
    // The loop's destructor. The core lives on, inert, for those who still hold it.
    void end();

   private:
    friend class alarm;

    enum class phase : std::uint8_t { between_turns, descriptors, notes, alarms };
    class driving;
    class allowance;

    result<void> open();
    result<void> control(int operation, int fd, std::uint32_t events, std::uint64_t data);
    void set(alarm& what, time_point when);

    bool go_on(allowance& left, int timeout);
    void gather(int timeout);
    bool more_to_do() const noexcept;
    int patience(const std::atomic<bool>& stopping) noexcept;
    void arm() noexcept;
    void settle() noexcept;
    void read_last_notes() noexcept;

    // The driving thread's.
    phase phase_ = phase::between_turns;
    watch_table watches_;
    note* notes_ = nullptr;  // of this turn, still unread
    alarm_heap alarms_;
    time_point armed_for_ = never;  // what the kernel's timer is set to
    client_list clients_;
    client_list told_;  // to shut down
    loop_memory memory_;
    posix::fd epoll_;
    posix::fd timer_;
    const time_source* clock_ = nullptr;
    callback<void(std::string_view)> log_;

    // Everybody's.
    std::atomic<std::thread::id> driver_{};
    std::atomic<bool> closing_{false};
    std::atomic<std::uint64_t> exceptions_{0};
    inbox inbox_;
    waker waker_;
};

// Runs a callback of the host. What it throws ends here.
template <class Callback>
void at_the_border(loop_core& of, std::string_view where, Callback&& callback) noexcept {
#if defined(__cpp_exceptions)
    try {
        callback();
    } catch (...) {
        of.swallowed(where);
    }
#else
    static_cast<void>(of);
    static_cast<void>(where);
    callback();
#endif
}

// loop::post() for whoever has only the core. Any thread.
EXEC_API void post(loop_core& to, callback<void()> what);

// The core of a loop. Keep it for as long as notify() may be called.
EXEC_API const std::shared_ptr<loop_core>& core_of(const loop& of) noexcept;

}  // namespace exec::inline v0::detail
