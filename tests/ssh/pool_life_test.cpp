// How long a session lives, and how a pool ends. The time is the test's.
#include <exec/ssh/pool.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <exec/testing/manual_clock.h>

#include "guards.h"
#include "ssh/counted.h"
#include "ssh/remote_host.h"

using namespace std::chrono_literals;
using exec::errc;
using exec::exit_status;
using exec::testing::manual_clock;
using test::flight;
using test::remote_host;
using test::sh;

namespace {

// A host whose time stands still, unless the test moves it.
class timed_host {
   public:
    explicit timed_host(exec::ssh::pool_options options = {})
        : host_(test::quick(), std::move(options), {.clock = &clock_}) {}

    remote_host& operator*() { return host_; }
    remote_host* operator->() { return &host_; }
    exec::time_point now() const { return clock_.now(); }
    void passes(exec::nanoseconds by) {
        clock_.advance(by);
        host_.on().run_ready();
        test::drain(host_.on());
    }
    std::size_t sessions() const {
        const auto now = host_.stats();
        return now.connecting + now.ready + now.suspect + now.draining;
    }

   private:
    manual_clock clock_{};
    remote_host host_;
};

exec::ssh::pool_options quiet() {
    exec::ssh::pool_options options;
    options.keepalive = std::chrono::hours(24);
    return options;
}

exec::limits endless() {
    exec::limits within;
    within.run_timeout = exec::unlimited;
    return within;
}

exec::command patient_command() {
    auto what = sh("echo up; read line; exit 4");
    what.in = exec::input::streamed();
    return what;
}
std::unique_ptr<flight> running(remote_host& on) {
    auto one = on.begin(patient_command(), endless());
    on.client().until([&] { return one->to.out == "up\n" || one->over(); });
    REQUIRE_FALSE(one->over());
    return one;
}
void end(remote_host& on, flight& one) {
    one.handle.close_in();
    CHECK(on.client().finish(one).outcome().exit == exit_status::exited(4));
}

}  // namespace

// Unused ------------------------------------------------------------------------------------------------------------------

TEST_CASE("ssh pool: an unused session is closed after its idle time, and not a millisecond before") {
    const test::process_guard nothing_left;
    timed_host host(quiet());
    CHECK(host->outcome_of(sh("true")).ok());
    CHECK(host.sessions() == 1);
    host.passes(60'000ms - 1ms);
    CHECK(host.sessions() == 1);
    host.passes(1ms);
    CHECK(host.sessions() == 0);
    CHECK(host->stats().channels == 0);
    CHECK(host->stats().lost_sessions == 0);
    CHECK(host->outcome_of(sh("true")).ok());
    CHECK(host->stats().connects == 2);
}

TEST_CASE("ssh pool: a session is not idle while a command runs, however long that says nothing") {
    timed_host host(quiet());
    const auto one = running(*host);
    host.passes(10min);
    CHECK(host.sessions() == 1);
    end(*host, *one);
    host.passes(60'000ms - 1ms);
    CHECK(host.sessions() == 1);
    host.passes(1ms);
    CHECK(host.sessions() == 0);
}

// Old ---------------------------------------------------------------------------------------------------------------------

TEST_CASE("ssh pool: an old session takes no new command, lets its own end, and is closed then") {
    timed_host host(quiet());
    const auto one = running(*host);
    host.passes(50min);
    const auto two = running(*host);
    CHECK(host->stats().connects == 2);
    CHECK(host.sessions() == 2);
    CHECK(host->stats().draining == 1);
    end(*host, *one);
    CHECK(host.sessions() == 1);
    CHECK(host->stats().lost_sessions == 0);
    end(*host, *two);
}

TEST_CASE("ssh pool: an unused session is closed when it is old, although it was used a moment ago") {
    auto options = quiet();
    options.idle_timeout = std::chrono::hours(2);
    timed_host host(options);
    CHECK(host->outcome_of(sh("true")).ok());
    host.passes(50min - 1ms);
    CHECK(host.sessions() == 1);
    host.passes(1ms);
    CHECK(host.sessions() == 0);
}

TEST_CASE("ssh pool: an old session that is still used keeps no other one from being closed in time") {
    timed_host host(quiet());
    const auto one = running(*host);
    auto elsewhere = host->there();
    elsewhere.scope = "other";
    const auto other = host->client().runner_to(elsewhere);
    host.passes(49min);
    CHECK(host->client().outcome_of(*other, sh("true")).ok());
    CHECK(host.sessions() == 2);
    // The first is old now, and the other one is unused for 59 seconds.
    host.passes(59s);
    CHECK(host.sessions() == 2);
    host.passes(1s);
    CHECK(host.sessions() == 1);
    host.passes(1h);
    CHECK(host.sessions() == 1);
    end(*host, *one);
}

TEST_CASE("ssh pool: an old session that is still used keeps no other one open, whichever alarm came first") {
    auto options = quiet();
    options.idle_timeout = 5min;
    timed_host host(options);
    const auto one = running(*host);
    auto elsewhere = host->there();
    elsewhere.scope = "other";
    const auto other = host->client().runner_to(elsewhere);
    host.passes(49min);
    CHECK(host->client().outcome_of(*other, sh("true")).ok());
    host.passes(1min);  // the first is old
    CHECK(host.sessions() == 2);
    host.passes(4min - 1ms);
    CHECK(host.sessions() == 2);
    host.passes(1ms);
    CHECK(host.sessions() == 1);
    end(*host, *one);
}

// Replaced ----------------------------------------------------------------------------------------------------------------

TEST_CASE("ssh pool: a newer route gets a session of its own, and the older one ends with its commands") {
    timed_host host(quiet());
    const auto one = running(*host);
    auto newer = host->there();
    newer.epoch = 2;
    const auto next = host->client().runner_to(newer);
    CHECK(host->client().outcome_of(*next, sh("exit 3")).exit == exit_status::exited(3));
    CHECK(host->stats().connects == 2);
    CHECK(host->stats().draining == 1);
    CHECK_FALSE(one->over());
    const auto why = host->failure_of(sh("true"));
    CHECK(why.code == errc::target_not_ready);
    end(*host, *one);
    CHECK(host.sessions() == 1);
    CHECK(host->client().outcome_of(*next, sh("true")).ok());
    CHECK(host->stats().connects == 2);
    CHECK(host->stats().lost_sessions == 0);
}

TEST_CASE("ssh pool: an unused session of an older route is closed as soon as a newer one is asked for") {
    timed_host host(quiet());
    CHECK(host->outcome_of(sh("true")).ok());
    auto newer = host->there();
    newer.epoch = 2;
    const auto next = host->client().runner_to(newer);
    CHECK(host->client().outcome_of(*next, sh("true")).ok());
    CHECK(host.sessions() == 1);
    CHECK(host->stats().connects == 2);
}

TEST_CASE("ssh pool: a retired session lets its commands end, and takes no new one") {
    timed_host host(quiet());
    const auto one = running(*host);
    host->sessions().retire(host->there());
    test::drain(host->on());
    CHECK(host->stats().draining == 1);
    const auto two = running(*host);
    CHECK(host->stats().connects == 2);
    host.passes(10h);
    CHECK_FALSE(one->over());
    end(*host, *one);
    CHECK(host.sessions() == 1);
    CHECK(host->stats().lost_sessions == 0);
    end(*host, *two);
}

TEST_CASE("ssh pool: a retired session is closed at the latest when its time is over, and what ran on it is lost") {
    timed_host host(quiet());
    const auto one = running(*host);
    host->sessions().retire(host->there(), 5s);
    test::drain(host->on());
    host.passes(5s - 1ms);
    CHECK_FALSE(one->over());
    host.passes(1ms);
    host->client().finish(*one);
    test::check_lost(*one);
    CHECK(host.sessions() == 0);
}

TEST_CASE("ssh pool: an unused session that is retired is closed at once") {
    timed_host host(quiet());
    CHECK(host->outcome_of(sh("true")).ok());
    host->sessions().retire(host->there());
    test::drain(host->on());
    CHECK(host.sessions() == 0);
}

TEST_CASE("ssh pool: who waits for a session that is retired meanwhile gets another one") {
    for (const auto within : {exec::unlimited, exec::milliseconds(0)}) {
        CAPTURE(within.count());
        remote_host host;
        const auto one = host.begin(sh("exit 3"));
        host.client().until([&] { return host.stats().connecting == 1; });
        host.sessions().retire(host.there(), within);
        CHECK(host.client().finish(*one).outcome().exit == exit_status::exited(3));
    }
}

TEST_CASE("ssh pool: retiring what nobody has ever asked for does nothing") {
    remote_host host;
    host.sessions().retire(host.there());
    test::drain(host.on());
    CHECK(host.stats().connects == 0);
    CHECK(host.outcome_of(sh("true")).ok());
}

// The end -----------------------------------------------------------------------------------------------------------------

namespace {

// Commands in every phase: one says nothing, one speaks, one has ended, some wait, one connects elsewhere.
struct everything {
    everything()
        : host(test::quick(), [] {
              exec::ssh::pool_options options;
              options.sessions_per_target = 1;
              options.channels_per_session = 3;
              return options;
          }()) {
        all.push_back(running(host));
        all.push_back(host.begin(sh("while :; do echo flood; done"), endless()));
        host.client().until([&] { return all.back()->to.out.size() > 10'000; });
        all.push_back(host.begin(sh("trap '' TERM; echo up; sleep 1000 & wait"), endless()));
        host.client().until([&] { return all.back()->to.out == "up\n"; });
        for (int i = 0; i < 3; ++i) all.push_back(host.begin(sh("true")));  // in the queue
        auto elsewhere = host.there();
        elsewhere.scope = "other";
        other = host.client().runner_to(elsewhere);
        host.client().until([&] { return host.stats().waiting == 3; });
        all.push_back(host.client().begin(*other, sh("sleep 1000")));
        host.client().until([&] { return host.stats().connecting == 1; });
        all.push_back(host.begin(sh("true")));  // not even seen by the loop
    }
    void each_was_told_once() {
        for (const auto& each : all) {
            CHECK(each->over());
            each->kept_its_promises();
            if (!each->to.end) continue;
            if (each->to.end->has_value()) CHECK(each->outcome().exit.what != exit_status::kind::exited);
        }
    }

    remote_host host;
    std::shared_ptr<exec::runner> other{};
    std::vector<std::unique_ptr<flight>> all{};
};

}  // namespace

TEST_CASE("ssh pool: its end tells every command once, whatever it was at") {
    const test::process_guard nothing_left;
    everything on;
    on.host.client().end_pool();
    on.each_was_told_once();
}

TEST_CASE("ssh pool: the loop's end tells every command once, at once or within its time") {
    for (const auto within : {0ms, 1'000ms}) {
        CAPTURE(within.count());
        const test::process_guard nothing_left;
        everything on;
        on.host.on().shutdown(within);
        on.each_was_told_once();
        const auto late = on.host.begin(sh("true"));
        test::drain(on.host.on());
        CHECK((!late->to.end || late->to.end->error().code == errc::shutting_down));
    }
}

TEST_CASE("ssh pool: the last word of a command may end the pool on which others run") {
    const test::process_guard nothing_left;
    remote_host host;
    const auto stays = running(host);
    const auto one = host.begin(sh("exit 3"));
    one->to.on_done = [&] { host.client().end_pool(); };
    host.client().finish(*one);
    CHECK(one->outcome().exit == exit_status::exited(3));
    host.client().finish(*stays);
    CHECK(stays->to.end.has_value());
}

TEST_CASE("ssh pool: a command's output may end the pool") {
    const test::process_guard nothing_left;
    remote_host host;
    const auto stays = running(host);
    const auto one = host.begin(sh("echo said; sleep 1000"));
    bool once = false;
    one->to.on_output = [&](exec::stream, exec::bytes_view) {
        if (!std::exchange(once, true)) host.client().end_pool();
        return exec::flow::more;
    };
    host.client().finish(*one);
    host.client().finish(*stays);
    CHECK(one->to.out == "said\n");
}

TEST_CASE("ssh pool: the start of a command may end the pool") {
    const test::process_guard nothing_left;
    remote_host host;
    const auto stays = running(host);
    const auto one = host.begin(sh("sleep 1000"));
    one->to.on_start = [&] { host.client().end_pool(); };
    host.client().finish(*one);
    host.client().finish(*stays);
}

TEST_CASE("ssh pool: one that was never used ends in silence") {
    const test::process_guard nothing_left;
    remote_host host;
    host.client().end_pool();
}
