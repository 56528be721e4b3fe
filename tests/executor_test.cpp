#include <exec/executor.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <future>
#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>
#include <pthread.h>
#include <signal.h>

#include <exec/error.h>
#include <exec/reply.h>

#include "misuse.h"

using namespace std::chrono_literals;

namespace {

std::unique_ptr<exec::executor> new_executor(std::size_t threads, exec::callback<void(std::string_view)> log = {}) {
    auto made = exec::make_thread_executor(threads, std::move(log));
    REQUIRE(made);
    return *std::move(made);
}

// Opens once, for everybody.
class gate {
   public:
    void open() {
        const std::lock_guard hold(mutex_);
        open_ = true;
        changed_.notify_all();
    }
    void wait() {
        std::unique_lock hold(mutex_);
        changed_.wait(hold, [this] { return open_; });
    }

   private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool open_ = false;
};

// Blocks work of `pool` until its end has begun: from then on what is given is destroyed at once.
void wait_for_the_end(exec::executor& pool) {
    for (;; std::this_thread::yield()) {
        const auto alive = std::make_shared<int>();
        pool.execute([alive] {});
        if (alive.use_count() == 1) return;
    }
}

}  // namespace

TEST_CASE("executor: as many threads work at once as were asked for, and none is the caller's") {
    std::mutex mutex;
    std::condition_variable changed;
    std::set<std::thread::id> inside;
    std::promise<void> all;
    const auto pool = new_executor(3);
    for (int i = 0; i < 3; ++i) {
        pool->execute([&] {
            std::unique_lock hold(mutex);
            inside.insert(std::this_thread::get_id());
            changed.notify_all();
            changed.wait(hold, [&] { return inside.size() == 3; });  // none leaves before the third has come
            if (*inside.begin() == std::this_thread::get_id()) all.set_value();
        });
    }
    CHECK(all.get_future().wait_for(20s) == std::future_status::ready);
    const std::lock_guard hold(mutex);
    CHECK(inside.count(std::this_thread::get_id()) == 0);
}

TEST_CASE("executor: one thread works in the order in which the work came") {
    std::vector<int> order;
    std::promise<void> done;
    const auto pool = new_executor(1);
    for (int i = 0; i < 100; ++i) pool->execute([&, i] { order.push_back(i); });
    pool->execute([&] { done.set_value(); });
    done.get_future().wait();
    for (int i = 0; i < 100; ++i) CHECK(order[static_cast<std::size_t>(i)] == i);
}

TEST_CASE("executor: work may give work, and no signal of the host is handled on its threads") {
    std::promise<sigset_t> mask;
    const auto pool = new_executor(1);
    pool->execute([&] {
        pool->execute([&] {
            sigset_t now;
            pthread_sigmask(SIG_BLOCK, nullptr, &now);
            mask.set_value(now);
        });
    });
    const auto seen = mask.get_future().get();
    for (const int signal : {SIGCHLD, SIGTERM, SIGINT, SIGPIPE, SIGUSR1, SIGALRM})
        CHECK(sigismember(&seen, signal) == 1);
    CHECK(sigismember(&seen, SIGSEGV) == 0);
}

TEST_CASE("executor: its end waits for the work in progress and answers broken_reply for the rest") {
    gate begun;
    std::atomic<bool> finished{false};
    std::atomic<int> broken{0};
    std::atomic<int> ran{0};
    {
        const auto pool = new_executor(1);
        pool->execute([&, raw = pool.get()] {
            begun.open();
            wait_for_the_end(*raw);
            std::this_thread::yield();
            finished = true;
        });
        begun.wait();
        for (int i = 0; i < 5; ++i) {
            exec::reply<int> owed = [&](exec::result<int> answer) {
                if (!answer && answer.error().code == exec::errc::broken_reply) ++broken;
            };
            pool->execute([&, owed = std::move(owed)]() mutable {
                ++ran;
                owed(1);
            });
        }
    }
    CHECK(finished);
    CHECK(ran == 0);
    CHECK(broken == 5);
}

TEST_CASE("executor: work that its end destroys may give work, which is destroyed as well") {
    bool called = false;
    gate begun;
    {
        const auto pool = new_executor(1);
        pool->execute([&, raw = pool.get()] {
            begun.open();
            wait_for_the_end(*raw);
        });
        begun.wait();
        exec::reply<int> owed = [&, raw = pool.get()](exec::result<int>) { raw->execute([&] { called = true; }); };
        pool->execute([owed = std::move(owed)] {});
    }
    CHECK_FALSE(called);
}

TEST_CASE("executor: an exception ends with its work, is told in one line, and the thread goes on") {
    std::vector<std::string> lines;
    std::promise<void> done;
    {
        const auto pool = new_executor(2, [&](std::string_view line) { lines.emplace_back(line); });
        pool->execute([] { throw std::runtime_error("no such key"); });
        pool->execute([] { throw std::runtime_error("no such key"); });
        pool->execute([] { throw std::runtime_error("no such key"); });
        pool->execute([&] { done.set_value(); });
        done.get_future().wait();
    }
    REQUIRE(lines.size() == 3);
    CHECK(lines[0] == "execute: a callback threw: no such key");
}

TEST_CASE("executor: no threads and empty work are misuse") {
    const test::misuse_throws guard;
    CHECK_THROWS_WITH_AS((void)exec::make_thread_executor(0), "executor: no threads", test::misuse);
    const auto pool = new_executor(1);
    CHECK_THROWS_WITH_AS(pool->execute({}), "executor: empty work", test::misuse);
}
