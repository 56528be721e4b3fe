#include <exec/runner.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "misuse.h"

namespace {

using namespace exec;

constexpr std::size_t queue_bytes = detail::run_relay::queue_bytes;

// What the script of a command sees of its handle, and plays on. The script runs in a thread of its own, as if that
// drove a loop.
class scene {
   public:
    scene(std::unique_ptr<observer> tell, limits limited) : within(std::move(limited)), tell_(std::move(tell)) {}

    void begin() { tell_->on_start({4711, "scene", within}); }
    // Says something and, if it was asked to pause, waits until it is resumed.
    flow say(bytes_view bytes, stream from = stream::out) {
        {
            const std::lock_guard hold(mutex_);
            resumed_ = false;
        }
        const auto at = (from == stream::out ? out_ : err_).fetch_add(bytes.size());
        const auto wish = tell_->on_output(from, at, bytes);
        if (wish == flow::pause) {
            std::unique_lock hold(mutex_);
            ++pauses_;
            changed_.notify_all();
            changed_.wait(hold, [this] { return resumed_ || stopped_; });
        }
        return wish;
    }
    void wait_for_stop() {
        std::unique_lock hold(mutex_);
        changed_.wait(hold, [this] { return stopped_; });
    }
    void end(result<outcome> how) { tell_->on_done(std::move(how)); }
    observer& tell() { return *tell_; }
    void drop() { tell_.reset(); }

    template <class F>
    auto change(F&& what) {
        const std::lock_guard hold(mutex_);
        changed_.notify_all();
        return what();
    }
    // From the handle, and from the test.
    void stop() {
        change([this] { stopped_ = true; });
    }
    void resume() {
        change([this] {
            resumed_ = true;
            ++resumes_;
        });
    }
    void wait_for_pause() {
        std::unique_lock hold(mutex_);
        changed_.wait(hold, [this] { return pauses_ != 0; });
    }
    int pauses() {
        return change([this] { return pauses_; });
    }
    int resumes() {
        return change([this] { return resumes_; });
    }
    bool stopped() {
        return change([this] { return stopped_; });
    }
    std::uint64_t said() const { return out_; }

    const limits within;
    std::atomic<int> stops{0};  // asked for by the handle, its drop not counted

   private:
    std::unique_ptr<observer> tell_;
    std::atomic<std::uint64_t> out_{0};
    std::atomic<std::uint64_t> err_{0};
    std::mutex mutex_;
    std::condition_variable changed_;
    bool stopped_ = false;
    bool resumed_ = false;
    int pauses_ = 0;
    int resumes_ = 0;
};

class stage_control final : public execution::control {
   public:
    explicit stage_control(std::shared_ptr<scene> of) : of_(std::move(of)) {}
    std::size_t write_in(bytes_view) override { return 0; }
    void close_in() override {}
    void resume() override { of_->resume(); }
    result<void> signal(int) override { return {}; }
    result<void> resize(terminal_size) override { return {}; }
    void stop(milliseconds) override {
        ++of_->stops;
        of_->stop();
    }
    std::uint64_t id() const override { return 1; }
    void detach() override { delete this; }
    void let_go() override {
        of_->stop();
        delete this;
    }

   private:
    std::shared_ptr<scene> of_;
};

class staged_runner final : public runner {
   public:
    explicit staged_runner(std::function<void(scene&)> script) : script_(std::move(script)) {}
    ~staged_runner() override {
        for (auto& thread : threads_) thread.join();
    }

    using runner::run;
    execution start(command, limits within, std::unique_ptr<observer> tell) override {
        const auto shared = std::make_shared<scene>(std::move(tell), std::move(within));
        last = shared;
        threads_.emplace_back([this, shared] { script_(*shared); });
        return execution(new stage_control(shared));
    }
    capabilities can() const override { return {}; }
    bool needs_this_thread() const override { return driven_here; }

    std::shared_ptr<scene> last{};
    bool driven_here = false;

   private:
    std::function<void(scene&)> script_;
    std::vector<std::thread> threads_;
};

command anything() { return {.program_and_args = argv("anything")}; }

outcome exited(int code, stop_reason why = stop_reason::nobody) {
    outcome how;
    how.exit = exit_status::exited(code);
    how.stopped_by = why;
    return how;
}

// Writes down what it is told, and checks that it is told in one thread, one call at a time.
struct diary : observer {
    std::string said{};
    std::uint64_t bytes = 0;
    std::function<flow(bytes_view)> on_bytes{};
    int doing = 0;
    const std::thread::id home = std::this_thread::get_id();

    struct call {
        explicit call(diary& of) : of_(of) {
            REQUIRE(std::this_thread::get_id() == of.home);
            REQUIRE(of.doing++ == 0);
        }
        ~call() { --of_.doing; }
        diary& of_;
    };

    void on_start(const start_info& what) override {
        const call here(*this);
        said += "start " + std::string(what.where) + ' ' + std::to_string(*what.pid) + ' ' +
                std::to_string(what.within.drain_max.count()) + ", ";
    }
    flow on_output(stream from, std::uint64_t at, bytes_view what) override {
        const call here(*this);
        bytes += what.size();
        if (what.size() < 20) {
            said += (from == stream::out ? "out " : "err ") + std::to_string(at) + ' ' + std::string(what) + ", ";
        }
        return on_bytes ? on_bytes(what) : flow::more;
    }
    void on_gap(stream from, std::uint64_t at, std::uint64_t missing) override {
        const call here(*this);
        said +=
            (from == stream::out ? "gap out " : "gap err ") + std::to_string(at) + '+' + std::to_string(missing) + ", ";
    }
    flow on_heartbeat(milliseconds running) override {
        const call here(*this);
        said += "beat " + std::to_string(running.count()) + ", ";
        return flow::more;
    }
    void on_done(result<outcome>) override { said += "done, "; }
};

}  // namespace

TEST_CASE("runner: a blocking run tells the caller's observer everything, in order, in the caller's thread") {
    staged_runner runner([](scene& here) {
        here.begin();
        here.say("one");
        here.say("two", stream::err);
        here.tell().on_heartbeat(milliseconds(7));
        here.say("three");
        here.tell().on_gap(stream::out, 8, 100);
        here.end(exited(3));
    });
    diary tell;
    limits within;
    within.drain_max = milliseconds(77);
    const auto how = runner.run(anything(), within, tell, {});
    REQUIRE(how);
    CHECK(how->exit == exit_status::exited(3));
    CHECK(how->stopped_by == stop_reason::nobody);
    CHECK(tell.said == "start scene 4711 77, out 0 one, err 0 two, beat 7, out 3 three, gap out 8+100, ");
}

TEST_CASE("runner: a blocking run needs no observer, and passes a failure on as it is") {
    staged_runner ends([](scene& here) { here.end(exited(0)); });
    CHECK(ends.run(anything())->ok());
    staged_runner fails([](scene& here) { here.end(fail(errc::connect_failed, "somewhere")); });
    const auto how = fails.run(anything());
    REQUIRE_FALSE(how);
    CHECK(how.error().code == errc::connect_failed);
    CHECK(how.error().context == "somewhere");
}

TEST_CASE("runner: a slow observer of a blocking run holds the command back instead of filling memory") {
    constexpr std::uint64_t total = 16 * MiB;
    const std::string chunk(64 * KiB, 'x');
    std::atomic<std::uint64_t> shown{0};
    std::uint64_t most = 0;
    staged_runner runner([&](scene& here) {
        here.begin();
        while (here.said() < total) {
            here.say(chunk);
            most = (std::max)(most, here.said() - shown.load());
        }
        here.end(exited(0));
    });
    diary tell;
    bool first = true;
    tell.on_bytes = [&](bytes_view bytes) {
        // At least once the queue is full for certain.
        if (std::exchange(first, false)) runner.last->wait_for_pause();
        shown += bytes.size();
        return flow::more;
    };
    REQUIRE(runner.run(anything(), {}, tell, {})->ok());
    CHECK(tell.bytes == total);
    // The queue, the chunk that overfilled it, and the one in the observer's hands.
    CHECK(most <= queue_bytes + 2 * chunk.size());
    CHECK(runner.last->pauses() >= 1);
    CHECK(runner.last->resumes() == runner.last->pauses());
}

TEST_CASE("runner: single bytes and heartbeats cannot grow the queue past its bound either") {
    std::uint64_t before_pause = 0;
    staged_runner runner([&](scene& here) {
        here.begin();
        here.say("a");
        while (here.pauses() == 0) {
            before_pause = here.said();
            here.say("b");
        }
        for (int beat = 1; beat <= 1000; ++beat) here.tell().on_heartbeat(milliseconds(beat));
        here.end(exited(0));
    });
    diary tell;
    bool first = true;
    tell.on_bytes = [&](bytes_view) {
        if (std::exchange(first, false)) runner.last->wait_for_pause();
        return flow::more;
    };
    REQUIRE(runner.run(anything(), {}, tell, {})->ok());
    CHECK(before_pause < queue_bytes / 64);
    CHECK(tell.said.find("beat 1000, ") != std::string::npos);  // the last one always arrives
}

TEST_CASE("runner: a full queue has room again when half of it is free, once, whatever else was put in meanwhile") {
    using event = detail::run_relay::event;
    detail::run_relay queue;
    int chunks = 0;
    do ++chunks;
    while (queue.put({event::kind::output, stream::out, 0, 0, std::string(16 * KiB, 'x'), {}, {}, {}}));
    int taken = 0;
    while (!queue.has_room_again()) {
        REQUIRE(taken < chunks);
        REQUIRE(queue.take());
        ++taken;
        // A heartbeat between two takes must not make the queue forget that somebody waits for its room.
        if (taken == 1) static_cast<void>(queue.put({event::kind::heartbeat, {}, 0, 0, {}, milliseconds(1), {}, {}}));
    }
    CHECK(taken >= chunks / 2);
    CHECK(taken <= chunks / 2 + 1);
    CHECK_FALSE(queue.has_room_again());
}

TEST_CASE("runner: heartbeats that a slow callback misses become one, the last") {
    std::atomic<bool> beaten{false};
    staged_runner runner([&](scene& here) {
        here.begin();
        here.say("x");
        for (int beat = 1; beat <= 100'000; ++beat) here.tell().on_heartbeat(milliseconds(beat));
        beaten = true;
        beaten.notify_all();
        here.end(exited(0));
    });
    diary tell;
    tell.on_bytes = [&](bytes_view) {
        beaten.wait(false);
        return flow::more;
    };
    REQUIRE(runner.run(anything(), {}, tell, {})->ok());
    CHECK(tell.said == "start scene 4711 1000, out 0 x, beat 100000, ");
}

TEST_CASE("runner: flow::stop stops the command, and nothing more is told") {
    staged_runner runner([](scene& here) {
        here.begin();
        here.say("one");
        here.wait_for_stop();
        here.say("two");
        here.end(exited(0, stop_reason::cancelled));
    });
    diary tell;
    tell.on_bytes = [](bytes_view) { return flow::stop; };
    const auto how = runner.run(anything(), {}, tell, {});
    REQUIRE(how);
    CHECK(how->stopped_by == stop_reason::cancelled);
    CHECK(tell.said == "start scene 4711 1000, out 0 one, ");
}

TEST_CASE("runner: flow::pause means more in a blocking run") {
    staged_runner runner([](scene& here) {
        here.begin();
        here.say("one");
        here.say("two");
        here.end(exited(0));
    });
    diary tell;
    tell.on_bytes = [](bytes_view) { return flow::pause; };
    REQUIRE(runner.run(anything(), {}, tell, {})->ok());
    CHECK(tell.said == "start scene 4711 1000, out 0 one, out 3 two, ");
    CHECK(runner.last->pauses() == 0);
    CHECK(runner.last->within.consumer_timeout == unlimited);
}

TEST_CASE(
    "runner: an exception of the observer's stops the command and is told as observer_failed, however quick it was") {
    struct row {
        stop_reason ended_by;
        stop_reason told;
    };
    for (const auto& [ended_by, told] : {row{stop_reason::cancelled, stop_reason::observer_failed},
                                         row{stop_reason::nobody, stop_reason::observer_failed},
                                         row{stop_reason::run_timeout, stop_reason::run_timeout}}) {
        staged_runner runner([ended_by = ended_by](scene& here) {
            here.begin();
            here.say("one");
            if (ended_by == stop_reason::cancelled) here.wait_for_stop();
            here.say("two");
            here.end(exited(0, ended_by));
        });
        diary tell;
        tell.on_bytes = [](bytes_view) -> flow { throw std::runtime_error("host"); };
        const auto how = runner.run(anything(), {}, tell, {});
        REQUIRE(how);
        CHECK(how->stopped_by == told);
        CHECK(how->exit == exit_status::exited(0));
        CHECK(tell.said == "start scene 4711 1000, out 0 one, ");
    }
}

TEST_CASE("runner: a stop token ends a blocking run, requested before, during or from a callback") {
    const auto until_stopped = [](scene& here) {
        here.begin();
        here.say("up");
        here.wait_for_stop();
        here.end(exited(0, stop_reason::cancelled));
    };
    std::stop_source source;
    diary tell;
    SUBCASE("before") { source.request_stop(); }
    SUBCASE("from a callback") {
        tell.on_bytes = [&](bytes_view) {
            source.request_stop();
            return flow::more;
        };
    }
    std::thread other;
    SUBCASE("from another thread") {
        tell.on_bytes = [&](bytes_view) {
            other = std::thread([&] { source.request_stop(); });
            return flow::more;
        };
    }
    staged_runner runner(until_stopped);
    const auto how = runner.run(anything(), {}, tell, source.get_token());
    if (other.joinable()) other.join();
    REQUIRE(how);
    CHECK(how->stopped_by == stop_reason::cancelled);
    CHECK(runner.last->stops == 1);
}

TEST_CASE("runner: a stop that is requested after the end reaches nobody") {
    std::stop_source source;
    staged_runner runner([](scene& here) { here.end(exited(0)); });
    CHECK(runner.run(anything(), {}, source.get_token())->ok());
    source.request_stop();
    CHECK(runner.last->stops == 0);
}

TEST_CASE(
    "runner: an observer that is dropped without a word is a failure before the start and a lost outcome after it") {
    staged_runner before([](scene& here) { here.drop(); });
    const auto not_run = before.run(anything());
    REQUIRE_FALSE(not_run);
    CHECK(not_run.error().code == errc::broken_reply);

    staged_runner after([](scene& here) {
        here.begin();
        here.say("x");
        here.drop();
    });
    diary tell;
    const auto lost = after.run(anything(), {}, tell, {});
    REQUIRE(lost);
    CHECK(lost->broke == make_error_code(errc::broken_reply));
    CHECK(lost->how() == ended::lost);
    CHECK_FALSE(lost->out.complete);
    CHECK(tell.said == "start scene 4711 1000, out 0 x, ");
}

namespace {

class empty_mock final : public runner {
   public:
    using runner::run;
    execution start(command, limits, std::unique_ptr<observer>) override { return {}; }
    capabilities can() const override { return {}; }
};

}  // namespace

TEST_CASE("runner: a mock that returns {} is complete: a blocking run through it answers broken_reply") {
    empty_mock mock;
    const auto how = mock.run(anything());
    REQUIRE_FALSE(how);
    CHECK(how.error().code == errc::broken_reply);
}

TEST_CASE("runner: run() on the thread that drives the loop it would wait for is misuse") {
    const test::misuse_throws guard;
    staged_runner runner([](scene& here) { here.end(exited(0)); });
    runner.driven_here = true;
    CHECK_THROWS_AS(static_cast<void>(runner.run(anything())), test::misuse);
    runner.driven_here = false;
    CHECK(runner.run(anything())->ok());
}

TEST_CASE("runner: many threads may block in one runner at once, each with its own command") {
    std::atomic<int> started{0};
    std::mutex mutex;
    staged_runner quick([](scene& here) {
        here.begin();
        here.say("x");
        here.end(exited(0));
    });
    // start() of this double is not safe to call at once; the blocking part behind it must be.
    class serial final : public runner {
       public:
        serial(runner& inner, std::mutex& guard) : inner_(inner), guard_(guard) {}
        execution start(command what, limits within, std::unique_ptr<observer> tell) override {
            const std::lock_guard hold(guard_);
            return inner_.start(std::move(what), within, std::move(tell));
        }
        capabilities can() const override { return {}; }

       private:
        runner& inner_;
        std::mutex& guard_;
    } shared(quick, mutex);
    std::vector<std::thread> threads;
    for (int index = 0; index < 4; ++index) {
        threads.emplace_back([&] {
            for (int round = 0; round < 25; ++round) {
                diary tell;
                if (shared.run(anything(), {}, tell, {})->ok() && tell.bytes == 1) ++started;
            }
        });
    }
    for (auto& thread : threads) thread.join();
    CHECK(started == 100);
}
