// Commands that are stopped, and connections that are killed, at every moment of a command's life.
//
// EXEC_SOAK_TIMEOUTS: how many commands of the soak run into their timeout (1,000).
#include <exec/ssh/runner.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <exec/testing/manual_clock.h>

#include "file_text.h"
#include "guards.h"
#include "servers/keys.h"
#include "ssh/remote_host.h"

using namespace std::chrono_literals;
using exec::errc;
using exec::exit_status;
using exec::stop_reason;
using test::endpoint_of;
using test::flight;
using test::remote_host;
using test::sh;
using test::ssh_client;

namespace {

// So many commands that would sleep for ever, on a server of ten channels a connection.
void time_out(std::size_t count) {
    auto server = test::quick();
    server.max_sessions = 10;
    remote_host host(server);
    const auto word = test::sleep_word();
    exec::limits within;
    within.run_timeout = 50ms;
    within.start_timeout = exec::unlimited;
    const char* const scripts[] = {"sleep ", "exec sleep ", "sleep 999 & sleep ", "trap '' TERM; sleep "};
    std::size_t unsure = 0;
    std::vector<std::unique_ptr<flight>> flying;
    for (std::size_t started = 0, ended = 0; ended < count;) {
        while (started < count && flying.size() < 30) {
            within.stop.grace = started % 3 == 0 ? 0ms : 100ms;
            flying.push_back(host.begin(sh(scripts[started % 4] + word), within));
            ++started;
        }
        host.client().until(
            [&] { return std::any_of(flying.begin(), flying.end(), [](const auto& one) { return one->over(); }); });
        for (auto& one : flying) {
            if (!one->over()) continue;
            one->kept_its_promises();
            REQUIRE(one->to.end->has_value());
            CHECK(one->outcome().stopped_by == stop_reason::run_timeout);
            CHECK(one->outcome().how() == exec::ended::timed_out);
            CHECK(one->outcome().exit.what != exit_status::kind::exited);
            CHECK(one->outcome().tree != exec::tree_state::may_survive);
            if (one->outcome().tree != exec::tree_state::group_gone) ++unsure;
            one.reset();
            ++ended;
        }
        flying.erase(std::remove(flying.begin(), flying.end(), nullptr), flying.end());
    }
    // Nobody may have had the time to look.
    CHECK(unsure <= count / 10);
    CHECK(host.client().sees_end_of(word));
    host.client().until([&] { return host.stats().zombies == 0; });
    CHECK(host.outcome_of(sh("echo usable")).out.bytes == "usable\n");
    CHECK(host.stats().lost_sessions == 0);
    CHECK(host.stats().connects <= 4);
}

// Drives in the smallest steps, at most so many. False: nothing more happens.
bool steps(exec::loop& on, int count) {
    exec::budget one;
    one.events = 1;
    for (int i = 0; i < count; ++i) {
        if (!test::readable(on.poll_fd(), 300)) return false;
        on.run_ready(one);
    }
    return true;
}

// Every step of the first few, where most happens; then some.
int next_step(int step) {
    static const bool all = std::getenv("EXEC_TEST_EVERY_STEP") != nullptr;
    return all || step < 40 ? step + 1 : step + 5;
}

}  // namespace

// Timeouts ----------------------------------------------------------------------------------------------------------------

TEST_CASE("ssh stopping: a hundred timeouts leave no process over there, and a session of use") { time_out(100); }

TEST_SUITE("soak") {
    TEST_CASE("ssh stopping: a thousand timeouts leave no process over there, and a session of use") {
        const char* const count = std::getenv("EXEC_SOAK_TIMEOUTS");
        time_out(count != nullptr ? static_cast<std::size_t>(std::strtoul(count, nullptr, 10)) : 1'000);
    }
}

// The server is killed ----------------------------------------------------------------------------------------------------

TEST_CASE(
    "ssh stopping: a connection that is killed at any step of a command leaves one answer, and never a wrong one") {
    test::openssh_server server(test::quick());
    const test::scratch_directory place;
    bool over_before = false;
    int reached = 0;
    for (int step = 0; !over_before && step < 500; step = next_step(step)) {
        CAPTURE(step);
        const test::process_guard nothing_left;
        ssh_client client;
        const auto on = client.runner_to(endpoint_of(server));
        const auto file = place / std::to_string(step);
        const auto one = client.begin(*on, sh("echo ran >>" + file + "; echo said; exit 3"));
        static_cast<void>(steps(client.on(), step));
        over_before = one->over();
        server.kill_connections(SIGKILL);
        client.finish(*one);
        const auto runs = test::file_text(file);
        // Whatever it is told, it was not run twice.
        CHECK((runs.empty() || runs == "ran\n"));
        if (!one->to.end->has_value()) {
            CHECK(runs.empty());
            continue;
        }
        ++reached;
        const auto& how = one->outcome();
        if (how.how() == exec::ended::exited) {
            CHECK(how.exit == exit_status::exited(3));
            CHECK(how.out.bytes == "said\n");
            CHECK(runs == "ran\n");
        } else {
            // An exit status that came before the end of the connection may stand beside it.
            CHECK(how.how() == exec::ended::lost);
            CHECK(how.exit.what != exit_status::kind::signaled);
            if (how.exit.what == exit_status::kind::exited) CHECK(how.exit.number == 3);
        }
    }
    CHECK(over_before);
    CHECK(reached > 0);
}

TEST_CASE(
    "ssh stopping: a connection that is killed while a command is being stopped leaves one answer, told as lost") {
    test::openssh_server server(test::quick());
    bool over_before = false;
    for (int step = 0; !over_before && step < 300; step = next_step(step)) {
        CAPTURE(step);
        const test::process_guard nothing_left;
        ssh_client client;
        const auto on = client.runner_to(endpoint_of(server));
        exec::limits within;
        within.stop.grace = 30ms;
        const auto word = test::sleep_word();
        const auto one = client.begin(*on, sh("trap '' TERM; echo said; sleep " + word + "; sleep " + word), within);
        client.until([&] { return one->to.out == "said\n"; });
        one->handle.stop();
        static_cast<void>(steps(client.on(), step));
        over_before = one->over();
        server.kill_connections(SIGKILL);
        client.finish(*one);
        const auto& how = one->outcome();
        // At first the loop has not seen the stop yet.
        CHECK((how.stopped_by == stop_reason::cancelled || (step < 3 && how.stopped_by == stop_reason::nobody)));
        CHECK(how.exit.what != exit_status::kind::exited);
        if (how.exit.what == exit_status::kind::unknown) CHECK(how.how() == exec::ended::lost);
        client.end_pool();
        for (const auto pid : test::named(word)) ::kill(static_cast<pid_t>(pid), SIGKILL);
    }
    CHECK(over_before);
}

TEST_CASE("ssh stopping: a connection that is killed under many commands ends each of them once") {
    test::openssh_server server(test::quick());
    for (int step = 0; step < 200; step += 8) {
        CAPTURE(step);
        const test::process_guard nothing_left;
        exec::ssh::pool_options options;
        options.sessions_per_target = 2;
        ssh_client client(options);
        const auto on = client.runner_to(endpoint_of(server));
        std::vector<std::unique_ptr<flight>> all;
        for (int i = 0; i < 16; ++i) all.push_back(client.begin(*on, sh("echo " + std::to_string(i) + "; exit 3")));
        static_cast<void>(steps(client.on(), step));
        server.kill_connections(SIGKILL);
        for (std::size_t i = 0; i < all.size(); ++i) {
            const auto& one = client.finish(*all[i]);
            if (!one.to.end->has_value()) continue;
            if (one.outcome().how() == exec::ended::exited) {
                CHECK(one.outcome().exit == exit_status::exited(3));
                CHECK(one.to.out == std::to_string(i) + "\n");
            } else {
                CHECK(one.outcome().how() == exec::ended::lost);
            }
        }
        CHECK(client.stats().waiting == 0);
        CHECK(client.stats().zombies == 0);
    }
}

// We stop it --------------------------------------------------------------------------------------------------------------

TEST_CASE("ssh stopping: a command can be stopped at any step, is told so once, and does not live on") {
    const test::openssh_server server(test::quick());
    bool steady = false;
    int ran = 0;
    for (int step = 0; !steady && step < 500; step = next_step(step)) {
        CAPTURE(step);
        const test::process_guard nothing_left;
        ssh_client client;
        const auto on = client.runner_to(endpoint_of(server));
        const auto word = test::sleep_word();
        const auto one = client.begin(*on, sh("sleep " + word + " & sleep " + word));
        steady = !steps(client.on(), step);
        one->handle.stop(step % 2 == 0 ? 0ms : 1'000ms);
        client.finish(*one);
        if (one->to.end->has_value()) {
            ++ran;
            CHECK(one->outcome().stopped_by == stop_reason::cancelled);
            CHECK(one->outcome().how() == exec::ended::cancelled);
            CHECK(one->outcome().exit.what != exit_status::kind::exited);
        } else {
            CHECK(one->failure().code == errc::cancelled);
        }
        CHECK(client.sees_end_of(word));
        // And the session, if there was one, is of use to the next.
        if (step % 10 == 0) CHECK(client.outcome_of(*on, sh("exit 5")).exit == exit_status::exited(5));
        CHECK(client.stats().lost_sessions == 0);
    }
    CHECK(steady);
    CHECK(ran > 0);
}

TEST_CASE("ssh stopping: a handle can be dropped at any step; nobody is told, and nothing lives on") {
    const test::openssh_server server(test::quick());
    bool steady = false;
    for (int step = 0; !steady && step < 500; step = next_step(step)) {
        CAPTURE(step);
        const test::process_guard nothing_left;
        ssh_client client;
        const auto on = client.runner_to(endpoint_of(server));
        const auto word = test::sleep_word();
        const auto one = client.begin(*on, sh("sleep " + word + " & sleep " + word));
        steady = !steps(client.on(), step);
        one->handle = {};
        // Whatever comes of it comes before the end of the next command, or is seen at the processes.
        CHECK(client.outcome_of(*on, sh("exit 5")).exit == exit_status::exited(5));
        client.until([&] { return one->to.destroyed; });
        CHECK(client.sees_end_of(word));
        CHECK_FALSE(one->to.end.has_value());
        one->kept_its_promises();
    }
    CHECK(steady);
}

TEST_CASE("ssh stopping: a command that is detached at any step goes on to its end, and tells it") {
    const test::openssh_server server(test::quick());
    bool over_before = false;
    for (int step = 0; !over_before && step < 500; step = next_step(step)) {
        CAPTURE(step);
        const test::process_guard nothing_left;
        ssh_client client;
        const auto on = client.runner_to(endpoint_of(server));
        const auto one = client.begin(*on, sh("echo said; exit 3"));
        static_cast<void>(steps(client.on(), step));
        over_before = one->over();
        one->handle.detach();
        client.finish(*one);
        CHECK(one->outcome().exit == exit_status::exited(3));
        CHECK(one->to.out == "said\n");
    }
    CHECK(over_before);
}

TEST_CASE("ssh stopping: a pool can end at any step, tells the command once, and leaves nothing of this host's") {
    const test::openssh_server server(test::quick());
    bool over_before = false;
    for (int step = 0; !over_before && step < 500; step = next_step(step)) {
        CAPTURE(step);
        const test::process_guard nothing_left;
        ssh_client client;
        const auto on = client.runner_to(endpoint_of(server));
        const auto one = client.begin(*on, sh("echo said; exit 3"));
        static_cast<void>(steps(client.on(), step));
        over_before = one->over();
        client.end_pool();
        test::drain(client.on());
        one->kept_its_promises();
        REQUIRE(one->over());
        if (one->to.end->has_value() && one->outcome().how() == exec::ended::exited)
            CHECK(one->outcome().exit == exit_status::exited(3));
    }
    CHECK(over_before);
}

TEST_CASE("ssh stopping: a command stopped while its server stands still is dead soon after that goes on") {
    test::openssh_server server(test::quick());
    bool steady = false;
    for (int step = 0; !steady && step < 300; step += step < 10 ? 5 : 1) {
        CAPTURE(step);
        const test::process_guard nothing_left;
        ssh_client client;
        const auto on = client.runner_to(endpoint_of(server));
        const auto word = test::sleep_word();
        exec::limits within;
        within.start_timeout = 2'000ms;  // a login never ends while the server stands still
        const auto one = client.begin(*on, sh("sleep " + word + " & sleep " + word), within);
        steady = !steps(client.on(), step);
        server.kill_connections(SIGSTOP);
        one->handle.stop(0ms);
        client.finish(*one);
        if (one->to.end->has_value()) CHECK(one->outcome().exit.what != exit_status::kind::exited);
        server.kill_connections(SIGCONT);
        CHECK(client.sees_end_of(word));
        CHECK(client.stats().lost_sessions == 0);
    }
    CHECK(steady);
}

// No place for an order ---------------------------------------------------------------------------------------------------

namespace {

class scripted_login final : public exec::ssh::provider {
   public:
    using reply = exec::reply<exec::ssh::credential>;
    explicit scripted_login(std::function<void(std::size_t, reply)> give) : give_(std::move(give)) {}

    void obtain(const exec::ssh::login_request& who, reply answer) override {
        asked.push_back(who.attempt);
        give_(asked.size(), std::move(answer));
    }
    std::vector<unsigned> asked{};

   private:
    const std::function<void(std::size_t, reply)> give_;
};

// One command on the only channel of the only session, whose credential ends after 30 s and whose limit is a minute, both of the
// test's time. `way`: what the provider answers when it is asked again.
struct on_the_only_channel {
    using answer = std::function<void(on_the_only_channel&, scripted_login::reply)>;

    explicit on_the_only_channel(answer way)
        : login(std::make_shared<scripted_login>([this, way](std::size_t count, scripted_login::reply to) {
              count == 1 ? to(ends_in(30s)) : way(*this, std::move(to));
          })),
          client(
              [] {
                  exec::ssh::pool_options options;
                  options.keepalive = std::chrono::hours(24);
                  return options;
              }(),
              {.clock = &clock}) {
        auto there = endpoint_of(server);
        there.login = login;
        on = client.runner_to(there);
        exec::limits within;
        within.run_timeout = 60s;
        one = client.begin(*on, sh("echo up; exec sleep " + word), within);
        // There is no place for a shell beside it.
        client.until([&] { return (one->to.out == "up\n" && client.stats().refusals == 1) || one->over(); });
        CHECK(login->asked.size() == 1);
    }
    ~on_the_only_channel() {
        for (const auto pid : test::named(word)) ::kill(static_cast<pid_t>(pid), SIGKILL);
    }
    exec::ssh::credential ends_in(exec::milliseconds after) const {
        auto key = *exec::ssh::read_private_key(server.client_key());
        key.not_after = clock.now() + after;
        return key;
    }
    void passes(exec::milliseconds by) {
        clock.advance(by);
        client.on().run_ready();
        test::drain(client.on());
    }
    // The test's time goes on where nothing else happens. How much of it that took.
    exec::milliseconds finish(exec::milliseconds step) {
        const auto from = clock.now();
        while (!one->over() && clock.now() - from < 60s) {
            if (test::readable(client.on().poll_fd(), 20)) {
                client.on().run_ready();
            } else {
                passes(step);
            }
        }
        client.finish(*one);
        return std::chrono::duration_cast<exec::milliseconds>(clock.now() - from);
    }

    const test::openssh_server server{[] {
        auto options = test::quick();
        options.max_sessions = 1;
        return options;
    }()};
    const std::string word = test::sleep_word();
    exec::testing::manual_clock clock{};
    std::shared_ptr<scripted_login> login;
    ssh_client client;
    std::shared_ptr<exec::runner> on{};
    std::unique_ptr<flight> one{};
};

}  // namespace

TEST_CASE(
    "ssh stopping: MaxSessions 1 with an expired grant: the way for the kill is opened early, with its own grant") {
    on_the_only_channel host([](auto& of, auto to) { to(of.ends_in(30s)); });
    host.passes(55s - 1ms);
    CHECK(host.login->asked.size() == 1);
    CHECK(host.client.stats().draining == 1);
    host.passes(1ms);
    host.client.until([&] { return host.client.stats().ready == 1; });
    CHECK(host.login->asked == std::vector<unsigned>{1, 1});
    CHECK_FALSE(host.one->over());
    host.passes(5s);
    host.finish(20ms);
    CHECK(host.one->outcome().stopped_by == stop_reason::run_timeout);
    CHECK(host.one->outcome().exit == exit_status::signaled(SIGTERM));
    CHECK(host.one->outcome().tree == exec::tree_state::group_gone);
    CHECK(host.login->asked.size() == 2);
    CHECK(host.client.sees_end_of(host.word));
}

TEST_CASE("ssh stopping: MaxSessions 1 with an expired grant: without another one the answer is `unknown`, in time") {
    const test::scratch_directory place;
    const auto stranger = *exec::ssh::read_private_key(test::make_key(place.path()).file);
    std::vector<scripted_login::reply> kept;
    const std::pair<std::string, on_the_only_channel::answer> ways[] = {
        {"no grant", [](auto&, auto to) { to(exec::fail(errc::denied, "not today")); }},
        {"one that has ended", [](auto& of, auto to) { to(of.ends_in(0ms)); }},
        {"one that the server refuses", [&](auto&, auto to) { to(stranger); }},
        {"no answer", [&](auto&, auto to) { kept.push_back(std::move(to)); }},
    };
    for (const auto& each : ways) {
        CAPTURE(each.first);
        const test::process_guard nothing_left;
        on_the_only_channel host(each.second);
        host.passes(55s);
        host.client.until([&] { return host.login->asked.size() == 2; });
        host.passes(5s);
        const auto took = host.finish(500ms);
        const auto& how = host.one->outcome();
        CHECK(how.stopped_by == stop_reason::run_timeout);
        CHECK(how.how() == exec::ended::timed_out);
        CHECK(how.exit.what != exit_status::kind::exited);
        CHECK(how.tree == exec::tree_state::unknown);
        CHECK(how.out.bytes == "up\n");
        CHECK(took <= 30s);
        // Nobody knocks at the provider's door for each step of the ladder.
        CHECK(host.login->asked.size() == 2);
        kept.clear();
    }
}

// Start timeouts --------------------------------------------------------------------------------------------------------------

TEST_CASE("ssh stopping: a start that is too slow ends as one, whatever it was at, and nothing lives on") {
    const test::openssh_server server(test::quick());
    for (int ms = 1; ms < 120; ms += 3) {
        CAPTURE(ms);
        const test::process_guard nothing_left;
        ssh_client client;
        const auto on = client.runner_to(endpoint_of(server));
        const auto word = test::sleep_word();
        exec::limits within;
        within.start_timeout = exec::milliseconds(ms);
        within.run_timeout = 10ms;
        within.stop.grace = 0ms;
        const auto one = client.begin(*on, sh("sleep " + word), within);
        client.finish(*one);
        if (one->to.end->has_value()) {
            const auto why = one->outcome().stopped_by;
            CHECK((why == stop_reason::start_timeout || why == stop_reason::run_timeout));
            CHECK(one->outcome().exit.what != exit_status::kind::exited);
        } else {
            const auto& why = one->failure();
            CHECK((why.code == errc::start_timeout || why.code == std::errc::timed_out));
        }
        CHECK(client.sees_end_of(word));
    }
}
