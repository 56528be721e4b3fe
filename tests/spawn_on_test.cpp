// Starts that are done on an executor, so that a program which stalls in its exec does not stall the loop.
#include <exec/executor.h>
#include <exec/local_runner.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "guards.h"
#include "living.h"
#include "local_host.h"
#include "stalled_exec.h"

using namespace std::chrono_literals;
using exec::errc;
using exec::exit_status;
using exec::stop_reason;
using test::child;
using test::heard;
using test::local_host;
using test::sh;

namespace {

// Keeps what it is given until it is told to do it, or to drop it.
class patient_executor final : public exec::executor {
   public:
    void execute(exec::callback<void()> work) override {
        const std::lock_guard hold(mutex_);
        queue_.push_back(std::move(work));
        changed_.notify_all();
    }
    std::size_t waiting() {
        const std::lock_guard hold(mutex_);
        return queue_.size();
    }
    exec::callback<void()> take() {
        std::unique_lock hold(mutex_);
        changed_.wait(hold, [this] { return !queue_.empty(); });
        auto first = std::move(queue_.front());
        queue_.pop_front();
        return first;
    }

   private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<exec::callback<void()>> queue_;
};

exec::local_options on(exec::executor& there) {
    exec::local_options options;
    options.spawn_on = &there;
    return options;
}

// A thread in which the next start stalls in its exec until it is released.
class stalling_thread {
   public:
    explicit stalling_thread(patient_executor& serves)
        : thread_([this, &serves] {
              const bool held = execs_.hold_this_thread();
              {
                  const std::lock_guard hold(mutex_);
                  ready_ = true;
                  works_ = held;
              }
              changed_.notify_all();
              serves.take()();
          }) {
        std::unique_lock hold(mutex_);
        changed_.wait(hold, [this] { return ready_; });
        REQUIRE(works_);
    }
    ~stalling_thread() { thread_.join(); }

    test::held_execs& execs() noexcept { return execs_; }

   private:
    test::held_execs execs_;
    std::mutex mutex_;
    std::condition_variable changed_;
    bool ready_ = false;
    bool works_ = false;
    std::thread thread_;
};

// Drives until a child of that thread is held in its exec, and returns its pid.
int until_stalled(local_host& host, stalling_thread& thread) {
    for (int rounds = 0; rounds < 20'000; ++rounds) {
        host.on().run_ready();
        if (const int stalled = thread.execs().wait_for_one(1)) return stalled;
    }
    FAIL("no child was held in its exec");
    return 0;
}

}  // namespace

TEST_CASE("spawn_on: the start is done on the executor, the rest on the loop") {
    const test::process_guard nothing_left;
    patient_executor there;
    local_host host(on(there));
    heard to;
    const auto handle = host.start(sh("cat; exit 3"), {}, to);
    while (there.waiting() == 0) host.on().run_ready();
    CHECK_FALSE(to.pid.has_value());
    std::thread([&] { there.take()(); }).join();
    CHECK_FALSE(to.pid.has_value());  // nobody was called on that thread
    host.finish(to);
    CHECK(to.outcome().exit == exit_status::exited(3));
    CHECK(to.broken.empty());

    heard failing;
    const auto other = host.start(test::words({"/no/such/program"}), {}, failing);
    while (there.waiting() == 0) host.on().run_ready();
    std::thread([&] { there.take()(); }).join();
    host.finish(failing);
    CHECK(failing.end->error().at == exec::stage::program);
}

TEST_CASE("spawn_on: the library's own executor serves many starts at once") {
    const test::process_guard nothing_left;
    auto there = exec::make_thread_executor(2);
    REQUIRE(there.has_value());
    local_host host(on(**there));
    std::vector<heard> all(30);
    std::vector<exec::execution> handles;
    for (std::size_t i = 0; i < all.size(); ++i) {
        handles.push_back(host.start(child({"exit", std::to_string(i)}), {}, all[i]));
    }
    for (std::size_t i = 0; i < all.size(); ++i) {
        host.finish(all[i]);
        CHECK(all[i].outcome().exit == exit_status::exited(static_cast<int>(i)));
    }
}

TEST_CASE("spawn_on: a program that stalls in its exec stops no loop, and is answered for in time") {
    const test::process_guard nothing_left;
    patient_executor there;
    int stalled = 0;
    {
        local_host host(on(there));
        auto other_runner = test::new_runner(host.on());  // the same loop, its starts in place
        stalling_thread thread(there);
        exec::limits within;
        within.start_timeout = 300ms;
        heard to;
        auto handle = host.start(child({"sleep"}), within, to);
        stalled = until_stalled(host, thread);

        // Meanwhile everybody else is served.
        for (int i = 0; i < 5; ++i) {
            heard busy;
            const auto run = other_runner->start(child({"exit", "4"}), {}, std::make_unique<test::listener>(busy));
            host.finish(busy);
            CHECK(busy.outcome().exit == exit_status::exited(4));
        }

        host.finish(to);
        REQUIRE(to.end->has_value());  // it may have begun: nobody can promise that it has not
        CHECK(to.outcome().began == exec::started::unknown);
        CHECK(to.outcome().stopped_by == stop_reason::start_timeout);
        CHECK(to.outcome().how() == exec::ended::timed_out);
        CHECK_FALSE(to.outcome().ok());
        CHECK(to.outcome().took.total >= 300ms);
        CHECK(to.starts == 0);
        CHECK(handle.signal(15).error().code == errc::wrong_state);

        CHECK(thread.execs().release());
    }
    // Released too late, it is ended by the thread that had started it.
    CHECK(test::ends(stalled));
    CHECK(nothing_left.changes().empty());
}

TEST_CASE("spawn_on: a program that stalls in its exec holds no pipe of the commands beside it") {
    const test::process_guard nothing_left;
    for (const auto kind : {exec::spawn_kind::clone3, exec::spawn_kind::clone, exec::spawn_kind::posix_spawn,
                            exec::spawn_kind::fork, exec::spawn_kind::automatic}) {
        if (kind == exec::spawn_kind::clone && test::thread_sanitizer) continue;
        CAPTURE(static_cast<int>(kind));
        patient_executor there;
        auto options = on(there);
        options.spawn = kind;
        exec::limits stalled_within;
        if (kind == exec::spawn_kind::automatic) {
            options.pid_namespace = true;
            stalled_within.contain = exec::containment::pid_namespace;
        }
        local_host host(options);
        auto other_runner = test::new_runner(host.on());
        stalling_thread thread(there);

        // Its pipes are there when the other is born, and outlive it unless that one holds them.
        heard first;
        auto what = sh("cat >/dev/null; echo said; exit 3");
        what.in = exec::input::streamed();
        auto handle = other_runner->start(what, {}, std::make_unique<test::listener>(first));
        REQUIRE(test::drive_until(host.on(), [&] { return first.pid.has_value(); }));
        heard second;
        const auto stalled = host.start(sh("exit 0"), stalled_within, second);
        const int pid = until_stalled(host, thread);
        REQUIRE(pid != 0);

        handle.close_in();
        host.finish(first);
        CHECK(first.outcome().exit == exit_status::exited(3));
        CHECK(first.outcome().out.bytes == "said\n");
        CHECK(first.outcome().out.complete);
        CHECK(first.outcome().err.complete);
        CHECK(first.outcome().tree == exec::tree_state::group_gone);

        CHECK(thread.execs().release());
        host.finish(second);
        CHECK(second.outcome().ok());
    }
}

TEST_CASE("spawn_on: a stalled start that is stopped, dropped or shut down is let go at once, and its child ends") {
    const test::process_guard nothing_left;
    patient_executor there;
    for (const std::string by : {"stop", "drop", "shutdown", "the end of the loop"}) {
        CAPTURE(by);
        heard to;
        auto host = std::make_unique<local_host>(on(there));
        stalling_thread thread(there);
        auto handle = host->start(child({"sleep"}), {}, to);
        const int stalled = until_stalled(*host, thread);
        if (by == "stop") {
            handle.stop();
            host->finish(to);
            CHECK(to.outcome().stopped_by == stop_reason::cancelled);
        } else if (by == "drop") {
            handle = {};
            REQUIRE(test::drive_until(host->on(), [&] { return to.destroyed; }));
            CHECK_FALSE(to.end.has_value());
        } else if (by == "shutdown") {
            host->on().shutdown(20s);
            REQUIRE(to.over());
            CHECK(to.outcome().stopped_by == stop_reason::shutdown);
        } else {
            host.reset();
            REQUIRE(to.over());
            CHECK(to.outcome().stopped_by == stop_reason::shutdown);
        }
        if (to.end) CHECK(to.outcome().began == exec::started::unknown);
        CHECK(thread.execs().release());
        CHECK(test::ends(stalled));
    }
}

TEST_CASE("spawn_on: a start that nobody began in time is a failure, and is not begun later") {
    const test::process_guard nothing_left;
    const test::scratch_directory scratch;
    patient_executor there;
    local_host host(on(there));
    exec::limits within;
    within.start_timeout = 50ms;
    heard late;
    const auto handle = host.start(sh("> \"$1\"", {scratch / "ran"}), within, late);
    host.finish(late);
    REQUIRE_FALSE(late.end->has_value());
    CHECK(late.end->error().code == errc::start_timeout);

    heard stopped;
    auto second = host.start(sh("> \"$1\"", {scratch / "ran"}), {}, stopped);
    while (there.waiting() < 2) host.on().run_ready();
    second.stop();
    host.finish(stopped);
    REQUIRE_FALSE(stopped.end->has_value());
    CHECK(stopped.end->error().code == errc::cancelled);

    heard shut;
    const auto third = host.start(sh("> \"$1\"", {scratch / "ran"}), {}, shut);
    while (there.waiting() < 3) host.on().run_ready();
    host.on().shutdown(20s);
    REQUIRE(shut.over());
    REQUIRE_FALSE(shut.end->has_value());
    CHECK(shut.end->error().code == errc::shutting_down);

    while (there.waiting() > 0) there.take()();
    CHECK_FALSE(test::exists(scratch / "ran"));
}

TEST_CASE("spawn_on: work that the executor drops is a failure of its own") {
    const test::process_guard nothing_left;

    SUBCASE("later") {
        patient_executor there;
        local_host host(on(there));
        heard to;
        const auto handle = host.start(child({"exit", "0"}), {}, to);
        while (there.waiting() == 0) host.on().run_ready();
        there.take().reset();
        host.finish(to);
        REQUIRE_FALSE(to.end->has_value());
        CHECK(to.end->error().code == errc::broken_reply);
    }
    SUBCASE("at once") {
        struct refusing final : exec::executor {
            void execute(exec::callback<void()>) override {}
        } there;
        local_host host(on(there));
        heard to;
        const auto handle = host.start(child({"exit", "0"}), {}, to);
        host.finish(to);
        REQUIRE_FALSE(to.end->has_value());
        CHECK(to.end->error().code == errc::broken_reply);
    }
    SUBCASE("and by an exception of the host's") {
        struct throwing final : exec::executor {
            void execute(exec::callback<void()>) override { throw std::runtime_error("the pool is full"); }
        } there;
        local_host host(on(there));
        heard to;
        const auto handle = host.start(child({"exit", "0"}), {}, to);
        host.finish(to);
        REQUIRE_FALSE(to.end->has_value());
        CHECK(to.end->error().code == errc::broken_reply);
    }
    SUBCASE("after the loop has ended") {
        patient_executor there;
        heard to;
        exec::execution handle;
        {
            local_host host(on(there));
            handle = host.start(child({"exit", "0"}), {}, to);
            while (there.waiting() == 0) host.on().run_ready();
        }
        REQUIRE(to.over());
        CHECK(to.end->error().code == errc::shutting_down);
        there.take()();
        handle.stop();
    }
}
