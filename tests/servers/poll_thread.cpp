#include "servers/poll_thread.h"

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <system_error>
#include <utility>

#include <poll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

namespace test {
namespace {

using clock = std::chrono::steady_clock;

timespec time_until(clock::time_point then) {
    const auto left = then - clock::now();
    const auto whole = std::chrono::duration_cast<std::chrono::seconds>(left);
    if (left <= left.zero()) return {0, 0};
    return {whole.count(), static_cast<long>(std::chrono::nanoseconds(left - whole).count())};
}

}  // namespace

poll_thread::poll_thread(std::function<clock::time_point(poll_set&)> prepare,
                         std::function<void(const poll_set&)> handle)
    : prepare_(std::move(prepare)),
      handle_(std::move(handle)),
      waker_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      thread_([this] { live(); }) {}

poll_thread::~poll_thread() {
    {
        const std::lock_guard hold(mutex_);
        ending_ = true;
    }
    wake();
    thread_.join();
}

void poll_thread::wake() const {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(waker_.get(), &one, sizeof one);
}

void poll_thread::ask(const std::function<void()>& what) {
    std::unique_lock hold(mutex_);
    asked_.push_back(&what);
    const auto mine = ++asked_ever_;
    wake();
    answered_.wait(hold, [&] { return answered_ever_ >= mine; });
}

bool poll_thread::answer() {
    const std::lock_guard hold(mutex_);
    for (const auto* what : asked_) (*what)();
    asked_.clear();
    answered_ever_ = asked_ever_;
    answered_.notify_all();
    return !ending_;
}

void poll_thread::live() {
    while (answer()) {
        poll_set set;
        const auto until = prepare_(set);
        set.watch(waker_.get(), POLLIN);
        const timespec left = time_until(until);
        if (::ppoll(set.all_.data(), set.all_.size(), until == poll_set::never ? nullptr : &left, nullptr) < 0)
            continue;
        std::uint64_t wakes = 0;
        [[maybe_unused]] const auto taken = ::read(waker_.get(), &wakes, sizeof wakes);
        handle_(set);
    }
}

}  // namespace test
