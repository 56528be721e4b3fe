// A thread that waits in poll(2), and does between two waits what other threads ask of it. What it works on belongs to
// it alone, so that nothing needs a lock.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include <poll.h>

#include "posix/fd.h"

namespace test {

class poll_set {
   public:
    // A descriptor without events is left out: poll(2) would tell of its hang-ups all the same, again and again.
    void watch(int descriptor, int events) {
        if (events != 0) all_.push_back({descriptor, static_cast<short>(events), 0});
    }
    // What the wait has found out about it.
    int seen(int descriptor) const {
        for (const auto& each : all_) {
            if (each.fd == descriptor) return each.revents;
        }
        return 0;
    }
    // Nothing to wait for by time.
    static constexpr std::chrono::steady_clock::time_point never = std::chrono::steady_clock::time_point::max();

   private:
    friend class poll_thread;
    std::vector<pollfd> all_{};
};

class poll_thread {
   public:
    // `prepare` names the descriptors to wait for and until when at the latest; `handle` looks at what came. Both are
    // called on the thread, from now to the destructor. Each descriptor is watched once a wait.
    poll_thread(std::function<std::chrono::steady_clock::time_point(poll_set&)> prepare,
                std::function<void(const poll_set&)> handle);
    ~poll_thread();
    poll_thread(const poll_thread&) = delete;
    poll_thread& operator=(const poll_thread&) = delete;

    // Does `what` on the thread, and returns when it is done. From any other thread.
    void ask(const std::function<void()>& what);

   private:
    void live();
    bool answer();  // false: it is to end
    void wake() const;

    const std::function<std::chrono::steady_clock::time_point(poll_set&)> prepare_;
    const std::function<void(const poll_set&)> handle_;
    exec::posix::fd waker_;
    std::mutex mutex_;
    std::condition_variable answered_;
    std::vector<const std::function<void()>*> asked_;
    std::size_t asked_ever_ = 0;
    std::size_t answered_ever_ = 0;
    bool ending_ = false;
    std::thread thread_;  // last: it uses the others
};

}  // namespace test
