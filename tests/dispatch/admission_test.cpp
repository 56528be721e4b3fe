#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <vector>

#include "dispatch/front.h"

using namespace exec;
using namespace std::chrono_literals;
using exec::testing::script;
using test::front;
using test::heard;

namespace {

// Each command hangs until its time.
struct crowd {
    explicit crowd(concurrency_limits within) : on(parts(within)) {
        on.runner->otherwise([](const command&) { return script().waits(1s).exits(0); });
    }
    static dispatcher_parts parts(const concurrency_limits& within) {
        dispatcher_parts all;
        all.policy.concurrency = within;
        return all;
    }
    void come(const std::string& subject, const std::string& target = "build-7", int times = 1) {
        for (; times > 0; --times) {
            auto* const to = &on.hear();
            people.push_back(to);
            to->on_start = [this, subject] { began.push_back(subject); };
            auto what = front::ask(subject, target);
            what.within.start_timeout = 60s;
            handles.push_back(on.start(*to, std::move(what)));
        }
        on.turn();
    }
    errc end(std::size_t of) { return people.at(of)->end->error().kind(); }
    std::size_t over() const {
        std::size_t count = 0;
        for (const auto& each : people) count += each->over() ? 1 : 0;
        return count;
    }

    front on;
    std::vector<heard*> people{};
    std::vector<execution> handles{};
    std::vector<std::string> began{};
};

}  // namespace

TEST_CASE("admission: so many run at once, the rest waits for them, and the wait is reported") {
    crowd c({.running = 2});
    c.come("ada", "build-7", 5);
    CHECK(c.began.size() == 2);
    CHECK((*c.on.metrics)("exec_running") == 2);
    CHECK((*c.on.metrics)("exec_waiting") == 3);
    c.on.pass(1s);
    CHECK(c.began.size() == 4);
    c.on.pass(1s);
    c.on.pass(1s);
    CHECK(c.over() == 5);
    CHECK(c.people.back()->outcome().took.queue == 2s);
    CHECK((*c.on.metrics)("exec_running") == 0);
}

TEST_CASE("admission: callers are served in turn, however many calls one of them has queued") {
    crowd c({.running = 1});
    c.come("ada", "build-7", 4);
    c.come("bob", "build-7", 2);
    c.come("eve", "build-7", 1);
    for (int each = 0; each < 7; ++each) c.on.pass(1s);
    CHECK(c.began == std::vector<std::string>{"ada", "ada", "bob", "eve", "ada", "bob", "ada"});
}

TEST_CASE("admission: a full target lets calls to others pass") {
    crowd c({.running = 4, .running_per_target = 1});
    c.on.directory->add("acme", "build-8", route{.run = c.on.runner});
    c.come("ada", "build-7", 2);
    c.come("ada", "build-8");
    CHECK(c.began.size() == 1);  // of one caller calls keep their order at the door
    c.come("bob", "build-8");
    CHECK(c.began.size() == 2);
    c.on.pass(1s);
    CHECK(c.began.size() == 4);
}

TEST_CASE("admission: a caller's own share is its own failure, and everybody's is another") {
    crowd c({.running = 1, .running_per_caller = 1, .waiting = 3, .waiting_per_caller = 2});
    c.come("ada", "build-7", 4);
    CHECK(c.end(3) == errc::caller_too_busy);
    CHECK(c.people[3]->end->error().retry_after == 1s);
    c.come("bob", "build-7", 2);
    CHECK(c.end(5) == errc::too_busy);
    CHECK((*c.on.metrics)("exec_calls_total verb=run result=busy") == 2);
}

TEST_CASE("admission: a directory that hangs cannot gather more calls than may run and wait") {
    crowd c({.running = 1, .running_per_caller = 1, .waiting = 2, .waiting_per_caller = 9});
    c.on.directory->hold();
    c.come("ada", "build-7", 4);
    CHECK(c.end(3) == errc::too_busy);
    CHECK(c.over() == 1);
}

TEST_CASE("admission: bytes are a bound like places, held for the whole call and given back") {
    // Two of 1 MiB of captures each, and a little for the queue between loops.
    crowd c({.bytes = 5 * MiB});
    c.come("ada", "build-7", 3);
    CHECK(c.began.size() == 2);
    CHECK((*c.on.metrics)("exec_held_bytes") >= 4.0 * MiB);
    CHECK((*c.on.metrics)("exec_held_bytes") <= 5.0 * MiB);
    c.on.pass(1s);
    CHECK(c.began.size() == 3);
    c.on.pass(1s);
    CHECK((*c.on.metrics)("exec_held_bytes") == 0);
}

TEST_CASE("admission: a large call that waits for bytes is not passed by small ones for ever") {
    crowd c({.bytes = 5 * MiB});
    c.come("ada", "build-7", 2);
    auto large = front::ask("eve");
    large.within.out.cap = 3 * MiB;
    large.within.err.cap = 1 * MiB;
    auto& to = c.on.hear();
    const auto running = c.on.start(to, large);
    c.on.turn();
    auto small = front::ask("bob");
    small.within.out.cap = small.within.err.cap = 1;
    auto& after = c.on.hear();
    const auto late = c.on.start(after, small);
    c.on.turn();
    CHECK(after.starts == 0);
    c.on.pass(1s);
    CHECK(to.starts == 1);
}

TEST_CASE("admission: a call that needs more than there is for all is refused at once") {
    crowd c({.bytes = 1 * MiB});
    c.come("ada");
    CHECK(c.end(0) == errc::too_busy);
    auto what = front::ask();
    what.what.in = input::bytes(std::string(1 * MiB, 'x'));
    CHECK(c.on.refusal(std::move(what)) == errc::too_busy);
}

TEST_CASE("admission: the gate is asked again after a long wait, and its no counts") {
    crowd c({.running = 1});
    c.on.runner->otherwise([](const command&) { return script().waits(20s).exits(0); });
    c.come("ada", "build-7");
    c.come("bob", "build-7");
    CHECK(c.on.gate->questions().size() == 2);
    c.on.gate->refuse("bob", "not any more");
    c.on.pass(20s);
    CHECK(c.on.gate->questions().size() == 3);
    CHECK(c.end(1) == errc::denied);
    CHECK(c.on.runner->calls().size() == 1);
}

TEST_CASE("admission: who stops waiting makes room, and who waits too long is told that it waited") {
    crowd c({.running = 1, .waiting = 1});
    c.come("ada", "build-7", 2);
    c.handles[1].stop();
    c.on.turn();
    CHECK(c.end(1) == errc::cancelled);
    c.on.runner->otherwise([](const command&) { return script().hangs(); });
    c.on.pass(1s);
    auto& stays = c.on.hear();
    auto& waits = c.on.hear();
    auto hang = front::ask("bob");
    const auto first = c.on.start(stays, hang);
    c.on.turn();
    const auto second = c.on.start(waits, front::ask("eve"));
    c.on.turn();
    c.on.pass(10s);
    REQUIRE(waits.over());
    CHECK(waits.end->error().kind() == errc::start_timeout);
    CHECK(waits.end->error().context == "while it waited for a place");
}

TEST_CASE("admission: a thousand that wait and all fail at their turn need no thousand frames") {
    crowd c({.running = 1, .waiting = 1024, .waiting_per_caller = 1024});
    c.come("ada", "build-7", 1000);
    c.on.audit->fail_begin(fail(errc::audit_unavailable));
    c.on.pass(1s);
    CHECK(c.over() == 1000);
}
