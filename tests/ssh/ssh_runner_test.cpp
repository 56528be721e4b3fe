// Commands on real servers, over pooled sessions.
#include <exec/ssh/runner.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "heard.h"
#include "local_host.h"
#include "ssh/remote_host.h"

using namespace std::chrono_literals;
using exec::errc;
using exec::exit_status;
using exec::stop_reason;
using test::heard;
using test::remote_host;
using test::sh;

TEST_CASE("ssh: a command's output, its streams and its exit status come back") {
    remote_host host;
    const auto how = host.outcome_of(sh("echo out; echo err >&2; exit 3"));
    CHECK(how.exit == exit_status::exited(3));
    CHECK(how.out.bytes == "out\n");
    CHECK(how.err.bytes == "err\n");
    CHECK(how.out.complete);
    CHECK(how.began == exec::started::yes);
    CHECK(how.tree == exec::tree_state::group_gone);
}

TEST_CASE("ssh: many commands share one login") {
    remote_host host;
    for (int i = 0; i < 20; ++i) CHECK(host.outcome_of(sh("exit " + std::to_string(i))).exit == exit_status::exited(i));
    CHECK(host.sessions().stats().connects == 1);
    CHECK(host.sessions().stats().commands == 20);
}

TEST_CASE("ssh: the time of a connect is told of each command that waited for it, and of no later one") {
    remote_host host;
    const auto one = host.begin(sh("true"));
    const auto two = host.begin(sh("true"));
    for (const auto* each : {&one, &two}) {
        const auto& took = host.client().finish(**each).outcome().took;
        CHECK(took.connect > 0ns);
        CHECK(took.queue >= 0ns);
        CHECK(took.total >= took.queue + took.connect + took.run);
    }
    CHECK(host.stats().connects == 1);
    const auto later = host.outcome_of(sh("true")).took;
    CHECK(later.connect == 0ns);
    CHECK(later.queue >= 0ns);
}

TEST_CASE("ssh: input, directory and environment reach the command") {
    remote_host host;
    auto what = sh("pwd; echo \"$WORD\"; cat");
    what.cwd = "/usr/lib";
    REQUIRE(what.env.set("WORD", "a b'c"));
    what.in = exec::input::bytes("typed\n");
    const auto how = host.outcome_of(what);
    CHECK(how.out.bytes == "/usr/lib\na b'c\ntyped\n");
    CHECK(how.exit == exit_status::exited(0));
}

TEST_CASE("ssh: a program that is not there is a failure and not an exit status") {
    remote_host host;
    const auto why = host.failure_of(test::words({"/no/such/program"}));
    CHECK(why.at == exec::stage::program);
}

TEST_CASE("ssh: a timeout ends the command and its children over there") {
    remote_host host;
    exec::limits within;
    within.run_timeout = 200ms;
    const auto how = host.outcome_of(sh("sleep 1000 & sleep 1000"), within);
    CHECK(how.stopped_by == stop_reason::run_timeout);
    CHECK(how.exit.what == exit_status::kind::signaled);
    CHECK(how.tree == exec::tree_state::group_gone);
}

TEST_CASE("ssh: a connection that ends is lost, and no exit status") {
    remote_host host;
    heard to;
    const auto handle = host.start(sh("echo said; sleep 1000"), {}, to);
    REQUIRE(test::drive_until(host.on(), [&] { return to.out == "said\n"; }));
    host.server().kill_connections(9);
    host.finish(to);
    REQUIRE(to.end->has_value());
    CHECK(to.outcome().how() == exec::ended::lost);
    CHECK(to.outcome().exit.what == exit_status::kind::unknown);
    CHECK(to.outcome().out.bytes == "said\n");
}
