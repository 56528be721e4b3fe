#include <exec/timeline.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

namespace {

using exec::limits;
using exec::milliseconds;
using exec::stop_reason;
using exec::time_point;
using exec::timeline;
using exec::unlimited;
using action = exec::timeline::action;

constexpr time_point start = time_point(std::chrono::hours(1));
constexpr time_point at(int ms) { return start + milliseconds(ms); }

// Small round numbers, so that a row of the table can be checked in the head.
constexpr limits small() {
    limits within;
    within.run_timeout = unlimited;
    within.consumer_timeout = unlimited;
    within.stop.grace = milliseconds(500);
    within.drain_idle = milliseconds(100);
    within.drain_max = milliseconds(300);
    return within;
}

// What a compiler can already tell.
constexpr timeline after_stop(int grace_ms) {
    timeline model(small(), at(0));
    model.stop(stop_reason::cancelled, milliseconds(grace_ms), at(10));
    return model;
}
static_assert(timeline(small(), at(0)).wake() == exec::never);
static_assert(timeline(small(), at(0)).cause() == stop_reason::nobody);
static_assert(after_stop(500).next(at(10)) == action::ask);
static_assert(after_stop(0).next(at(10)) == action::kill);
static_assert(after_stop(-1).next(at(10)) == action::kill);
static_assert(after_stop(500).wake() <= at(10));
static_assert([] {
    timeline model(small(), at(0));
    model.exited(at(1));
    model.closed();
    return model.over() && model.wake() == exec::never && model.next(at(1)) == action::none;
}());
static_assert([] {
    limits within = small();
    within.run_timeout = milliseconds(100);
    timeline model(within, at(0));
    return model.wake() == at(100) && model.next(at(99)) == action::none && model.next(at(100)) == action::ask &&
           model.cause() == stop_reason::run_timeout && model.wake() == at(600);
}());

// ---- the truth table ----------------------------------------------------------------------------------------------

// How a command behaves by itself and under our signals.
struct behaviour {
    const char* name;
    int exits_at = -1;  // by itself, whatever we do before
    int obeys_in = -1;  // so long after the polite signal
    bool dies_of_kill = true;
    int pipe_until = 0;    // so long after the exit somebody holds its pipe; -1 = for ever
    int chunk_every = -1;  // and writes into it
    int paused_at = -1;    // the observer holds the output from here on
};

constexpr int for_ever = -1;
constexpr std::array behaviours{
    behaviour{.name = "exits", .exits_at = 100},
    behaviour{.name = "handles TERM", .obeys_in = 50},
    behaviour{.name = "ignores TERM"},
    behaviour{.name = "exits during the grace", .exits_at = 1200},
    behaviour{.name = "cannot be killed", .dies_of_kill = false},
    behaviour{.name = "quiet holder", .exits_at = 100, .pipe_until = for_ever},
    behaviour{.name = "writing holder", .exits_at = 100, .pipe_until = for_ever, .chunk_every = 40},
    behaviour{.name = "holder for a while", .exits_at = 100, .pipe_until = 60},
    behaviour{.name = "paused observer", .exits_at = 100, .pipe_until = for_ever, .paused_at = 40},
};

struct regime {
    const char* name;
    limits within;
    int stop_at = -1;
    milliseconds grace = unlimited;
};

constexpr limits with(limits within, milliseconds limits::*member, int ms) {
    within.*member = milliseconds(ms);
    return within;
}
constexpr limits with_deadline(int ms) {
    limits within = small();
    within.deadline = at(ms);
    return within;
}

constexpr std::array regimes{
    regime{.name = "no limit", .within = small()},
    regime{.name = "run_timeout 1000", .within = with(small(), &limits::run_timeout, 1000)},
    regime{.name = "idle_timeout 1000", .within = with(small(), &limits::idle_timeout, 1000)},
    regime{.name = "deadline 1000", .within = with_deadline(1000)},
    regime{.name = "deadline 150", .within = with_deadline(150)},
    regime{.name = "stop at 50", .within = small(), .stop_at = 50},
    regime{.name = "stop at 150", .within = small(), .stop_at = 150},
    regime{.name = "stop at 1000, grace 100", .within = small(), .stop_at = 1000, .grace = milliseconds(100)},
    regime{.name = "stop at 150, grace 0", .within = small(), .stop_at = 150, .grace = milliseconds(0)},
    regime{.name = "consumer_timeout 1000", .within = with(small(), &limits::consumer_timeout, 1000)},
};

const char* word(action what) {
    switch (what) {
        case action::none: return "none";
        case action::heartbeat: return "heartbeat";
        case action::ask: return "ask";
        case action::kill: return "kill";
        case action::cut: return "cut";
        case action::give_up: return "give_up";
    }
    return "invalid";
}

// Plays one row, a millisecond at a time, and asks in every one of them; a wake() that would have been missed fails the
// row. What it returns is one line: when what was done, and the end. Repeated kills are written as one with their number.
std::string play(const behaviour& does, const regime& under) {
    constexpr int long_enough = 5000;
    timeline model(under.within, at(0));
    std::string line;
    const auto say = [&line](int now, const std::string& what) { line += std::to_string(now) + ' ' + what + ", "; };
    int asked = -1;
    int exit_at = does.exits_at;
    int exited = -1;
    int kills = 0;
    int killed_at = 0;
    for (int now = 0; now <= long_enough && !model.over(); ++now) {
        const auto wake = model.wake();
        if (now == does.paused_at) model.pause(at(now));
        if (exited < 0 && now == exit_at) {
            model.exited(at(now));
            exited = now;
        }
        if (exited >= 0) {
            if (does.pipe_until >= 0 && now == exited + does.pipe_until) model.closed();
            if (does.chunk_every > 0 && (now - exited) % does.chunk_every == 0) model.activity(at(now));
        }
        const bool stopping = now == under.stop_at;
        if (stopping) model.stop(stop_reason::cancelled, under.grace, at(now));
        for (;;) {
            const auto what = model.next(at(now));
            if (what == action::none) break;
            if (now != does.paused_at && now != exited && !stopping && at(now) < wake) say(now, "before wake()");
            if (what == action::kill) {
                if (kills++ == 0) killed_at = now;
                if (does.dies_of_kill && exited < 0) exit_at = now + 1;
                continue;
            }
            say(now, word(what));
            if (what == action::ask) asked = now;
        }
        if (asked == now && does.obeys_in >= 0) exit_at = now + does.obeys_in;
        if (model.over()) {
            if (kills > 0) say(killed_at, "kill x" + std::to_string(kills));
            say(now, "over");
        }
    }
    if (!model.over()) line += "runs on, ";
    line += exec::to_string(model.cause());
    return line;
}

struct row {
    const char* does;
    const char* under;
    const char* expected;
};

// Written by hand from the rules in contract.md; "over" is when the answer can be given.
constexpr row table[]{
    {"exits", "no limit", "100 over, nobody"},
    {"exits", "run_timeout 1000", "100 over, nobody"},
    {"exits", "idle_timeout 1000", "100 over, nobody"},
    {"exits", "deadline 1000", "100 over, nobody"},
    {"exits", "deadline 150", "100 over, nobody"},
    {"exits", "stop at 50", "50 ask, 100 over, cancelled"},
    {"exits", "stop at 150", "100 over, nobody"},
    {"exits", "stop at 1000, grace 100", "100 over, nobody"},
    {"exits", "stop at 150, grace 0", "100 over, nobody"},
    {"exits", "consumer_timeout 1000", "100 over, nobody"},

    {"handles TERM", "no limit", "runs on, nobody"},
    {"handles TERM", "run_timeout 1000", "1000 ask, 1050 over, run_timeout"},
    {"handles TERM", "idle_timeout 1000", "1000 ask, 1050 over, idle_timeout"},
    {"handles TERM", "deadline 1000", "1000 kill x1, 1001 over, deadline"},
    {"handles TERM", "deadline 150", "150 kill x1, 151 over, deadline"},
    {"handles TERM", "stop at 50", "50 ask, 100 over, cancelled"},
    {"handles TERM", "stop at 150", "150 ask, 200 over, cancelled"},
    {"handles TERM", "stop at 1000, grace 100", "1000 ask, 1050 over, cancelled"},
    {"handles TERM", "stop at 150, grace 0", "150 kill x1, 151 over, cancelled"},
    {"handles TERM", "consumer_timeout 1000", "runs on, nobody"},

    {"ignores TERM", "no limit", "runs on, nobody"},
    {"ignores TERM", "run_timeout 1000", "1000 ask, 1500 kill x1, 1501 over, run_timeout"},
    {"ignores TERM", "idle_timeout 1000", "1000 ask, 1500 kill x1, 1501 over, idle_timeout"},
    {"ignores TERM", "deadline 1000", "1000 kill x1, 1001 over, deadline"},
    {"ignores TERM", "deadline 150", "150 kill x1, 151 over, deadline"},
    {"ignores TERM", "stop at 50", "50 ask, 550 kill x1, 551 over, cancelled"},
    {"ignores TERM", "stop at 150", "150 ask, 650 kill x1, 651 over, cancelled"},
    {"ignores TERM", "stop at 1000, grace 100", "1000 ask, 1100 kill x1, 1101 over, cancelled"},
    {"ignores TERM", "stop at 150, grace 0", "150 kill x1, 151 over, cancelled"},
    {"ignores TERM", "consumer_timeout 1000", "runs on, nobody"},

    {"exits during the grace", "no limit", "1200 over, nobody"},
    {"exits during the grace", "run_timeout 1000", "1000 ask, 1200 over, run_timeout"},
    {"exits during the grace", "idle_timeout 1000", "1000 ask, 1200 over, idle_timeout"},
    {"exits during the grace", "deadline 1000", "1000 kill x1, 1001 over, deadline"},
    {"exits during the grace", "deadline 150", "150 kill x1, 151 over, deadline"},
    {"exits during the grace", "stop at 50", "50 ask, 550 kill x1, 551 over, cancelled"},
    {"exits during the grace", "stop at 150", "150 ask, 650 kill x1, 651 over, cancelled"},
    {"exits during the grace", "stop at 1000, grace 100", "1000 ask, 1100 kill x1, 1101 over, cancelled"},
    {"exits during the grace", "stop at 150, grace 0", "150 kill x1, 151 over, cancelled"},
    {"exits during the grace", "consumer_timeout 1000", "1200 over, nobody"},

    // 50 kills: one at once, then every 20 ms for a second.
    {"cannot be killed", "no limit", "runs on, nobody"},
    {"cannot be killed", "run_timeout 1000", "1000 ask, 2500 give_up, 1500 kill x50, 2500 over, run_timeout"},
    {"cannot be killed", "idle_timeout 1000", "1000 ask, 2500 give_up, 1500 kill x50, 2500 over, idle_timeout"},
    {"cannot be killed", "deadline 1000", "2000 give_up, 1000 kill x50, 2000 over, deadline"},
    {"cannot be killed", "deadline 150", "1150 give_up, 150 kill x50, 1150 over, deadline"},
    {"cannot be killed", "stop at 50", "50 ask, 1550 give_up, 550 kill x50, 1550 over, cancelled"},
    {"cannot be killed", "stop at 150", "150 ask, 1650 give_up, 650 kill x50, 1650 over, cancelled"},
    {"cannot be killed", "stop at 1000, grace 100", "1000 ask, 2100 give_up, 1100 kill x50, 2100 over, cancelled"},
    {"cannot be killed", "stop at 150, grace 0", "1150 give_up, 150 kill x50, 1150 over, cancelled"},
    {"cannot be killed", "consumer_timeout 1000", "runs on, nobody"},

    {"quiet holder", "no limit", "200 cut, 200 over, nobody"},
    {"quiet holder", "run_timeout 1000", "200 cut, 200 over, nobody"},
    {"quiet holder", "idle_timeout 1000", "200 cut, 200 over, nobody"},
    {"quiet holder", "deadline 1000", "200 cut, 200 over, nobody"},
    {"quiet holder", "deadline 150", "150 cut, 150 over, nobody"},
    {"quiet holder", "stop at 50", "50 ask, 200 cut, 200 over, cancelled"},
    {"quiet holder", "stop at 150", "200 cut, 200 over, nobody"},
    {"quiet holder", "stop at 1000, grace 100", "200 cut, 200 over, nobody"},
    {"quiet holder", "stop at 150, grace 0", "150 cut, 150 over, nobody"},
    {"quiet holder", "consumer_timeout 1000", "200 cut, 200 over, nobody"},

    {"writing holder", "no limit", "400 cut, 400 over, nobody"},
    {"writing holder", "run_timeout 1000", "400 cut, 400 over, nobody"},
    {"writing holder", "idle_timeout 1000", "400 cut, 400 over, nobody"},
    {"writing holder", "deadline 1000", "400 cut, 400 over, nobody"},
    {"writing holder", "deadline 150", "150 cut, 150 over, nobody"},
    {"writing holder", "stop at 50", "50 ask, 400 cut, 400 over, cancelled"},
    {"writing holder", "stop at 150", "400 cut, 400 over, nobody"},
    {"writing holder", "stop at 1000, grace 100", "400 cut, 400 over, nobody"},
    {"writing holder", "stop at 150, grace 0", "150 cut, 150 over, nobody"},
    {"writing holder", "consumer_timeout 1000", "400 cut, 400 over, nobody"},

    {"holder for a while", "no limit", "160 over, nobody"},
    {"holder for a while", "run_timeout 1000", "160 over, nobody"},
    {"holder for a while", "idle_timeout 1000", "160 over, nobody"},
    {"holder for a while", "deadline 1000", "160 over, nobody"},
    {"holder for a while", "deadline 150", "150 cut, 150 over, nobody"},
    {"holder for a while", "stop at 50", "50 ask, 160 over, cancelled"},
    {"holder for a while", "stop at 150", "160 over, nobody"},
    {"holder for a while", "stop at 1000, grace 100", "160 over, nobody"},
    {"holder for a while", "stop at 150, grace 0", "150 cut, 150 over, nobody"},
    {"holder for a while", "consumer_timeout 1000", "160 over, nobody"},

    {"paused observer", "no limit", "runs on, nobody"},
    {"paused observer", "run_timeout 1000", "runs on, nobody"},
    {"paused observer", "idle_timeout 1000", "runs on, nobody"},
    {"paused observer", "deadline 1000", "1000 cut, 1000 over, nobody"},
    {"paused observer", "deadline 150", "150 cut, 150 over, nobody"},
    {"paused observer", "stop at 50", "50 ask, 400 cut, 400 over, cancelled"},
    {"paused observer", "stop at 150", "450 cut, 450 over, nobody"},
    {"paused observer", "stop at 1000, grace 100", "1100 cut, 1100 over, nobody"},
    {"paused observer", "stop at 150, grace 0", "150 cut, 150 over, nobody"},
    {"paused observer", "consumer_timeout 1000", "1040 cut, 1040 over, consumer"},
};
static_assert(std::size(table) == behaviours.size() * regimes.size());

}  // namespace

TEST_CASE("timeline: every behaviour under every limit does what the table says, when it says so") {
    std::size_t index = 0;
    for (const auto& does : behaviours) {
        for (const auto& under : regimes) {
            const auto& expected = table[index++];
            CAPTURE(does.name);
            CAPTURE(under.name);
            REQUIRE(std::string(expected.does) == does.name);
            REQUIRE(std::string(expected.under) == under.name);
            CHECK(play(does, under) == expected.expected);
        }
    }
}

TEST_CASE("timeline: an exit that is told in the same moment as a limit wins over it") {
    for (const auto limit : {&limits::run_timeout, &limits::idle_timeout}) {
        timeline model(with(small(), limit, 100), at(0));
        model.exited(at(100));
        CHECK(model.next(at(100)) == action::none);
        CHECK(model.cause() == stop_reason::nobody);
    }
    timeline model(with_deadline(100), at(0));
    model.exited(at(99));
    CHECK(model.next(at(100)) == action::cut);
    CHECK(model.cause() == stop_reason::nobody);
}

TEST_CASE("timeline: of two limits that have both passed, the earlier one is the cause") {
    limits within = with(small(), &limits::run_timeout, 300);
    within.idle_timeout = milliseconds(200);
    timeline model(within, at(0));
    CHECK(model.next(at(400)) == action::ask);
    CHECK(model.cause() == stop_reason::idle_timeout);
}

TEST_CASE("timeline: of two limits in the same moment, run comes before deadline and deadline before idle") {
    limits within = with_deadline(100);
    within.run_timeout = within.idle_timeout = milliseconds(100);
    timeline model(within, at(0));
    CHECK(model.next(at(100)) == action::kill);
    CHECK(model.cause() == stop_reason::run_timeout);

    within.run_timeout = unlimited;
    timeline second(within, at(0));
    CHECK(second.next(at(100)) == action::kill);
    CHECK(second.cause() == stop_reason::deadline);
}

TEST_CASE("timeline: an exit counts once, and not after the command was given up") {
    timeline model(small(), at(0));
    model.exited(at(100));
    model.exited(at(150));
    CHECK(model.exited_at() == at(100));
    CHECK(model.next(at(200)) == action::cut);

    timeline lost(small(), at(0));
    lost.stop(stop_reason::cancelled, milliseconds(0), at(0));
    CHECK(lost.next(at(0)) == action::kill);
    CHECK(lost.next(at(1000)) == action::give_up);
    lost.exited(at(1001));
    CHECK(lost.over());
    CHECK_FALSE(lost.has_exited());
}

TEST_CASE("timeline: a host that comes late still asks before it kills") {
    timeline model(small(), at(0));
    model.stop(stop_reason::cancelled, unlimited, at(10));
    CHECK(model.next(at(9000)) == action::ask);
    CHECK(model.wake() == at(9500));
    CHECK(model.next(at(9499)) == action::none);
    CHECK(model.next(at(9500)) == action::kill);
}

TEST_CASE("timeline: a second stop shortens the grace, never lengthens it, and never changes the cause") {
    timeline model(small(), at(0));
    model.stop(stop_reason::cancelled, milliseconds(400), at(0));
    CHECK(model.next(at(0)) == action::ask);
    model.stop(stop_reason::shutdown, milliseconds(5000), at(100));
    CHECK(model.wake() == at(400));
    model.stop(stop_reason::shutdown, milliseconds(100), at(200));
    CHECK(model.wake() == at(300));
    CHECK(model.next(at(299)) == action::none);
    CHECK(model.next(at(300)) == action::kill);
    model.stop(stop_reason::shutdown, milliseconds(0), at(301));
    CHECK(model.next(at(301)) == action::none);
    CHECK(model.cause() == stop_reason::cancelled);
}

TEST_CASE("timeline: a deadline cuts a grace that has begun, and keeps the cause that began it") {
    limits within = with(small(), &limits::run_timeout, 100);
    within.deadline = at(250);
    timeline model(within, at(0));
    CHECK(model.next(at(100)) == action::ask);
    CHECK(model.wake() == at(250));
    CHECK(model.next(at(250)) == action::kill);
    CHECK(model.cause() == stop_reason::run_timeout);
}

TEST_CASE("timeline: a pause stops the idle clock and not the run clock") {
    limits within = with(small(), &limits::run_timeout, 1000);
    within.idle_timeout = milliseconds(200);
    timeline model(within, at(0));
    model.activity(at(100));
    model.pause(at(150));
    CHECK(model.wake() == at(1000));
    CHECK(model.next(at(900)) == action::none);
    model.resume(at(900));
    // 50 ms of silence passed before the pause, so 150 are left.
    CHECK(model.wake() == at(1000));
    model.pause(at(901));
    CHECK(model.next(at(1000)) == action::ask);
    CHECK(model.cause() == stop_reason::run_timeout);

    timeline idle(with(small(), &limits::idle_timeout, 200), at(0));
    idle.pause(at(50));
    idle.resume(at(650));
    CHECK(idle.wake() == at(800));
    CHECK(idle.next(at(799)) == action::none);
    CHECK(idle.next(at(800)) == action::ask);
    CHECK(idle.cause() == stop_reason::idle_timeout);
}

TEST_CASE("timeline: a pause stops both drain clocks, also one that began before the exit") {
    timeline model(small(), at(0));
    model.pause(at(0));
    model.exited(at(100));
    CHECK(model.wake() == exec::never);
    model.resume(at(5000));
    CHECK(model.wake() == at(5100));  // drain_idle from here
    for (int now = 5050; now < 5300; now += 50) {
        model.activity(at(now));
        REQUIRE(model.next(at(now)) == action::none);
    }
    CHECK(model.wake() == at(5300));  // drain_max: nothing of it was used up while the observer held the output
    model.pause(at(5250));
    model.resume(at(6250));
    CHECK(model.wake() == at(6300));
    CHECK(model.next(at(6299)) == action::none);
    CHECK(model.next(at(6300)) == action::cut);
    CHECK(model.cause() == stop_reason::nobody);
}

TEST_CASE("timeline: however often it pauses, an observer holds the drain no longer than consumer_timeout in all") {
    timeline model(with(small(), &limits::consumer_timeout, 500), at(0));
    model.exited(at(100));
    // A writer that never ends: one millisecond of reading, fifty of the observer.
    int now = 100;
    while (now < 2000) {
        model.activity(at(now));
        if (model.next(at(now)) == action::cut) break;
        model.pause(at(now));
        if (model.next(at(now)) == action::cut) break;
        model.resume(at(now += 50));
        now += 1;
    }
    CHECK(now >= 100 + 500);
    CHECK(now <= 100 + 300 + 500 + 51);  // exit, drain_max, consumer_timeout, one turn
    CHECK(model.over());

    timeline held(with(small(), &limits::consumer_timeout, 500), at(0));
    held.exited(at(100));
    held.pause(at(150));
    held.resume(at(550));  // 400 of the 500 are used up
    held.activity(at(550));
    held.pause(at(600));
    CHECK(held.wake() == at(900));
    CHECK(held.next(at(900)) == action::cut);
    CHECK(held.cause() == stop_reason::consumer);
}

TEST_CASE("timeline: an observer that holds the output of a running command too long ends it") {
    timeline model(with(small(), &limits::consumer_timeout, 200), at(0));
    model.pause(at(100));
    model.pause(at(250));  // again: the first one counts
    CHECK(model.wake() == at(300));
    CHECK(model.next(at(300)) == action::ask);
    CHECK(model.cause() == stop_reason::consumer);
    model.exited(at(310));
    CHECK(model.next(at(310)) == action::cut);
    CHECK(model.over());
}

TEST_CASE("timeline: a resume in time forgets the pause") {
    timeline model(with(small(), &limits::consumer_timeout, 200), at(0));
    model.pause(at(100));
    model.resume(at(299));
    model.pause(at(300));
    CHECK(model.wake() == at(500));
    CHECK(model.next(at(499)) == action::none);
}

TEST_CASE("timeline: a stop after the exit shortens the drain and is not the cause") {
    timeline model(small(), at(0));
    model.pause(at(0));
    model.exited(at(10));
    CHECK(model.wake() == exec::never);
    model.stop(stop_reason::cancelled, unlimited, at(20));
    CHECK(model.wake() == at(320));  // drain_max from here
    model.stop(stop_reason::shutdown, milliseconds(30), at(20));
    CHECK(model.wake() == at(50));
    CHECK(model.next(at(50)) == action::cut);
    CHECK(model.cause() == stop_reason::nobody);
}

TEST_CASE("timeline: whoever stops a command does not wait for his own pause, a limit that stops it does") {
    for (const auto why : {stop_reason::cancelled, stop_reason::observer_failed, stop_reason::shutdown}) {
        timeline model(small(), at(0));
        model.pause(at(0));
        model.stop(why, unlimited, at(0));
        CHECK(model.next(at(0)) == action::ask);
        model.exited(at(10));
        CHECK(model.wake() == at(310));
        model.resume(at(300));
        CHECK(model.wake() == at(310));
        CHECK(model.next(at(310)) == action::cut);
    }
    for (const auto why : {stop_reason::run_timeout, stop_reason::idle_timeout, stop_reason::output_limit}) {
        timeline model(small(), at(0));
        model.pause(at(0));
        model.stop(why, unlimited, at(0));
        CHECK(model.next(at(0)) == action::ask);
        model.exited(at(10));
        CHECK(model.wake() == exec::never);
    }
}

TEST_CASE("timeline: a failed observer is recorded however late, but replaces no other cause") {
    timeline late(small(), at(0));
    late.exited(at(10));
    late.stop(stop_reason::observer_failed, unlimited, at(10));
    CHECK(late.cause() == stop_reason::observer_failed);
    CHECK(late.next(at(10)) == action::none);

    timeline second(small(), at(0));
    second.stop(stop_reason::run_timeout, unlimited, at(0));
    second.exited(at(10));
    second.stop(stop_reason::observer_failed, unlimited, at(10));
    CHECK(second.cause() == stop_reason::run_timeout);
}

TEST_CASE("timeline: heartbeats come at their interval until the kill, and are not made up for") {
    limits within = with(small(), &limits::heartbeat, 100);
    within.run_timeout = milliseconds(450);
    timeline model(within, at(0));
    CHECK(model.wake() == at(100));
    CHECK(model.next(at(99)) == action::none);
    CHECK(model.next(at(330)) == action::heartbeat);  // late: one, not three
    CHECK(model.next(at(330)) == action::none);
    CHECK(model.wake() == at(430));
    CHECK(model.next(at(430)) == action::heartbeat);
    CHECK(model.next(at(450)) == action::ask);
    CHECK(model.next(at(450)) == action::none);
    CHECK(model.wake() == at(530));
    CHECK(model.next(at(530)) == action::heartbeat);
    CHECK(model.next(at(950)) == action::kill);
    CHECK(model.next(at(951)) == action::none);
}

TEST_CASE("timeline: streams that end before the leader do not end the command") {
    timeline model(with(small(), &limits::idle_timeout, 200), at(0));
    model.closed();
    CHECK_FALSE(model.over());
    CHECK(model.next(at(100)) == action::none);
    CHECK(model.next(at(200)) == action::ask);
    model.exited(at(210));
    CHECK(model.over());
}

TEST_CASE("timeline: the longest durations do not overflow into early ones") {
    for (const auto huge :
         {unlimited, unlimited - milliseconds(1), milliseconds::max() / 2, milliseconds(9'223'372'036'854)}) {
        limits within;
        within.run_timeout = within.idle_timeout = within.heartbeat = within.consumer_timeout = huge;
        within.stop.grace = within.drain_idle = within.drain_max = huge;
        timeline model(within, at(0));
        CHECK(model.next(at(1'000'000)) == action::none);
        model.pause(at(1'000'000));
        CHECK(model.next(at(2'000'000)) == action::none);
        model.resume(at(2'000'000));
        model.stop(stop_reason::cancelled, (milliseconds::min)(), at(2'000'000));
        CHECK(model.next(at(2'000'000)) == action::kill);
        model.exited(at(2'000'001));
        CHECK(model.next(at(3'000'000)) == action::none);
    }
}

// ---- properties ---------------------------------------------------------------------------------------------------

namespace {

constexpr stop_reason reasons[]{stop_reason::cancelled, stop_reason::output_limit, stop_reason::observer_failed,
                                stop_reason::shutdown};

// A host that is `prompt` comes back exactly at wake(); another one is sometimes busy and asks later.
class random_run {
   public:
    random_run(std::uint32_t seed, bool prompt)
        : random_(seed), prompt_(prompt), within_(some_limits()), model_(within_, now_) {}

    void go() {
        for (int step = 0; step < 200 && !model_.over(); ++step) {
            pass(milliseconds(below(120)));
            if (model_.over()) break;
            one_event();
            if (prompt_ || below(4) != 0) ask_all();
        }
        // From here on nothing happens but time: it must end.
        if (!model_.over()) {
            resume();
            stop(stop_reason::cancelled, unlimited);
            const auto last = now_;
            ask_all();
            while (!model_.over()) {
                REQUIRE(model_.wake() != exec::never);
                now_ = model_.wake();
                ask_all();
            }
            CHECK(now_ - last <= (exited_ ? within_.drain_max : within_.stop.grace + timeline::unreaped_after));
        }
        if (prompt_) check_bounds();
        CHECK(model_.next(now_ + std::chrono::hours(1)) == action::none);
        CHECK(model_.wake() == exec::never);
    }

   private:
    int below(int n) { return static_cast<int>(random_() % static_cast<std::uint32_t>(n)); }
    milliseconds some(int most) { return below(3) == 0 ? unlimited : milliseconds(1 + below(most)); }

    limits some_limits() {
        limits made;
        made.run_timeout = some(2000);
        made.idle_timeout = some(800);
        made.heartbeat = some(300);
        made.consumer_timeout = some(600);
        if (below(3) == 0) made.deadline = now_ + milliseconds(below(3000));
        made.stop.grace = milliseconds(below(500));
        made.drain_idle = milliseconds(1 + below(200));
        made.drain_max = milliseconds(1 + below(600));
        return made;
    }

    void pass(milliseconds step) {
        const auto to = now_ + step;
        while (prompt_ && !model_.over() && model_.wake() <= to) {
            move_to(model_.wake());
            ask_all();
        }
        if (!model_.over()) move_to(to);
    }
    void move_to(time_point to) {
        if (paused_ && exited_) held_after_exit_ += to - now_;
        now_ = to;
    }
    // The whole call: run + grace + unreaped, or what the exit leaves of it + drain.
    void check_bounds() {
        if (exited_) {
            CHECK(now_ - exited_at_ <= within_.drain_max + held_after_exit_);
            if (within_.consumer_timeout != unlimited) {
                CHECK(now_ - exited_at_ <= within_.drain_max + within_.consumer_timeout);
            }
        } else {
            CHECK(now_ - stopped_at_ <= within_.stop.grace + timeline::unreaped_after);
        }
        if (first_cause_ != stop_reason::nobody && within_.run_timeout != unlimited && !exited_) {
            CHECK(stopped_at_ - start <= within_.run_timeout);
        }
        if (within_.deadline) {
            CHECK((now_ <= *within_.deadline + timeline::unreaped_after || now_ == exited_at_));
        }
    }

    void one_event() {
        switch (below(9)) {
            case 0:
            case 1: model_.activity(now_); break;
            case 2:
                model_.pause(now_);
                paused_ = true;
                break;
            case 3: resume(); break;
            case 4:
                if (below(4) == 0) {
                    const auto grace = below(6) == 0 ? milliseconds(0) : some(400);
                    stop(reasons[below(4)], grace);
                }
                break;
            case 5:
                if (below(6) == 0) exit();
                break;
            case 6:
                if (below(6) == 0) {
                    model_.closed();
                    closed_ = true;
                }
                break;
            default: break;
        }
        CHECK(model_.paused() == paused_);
        if (exited_ && closed_) CHECK(model_.over());
        note_cause();
    }
    void resume() {
        model_.resume(now_);
        paused_ = false;
    }
    void stop(stop_reason why, milliseconds grace) {
        const bool was_running = model_.running();
        shortest_grace_ = (std::min)(shortest_grace_, grace);
        model_.stop(why, grace, now_);
        if (was_running) {
            CHECK(model_.cause() == why);
            CHECK_FALSE(model_.running());
        }
        note_cause();
    }
    void exit() {
        if (exited_) return;
        model_.exited(now_);
        exited_ = true;
        exited_at_ = now_;
        CHECK(model_.has_exited());
        CHECK(model_.exited_at() == now_);
    }
    // The first cause stays for ever.
    void note_cause() {
        if (first_cause_ == stop_reason::nobody && model_.cause() != stop_reason::nobody) {
            first_cause_ = model_.cause();
            stopped_at_ = now_;
        }
        REQUIRE(model_.cause() == first_cause_);
    }

    void ask_all() {
        for (int count = 0;; ++count) {
            REQUIRE(count < 4);  // it settles
            const bool was_over = model_.over();
            const auto announced = model_.wake();
            const auto what = model_.next(now_);
            note_cause();
            if (what == action::none) break;
            REQUIRE_FALSE(was_over);
            REQUIRE(announced <= now_);  // nothing comes before wake() said so
            switch (what) {
                case action::ask:
                    CHECK(asks_++ == 0);
                    CHECK(kills_ == 0);
                    CHECK_FALSE(exited_);
                    CHECK(first_cause_ != stop_reason::nobody);
                    break;
                case action::kill:
                    CHECK_FALSE(exited_);
                    if (asks_ == 0) CHECK((no_grace() || past_deadline()));
                    if (kills_++ > 0) CHECK(now_ - last_kill_ >= timeline::kill_again);
                    last_kill_ = now_;
                    CHECK(model_.was_killed());
                    break;
                case action::give_up:
                    CHECK(kills_ > 0);
                    CHECK(model_.over());
                    break;
                case action::cut:
                    CHECK(exited_);
                    CHECK_FALSE(closed_);
                    CHECK(model_.over());
                    break;
                case action::heartbeat:
                    CHECK_FALSE(exited_);
                    CHECK(kills_ == 0);
                    break;
                case action::none: break;
            }
        }
        if (!model_.over()) {
            CHECK(model_.wake() > now_);
        } else {
            CHECK(model_.wake() == exec::never);
        }
    }
    bool no_grace() const { return shortest_grace_ == milliseconds::zero(); }
    bool past_deadline() const { return within_.deadline && now_ >= *within_.deadline; }

    std::mt19937 random_;
    bool prompt_;
    time_point now_ = start;
    limits within_;
    timeline model_;
    milliseconds shortest_grace_ = within_.stop.grace;
    exec::nanoseconds held_after_exit_{};
    time_point exited_at_{};
    time_point stopped_at_{};
    time_point last_kill_{};
    stop_reason first_cause_ = stop_reason::nobody;
    int asks_ = 0;
    int kills_ = 0;
    bool paused_ = false;
    bool exited_ = false;
    bool closed_ = false;
};

}  // namespace

TEST_CASE("timeline: its promises hold under any sequence of events") {
    for (std::uint32_t seed = 0; seed < 5000; ++seed) {
        CAPTURE(seed);
        random_run(seed, true).go();
        random_run(seed, false).go();
    }
}
