// Connections through another machine: two real servers, one pool.
#include <exec/ssh/pool.h>

#include <chrono>
#include <csignal>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "guards.h"
#include "servers/keys.h"
#include "servers/loopback.h"
#include "ssh/counted.h"
#include "ssh/remote_host.h"

using namespace std::chrono_literals;
using exec::errc;
using exec::exit_status;
using exec::stage;
using test::endpoint_of;
using test::flight;
using test::sh;
using test::ssh_client;

namespace {

// A machine, and one in front of it.
struct two_hosts {
    explicit two_hosts(test::openssh_options in_front = test::quick(), exec::ssh::pool_options options = {})
        : jump(std::move(in_front)), client(std::move(options)) {
        there = endpoint_of(inner);
        there.via = through(endpoint_of(jump));
        runner = client.runner_to(there);
    }
    std::shared_ptr<exec::ssh::connector> through(exec::ssh::endpoint by) {
        auto made = exec::ssh::make_jump(client.sessions(), std::move(by));
        REQUIRE(made.has_value());
        return *std::move(made);
    }
    std::unique_ptr<flight> begin(exec::command what, exec::limits within = {}) {
        return client.begin(*runner, std::move(what), std::move(within));
    }
    exec::failure failure_of(exec::runner& on) {
        auto why = client.failure_of(on, sh("true"));
        CHECK(why.at == stage::connect);
        CHECK(why.context.find("jump host") != std::string::npos);
        return why;
    }

    const test::process_guard nothing_left{};
    test::openssh_server inner{test::quick()};
    test::openssh_server jump;
    ssh_client client;
    exec::ssh::endpoint there{};
    std::shared_ptr<exec::runner> runner{};
};

}  // namespace

TEST_CASE("ssh jump: commands run behind it, on sessions that share one session to it") {
    two_hosts on;
    std::vector<std::unique_ptr<flight>> all;
    for (int i = 0; i < 12; ++i) all.push_back(on.begin(sh("echo " + std::to_string(i) + "; sleep 0.2; exit 3")));
    for (int i = 0; i < 12; ++i) {
        const auto& how = on.client.finish(*all[static_cast<std::size_t>(i)]).outcome();
        CHECK(how.exit == exit_status::exited(3));
        CHECK(how.out.bytes == std::to_string(i) + "\n");
    }
    CHECK(test::times(on.jump.log(), "Accepted publickey") == 1);
    CHECK(test::times(on.inner.log(), "Accepted publickey") >= 2);
    CHECK(test::times(on.jump.log(), "Starting session") == 0);  // no command runs there
}

TEST_CASE("ssh jump: what is stopped behind it is dead") {
    two_hosts on;
    const auto word = test::sleep_word();
    exec::limits within;
    within.run_timeout = 300ms;
    const auto one = on.begin(sh("sleep " + word + " & sleep " + word), within);
    on.client.finish(*one);
    CHECK(one->outcome().tree == exec::tree_state::group_gone);
    CHECK(on.client.sees_end_of(word));
}

TEST_CASE("ssh jump: much output and much input go through it whole") {
    two_hosts on;
    auto what = sh("head -c 40000000 /dev/zero; wc -c >&2");
    what.in = exec::input::streamed();
    exec::limits within;
    within.out.kept = exec::keep::nothing;
    const auto one = on.begin(std::move(what), within);
    const std::string block(std::size_t{256} * 1024, 'x');
    std::size_t given = 0;
    const std::size_t all = 20 * block.size();
    const auto give = [&] {
        while (given < all) {
            const auto taken = one->handle.write_in(std::string_view(block).substr(given % block.size()));
            if (taken == 0) return;
            given += taken;
        }
        one->handle.close_in();
    };
    one->to.on_room = give;
    give();
    on.client.finish(*one);
    CHECK(one->outcome().ok());
    CHECK(one->outcome().out.total == 40'000'000);
    CHECK(std::stoul(one->to.err) == all);
}

TEST_CASE("ssh jump: an observer behind it who pauses holds the server back, and gets all in the end") {
    two_hosts on;
    const auto one = on.begin(sh("head -c 60000000 /dev/zero"));
    bool paused = false;
    one->to.on_output = [&](exec::stream, exec::bytes_view) {
        return std::exchange(paused, true) ? exec::flow::more : exec::flow::pause;
    };
    on.client.until([&] { return paused; });
    // Others go on meanwhile, through the same jump host.
    for (int i = 0; i < 5; ++i) CHECK(on.client.outcome_of(*on.runner, sh("exit 3")).exit == exit_status::exited(3));
    CHECK_FALSE(one->over());
    one->handle.resume();
    on.client.finish(*one);
    CHECK(one->outcome().ok());
    CHECK(one->outcome().out.total == 60'000'000);
}

TEST_CASE("ssh jump: the key of the host behind it is checked end to end, before any login there") {
    two_hosts on;
    auto other = on.there;
    other.trust = *exec::ssh::known_hosts_text(on.jump.known_hosts_line(on.inner.port()), "test");
    const auto why = on.client.failure_of(*on.client.runner_to(other), sh("true"));
    CHECK(why.code == errc::host_key_mismatch);
    CHECK(why.at == stage::host_key);
    CHECK(test::times(on.inner.log(), "Accepted publickey") == 0);
}

TEST_CASE("ssh jump: with its session the commands behind it are lost, and told why") {
    two_hosts on;
    const auto one = on.begin(sh("echo said; sleep 1000"));
    on.client.until([&] { return one->to.out == "said\n" || one->over(); });
    on.jump.kill_connections(SIGKILL);
    on.client.finish(*one);
    test::check_lost(*one);
    // And the next one goes another way there.
    CHECK(on.client.outcome_of(*on.runner, sh("exit 3")).exit == exit_status::exited(3));
}

TEST_CASE("ssh jump: what keeps it from connecting is a failure of the connect, and names it") {
    {
        two_hosts on;
        auto closed = on.there;
        closed.port = static_cast<std::uint16_t>(test::free_port());
        const auto why = on.failure_of(*on.client.runner_to(closed));
        CHECK(why.code == errc::connect_failed);
        CHECK(why.context.find("refused") != std::string::npos);
        CHECK(on.client.outcome_of(*on.runner, sh("exit 3")).exit == exit_status::exited(3));  // the session lives
    }
    {
        auto options = test::quick();
        options.extra = {"AllowTcpForwarding no"};
        two_hosts on(options);
        CHECK(on.failure_of(*on.runner).code == errc::connect_failed);
    }
    two_hosts on;
    auto nobody = endpoint_of(on.jump);
    nobody.port = static_cast<std::uint16_t>(test::free_port());
    auto there = on.there;
    there.via = on.through(nobody);
    CHECK(on.failure_of(*on.client.runner_to(there)).code == std::errc::connection_refused);
    const test::scratch_directory place;
    auto stranger = endpoint_of(on.jump);
    stranger.login = exec::ssh::always(*exec::ssh::read_private_key(test::make_key(place.path()).file));
    there.via = on.through(stranger);
    CHECK(on.failure_of(*on.client.runner_to(there)).code == errc::auth_failed);
    CHECK(test::times(on.inner.log(), "Connection from") == 0);
}

TEST_CASE("ssh jump: one that stands still is given up in time, and a stopped command does not wait for it") {
    exec::ssh::pool_options options;
    options.handshake_timeout = 1'500ms;
    two_hosts on(test::quick(), options);
    CHECK(on.client.outcome_of(*on.runner, sh("true")).ok());
    on.jump.kill_connections(SIGSTOP);
    auto other = on.there;
    other.scope = "other";
    const auto stalled = on.client.runner_to(other);
    const auto one = on.client.begin(*stalled, sh("true"));
    const auto two = on.client.begin(*stalled, sh("true"));
    on.client.until([&] { return on.client.stats().connecting == 1; });
    two->handle.stop();
    CHECK(on.client.finish(*two).failure().code == errc::cancelled);
    CHECK(on.client.finish(*one).failure().code == std::errc::timed_out);
    CHECK(one->failure().at == stage::connect);
    on.jump.kill_connections(SIGCONT);
}

TEST_CASE("ssh jump: behind one there may be another one") {
    two_hosts on;
    auto second = endpoint_of(on.jump);
    second.scope = "second";
    second.via = on.there.via;
    auto there = on.there;
    there.via = on.through(second);
    CHECK(on.client.outcome_of(*on.client.runner_to(there), sh("exit 3")).exit == exit_status::exited(3));
    CHECK(test::times(on.jump.log(), "Accepted publickey") == 2);
}

TEST_CASE("ssh jump: the pool may end at any moment, and its connector outlives it") {
    const test::process_guard nothing_left;
    for (int turns = 0; turns < 60; turns += 3) {
        CAPTURE(turns);
        two_hosts on;
        const auto one = on.begin(sh("echo said; sleep 1000"));
        for (int i = 0; i < turns && test::readable(on.client.on().poll_fd(), 300); ++i) on.client.on().run_ready();
        on.client.end_pool();
        REQUIRE(one->over());
        one->kept_its_promises();
        bool told = false;
        on.there.via->connect("127.0.0.1", 1, exec::never, exec::reply<exec::ssh::connection>([&](auto how) {
                                  told = true;
                                  CHECK(how.error().code == errc::shutting_down);
                              }));
        test::drain(on.client.on());
        CHECK(told);
    }
}

TEST_CASE("ssh jump: one without user, login or trust is refused") {
    two_hosts on;
    for (int missing = 0; missing < 3; ++missing) {
        auto jump = endpoint_of(on.jump);
        if (missing == 0) jump.user.clear();
        if (missing == 1) jump.login.reset();
        if (missing == 2) jump.trust.reset();
        CHECK(exec::ssh::make_jump(on.client.sessions(), jump).error().code == errc::invalid_argument);
    }
}
