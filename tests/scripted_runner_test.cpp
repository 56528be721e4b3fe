#include <exec/testing/scripted_runner.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <deque>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <exec/loop_thread.h>
#include <exec/testing/runner_conformance.h>

#include "guards.h"
#include "heard.h"
#include "misuse.h"
#include "scripted_shell.h"

namespace {

using namespace exec;
using namespace std::chrono_literals;
using test::heard;
using test::listener;
using testing::manual_clock;
using testing::script;
using testing::scripted_options;
using testing::scripted_runner;

// A loop on a clock that the test moves, and a double on it.
struct stage_set {
    explicit stage_set(scripted_options options = {}) : runner(*on, clock, std::move(options)) {}

    void pass(milliseconds so_long = 0ms) {
        clock.advance(so_long);
        while (on->run_ready() != 0) {
        }
    }
    execution start(heard& to, script plays, limits within = {},
                    command what = {.program_and_args = argv("tool", "x")}) {
        runner.next(std::move(plays));
        return runner.start(std::move(what), within, std::make_unique<listener>(to));
    }
    // To its end, in one stride.
    outcome played(script plays, limits within = {}, milliseconds so_long = 1h,
                   command what = {.program_and_args = argv("tool", "x")}) {
        auto& to = hear();
        const auto handle = start(to, std::move(plays), within, std::move(what));
        pass(so_long);
        REQUIRE(to.over());
        REQUIRE(to.end->has_value());
        CHECK(to.broken == std::vector<std::string>{});
        return to.outcome();
    }

    // The loop's end may be the last to tell something: what hears it lives longer.
    heard& hear() { return told.emplace_back(); }

    std::deque<heard> told{};
    manual_clock clock{};
    std::unique_ptr<loop> on = *make_loop({.clock = &clock});
    scripted_runner runner;
};

command streamed() {
    command what{.program_and_args = argv("tool")};
    what.in = input::streamed();
    return what;
}

}  // namespace

// ---- time ----------------------------------------------------------------------------------------------------------

TEST_CASE("scripted_runner: a step comes at its moment and not before, and the exit is told with its exact times") {
    stage_set here;
    auto& to = here.hear();
    const auto handle = here.start(to, script().waits(10ms).says("hello").waits(10ms).exits(3));
    here.pass();
    CHECK(to.starts == 1);
    here.pass(9ms);
    CHECK(to.out.empty());
    here.pass(1ms);
    CHECK(to.out == "hello");
    here.pass(9ms);
    CHECK(!to.end);
    here.pass(1ms);
    REQUIRE(to.over());
    CHECK(to.outcome().exit == exit_status::exited(3));
    CHECK(to.outcome().took.run == 20ms);
    CHECK(to.outcome().took.total == 20ms);
    CHECK(to.outcome().out.bytes == "hello");
    CHECK(to.outcome().where == "script");
    CHECK(to.broken == std::vector<std::string>{});
}

TEST_CASE("scripted_runner: nothing is told inside start, and a script without steps says nothing and exits with 0") {
    stage_set here;
    auto& to = here.hear();
    const auto handle = here.start(to, script());
    CHECK(to.starts == 0);
    here.pass();
    REQUIRE(to.over());
    CHECK(to.outcome().ok());
    CHECK(to.outcome().out.complete);
    CHECK(to.outcome().tree == tree_state::group_gone);
}

TEST_CASE("scripted_runner: what is due together is played in its order, however far the clock was moved at once") {
    stage_set here;
    const auto quick = here.played(script().waits(20ms).exits(3));
    CHECK(quick.stopped_by == stop_reason::nobody);
    CHECK(quick.exit == exit_status::exited(3));
    CHECK(quick.took.run == 20ms);

    const auto late = here.played(script().waits(31s).exits(0));
    CHECK(late.stopped_by == stop_reason::run_timeout);
    CHECK(late.exit == exit_status::signaled(15));
    CHECK(late.took.run == 30s);

    // An exit at the very moment of the limit was seen first.
    CHECK(here.played(script().waits(30s).exits(0)).stopped_by == stop_reason::nobody);
}

TEST_CASE("scripted_runner: a command that ignores TERM is killed after the grace, to the millisecond") {
    stage_set here;
    const auto how = here.played(script().ignores(15).hangs());
    CHECK(how.exit == exit_status::signaled(9));
    CHECK(how.stopped_by == stop_reason::run_timeout);
    CHECK(how.took.run == 32s);
}

TEST_CASE("scripted_runner: the reaction to TERM takes its time within the grace, and its last words are kept") {
    stage_set here;
    const auto how =
        here.played(script().on_signal(15, script().waits(1500ms).says("bye").exits(0)).says("up ").hangs());
    CHECK(how.exit == exit_status::exited(0));
    CHECK(how.stopped_by == stop_reason::run_timeout);
    CHECK(how.out.bytes == "up bye");
    CHECK(how.took.run == 31'500ms);
    // A reaction without an exit goes back to what was interrupted, here a wait that is not any longer for it.
    stage_set other;
    auto& to = other.hear();
    auto handle = other.start(to, script().on_signal(10, script().says("caught ").waits(5s)).waits(20s).says("done"));
    other.pass(2s);
    CHECK(handle.signal(10).has_value());
    other.pass(30s);
    REQUIRE(to.over());
    CHECK(to.out == "caught done");
    CHECK(to.outcome().took.run == 20s);
}

TEST_CASE("scripted_runner: a polite signal of the policy's choice, an idle command, and a deadline without grace") {
    stage_set here;
    limits hangup;
    hangup.stop.polite = 1;
    CHECK(here.played(script().hangs(), hangup).exit == exit_status::signaled(1));

    limits idle;
    idle.idle_timeout = 5s;
    const auto silent = here.played(script().says("a").waits(4s).says("b").hangs(), idle);
    CHECK(silent.stopped_by == stop_reason::idle_timeout);
    CHECK(silent.took.run == 9s);

    limits whole;
    whole.deadline = here.clock.now() + 3s;
    const auto cut = here.played(script().ignores(15).hangs(), whole);
    CHECK(cut.stopped_by == stop_reason::deadline);
    CHECK(cut.exit == exit_status::signaled(9));
    CHECK(cut.took.run == 3s);
}

TEST_CASE("scripted_runner: one that not even KILL ends is given up, and nobody claims to know more") {
    stage_set here;
    const auto how = here.played(script().survives_kill().ignores(15).says("x").hangs());
    CHECK(how.exit == exit_status{});
    CHECK(how.stopped_by == stop_reason::run_timeout);
    CHECK(how.tree == tree_state::may_survive);
    CHECK_FALSE(how.out.complete);
    CHECK(how.out.bytes == "x");
    CHECK(how.took.total == 30s + 2s + timeline::unreaped_after);
}

TEST_CASE("scripted_runner: heartbeats come one by one, also when an hour passes at once") {
    stage_set here;
    limits within;
    within.run_timeout = unlimited;
    within.heartbeat = 1s;
    auto& to = here.hear();
    const auto handle = here.start(to, script().waits(1h).exits(0), within);
    here.pass(1h);
    REQUIRE(to.over());
    CHECK(to.heartbeats == 3599);  // the exit at the hour comes first
}

TEST_CASE("scripted_runner: a descendant that holds the pipes is drained, cut, and killed or left") {
    stage_set here;
    limits within;
    within.drain_idle = 100ms;
    within.drain_max = 1s;
    const auto ends = here.played(script().says("a").exits(3).leaves_behind(script().waits(50ms).says("b")), within);
    CHECK(ends.out.bytes == "ab");
    CHECK(ends.out.complete);
    CHECK(ends.took.drain == 50ms);

    const auto silent = here.played(script().exits(3).leaves_behind(script().hangs()), within);
    CHECK(silent.exit == exit_status::exited(3));
    CHECK(silent.stopped_by == stop_reason::nobody);
    CHECK_FALSE(silent.out.complete);
    CHECK(silent.took.drain == 100ms);
    CHECK(silent.tree == tree_state::group_gone);

    const auto talks = here.played(script().exits(3).leaves_behind(script().says("x").repeats_after(20ms)), within);
    CHECK(talks.took.drain == 1s);
    CHECK_FALSE(talks.out.complete);

    within.stop.after_exit = survivors::leave;
    CHECK(here.played(script().exits(3).leaves_behind(script().hangs()), within).tree == tree_state::may_survive);
}

// ---- the start -----------------------------------------------------------------------------------------------------

TEST_CASE("scripted_runner: a command that nobody expected is a failure that names it, and is in the record") {
    stage_set here;
    auto& to = here.hear();
    const auto handle =
        here.runner.start({.program_and_args = argv("git", "push")}, {}, std::make_unique<listener>(to));
    here.pass();
    REQUIRE(to.over());
    REQUIRE_FALSE(to.end->has_value());
    CHECK(to.starts == 0);
    CHECK(to.end->error().code == errc::unsupported);
    CHECK(to.end->error().context == "scripted_runner: no script for git with 1 arguments");
    REQUIRE(here.runner.calls().size() == 1);
    CHECK_FALSE(here.runner.calls()[0].matched);
    CHECK_FALSE(here.runner.calls()[0].refused);
    CHECK(here.runner.calls()[0].what.program_and_args == argv("git", "push"));
}

TEST_CASE("scripted_runner: the queue comes first and in its order, then the function is asked") {
    stage_set here;
    here.runner.next(script().exits(1));
    here.runner.next(script().exits(2));
    here.runner.otherwise([](const command& what) -> std::optional<script> {
        if (what.program_and_args.program() != "known") return std::nullopt;
        return script().exits(3);
    });
    CHECK(here.runner.unplayed() == 2);
    observer nobody;
    CHECK(here.runner.run({.program_and_args = argv("known")})->exit == exit_status::exited(1));
    CHECK(here.runner.run({.program_and_args = argv("other")})->exit == exit_status::exited(2));
    CHECK(here.runner.unplayed() == 0);
    CHECK(here.runner.run({.program_and_args = argv("known")})->exit == exit_status::exited(3));
    CHECK(here.runner.run({.program_and_args = argv("other")}).error().code == errc::unsupported);
    CHECK(here.runner.calls().size() == 4);
}

TEST_CASE("scripted_runner: what can() denies, and what is wrong for everybody, is refused without using up a script") {
    scripted_options less;
    less.can.cwd = false;
    less.can.signals = false;
    stage_set here(less);
    CHECK_FALSE(here.runner.can().cwd);
    auto& to = here.hear();
    command what{.program_and_args = argv("tool")};
    what.cwd = "/srv";
    auto handle = here.start(to, script().hangs(), {}, what);
    here.pass();
    REQUIRE(to.over());
    CHECK(to.end->error().code == errc::unsupported);
    CHECK(to.end->error().context == "cwd");
    CHECK(here.runner.unplayed() == 1);
    CHECK(here.runner.calls()[0].refused);
    CHECK(here.runner.run({}).error().code == errc::invalid_argument);
    CHECK(here.runner.run(streamed()).error().code == errc::unsupported);  // there is no handle to write to

    auto& runs = here.hear();
    handle = here.runner.start({.program_and_args = argv("tool")}, {}, std::make_unique<listener>(runs));
    here.pass();
    CHECK(runs.starts == 1);
    CHECK(handle.signal(10).error().code == errc::unsupported);
}

TEST_CASE("scripted_runner: a failure to start is the one that was written, and nothing else is told") {
    stage_set here;
    auto& to = here.hear();
    const auto handle = here.start(to, script::fails(os_failure(ENOENT, stage::program, "git")).begins_after(2s));
    here.pass(1s);
    CHECK(!to.end);
    here.pass(1s);
    REQUIRE(to.over());
    CHECK(to.starts == 0);
    CHECK(to.end->error().at == stage::program);
    CHECK(to.end->error().kind() == errc::start_failed);
}

TEST_CASE(
    "scripted_runner: a slow way to the command counts for start_timeout, can be stopped, and is told as connect") {
    stage_set here;
    auto& slow = here.hear();
    const auto first = here.start(slow, script().begins_after(20s));
    auto& stopped = here.hear();
    auto second = here.start(stopped, script().begins_after(5s));
    here.pass(4s);
    second.stop();
    here.pass();
    REQUIRE(stopped.over());
    CHECK(stopped.end->error().code == errc::cancelled);
    CHECK(!slow.end);
    here.pass(6s);
    REQUIRE(slow.over());
    CHECK(slow.end->error().code == errc::start_timeout);
    CHECK(slow.starts == 0);
    const auto how = here.played(script().begins_after(5s).waits(7s));
    CHECK(how.took.connect == 5s);
    CHECK(how.took.run == 7s);
    CHECK(how.took.total == 12s);
    limits past;
    past.deadline = here.clock.now();
    CHECK(here.runner.unplayed() == 0);
    here.runner.next(script());
    CHECK(here.runner.run({.program_and_args = argv("tool")}, past).error().code == errc::start_timeout);
}

TEST_CASE(
    "scripted_runner: a link that breaks leaves an outcome that is lost, and one that was never confirmed is unknown") {
    stage_set here;
    const auto broke = make_error_code(errc::connect_failed);
    const auto lost = here.played(script().says("half").waits(1s).loses_contact(broke));
    CHECK(lost.how() == ended::lost);
    CHECK(lost.broke == broke);
    CHECK(lost.out.bytes == "half");
    CHECK_FALSE(lost.out.complete);
    CHECK(lost.tree == tree_state::unknown);
    auto& to = here.hear();
    const auto handle = here.start(to, script::unconfirmed(broke));
    here.pass();
    REQUIRE(to.over());
    CHECK(to.starts == 0);
    CHECK(to.outcome().began == started::unknown);
    CHECK(to.outcome().how() == ended::lost);
}

// ---- output --------------------------------------------------------------------------------------------------------

TEST_CASE(
    "scripted_runner: a flood is capped as by any runner, counted to the byte, and stopped where the policy says so") {
    stage_set here;
    const std::string flood(3 * MiB, 'x');
    limits within;
    within.out.cap = 1000;
    within.out.kept = keep::tail;
    const auto capped = here.played(script().says("head").says(flood).says("tail"), within);
    CHECK(capped.out.total == flood.size() + 8);
    CHECK(capped.out.truncated);
    CHECK(capped.out.bytes == std::string(996, 'x') + "tail");
    within.out.then = at_cap::stop;
    const auto stopped = here.played(script().says("1234567\n").repeats_after(1ms), within);
    CHECK(stopped.stopped_by == stop_reason::output_limit);
    CHECK(stopped.exit == exit_status::signaled(15));
    CHECK(stopped.out.total == 1008);
    within.out = {};
    within.out.show = 5;
    auto& to = here.hear();
    const auto handle = here.start(to, script().says("1234567"), within);
    here.pass();
    REQUIRE(to.over());
    CHECK(to.out == "12345");
    REQUIRE(to.gaps.size() == 1);
    CHECK(to.gaps[0].missing == 2);
}

TEST_CASE("scripted_runner: both streams are apart, and one where they are merged") {
    stage_set here;
    const auto both = script().says("o").says("e", stream::err);
    const auto apart = here.played(both);
    CHECK(apart.out.bytes == "o");
    CHECK(apart.err.bytes == "e");
    command merged{.program_and_args = argv("tool")};
    merged.merge_err_into_out = true;
    CHECK(here.played(both, {}, 0ms, merged).out.bytes == "oe");
}

TEST_CASE("scripted_runner: a pause holds a writer back in its pipe, and a consumer that never resumes is given up") {
    stage_set here;
    auto& to = here.hear();
    to.on_output = [](stream, bytes_view) { return flow::pause; };
    limits within;
    within.run_timeout = 1h;
    auto handle = here.start(to, script().says("one").waits(1s).says(std::string(100 * KiB, 'x')).says("end"), within);
    here.pass(20s);
    CHECK(to.out == "one");
    handle.resume();
    here.pass();
    CHECK(to.out.size() == 3 + 64 * KiB);  // what the pipe held; now it is paused again
    to.on_output = nullptr;
    handle.resume();
    here.pass();
    REQUIRE(to.over());
    CHECK(to.out.size() == 3 + 100 * KiB + 3);
    CHECK(to.outcome().took.run == 20s);  // it could not end before

    auto& gone = here.hear();
    gone.on_output = [](stream, bytes_view) { return flow::pause; };
    const auto lost = here.start(gone, script().says("one").waits(1s).says("two").exits(3), within);
    here.pass(1h);
    REQUIRE(gone.over());
    CHECK(gone.outcome().exit == exit_status::exited(3));
    CHECK(gone.outcome().stopped_by == stop_reason::consumer);
    CHECK(gone.outcome().took.total == 30s);
    CHECK(gone.outcome().out.bytes == "onetwo");
    CHECK_FALSE(gone.outcome().out.complete);
    REQUIRE(gone.gaps.size() == 1);
    CHECK(gone.gaps[0].missing == 3);
    CHECK(gone.broken == std::vector<std::string>{});
}

TEST_CASE("scripted_runner: a resume ends the pause that its own call returns, and not the one of a later call") {
    stage_set here;
    auto& to = here.hear();
    execution handle;
    to.on_output = [&](stream from, bytes_view) {
        if (from == stream::out) {
            handle.resume();
            return to.out == "a" ? flow::more : flow::pause;
        }
        return flow::pause;
    };
    handle = here.start(to, script().says("a").says("b", stream::err).waits(1s).says("c").waits(1s).says("d"));
    here.pass(10s);
    CHECK(to.err == "b");
    CHECK(to.out == "a");
    handle.resume();
    here.pass();
    REQUIRE(to.over());
    CHECK(to.out == "acd");
}

// ---- input and signals ---------------------------------------------------------------------------------------------

TEST_CASE("scripted_runner: a script can wait for what is written, answer lines and see the end of the input") {
    stage_set here;
    auto& to = here.hear();
    auto handle = here.start(to,
                             script()
                                 .says("password: ")
                                 .reads_until("\n")
                                 .answers([](std::string_view line) { return "<" + std::string(line) + ">"; })
                                 .says("end"),
                             {}, streamed());
    CHECK(handle.write_in("sec") == 3);
    here.pass();
    CHECK(to.out == "password: ");
    handle.write_in("ret\none\ntw");
    here.pass();
    CHECK(to.out == "password: <one>");
    handle.write_in("o\nlast");
    handle.close_in();
    here.pass();
    REQUIRE(to.over());
    CHECK(to.out == "password: <one><two><last>end");
    CHECK(to.outcome().in_taken == 19);
    CHECK(here.runner.calls()[0].input == "secret\none\ntwo\nlast");
    CHECK(here.runner.calls()[0].input_closed);
}

TEST_CASE("scripted_runner: input that waits is bounded, and there is room again once after a short write") {
    stage_set here;
    auto& to = here.hear();
    limits within;
    within.in_queue = 1000;
    auto handle = here.start(to, script().waits(5s).reads_all(), within, streamed());
    here.pass();
    const std::string block(100 * KiB, 'x');
    CHECK(handle.write_in(block) == 1000);
    here.pass();
    CHECK(to.rooms == 1);  // the pipe has taken it
    std::size_t taken = 1000;
    for (int turn = 0; turn < 200; ++turn) {
        taken += handle.write_in(block);
        here.pass();
    }
    CHECK(taken == 64 * KiB + 1000);
    const int rooms = to.rooms;
    here.pass(5s);
    CHECK(to.rooms == rooms + 1);
    handle.close_in();
    here.pass();
    REQUIRE(to.over());
    CHECK(to.outcome().in_taken == taken);
}

TEST_CASE("scripted_runner: given bytes are copied, and a reader that has closed its input holds nobody up") {
    stage_set here;
    command given{.program_and_args = argv("cat")};
    given.in = input::bytes(std::string(300 * KiB, 'y'));
    limits within;
    const auto copied = here.played(script().copies_input(), within, 0ms, given);
    CHECK(copied.out.bytes == given.in.data());
    CHECK(copied.in_taken == 300 * KiB);
    const auto deaf = here.played(script().waits(1s), within, 1s, given);
    CHECK(deaf.in_taken == 64 * KiB);  // that is what a pipe takes
    auto& to = here.hear();
    auto handle = here.start(to, script().closes_input().hangs(), within, streamed());
    here.pass();
    CHECK(handle.write_in(given.in.data()) == 300 * KiB);
}

TEST_CASE("scripted_runner: a signal is taken as the script says, kills by default, and is no cause") {
    stage_set here;
    auto& to = here.hear();
    auto handle = here.start(to, script().on_signal(10, script().says("usr1 ")).ignores(1).hangs());
    CHECK(handle.signal(10).error().code == errc::wrong_state);
    here.pass();
    CHECK(handle.signal(0).error().code == errc::invalid_argument);
    CHECK(handle.signal(10).has_value());
    CHECK(handle.signal(1).has_value());
    CHECK(handle.signal(17).has_value());
    here.pass();
    CHECK(to.out == "usr1 ");
    CHECK(handle.resize({80, 24}).error().code == errc::unsupported);
    CHECK(handle.signal(2).has_value());
    here.pass();
    REQUIRE(to.over());
    CHECK(to.outcome().exit == exit_status::signaled(2));
    CHECK(to.outcome().stopped_by == stop_reason::nobody);
    CHECK(handle.signal(2).error().code == errc::wrong_state);
    CHECK(here.runner.calls()[0].signals == std::vector<int>{10, 1, 17, 2});
}

TEST_CASE("scripted_runner: a resize is recorded, and comes to the script as SIGWINCH") {
    stage_set here;
    command what{.program_and_args = argv("vi")};
    what.terminal = terminal_size{80, 24};
    auto& to = here.hear();
    auto handle = here.start(to, script().on_signal(28, script().says("redrawn")).hangs(), {}, what);
    here.pass();
    CHECK(handle.resize({132, 50}).has_value());
    here.pass();
    CHECK(to.out == "redrawn");
    CHECK(here.runner.calls()[0].resizes == std::vector<terminal_size>{{132, 50}});
}

// ---- the handle ----------------------------------------------------------------------------------------------------

TEST_CASE("scripted_runner: what was asked of a handle is obeyed at the moment of asking, not at an earlier one") {
    stage_set here;
    limits within;
    within.run_timeout = 5s;
    auto& late = here.hear();
    auto handle = here.start(late, script().hangs(), within);
    here.pass();
    here.clock.advance(10s);
    handle.stop();  // by then the timeout has ended it
    here.pass();
    REQUIRE(late.over());
    CHECK(late.outcome().stopped_by == stop_reason::run_timeout);
    CHECK(late.outcome().took.run == 5s);

    auto& intime = here.hear();
    handle = here.start(intime, script().hangs(), within);
    here.pass();
    here.clock.advance(4s);
    handle.stop();
    here.pass(10s);
    REQUIRE(intime.over());
    CHECK(intime.outcome().stopped_by == stop_reason::cancelled);
    CHECK(intime.outcome().took.run == 4s);

    // Inside a call it is the moment of that call, although the clock is further on.
    auto& inside = here.hear();
    execution last;
    inside.on_output = [&](stream, bytes_view) {
        last.stop();
        return flow::more;
    };
    last = here.start(inside, script().waits(2s).says("x").hangs(), within);
    here.pass(10s);
    REQUIRE(inside.over());
    CHECK(inside.outcome().stopped_by == stop_reason::cancelled);
    CHECK(inside.outcome().took.run == 2s);
}

TEST_CASE("scripted_runner: the record has every verb, and says when it was over") {
    stage_set here;
    auto& to = here.hear();
    auto handle = here.start(to, script().ignores(15).hangs());
    here.pass();
    handle.resume();
    handle.stop();
    handle.stop(100ms);
    CHECK_FALSE(here.runner.calls()[0].over);
    here.pass(100ms);
    REQUIRE(to.over());
    CHECK(to.outcome().exit == exit_status::signaled(9));
    const auto call = here.runner.calls().at(0);
    CHECK(call.stops == std::vector<milliseconds>{unlimited, 100ms});
    CHECK(call.resumes == 1);
    CHECK(call.matched);
    CHECK(call.over);
    CHECK_FALSE(call.dropped);

    auto& dropped = here.hear();
    here.start(dropped, script().hangs()) = {};
    here.pass();
    CHECK(dropped.destroyed);
    CHECK(!dropped.end);
    CHECK(here.runner.calls()[1].dropped);
    CHECK(here.runner.calls()[1].over);

    auto& detached = here.hear();
    auto given_up = here.start(detached, script().waits(1s).exits(7));
    given_up.detach();
    here.pass(1s);
    REQUIRE(detached.over());
    CHECK(detached.outcome().exit == exit_status::exited(7));
    CHECK(here.runner.calls()[2].detached);
}

TEST_CASE(
    "scripted_runner: after a drop inside a call nothing is told, although the command goes on through its grace") {
    stage_set here;
    auto& to = here.hear();
    execution handle;
    to.on_output = [&](stream, bytes_view) {
        handle = {};
        return flow::more;
    };
    limits within;
    within.heartbeat = 100ms;
    handle = here.start(to, script().ignores(15).says("a").repeats_after(150ms), within);
    here.pass();
    CHECK(to.destroyed);  // at once, and not at the end
    CHECK_FALSE(here.runner.calls()[0].over);
    here.pass(10s);
    CHECK(to.chunks == 1);
    CHECK(to.heartbeats == 0);
    CHECK(!to.end);
    CHECK(here.runner.calls()[0].over);
}

TEST_CASE("scripted_runner: a loop that is destroyed ends what runs, tells it, and leaves the handle inert") {
    stage_set here;
    auto& to = here.hear();
    auto handle = here.start(to, script().ignores(15).says("up").hangs());
    auto& unbounded = here.hear();
    limits none;
    none.run_timeout = unlimited;
    const auto other = here.start(unbounded, script().hangs(), none);
    here.pass();
    auto& queued = here.hear();
    const auto last = here.start(queued, script());
    here.on.reset();
    REQUIRE(to.over());
    CHECK(to.outcome().stopped_by == stop_reason::shutdown);
    CHECK(to.outcome().exit == exit_status::signaled(9));
    CHECK(to.outcome().out.bytes == "up");
    REQUIRE(unbounded.over());
    CHECK(unbounded.outcome().stopped_by == stop_reason::shutdown);
    REQUIRE(queued.over());
    CHECK(queued.end->error().code == errc::shutting_down);
    handle.stop();
    handle.resume();
    CHECK(handle.write_in("x") == 0);
    CHECK(handle.signal(15).error().code == errc::wrong_state);
}

TEST_CASE("scripted_runner: after shutdown a start fails, and a command that wakes is ended") {
    stage_set here;
    auto& to = here.hear();
    auto handle = here.start(to, script().hangs());
    here.pass();
    here.on->shutdown(0ms);
    auto& late = here.hear();
    const auto refused = here.start(late, script());
    handle.resume();
    here.pass();
    REQUIRE(late.over());
    CHECK(late.end->error().code == errc::shutting_down);
    REQUIRE(to.over());
    CHECK(to.outcome().stopped_by == stop_reason::shutdown);
}

TEST_CASE("scripted_runner: an exception from an observer ends its command, and one from on_done ends there") {
    stage_set here;
    auto& to = here.hear();
    to.on_start = [] { throw std::runtime_error("host"); };
    const auto first = here.start(to, script().hangs());
    here.pass();
    REQUIRE(to.over());
    CHECK(to.outcome().stopped_by == stop_reason::observer_failed);
    auto& last = here.hear();
    last.on_done = [] { throw std::runtime_error("host"); };
    const auto second = here.start(last, script());
    here.pass();
    CHECK(last.over());
    CHECK(here.on->exceptions() == 1);
}

// ---- run() ---------------------------------------------------------------------------------------------------------

TEST_CASE("scripted_runner: run() plays in place, moves the clock by what the command takes, and does not sleep") {
    stage_set here;
    const auto before = here.clock.now();
    auto& to = here.hear();
    listener tell(to);
    here.runner.next(script().says("x").waits(24h).exits(3));
    limits within;
    within.run_timeout = unlimited;
    const auto how = here.runner.run({.program_and_args = argv("tool")}, within, tell, {});
    REQUIRE(how);
    CHECK(how->exit == exit_status::exited(3));
    CHECK(how->took.run == 24h);
    CHECK(here.clock.now() - before == 24h);
    CHECK(to.out == "x");
    CHECK(!to.end);
    CHECK(here.runner.calls()[0].over);
}

TEST_CASE("scripted_runner: in run() a call may take its time on the clock, and a pause means more") {
    stage_set here;
    auto& to = here.hear();
    listener tell(to);
    to.on_output = [&](stream, bytes_view) {
        here.clock.advance(20s);
        return flow::pause;
    };
    limits within;
    within.idle_timeout = 5s;
    within.run_timeout = 30s;
    here.runner.next(script().says("a").waits(1s).says("b").hangs());
    const auto how = here.runner.run({.program_and_args = argv("tool")}, within, tell, {});
    REQUIRE(how);
    CHECK(to.out == "ab");
    CHECK(how->stopped_by == stop_reason::run_timeout);  // enforced as soon as the call came back
    CHECK(how->took.run == 40s);
}

TEST_CASE("scripted_runner: run() without a manual clock has a time of its own") {
    const auto on = *make_loop();
    scripted_runner runner(*on);
    runner.next(script().waits(10h));
    limits within;
    within.run_timeout = 8h;
    const auto before = std::chrono::steady_clock::now();
    const auto how = runner.run({.program_and_args = argv("tool")}, within);
    REQUIRE(how);
    CHECK(how->took.run == 8h);
    CHECK(std::chrono::steady_clock::now() - before < 10min);
}

TEST_CASE("scripted_runner: run() of a command that nothing ends is misuse, unless somebody can still stop it") {
    stage_set here;
    limits within;
    within.run_timeout = unlimited;
    {
        const test::misuse_throws guard;
        here.runner.next(script().hangs());
        CHECK_THROWS_AS(static_cast<void>(here.runner.run({.program_and_args = argv("tool")}, within)), test::misuse);
    }
    std::stop_source source;
    here.runner.next(script().hangs());
    auto& to = here.hear();
    listener tell(to);
    std::jthread other;
    to.on_start = [&] { other = std::jthread([&source] { source.request_stop(); }); };
    const auto how = here.runner.run({.program_and_args = argv("tool")}, within, tell, source.get_token());
    REQUIRE(how);
    CHECK(how->stopped_by == stop_reason::cancelled);
    here.runner.next(script());
    CHECK(here.runner.run({.program_and_args = argv("tool")}, within, source.get_token()).error().code ==
          errc::cancelled);
}

TEST_CASE("scripted_runner: run() may be called in a callback of its own loop") {
    stage_set here;
    std::optional<result<outcome>> how;
    here.on->post([&] {
        here.runner.next(script().waits(1s).exits(4));
        how = here.runner.run({.program_and_args = argv("tool")});
    });
    here.pass();
    REQUIRE(how);
    CHECK((*how)->exit == exit_status::exited(4));
}

// ---- threads -------------------------------------------------------------------------------------------------------

TEST_CASE(
    "scripted_runner: many threads start, write, signal, stop and drop at once, and every end is told once or never") {
    const test::process_guard nothing_left;
    const auto on = *make_loop();
    scripted_runner runner(*on);
    runner.otherwise([](const command&) -> std::optional<script> {
        return script().on_signal(10, script().says("x")).copies_input().waits(1ms).exits(0);
    });
    std::atomic<int> ends{0};
    std::atomic<int> destroyed{0};
    struct counting final : observer {
        counting(std::atomic<int>& one, std::atomic<int>& other) : ends_(one), destroyed_(other) {}
        ~counting() override {
            ++destroyed_;
            destroyed_.notify_all();
        }
        void on_done(result<outcome>) override { ++ends_; }
        std::atomic<int>& ends_;
        std::atomic<int>& destroyed_;
    };
    constexpr int threads = 4;
    constexpr int each = 50;
    std::atomic<int> dropped{0};
    {
        loop_thread driver(*on);
        std::vector<std::jthread> all;
        for (int index = 0; index < threads; ++index) {
            all.emplace_back([&] {
                for (int round = 0; round < each; ++round) {
                    auto handle = runner.start(streamed(), {}, std::make_unique<counting>(ends, destroyed));
                    handle.write_in("some input");
                    static_cast<void>(handle.signal(10));
                    if (round % 2 == 0) {
                        handle.close_in();
                        handle.detach();
                    } else if (round % 4 == 1) {
                        handle.stop();
                        handle.detach();
                    } else {
                        ++dropped;
                    }
                }
            });
        }
        all.clear();
        for (int seen = destroyed; seen != threads * each; seen = destroyed) destroyed.wait(seen);
    }
    CHECK(destroyed == threads * each);
    CHECK(ends >= threads * each - dropped);
    CHECK(ends <= threads * each);
    CHECK(runner.calls().size() == threads * each);
}

// ---- the conformance kit -------------------------------------------------------------------------------------------

namespace {

using testing::conformance_report;
using testing::conformance_subject;
using testing::drive;

// What a double has nothing to keep.
bool is_about_a_real_process(std::string_view row) {
    static const std::set<std::string_view> all{
        "the environment is a clean base: nothing of the host's but PATH, HOME, USER and LANG",
        "a variable arrives with every byte of its value",
        "a variable of the base can be replaced and taken away",
        "without the base there is what was said, and inheriting is by name",
        "the child has descriptors 0, 1 and 2 and nothing else",
        "the child leads a session and a group of its own",
        "the child ignores and blocks no signal",
        "an escaped descendant that holds the pipe is not said to be gone, unless it is",
        "terminal: 0, 1 and 2 are one, and it is the controlling one",
        "terminal: its size is the one that was asked for",
        "terminal: the end of the last user of it is the end of the output, and complete",
        "terminal: a resize is seen by the command",
        "terminal: control-C is an interrupt",
    };
    return all.count(row) != 0;
}
// These hold the limits against the clock of the machine.
bool is_about_the_machines_time(std::string_view row) {
    static const std::set<std::string_view> all{
        "idle_timeout: a command that speaks on out or err is not, however long it takes",
        "deadline: a command that still runs is killed without grace",
        "deadline: one that has passed is a failure, and nothing runs",
        "deadline: it cuts a grace that has begun, and the first cause stays",
        "the times that are told fit into one another",
    };
    return all.count(row) != 0;
}
// A loop tells of its shutdown only those who are made of its own parts.
bool is_out_of_reach(std::string_view row) {
    static const std::set<std::string_view> all{
        "shutdown ends what runs, and tells it before it returns",
        "a loop that is destroyed kills what runs, and tells it before it is gone",
    };
    return all.count(row) != 0;
}

scripted_options bounded() {
    scripted_options options;
    options.can.resource_use = true;
    options.can.max_word_bytes = 131'071;
    options.can.max_bytes = 2 * MiB;
    return options;
}

std::shared_ptr<scripted_runner> shell_double(loop& on, manual_clock* clock = nullptr) {
    auto made = clock != nullptr ? std::make_shared<scripted_runner>(on, *clock, bounded())
                                 : std::make_shared<scripted_runner>(on, bounded());
    made->otherwise(test::plays_as_a_shell);
    return made;
}

void keeps_all(const char* name, const conformance_report& report, std::size_t at_least) {
    MESSAGE(report.text(name));
    for (const auto& violation : report.violations) FAIL_CHECK(name, ": ", violation.row, ": ", violation.sentence);
    CHECK(report.refused == std::vector<std::string>{});
    CHECK(report.kept.size() >= at_least);
}

}  // namespace

TEST_CASE(
    "scripted_runner: keeps every row of the conformance kit that a double can be asked, on a clock that is moved") {
    manual_clock clock;
    const auto on = *make_loop({.clock = &clock});
    conformance_subject subject;
    subject.tested = shell_double(*on, &clock);
    subject.on = on.get();
    subject.how = drive::here;
    subject.turn = [&] {
        clock.advance(1ms);
        on->run_ready();
    };
    subject.only = [](std::string_view row) {
        return !is_about_a_real_process(row) && !is_about_the_machines_time(row);
    };
    keeps_all("scripted runner, loop, manual clock", testing::check_conformance(subject), 90);
}

TEST_CASE("scripted_runner: keeps the rows of a blocking run, played in place") {
    manual_clock clock;
    const auto on = *make_loop({.clock = &clock});
    conformance_subject subject;
    subject.tested = shell_double(*on, &clock);
    subject.how = drive::blocking;
    subject.only = [](std::string_view row) {
        return !is_about_a_real_process(row) && !is_about_the_machines_time(row);
    };
    keeps_all("scripted runner, blocking", testing::check_conformance(subject), 60);
}

TEST_CASE("scripted_runner: keeps the kit's rows in real time as well, on a loop that is driven here or by a thread") {
    const auto play = [](drive how) {
        const auto on = *make_loop();
        conformance_subject subject;
        subject.tested = shell_double(*on);
        subject.on = on.get();
        subject.how = how;
        subject.only = [](std::string_view row) { return !is_about_a_real_process(row) && !is_out_of_reach(row); };
        subject.fresh = [] {
            conformance_subject::pair own{*make_loop(), nullptr};
            own.tested = shell_double(*own.on);
            return own;
        };
        std::unique_ptr<loop_thread> thread;
        if (how == drive::elsewhere) thread = std::make_unique<loop_thread>(*on);
        return testing::check_conformance(subject);
    };
    auto elsewhere = std::async(std::launch::async, play, drive::elsewhere);
    keeps_all("scripted runner, loop", play(drive::here), 95);
    keeps_all("scripted runner, loop_thread", elsewhere.get(), 90);
}
