// The handle of a command on a loop: who owns what, what may be called from where, and what comes last.
#include <exec/execution.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <signal.h>

#include <exec/detail/execution_id.h>
#include <exec/loop_thread.h>

#include "guards.h"
#include "living.h"
#include "local_host.h"

using namespace std::chrono_literals;
using exec::bytes_view;
using exec::errc;
using exec::execution;
using exec::exit_status;
using exec::flow;
using exec::stop_reason;
using exec::stream;
using test::child;
using test::drive;
using test::heard;
using test::local_host;
using test::sh;

namespace {

// Drives until the observer has gone.
void until_gone(local_host& host, const heard& to) {
    REQUIRE(test::drive_until(host.on(), [&] { return to.destroyed; }));
}

// Says a line now and then, for ever; takes input; dies politely.
const char* const busy_script = "echo ready; while :; do sleep 0.02; echo more; done";

}  // namespace

TEST_CASE("execution: start calls nobody, and nothing runs before the loop is driven") {
    const test::process_guard nothing_left;
    const test::scratch_directory scratch;
    local_host host;
    heard to;
    auto handle = host.start(sh("> \"$1\"", {scratch / "ran"}), {}, to);
    CHECK(handle);
    CHECK(handle.id() != 0);
    CHECK((to.starts == 0 && !to.end && !to.destroyed));
    CHECK_FALSE(test::exists(scratch / "ran"));
    host.finish(to);
    CHECK(to.outcome().ok());
    CHECK(test::exists(scratch / "ran"));
    CHECK(to.broken.empty());
}

TEST_CASE("execution: ids differ, and stay when the command is over") {
    const test::process_guard nothing_left;
    local_host host;
    heard one;
    heard two;
    auto first = host.start(child({"exit", "0"}), {}, one);
    auto second = host.start(child({"exit", "0"}), {}, two);
    const auto id = first.id();
    CHECK(id != second.id());
    host.finish(one);
    host.finish(two);
    CHECK(first.id() == id);
}

TEST_CASE("execution: a failure is on_done alone, later, on the loop") {
    const test::process_guard nothing_left;
    local_host host;
    heard to;
    const auto handle = host.start(test::words({"/no/such/program"}), {}, to);
    CHECK_FALSE(to.end.has_value());
    host.finish(to);
    REQUIRE_FALSE(to.end->has_value());
    CHECK(to.end->error().at == exec::stage::program);
    CHECK(to.starts == 0);
    // One that was refused before anything was tried comes in the same way.
    heard refused;
    exec::limits within;
    within.run_timeout = 0ms;
    const auto other = host.start(child({"exit", "0"}), within, refused);
    CHECK_FALSE(refused.end.has_value());
    host.finish(refused);
    CHECK(refused.end->error().code == errc::invalid_argument);
}

TEST_CASE("execution: a null observer is allowed, to the end and when it is stopped") {
    const test::process_guard nothing_left;
    const test::scratch_directory scratch;
    local_host host;
    auto handle = host.local().start(sh("echo out; echo err >&2; > \"$1\"", {scratch / "ran"}), {}, nullptr);
    auto other = host.local().start(sh(busy_script), {}, nullptr);
    heard to;
    const auto last = host.start(sh("until [ -e \"$1\" ]; do sleep 0.01; done", {scratch / "ran"}), {}, to);
    host.finish(to);
    other.stop();
    handle.detach();
    host.on().shutdown(20s);
}

TEST_CASE("execution: dropped before it began, it never runs, and nobody is told") {
    const test::process_guard nothing_left;
    const test::scratch_directory scratch;
    local_host host;
    heard to;
    { const auto dropped = host.start(sh("> \"$1\"", {scratch / "ran"}), {}, to); }
    CHECK_FALSE(to.destroyed);  // on the loop, not here
    until_gone(host, to);
    CHECK_FALSE(to.end.has_value());
    CHECK(to.starts == 0);
    heard witness;
    const auto other = host.start(child({"exit", "0"}), {}, witness);
    host.finish(witness);
    CHECK_FALSE(test::exists(scratch / "ran"));
}

TEST_CASE("execution: stopped before it began, it never runs, and that is a failure") {
    const test::process_guard nothing_left;
    const test::scratch_directory scratch;
    local_host host;
    heard to;
    auto handle = host.start(sh("> \"$1\"", {scratch / "ran"}), {}, to);
    handle.stop();
    handle.stop(0ms);
    CHECK_FALSE(to.end.has_value());
    host.finish(to);
    REQUIRE_FALSE(to.end->has_value());
    CHECK(to.end->error().code == errc::cancelled);
    CHECK_FALSE(test::exists(scratch / "ran"));
}

TEST_CASE("execution: dropped while it runs, it is stopped, and no call comes after the drop") {
    const test::process_guard nothing_left;
    local_host host;
    heard to;
    {
        const auto dropped = host.start(sh(busy_script), {}, to);
        REQUIRE(test::drive_until(host.on(), [&] { return to.out.size() > 20; }));
    }
    const auto said = to.out.size();
    REQUIRE(to.pid);
    until_gone(host, to);
    CHECK(to.out.size() == said);
    CHECK_FALSE(to.end.has_value());
    // Its observer has gone at once; the command itself goes by its stop policy.
    host.on().shutdown(20s);
    CHECK_FALSE(test::alive(*to.pid));
}

TEST_CASE("execution: dropped inside any callback, that callback is the last, and the observer outlives it") {
    const test::process_guard nothing_left;
    local_host host;
    for (const std::string where : {"start", "output", "gap", "room", "heartbeat", "done"}) {
        CAPTURE(where);
        heard to;
        execution handle;
        int after = 0;  // calls behind the drop
        bool dropped = false;
        const auto drop = [&](const std::string& in) {
            if (dropped) ++after;
            if (in != where) return;
            handle = {};
            dropped = true;
            CHECK_FALSE(to.destroyed);
        };
        to.on_start = [&] { drop("start"); };
        to.on_output = [&](stream, bytes_view) {
            drop("output");
            return flow::more;
        };
        to.on_gap = [&] { drop("gap"); };
        to.on_room = [&] { drop("room"); };
        to.on_heartbeat = [&] {
            drop("heartbeat");
            return flow::more;
        };
        to.on_done = [&] { drop("done"); };

        auto what = sh("echo one; echo two >&2; sleep 0.1; head -c 10000 >/dev/null");
        what.in = exec::input::streamed();
        exec::limits within;
        within.heartbeat = 20ms;
        within.out.show = 1;
        within.in_queue = 100;
        handle = host.start(what, within, to);
        CHECK(handle.write_in(std::string(200, 'x')) == 100);
        handle.close_in();
        until_gone(host, to);
        CHECK(dropped);
        CHECK(after == 0);
        CHECK(to.broken.empty());
        host.on().run_ready();
    }
    host.on().shutdown(20s);
}

TEST_CASE("execution: moved, stopped and replaced inside its own callbacks") {
    const test::process_guard nothing_left;
    local_host host;
    heard to;
    heard next;
    execution handle;
    execution elsewhere;
    to.on_output = [&](stream, bytes_view) {
        elsewhere = std::move(handle);
        elsewhere.stop();
        handle = host.start(child({"exit", "3"}), {}, next);  // a start inside a callback
        CHECK(next.starts == 0);
        return flow::more;
    };
    handle = host.start(sh("echo one; exec sleep 100"), {}, to);
    host.finish(to);
    host.finish(next);
    CHECK(to.outcome().stopped_by == stop_reason::cancelled);
    CHECK(next.outcome().exit == exit_status::exited(3));
}

TEST_CASE("execution: assigned over, the command before is dropped") {
    const test::process_guard nothing_left;
    local_host host;
    heard to;
    heard next;
    auto handle = host.start(sh(busy_script), {}, to);
    REQUIRE(test::drive_until(host.on(), [&] { return to.chunks > 0; }));
    handle = host.start(child({"exit", "0"}), {}, next);
    until_gone(host, to);
    CHECK_FALSE(to.end.has_value());
    host.finish(next);
    host.on().shutdown(20s);
}

TEST_CASE("execution: over, it may be destroyed on any thread, whatever the command was fed") {
    const test::process_guard nothing_left;
    local_host host;
    // More than a pipe holds, so that the loop has to watch it; taken to the end, or not.
    for (const char* script : {"exec cat >/dev/null", "head -c 1 >/dev/null; sleep 0.05"}) {
        for (const bool terminal : {false, true}) {
            CAPTURE(script);
            CAPTURE(terminal);
            auto what = sh(script);
            what.in = exec::input::bytes(std::string(terminal ? 20'000 : 3'000'000, '\n'));
            if (terminal) what.terminal = exec::terminal_size{};
            heard to;
            auto handle = host.start(what, {}, to);
            host.finish(to);
            std::thread([&handle] { handle.detach(); }).join();  // the last claim; a drop would leave one to the loop
            CHECK(to.outcome().ok());
        }
    }
}

TEST_CASE("execution: stopped twice, the grace can only get shorter") {
    const test::process_guard nothing_left;
    local_host host;
    heard to;
    exec::limits within;
    within.stop.grace = 30s;
    auto handle = host.start(child({"ignore-term"}), within, to);
    REQUIRE(test::drive_until(host.on(), [&] { return to.out == "ready\n"; }));
    handle.stop();
    host.on().run_ready();
    handle.stop(50ms);
    handle.stop(20s);  // not longer again
    host.finish(to);
    CHECK(to.outcome().exit == exit_status::signaled(SIGKILL));
    CHECK(to.outcome().took.total < 20s);
    handle.stop();
    handle.stop(0ms);
    host.on().run_ready();
    CHECK(to.broken.empty());
}

TEST_CASE("execution: detached, command and observer go on") {
    const test::process_guard nothing_left;
    local_host host;
    heard to;
    {
        auto handle = host.start(sh("sleep 0.1; echo said; exit 3"), {}, to);
        handle.detach();
        CHECK_FALSE(handle);
        CHECK(handle.id() == 0);
        handle.stop();  // inert
    }
    host.finish(to);
    CHECK(to.outcome().exit == exit_status::exited(3));
    CHECK(to.out == "said\n");
}

TEST_CASE("execution: a signal reaches the whole group, and only while there is one") {
    const test::process_guard nothing_left;
    local_host host;
    heard to;
    auto handle = host.start(
        sh("trap 'echo leader' USR1; (trap 'echo member; exit' USR1; echo; sleep 100 & wait) & wait; wait"), {}, to);
    CHECK(handle.signal(SIGUSR1).error().code == errc::wrong_state);  // not begun
    CHECK(handle.resize({10, 10}).error().code == errc::wrong_state);
    REQUIRE(test::drive_until(host.on(), [&] { return to.out == "\n"; }));
    CHECK(handle.signal(0).error().code == errc::invalid_argument);
    CHECK(handle.signal(65).error().code == errc::invalid_argument);
    CHECK(handle.resize({10, 10}).error().code == errc::unsupported);
    CHECK(handle.signal(SIGUSR1).has_value());
    host.finish(to);
    CHECK(to.out.find("leader\n") != std::string::npos);
    CHECK(to.out.find("member\n") != std::string::npos);
    CHECK(to.outcome().stopped_by == stop_reason::nobody);  // a signal is no cause
    CHECK(handle.signal(SIGUSR1).error().code == errc::wrong_state);
    CHECK(handle.resize({10, 10}).error().code == errc::wrong_state);
}

TEST_CASE("execution: a handle outlives its runner and its loop, and is inert then") {
    const test::process_guard nothing_left;
    heard to;
    heard never_begun;
    execution handle;
    execution finished;
    execution late;
    {
        local_host host;
        heard quick;
        finished = host.start(child({"exit", "0"}), {}, quick);
        host.finish(quick);
        handle = host.start(sh(busy_script), {}, to);
        REQUIRE(test::drive_until(host.on(), [&] { return to.chunks > 0; }));
        late = host.start(child({"exit", "0"}), {}, never_begun);
    }
    // ~loop has ended it, and told so.
    REQUIRE(to.over());
    CHECK(to.outcome().stopped_by == stop_reason::shutdown);
    CHECK(to.outcome().exit == exit_status::signaled(SIGKILL));
    CHECK_FALSE(test::alive(*to.pid));
    REQUIRE(never_begun.over());
    CHECK(never_begun.end->error().code == errc::shutting_down);
    for (auto* each : {&handle, &finished, &late}) {
        CHECK(each->id() != 0);
        each->stop();
        each->resume();
        each->close_in();
        CHECK_FALSE(each->signal(SIGTERM).has_value());
        CHECK_FALSE(each->resize({1, 1}).has_value());
    }
    late.detach();
    CHECK(to.broken.empty());
}

TEST_CASE("execution: a runner may go before its commands do") {
    const test::process_guard nothing_left;
    const auto loop = test::new_loop();
    heard to;
    auto runner = test::new_runner(*loop);
    const auto handle = runner->start(sh("sleep 0.1; exit 3"), {}, std::make_unique<test::listener>(to));
    runner.reset();
    REQUIRE(test::drive_until(*loop, [&] { return to.over(); }));
    CHECK(to.outcome().exit == exit_status::exited(3));
}

TEST_CASE("execution: shutdown ends what runs, tells each of it before it returns, and refuses what comes later") {
    const test::process_guard nothing_left;
    local_host host;
    heard polite;
    heard stubborn;
    heard waiting;
    auto one = host.start(child({"on-term", "5"}), {}, polite);
    auto two = host.start(child({"ignore-term"}), {}, stubborn);
    REQUIRE(test::drive_until(host.on(), [&] { return polite.chunks > 0 && stubborn.chunks > 0; }));
    auto three = host.start(child({"sleep"}), {}, waiting);  // not begun yet

    SUBCASE("with time for a polite end") {
        host.on().shutdown(500ms);
        REQUIRE((polite.over() && stubborn.over()));
        CHECK(polite.outcome().exit == exit_status::exited(5));
        CHECK(stubborn.outcome().exit == exit_status::signaled(SIGKILL));
    }
    SUBCASE("with none") {
        host.on().shutdown(0ms);
        REQUIRE((polite.over() && stubborn.over()));
        CHECK(polite.outcome().exit == exit_status::signaled(SIGKILL));
        CHECK(stubborn.outcome().exit == exit_status::signaled(SIGKILL));
    }
    CHECK(polite.outcome().stopped_by == stop_reason::shutdown);
    CHECK(stubborn.outcome().stopped_by == stop_reason::shutdown);
    for (const auto& pid : {*polite.pid, *stubborn.pid}) CHECK_FALSE(test::alive(pid));
    host.finish(waiting);
    CHECK(waiting.end->error().code == errc::shutting_down);
    heard late;
    const auto four = host.start(child({"exit", "0"}), {}, late);
    host.finish(late);
    CHECK(late.end->error().code == errc::shutting_down);
    // A blocking run needs no loop, and is not concerned.
    CHECK(host.outcome_of(drive::blocking, child({"exit", "0"})).ok());
}

TEST_CASE("execution: the cause that was first stays, also through a shutdown") {
    const test::process_guard nothing_left;
    local_host host;
    heard to;
    auto handle = host.start(child({"ignore-term"}), {}, to);
    REQUIRE(test::drive_until(host.on(), [&] { return to.chunks > 0; }));
    handle.stop();
    host.on().run_ready();
    host.on().shutdown(100ms);
    REQUIRE(to.over());
    CHECK(to.outcome().stopped_by == stop_reason::cancelled);
}

TEST_CASE("execution: a hundred commands in flight end with their loop, each told once") {
    const test::process_guard nothing_left;
    std::vector<heard> all(100);
    std::vector<execution> handles;
    {
        local_host host;
        for (auto& each : all) handles.push_back(host.start(child({"ignore-term"}), {}, each));
        REQUIRE(test::drive_until(host.on(), [&] { return all.back().chunks > 0; }));
    }
    for (const auto& each : all) {
        REQUIRE(each.over());
        CHECK(each.outcome().stopped_by == stop_reason::shutdown);
        // A loop that ends waits for each for an instant only: on a busy machine one may take longer to die.
        const bool unknown = each.outcome().exit == exit_status{};
        CHECK((unknown || each.outcome().exit == exit_status::signaled(SIGKILL)));
        if (unknown) CHECK(each.outcome().tree == exec::tree_state::may_survive);
        CHECK(each.broken.empty());
    }
    // Whatever was not reaped then is reaped by a later run.
    for (int i = 0; i < 1000 && !nothing_left.changes().empty(); ++i) {
        CHECK(exec::run(child({"exit", "0"}))->ok());
    }
}

TEST_CASE("execution: an exception that leaves a callback ends the command, and is told as what it was") {
    const test::process_guard nothing_left;
    local_host host;
    for (const std::string where : {"start", "output", "gap", "room", "heartbeat"}) {
        CAPTURE(where);
        heard to;
        const auto fail_in = [&](const std::string& in) {
            if (in == where) throw std::runtime_error("the host's");
        };
        to.on_start = [&] { fail_in("start"); };
        to.on_output = [&](stream, bytes_view) {
            fail_in("output");
            return flow::more;
        };
        to.on_gap = [&] { fail_in("gap"); };
        to.on_room = [&] { fail_in("room"); };
        to.on_heartbeat = [&] {
            fail_in("heartbeat");
            return flow::more;
        };
        auto what = sh("echo one; sleep 0.1; head -c 10000 >/dev/null");
        what.in = exec::input::streamed();
        exec::limits within;
        within.heartbeat = 20ms;
        within.out.show = 1;
        within.in_queue = 100;
        auto handle = host.start(what, within, to);
        CHECK(handle.write_in(std::string(200, 'x')) == 100);
        handle.close_in();
        host.finish(to);
        REQUIRE(to.end->has_value());
        CHECK(to.outcome().stopped_by == stop_reason::observer_failed);
        CHECK_FALSE(to.outcome().ok());
        CHECK(to.broken.empty());
    }
}

TEST_CASE("execution: an exception out of on_done ends at the loop, which counts it") {
    const test::process_guard nothing_left;
    local_host host;
    heard to;
    to.on_done = [] { throw std::runtime_error("the host's"); };
    const auto handle = host.start(child({"exit", "0"}), {}, to);
    until_gone(host, to);
    CHECK(to.end.has_value());
    CHECK(host.on().exceptions() == 1);
}

TEST_CASE("execution: paused, nothing is shown; resumed, everything is, in order") {
    const test::process_guard nothing_left;
    local_host host;
    heard to;
    to.on_output = [&](stream, bytes_view) { return to.chunks == 1 ? flow::pause : flow::more; };
    auto handle =
        host.start(sh("echo one; echo two; \"$1\" flood 500000; echo err >&2; exit 3", {EXEC_TEST_CHILD}), {}, to);
    REQUIRE(test::drive_until(host.on(), [&] { return to.chunks == 1; }));
    const auto before = to.out.size();
    // Time passes, and the child fills its pipe; it cannot end.
    heard clock;
    const auto other = host.start(child({"sleep", "200"}), {}, clock);
    host.finish(clock);
    CHECK(to.out.size() == before);
    CHECK(to.chunks == 1);
    CHECK(test::alive(*to.pid));
    handle.resume();
    host.finish(to);
    CHECK(to.out.size() == 500'008);
    CHECK(to.err == "err\n");
    CHECK(to.outcome().exit == exit_status::exited(3));
    CHECK(to.outcome().out.complete);
    CHECK(to.broken.empty());
}

TEST_CASE("execution: a resume that comes while the pause is being returned ends it") {
    const test::process_guard nothing_left;
    local_host host;
    heard to;
    execution handle;
    to.on_output = [&](stream, bytes_view) {
        handle.resume();
        return flow::pause;
    };
    handle = host.start(child({"flood", "2000000"}), {}, to);
    host.finish(to);
    CHECK(to.out.size() == 2'000'000);
    CHECK(to.outcome().ok());
}

TEST_CASE("execution: a resume that nobody waited for does not end a later pause") {
    const test::process_guard nothing_left;
    local_host host;
    exec::limits within;
    within.consumer_timeout = 300ms;
    within.heartbeat = 20ms;

    SUBCASE("of output") {
        heard to;
        to.on_output = [&](stream, bytes_view) { return flow::pause; };
        auto handle = host.start(sh("sleep 0.1; echo one; exec sleep 100"), within, to);
        handle.resume();
        host.on().run_ready();
        handle.resume();
        host.finish(to);
        CHECK(to.outcome().stopped_by == stop_reason::consumer);
    }
    SUBCASE("by a heartbeat") {
        heard to;
        to.on_heartbeat = [&] { return to.heartbeats == 3 ? flow::pause : flow::more; };
        auto handle = host.start(sh("echo one; exec sleep 100"), within, to);
        REQUIRE(test::drive_until(host.on(), [&] { return to.heartbeats == 1; }));
        handle.resume();
        host.finish(to);
        CHECK(to.outcome().stopped_by == stop_reason::consumer);
    }
}

TEST_CASE("execution: a heartbeat that pauses again does not swallow the resume that is on its way") {
    const test::process_guard nothing_left;
    local_host host;
    exec::limits within;
    within.heartbeat = 20ms;
    within.consumer_timeout = 5s;
    heard to;
    execution handle;
    to.on_output = [&](stream, bytes_view) { return to.chunks == 1 ? flow::pause : flow::more; };
    to.on_heartbeat = [&] {
        if (to.chunks == 0) return flow::more;
        handle.resume();
        return flow::pause;
    };
    handle = host.start(sh("echo one; sleep 0.2; echo two; exit 3"), within, to);
    host.finish(to);
    CHECK(to.outcome().stopped_by == stop_reason::nobody);
    CHECK(to.outcome().exit == exit_status::exited(3));
    CHECK(to.out == "one\ntwo\n");
}

TEST_CASE("execution: while it is paused the run deadline counts, and the idle and drain clocks stand still") {
    const test::process_guard nothing_left;
    local_host host;
    heard to;
    to.on_output = [&](stream, bytes_view) { return flow::pause; };
    exec::limits within;
    SUBCASE("run") {
        within.run_timeout = 300ms;
        const auto handle = host.start(sh("echo one; exec sleep 100"), within, to);
        host.finish(to);
        CHECK(to.outcome().stopped_by == stop_reason::run_timeout);
    }
    SUBCASE("idle and drain") {
        within.idle_timeout = 100ms;
        within.drain_idle = within.drain_max = 50ms;
        execution handle;
        to.on_output = [&](stream, bytes_view) { return to.chunks == 1 ? flow::pause : flow::more; };
        handle = host.start(sh("echo one; sleep 0.03; \"$1\" flood 30000; exit 3", {EXEC_TEST_CHILD}), within, to);
        heard clock;
        const auto other = host.start(child({"sleep", "600"}), {}, clock);
        host.finish(clock);
        CHECK_FALSE(to.end.has_value());  // it has exited long ago, and its observer is owed the rest
        handle.resume();
        host.finish(to);
        CHECK(to.outcome().stopped_by == stop_reason::nobody);
        CHECK(to.outcome().exit == exit_status::exited(3));
        CHECK(to.outcome().out.complete);
        CHECK(to.out.size() == 30'004);
        CHECK(to.outcome().took.run < to.outcome().took.total);
    }
}

TEST_CASE("execution: an observer that holds the output too long loses what it did not read, and is told how much") {
    const test::process_guard nothing_left;
    local_host host;
    heard to;
    to.on_output = [&](stream, bytes_view) { return flow::pause; };
    exec::limits within;
    within.consumer_timeout = 2s;
    SUBCASE("a command that has ended keeps its exit") {
        const auto handle =
            host.start(sh("echo one; sleep 0.1; \"$1\" flood 30000; exit 3", {EXEC_TEST_CHILD}), within, to);
        host.finish(to);
        CHECK(to.outcome().exit == exit_status::exited(3));
        CHECK(to.outcome().stopped_by == stop_reason::consumer);
        CHECK_FALSE(to.outcome().out.complete);
        CHECK(to.outcome().out.total == 30'004);  // counted, and kept for the outcome
        REQUIRE(to.gaps.size() == 1);
        CHECK(to.gaps[0].at == to.out.size());
        CHECK(to.gaps[0].missing == 30'004 - to.out.size());
        CHECK(to.broken.empty());
    }
    SUBCASE("a command that still runs is stopped") {
        const auto handle =
            host.start(sh("echo one; sleep 0.1; exec \"$1\" flood 1000000", {EXEC_TEST_CHILD}), within, to);
        host.finish(to);
        CHECK(to.outcome().stopped_by == stop_reason::consumer);
        CHECK_FALSE(to.outcome().out.complete);
        CHECK(to.gaps.size() == 1);
        CHECK(to.broken.empty());
    }
}

TEST_CASE("execution: from other threads, every member may be called at any time") {
    const test::process_guard nothing_left;
    {
        local_host host;
        std::optional<exec::loop_thread> driver(host.on());
        for (int round = 0; round < 40; ++round) {
            heard to;
            std::atomic<bool> gone{false};
            struct last_word {
                std::atomic<bool>& said;
                ~last_word() { said.store(true); }
            };
            auto* const observing = new test::listener(to);
            struct wrapper final : exec::observer {
                explicit wrapper(exec::observer* to_wrap, std::atomic<bool>& when_gone)
                    : gone{when_gone}, inner(to_wrap) {}
                void on_start(const exec::start_info& what) override { inner->on_start(what); }
                flow on_output(stream from, std::uint64_t at, bytes_view bytes) override {
                    return inner->on_output(from, at, bytes);
                }
                void on_done(exec::result<exec::outcome> how) override { inner->on_done(std::move(how)); }
                last_word gone;  // after `inner`
                std::unique_ptr<exec::observer> inner;
            };
            to.on_output = [&](stream, bytes_view) { return flow::pause; };
            auto what = sh("cat & while :; do echo x; done");
            what.in = exec::input::streamed();
            exec::execution handle = host.local().start(what, {}, std::make_unique<wrapper>(observing, gone));
            std::thread writer([&] {
                for (int i = 0; i < 50; ++i) handle.write_in("some bytes\n");
                handle.close_in();
            });
            std::thread resumer([&] {
                for (int i = 0; i < 200; ++i) handle.resume();
            });
            std::thread signaller([&] {
                for (int i = 0; i < 20; ++i) static_cast<void>(handle.signal(SIGCONT));
                static_cast<void>(handle.resize({5, 5}));
                handle.stop(1s);
            });
            writer.join();
            resumer.join();
            signaller.join();
            if (round % 2 == 0) {
                handle = {};
            } else {
                handle.detach();
            }
            while (!gone.load()) std::this_thread::yield();
            CHECK(to.broken.empty());
        }
        driver.reset();
        host.on().shutdown(20s);
    }
}

TEST_CASE("local_execution: its id is one of those that every runner of this process counts together") {
    test::local_host host;
    heard to;
    const auto before = exec::detail::next_execution_id();
    const auto handle = host.start(child({"exit", "0"}), {}, to);
    CHECK(handle.id() > before);
    CHECK(exec::detail::next_execution_id() > handle.id());
    host.finish(to);
}
