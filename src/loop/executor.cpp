#include "exec/executor.h"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <utility>

#include "loop/border.h"
#include "loop/quiet_thread.h"

namespace exec::inline v0 {
namespace {

class thread_executor final : public executor {
   public:
    explicit thread_executor(callback<void(std::string_view)> log) noexcept : log_(std::move(log)) {}

    ~thread_executor() override {
        for (const auto& thread : threads_) {
            EXEC_ASSERT(!thread.is_this_one(), "executor: destroyed by its own work");
        }
        {
            const std::lock_guard hold(mutex_);
            stopping_ = true;
        }
        changed_.notify_all();
        for (auto& thread : threads_) thread.join();
        const auto unwanted = std::exchange(queue_, {});
    }

    result<void> start(std::size_t threads) {
        for (std::size_t i = 0; i < threads; ++i) {
            auto started = threads_.emplace_back().start("exec-work", [this] { serve(); });
            if (!started) return started;
        }
        return {};
    }

    void execute(callback<void()> work) override {
        EXEC_ASSERT(static_cast<bool>(work), "executor: empty work");
        {
            const std::lock_guard hold(mutex_);
            if (stopping_) return;  // by work that is being destroyed
            queue_.push_back(std::move(work));
        }
        changed_.notify_one();
    }

   private:
    void serve() {
        for (std::unique_lock hold(mutex_);;) {
            changed_.wait(hold, [this] { return stopping_ || !queue_.empty(); });
            if (stopping_) return;
            auto work = std::move(queue_.front());
            queue_.pop_front();
            hold.unlock();
            do_one(work);
            work.reset();  // what it holds is the host's: not under our lock
            hold.lock();
        }
    }

    void do_one(callback<void()>& work) noexcept {
#if defined(__cpp_exceptions)
        try {
            work();
        } catch (...) {
            const std::lock_guard hold(log_mutex_);
            detail::tell_thrown(log_, "execute");
        }
#else
        work();
#endif
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<callback<void()>> queue_;
    bool stopping_ = false;
    std::mutex log_mutex_;
    callback<void(std::string_view)> log_;
    std::deque<detail::quiet_thread> threads_;
};

}  // namespace

result<std::unique_ptr<executor>> make_thread_executor(std::size_t threads, callback<void(std::string_view)> log) {
    EXEC_ASSERT(threads > 0, "executor: no threads");
    auto made = std::make_unique<thread_executor>(std::move(log));
    if (auto started = made->start(threads); !started) return std::move(started).error();
    return std::unique_ptr<executor>(std::move(made));
}

}  // namespace exec::inline v0
