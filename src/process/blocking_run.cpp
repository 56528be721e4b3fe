#include "process/blocking_run.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <utility>

#include "posix/syscalls.h"
#include "process/supervisor.h"

#include <cerrno>

#include <poll.h>
#include <sys/eventfd.h>

namespace exec::inline v0::process {
namespace {

time_point clock_now() noexcept { return std::chrono::steady_clock::now(); }

// On the stack of a thread that may have a small one; a read that fills it is worth an allocation.
constexpr std::size_t first_scratch = 8 * KiB;
constexpr std::size_t full_scratch = 128 * KiB;

// Where output is read to: the stack as long as that is enough.
class scratch_space {
   public:
    std::span<char> get() noexcept { return large_ ? std::span(large_.get(), full_scratch) : std::span(small_); }
    void grow() {
        if (!large_) large_ = std::make_unique_for_overwrite<char[]>(full_scratch);
    }

   private:
    std::array<char, first_scratch> small_;
    std::unique_ptr<char[]> large_{};
};

// A stop token as a descriptor; -1 where no stop can be asked for.
class stop_signal {
   public:
    explicit stop_signal(const std::stop_token& token)
        : wakes_(token.stop_possible() ? open(wrong_) : posix::fd()), asked_(token, waker{wakes_.get()}) {}

    int fd() const noexcept { return wakes_.get(); }
    // Why there is no descriptor where one is needed: an errno value, or 0.
    int wrong() const noexcept { return wrong_; }

   private:
    struct waker {
        int to;
        void operator()() const noexcept {
            const std::uint64_t one = 1;
            if (to >= 0) static_cast<void>(posix::sys().write(to, &one, sizeof one));
        }
    };
    static posix::fd open(int& wrong) {
        posix::fd made(posix::sys().eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
        if (made) {
            if (auto raised = posix::above_stdio(std::move(made))) return *std::move(raised);
        }
        wrong = errno;
        return {};
    }

    int wrong_ = 0;
    posix::fd wakes_;
    std::stop_callback<waker> asked_;
};

timespec until_then(time_point then, time_point now) noexcept {
    const auto left = (std::max)(nanoseconds::zero(), nanoseconds(then - now));
    const auto whole = std::chrono::floor<std::chrono::seconds>(left);
    return {static_cast<time_t>(whole.count()), static_cast<long>((left - whole).count())};
}

// Waits with poll(2) for what one supervisor wants.
class poll_driver {
   public:
    poll_driver(supervisor& run, const std::stop_token& stop, const stop_signal& signal)
        : run_(run), stop_(stop), signal_(signal) {}

    void drive() {
        for (;;) {
            const auto now = clock_now();
            if (stop_.stop_requested() && !std::exchange(stopped_, true))
                run_.stop(stop_reason::cancelled, unlimited, now);
            run_.tick(scratch_.get(), now);
            if (run_.finished()) return;
            wait();
        }
    }

   private:
    enum who : std::size_t { out, err, in, leader, stopper, count };

    void wait() {
        std::array<pollfd, count> all{{{run_.out_fd(), POLLIN, 0},
                                       {run_.err_fd(), POLLIN, 0},
                                       {run_.in_fd(), POLLOUT, 0},
                                       {run_.exit_fd(), POLLIN, 0},
                                       {stopped_ ? -1 : signal_.fd(), POLLIN, 0}}};
        const auto wake = run_.wake();
        const auto now = clock_now();
        const auto timeout = until_then(wake, now);
        // Interrupted: whoever handled the signal may have asked for a stop.
        if (posix::sys().ppoll(all.data(), all.size(), wake == never ? nullptr : &timeout, nullptr) <= 0) return;
        // Output first: what was said before the end is read before the end is known.
        if (all[out].revents != 0) read(stream::out, all[out].revents);
        if (all[err].revents != 0) read(stream::err, all[err].revents);
        if (all[in].revents != 0) run_.input_ready(clock_now());
        if (all[leader].revents != 0) run_.exit_ready(clock_now());
    }

    void read(stream from, short events) {
        const bool more = run_.output_ready(from, (events & POLLIN) != 0, (events & (POLLHUP | POLLERR)) != 0,
                                            scratch_.get(), clock_now());
        if (more) scratch_.grow();
    }

    supervisor& run_;
    const std::stop_token& stop_;
    const stop_signal& signal_;
    bool stopped_ = false;
    scratch_space scratch_{};
};

}  // namespace

result<outcome> blocking_run(command what, limits within, const local_setup& setup, observer* tell,
                             std::stop_token stop) {
    const auto called = clock_now();
    if (within.deadline && *within.deadline <= called) return fail(errc::start_timeout, "the deadline has passed");
    if (stop.stop_requested()) return fail(errc::cancelled);
    const stop_signal signal(stop);
    if (signal.wrong() != 0) return os_failure(signal.wrong(), stage::descriptors, "stop token");
    supervisor run(std::move(what), std::move(within), tell, nullptr, called);
    auto ready = launch(run.what(), run.within(), setup, true);
    if (!ready) return std::move(ready).error();
    run.begin(*std::move(ready), setup.options.where, clock_now());
    poll_driver(run, stop, signal).drive();
    return run.take(clock_now());
}

}  // namespace exec::inline v0::process
