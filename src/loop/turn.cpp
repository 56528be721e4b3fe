// How a loop is driven: turns, budgets, sleeping and the end.
#include <algorithm>
#include <cerrno>
#include <iterator>
#include <limits>
#include <stop_token>
#include <utility>

#include <sys/epoll.h>
#include <sys/timerfd.h>

#include "loop/core.h"
#include "loop/tickets.h"
#include "posix/syscalls.h"

namespace exec::inline v0::detail {
namespace {

using std::chrono::steady_clock;

itimerspec once_at(time_point when) noexcept {
    // Zero would disarm; the beginning of time is as good as the moment after it.
    const auto since = (std::max)(when.time_since_epoch(), time_point::duration(1));
    const auto seconds = std::chrono::floor<std::chrono::seconds>(since);
    itimerspec what{};
    what.it_value.tv_sec = seconds.count();
    what.it_value.tv_nsec = (since - seconds).count();
    return what;
}

}  // namespace

// One thread at a time, and not from inside a callback.
class loop_core::driving {
   public:
    explicit driving(loop_core& what) : what_(what) {
        std::thread::id driver{};
        if (what_.driver_.compare_exchange_strong(driver, std::this_thread::get_id(), std::memory_order_acquire))
            return;
        EXEC_ASSERT(driver != std::this_thread::get_id(), "loop: driven from inside one of its own callbacks");
        EXEC_ASSERT(false, "loop: driven by two threads at once");
    }
    ~driving() { what_.driver_.store({}, std::memory_order_release); }
    driving(const driving&) = delete;
    driving& operator=(const driving&) = delete;

   private:
    loop_core& what_;
};

// How much one driving call may still do.
class loop_core::allowance {
   public:
    explicit allowance(const loop_core& of) noexcept : of_(of) {}
    allowance(const loop_core& of, budget upto) noexcept
        : of_(of),
          events_((std::max)(upto.events, std::size_t{1})),
          end_(upto.within == unlimited ? never : saturating_add(steady_clock::now(), upto.within)) {}

    // Whether another callback may begin, which then counts. The first one always may, so that every call makes progress;
    // none may after a callback has forked and this is the child.
    bool take() noexcept {
        if (used_ == events_ || of_.inherited()) return false;
        if (used_ != 0 && end_ != never && steady_clock::now() >= end_) return false;
        ++used_;
        return true;
    }
    std::size_t used() const noexcept { return used_; }

   private:
    const loop_core& of_;
    std::size_t events_ = (std::numeric_limits<std::size_t>::max)();
    time_point end_ = never;
    std::size_t used_ = 0;
};

// Goes on with the turn that was cut short, or begins one, waiting for at most `timeout` ms (-1: without end). False: cut short.
bool loop_core::go_on(allowance& left, int timeout) {
    if (phase_ == phase::between_turns) {
        gather(timeout);
        phase_ = phase::descriptors;
    }
    if (phase_ == phase::descriptors) {
        while (auto* who = watches_.next()) {
            if (!left.take()) return false;
            who->ready(watches_.take());
        }
        notes_ = inbox_.take();
        phase_ = phase::notes;
    }
    if (phase_ == phase::notes) {
        while (notes_ != nullptr) {
            if (!left.take()) return false;
            auto& what = *notes_;
            notes_ = inbox::open(what);
            what.notified();
            what.release();
        }
        alarms_.open(now());
        phase_ = phase::alarms;
    }
    while (alarms_.has_due()) {
        if (!left.take()) return false;
        alarms_.take_due().due();
    }
    phase_ = phase::between_turns;
    return true;
}

void loop_core::gather(int timeout) {
    epoll_event events[256];
    const int count = posix::sys().epoll_wait(epoll_.get(), events, static_cast<int>(std::size(events)), timeout);
    waker_.get_up();
    EXEC_ASSERT(count >= 0 || errno == EINTR, "loop: its descriptor was closed by somebody else");
    watches_.begin_turn();
    for (int i = 0; i < count; ++i) {
        const auto ticket = events[i].data.u64;
        if (ticket == wake_ticket) {
            waker_.heard();
        } else if (ticket == timer_ticket) {
            armed_for_ = never;
        } else {
            watches_.report(ticket, events[i].events);
        }
    }
}

bool loop_core::more_to_do() const noexcept {
    if (phase_ != phase::between_turns || watches_.owes_a_turn() || !inbox_.empty()) return true;
    const auto next = alarms_.earliest();
    return next < armed_for_ && next <= now();  // one that the timer is set to will be reported by the kernel
}

void loop_core::arm() noexcept {
    const auto next = alarms_.earliest();
    if (!timer_ || next >= armed_for_) return;
    const auto when = once_at(next);
    static_cast<void>(posix::sys().timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &when, nullptr));
    armed_for_ = next;
}

// The last thing before the thread goes back to the host.
void loop_core::settle() noexcept {
    if (inherited()) return;
    if (more_to_do()) return waker_.call_back();
    arm();
    waker_.sleep();
    if (!inbox_.empty()) waker_.wake();
}

// For how long the next epoll_wait may sleep; asleep as far as other threads can see, if it may.
int loop_core::patience(const std::atomic<bool>& stopping) noexcept {
    if (more_to_do()) return 0;
    arm();
    waker_.sleep();
    return inbox_.empty() && !stopping.load(std::memory_order_seq_cst) ? -1 : 0;
}

std::size_t loop_core::run_ready(budget upto) {
    if (inherited()) return 0;
    const driving here(*this);
    waker_.get_up();
    allowance left(*this, upto);
    const bool resumed = phase_ != phase::between_turns;
    if (go_on(left, 0) && resumed) go_on(left, 0);
    settle();
    return left.used();
}

void loop_core::run(const std::stop_token& stop) {
    if (inherited()) return;
    const driving here(*this);
    std::atomic<bool> stopping{false};
    const std::stop_callback on_stop(stop, [&] {
        stopping.store(true, std::memory_order_seq_cst);
        waker_.wake();
    });
    while (!stopping.load(std::memory_order_seq_cst) && !inherited()) {
        allowance left(*this);
        go_on(left, patience(stopping));
    }
    settle();
}

void loop_core::shutdown(milliseconds within) {
    if (inherited()) return;
    const driving here(*this);
    waker_.get_up();
    closing_.store(true, std::memory_order_release);
    const auto end = saturating_add(saturating_add(steady_clock::now(), within), loop::last_moment);
    while (auto* who = clients_.front()) {
        who->leave();
        told_.add(*who);
        who->shut_down(within);
    }
    const std::atomic<bool> stopping{false};
    for (allowance left(*this); go_on(left, 0) && told_.size() != 0;) {
        const auto rest = until(end, steady_clock::now());
        if (rest == milliseconds::zero()) break;
        const auto at_most = static_cast<int>((std::min)(rest, milliseconds(std::chrono::hours(1))).count());
        if (patience(stopping) != 0) go_on(left, at_most);
    }
    if (inherited()) return;  // a callback has forked: these are the parent's
    while (auto* who = told_.front()) {
        who->abandon();
        if (told_.front() == who) who->leave();
    }
    allowance left(*this);
    go_on(left, 0);  // what the ends and the refusals have posted
    settle();
}

void loop_core::end() {
    shutdown(milliseconds::zero());
    if (!inherited()) read_last_notes();
    watches_.dismiss_all();
    while (auto* what = alarms_.take_any()) {
        if (!inherited()) what->loop_gone();
    }
    timer_.reset();
    epoll_.reset();
    // Another thread may be about to wake us; a child has no such thread.
    if (inherited()) waker_.close();
}

// Whoever comes later is told that it is too late.
void loop_core::read_last_notes() noexcept {
    const driving here(*this);
    for (auto* rest = inbox_.close(); rest != nullptr && !inherited();) {
        auto& what = *rest;
        rest = inbox::open(what);
        what.notified();
        what.release();
    }
}

}  // namespace exec::inline v0::detail
