// The route's runner delivers on another loop than the dispatcher's.
#include <doctest/doctest.h>

#include <chrono>
#include <deque>
#include <memory>
#include <string>
#include <thread>

#include <exec/local_runner.h>
#include <exec/loop_thread.h>

#include "dispatch/front.h"
#include "poll_host.h"

using namespace exec;
using namespace std::chrono_literals;
using test::front;
using test::heard;

namespace {

// Commands of this host on a loop that a thread of its own drives.
struct far_away {
    std::deque<heard> ears{};  // outlives every observer
    std::unique_ptr<loop> there = make_loop().value();
    std::shared_ptr<runner> local = make_local_runner(*there).value();
    std::unique_ptr<loop> here = make_loop().value();
    std::shared_ptr<testing::scripted_directory> directory = std::make_shared<testing::scripted_directory>();
    std::shared_ptr<testing::recording_audit> audit = std::make_shared<testing::recording_audit>();
    std::shared_ptr<dispatcher> desk{};
    std::unique_ptr<loop_thread> driving = std::make_unique<loop_thread>(*there);

    far_away() {
        directory->add("acme", "build-7", route{.run = local});
        desk = make_dispatcher({.loop = here.get(),
                                .directory = directory,
                                .gate = std::make_shared<test::steered_gate>(),
                                .audit = audit})
                   .value();
    }
    ~far_away() { CHECK(audit->wrong().empty()); }
    heard& hear() { return ears.emplace_back(); }
    execution start(heard& to, const char* script, limits within = {}) {
        auto what = front::ask();
        what.what.program_and_args = argv("sh", "-c", script);
        what.within = within;
        return desk->submit(std::move(what), std::make_unique<test::listener>(to));
    }
    bool over(const heard& to) {
        return test::drive_until(*here, [&to] { return to.over(); });
    }
};

}  // namespace

TEST_CASE("crossing: every byte of both streams arrives in order and on the dispatcher's thread") {
    far_away on;
    auto& to = on.hear();
    const auto me = std::this_thread::get_id();
    bool elsewhere = false;
    to.on_start = [&] { elsewhere = elsewhere || std::this_thread::get_id() != me; };
    to.on_output = [&](stream, bytes_view) {
        elsewhere = elsewhere || std::this_thread::get_id() != me;
        return flow::more;
    };
    to.on_done = [&] { elsewhere = elsewhere || std::this_thread::get_id() != me; };
    const auto running =
        on.start(to, "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; echo end >&2; exit 5");
    REQUIRE(on.over(to));
    CHECK_FALSE(elsewhere);
    CHECK(to.broken.empty());
    CHECK(to.outcome().exit == exit_status::exited(5));
    CHECK(to.err == "end\n");
    CHECK(to.out.size() == to.outcome().out.total);
    CHECK(to.out.substr(0, 14) == "line 0\nline 1\n");
}

TEST_CASE("crossing: a paused observer holds the child, and gets all of it when it resumes") {
    far_away on;
    auto& to = on.hear();
    bool once = true;
    to.on_output = [&](stream, bytes_view) { return std::exchange(once, false) ? flow::pause : flow::more; };
    auto running = on.start(to, "head -c 3000000 /dev/zero; echo done >&2");
    REQUIRE(test::drive_until(*on.here, [&] { return !to.out.empty(); }));
    for (int turns = 0; turns < 100; ++turns) on.here->run_ready();
    CHECK(to.chunks == 1);
    running.resume();
    REQUIRE(on.over(to));
    CHECK(to.out.size() == 3000000);
    CHECK(to.outcome().ok());
    CHECK(to.broken.empty());
}

TEST_CASE("crossing: an observer that stays paused is cut, and is told what it missed") {
    far_away on;
    auto& to = on.hear();
    to.on_output = [](stream, bytes_view) { return flow::pause; };
    limits within;
    within.consumer_timeout = 200ms;
    auto running = on.start(to, "head -c 300000 /dev/zero; sleep 100", within);
    REQUIRE(on.over(to));
    CHECK(to.outcome().stopped_by == stop_reason::consumer);
    CHECK_FALSE(to.outcome().out.complete);
    CHECK(to.broken.empty());
}

TEST_CASE("crossing: an observer that throws ends its command as failed") {
    far_away on;
    auto& to = on.hear();
    to.on_output = [](stream, bytes_view) -> flow { throw 1; };
    const auto running = on.start(to, "echo x; sleep 100");
    REQUIRE(on.over(to));
    CHECK(to.outcome().stopped_by == stop_reason::observer_failed);
}

TEST_CASE("crossing: a dropped handle stops the command on the other loop, and the trail gets its end") {
    far_away on;
    auto& to = on.hear();
    {
        auto running = on.start(to, "echo x; sleep 100");
        REQUIRE(test::drive_until(*on.here, [&] { return !to.out.empty(); }));
    }
    REQUIRE(test::drive_until(*on.here, [&] { return on.audit->rows().at(0).how.has_value(); }));
    CHECK(on.audit->rows().at(0).how->status == audit_status::cancelled);
    CHECK(to.destroyed);
    CHECK_FALSE(to.end.has_value());
}

TEST_CASE("crossing: a dispatcher's loop that ends while the other goes on tells the observer, once") {
    far_away on;
    auto& to = on.hear();
    auto running = on.start(to, "echo x; sleep 100");
    REQUIRE(test::drive_until(*on.here, [&] { return !to.out.empty(); }));
    on.here->shutdown(100ms);
    CHECK(to.over());
    CHECK(to.outcome().stopped_by == stop_reason::shutdown);
    CHECK(on.audit->rows().at(0).how.has_value());
}
