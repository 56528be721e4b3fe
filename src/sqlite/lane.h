// Jobs that wait for their turn on an executor, and are done one batch after the other.
//
// Threads: push() and close() on any. The worker runs on the executor's, never twice at once.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "exec/assert.h"
#include "exec/callback.h"
#include "exec/executor.h"

namespace exec::inline v0::sqlite {

enum class bound : unsigned char {
    most_waiting,
    none,  // of its kind there are no more than others of its kind have let in
};

template <class Job>
class lane : public std::enable_shared_from_this<lane<Job>> {
   public:
    // Does a batch. What it leaves in there comes first the next time, which is at once.
    using worker = callback<void(std::vector<Job>&)>;

    lane(executor& on, std::size_t most_waiting, worker does)
        : on_(on), most_waiting_(most_waiting), does_(std::move(does)) {}

    // False, and the job is not touched, where so many wait already.
    bool push(Job&& job, bound up_to = bound::most_waiting) {
        {
            const std::lock_guard hold(mutex_);
            if (up_to == bound::most_waiting && waiting_.size() >= most_waiting_) return false;
            waiting_.push_back(std::move(job));
            if (std::exchange(working_, true)) return true;
        }
        ask_for_a_turn();
        return true;
    }

    // Waits until nothing is left. REQUIRES: no push() after it, and not on the thread that works.
    void close() {
        std::unique_lock hold(mutex_);
        EXEC_ASSERT(at_work_ != std::this_thread::get_id(), "audit trail: destroyed by its own work");
        idle_.wait(hold, [this] { return !working_; });
    }

   private:
    static constexpr std::size_t most_at_once = 256;
    static constexpr int batches_a_turn = 16;  // then others of the host's may have the thread

    // An executor that must refuse destroys it uncalled.
    class turn {
       public:
        explicit turn(std::shared_ptr<lane> of) noexcept : of_(std::move(of)) {}
        turn(turn&&) noexcept = default;
        turn& operator=(turn&&) = delete;
        ~turn() {
            if (of_) of_->give_up();
        }
        void operator()() {
            of_->work();
            of_.reset();
        }

       private:
        std::shared_ptr<lane> of_;
    };

    void ask_for_a_turn() { on_.execute(turn(this->shared_from_this())); }

    void work() {
        for (int batches = 0; batches < batches_a_turn; ++batches) {
            if (!take_batch()) return;
            does_(batch_);
        }
        ask_for_a_turn();
    }

    bool take_batch() {
        const std::lock_guard hold(mutex_);
        while (!waiting_.empty() && batch_.size() < most_at_once) {
            batch_.push_back(std::move(waiting_.front()));
            waiting_.pop_front();
        }
        working_ = !batch_.empty();
        at_work_ = working_ ? std::this_thread::get_id() : std::thread::id();
        if (!working_) idle_.notify_all();
        return working_;
    }

    // What waits is destroyed, and its replies answer errc::broken_reply.
    void give_up() noexcept {
        std::deque<Job> unwanted;  // destroyed behind the lock: their replies are the host's
        std::vector<Job> begun;
        const std::lock_guard hold(mutex_);
        unwanted.swap(waiting_);
        begun.swap(batch_);
        working_ = false;
        at_work_ = {};
        idle_.notify_all();
    }

    executor& on_;
    const std::size_t most_waiting_;
    worker does_;  // by whoever works
    std::vector<Job> batch_{};
    std::mutex mutex_;
    std::condition_variable idle_;
    std::deque<Job> waiting_;
    bool working_ = false;  // a turn was asked for, or is going on
    std::thread::id at_work_{};
};

}  // namespace exec::inline v0::sqlite
