// What a pool does with credentials: how often it asks for one, for how long it uses it, and what it does when it is denied.
#include <exec/ssh/pool.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <exec/testing/manual_clock.h>

#include "guards.h"
#include "servers/keys.h"
#include "ssh/counted.h"
#include "ssh/remote_host.h"

using namespace std::chrono_literals;
using exec::errc;
using exec::exit_status;
using exec::stage;
using exec::ssh::credential;
using exec::testing::manual_clock;
using test::counted_login;
using test::endpoint_of;
using test::flight;
using test::sh;
using test::ssh_client;

namespace {

credential key_of(const test::ssh_server& server) { return *exec::ssh::read_private_key(server.client_key()); }

exec::command patient_command() {
    auto what = sh("echo up; read line; exit 4");
    what.in = exec::input::streamed();
    return what;
}

exec::limits endless() {
    exec::limits within;
    within.run_timeout = exec::unlimited;
    return within;
}

// A server, and a way to log in there that counts.
struct logins {
    explicit logins(counted_login::answer_function give, exec::ssh::pool_options options = {},
                    const exec::time_source* clock = nullptr)
        : client(std::move(options), {.clock = clock}), login(std::make_shared<counted_login>(std::move(give))) {
        there = endpoint_of(server);
        there.login = login;
        runner = client.runner_to(there);
    }
    std::size_t accepted() const { return test::times(server.log(), "Accepted publickey"); }
    std::size_t failed() const { return test::times(server.log(), "Failed publickey"); }

    test::openssh_server server{test::quick()};
    ssh_client client;
    std::shared_ptr<counted_login> login;
    exec::ssh::endpoint there{};
    std::shared_ptr<exec::runner> runner{};
};

}  // namespace

// Denied ------------------------------------------------------------------------------------------------------------------

TEST_CASE("ssh login: a credential that is denied twice is the end, and the server sees two logins") {
    const test::process_guard nothing_left;
    const test::scratch_directory place;
    const auto stranger = *exec::ssh::read_private_key(test::make_key(place.path()).file);
    logins on([&](const exec::ssh::login_request&) { return stranger; });
    std::vector<std::unique_ptr<flight>> all;
    for (int i = 0; i < 8; ++i) all.push_back(on.client.begin(*on.runner, sh("true")));
    for (const auto& each : all) {
        CHECK(on.client.finish(*each).failure().code == errc::auth_failed);
        CHECK(each->failure().at == stage::login);
    }
    REQUIRE(on.login->asked.size() == 2);
    CHECK(on.login->asked[0].attempt == 1);
    CHECK(on.login->asked[1].attempt == 2);
    CHECK(on.login->asked[0].user == on.there.user);
    CHECK(on.login->asked[0].port == on.there.port);
    CHECK(on.failed() <= 2);
    CHECK(on.accepted() == 0);
    CHECK(on.client.stats().connects == 2);
    CHECK(on.client.stats().connect_failures == 2);
}

TEST_CASE("ssh login: a second credential is given a chance") {
    const test::scratch_directory place;
    const auto stranger = *exec::ssh::read_private_key(test::make_key(place.path()).file);
    std::optional<credential> good;
    logins on([&](const exec::ssh::login_request& who) { return who.attempt == 1 ? stranger : *good; });
    good = key_of(on.server);
    CHECK(on.client.outcome_of(*on.runner, sh("exit 3")).exit == exit_status::exited(3));
    REQUIRE(on.login->asked.size() == 2);
    CHECK(on.login->asked[1].attempt == 2);
    CHECK(on.client.stats().connects == 2);
}

TEST_CASE("ssh login: after the end, a later command begins with a first attempt again") {
    const test::scratch_directory place;
    const auto stranger = *exec::ssh::read_private_key(test::make_key(place.path()).file);
    std::optional<credential> good;
    logins on([&](const exec::ssh::login_request&) { return good ? *good : stranger; });
    CHECK(on.client.failure_of(*on.runner, sh("true")).code == errc::auth_failed);
    good = key_of(on.server);
    CHECK(on.client.outcome_of(*on.runner, sh("true")).ok());
    REQUIRE(on.login->asked.size() == 3);
    CHECK(on.login->asked[2].attempt == 1);
}

TEST_CASE("ssh login: the only credential that there is is tried once") {
    const test::scratch_directory place;
    const test::openssh_server server(test::quick());
    ssh_client client;
    auto there = endpoint_of(server);
    there.login = exec::ssh::always(*exec::ssh::read_private_key(test::make_key(place.path()).file));
    const auto on = client.runner_to(there);
    const auto why = client.failure_of(*on, sh("true"));
    CHECK(why.code == errc::auth_failed);
    CHECK(why.at == stage::login);
    CHECK(client.stats().connects == 1);
    CHECK(test::times(server.log(), "Failed publickey") <= 1);
}

TEST_CASE("ssh login: an account that the server does not have is a denied login") {
    const test::openssh_server server(test::quick());
    ssh_client client;
    auto there = endpoint_of(server);
    there.user = "nobody-of-that-name";
    const auto on = client.runner_to(there);
    const auto why = client.failure_of(*on, sh("true"));
    CHECK(why.code == errc::auth_failed);
    CHECK(why.at == stage::login);
    CHECK(client.stats().connects == 1);
}

TEST_CASE("ssh login: a server that hangs up instead of answering a login ends it at once") {
    auto server = test::quick();
    server.max_auth_tries = 1;
    const test::scratch_directory place;
    const auto stranger = *exec::ssh::read_private_key(test::make_key(place.path()).file);
    const test::openssh_server strict(server);
    exec::ssh::pool_options options;
    options.handshake_timeout = 15'000ms;  // below the patience of the test: only the event ends it
    ssh_client client(options);
    auto there = endpoint_of(strict);
    there.login = exec::ssh::always(stranger);
    const auto on = client.runner_to(there);
    const auto why = client.failure_of(*on, sh("true"));
    CHECK(why.at == stage::login);
    CHECK(why.code != std::errc::timed_out);
    CHECK(client.stats().connects <= 2);
}

// Minted ------------------------------------------------------------------------------------------------------------------

TEST_CASE("ssh login: a minted key is pushed once for a session, and once more if it is not seen at first") {
    for (const unsigned seen_at : {1U, 2U, 3U}) {
        CAPTURE(seen_at);
        test::openssh_server server(test::quick());
        std::vector<unsigned> attempts;
        std::vector<std::string> keys;
        ssh_client client;
        auto there = endpoint_of(server);
        there.login = exec::ssh::minted([&](const exec::ssh::grant& what, exec::reply<exec::milliseconds> answer) {
            attempts.push_back(what.who.attempt);
            keys.push_back(what.public_key);
            if (what.who.attempt >= seen_at) server.authorize(what.public_key);
            answer(60'000ms);
        });
        const auto on = client.runner_to(there);
        const auto one = client.begin(*on, sh("exit 3"));
        client.finish(*one);
        if (seen_at == 3) {
            CHECK(one->failure().code == errc::auth_failed);
        } else {
            CHECK(one->outcome().exit == exit_status::exited(3));
        }
        CHECK(attempts == (seen_at == 1 ? std::vector<unsigned>{1} : std::vector<unsigned>{1, 2}));
        if (keys.size() == 2) CHECK(keys[0] != keys[1]);
        if (seen_at == 3) continue;
        for (int i = 0; i < 5; ++i) CHECK(client.outcome_of(*on, sh("true")).ok());
        CHECK(attempts.size() == seen_at);
    }
}

TEST_CASE("ssh login: a grant that is shorter than the margin makes no loop of logins") {
    test::openssh_server server(test::quick());
    int pushed = 0;
    ssh_client client;
    auto there = endpoint_of(server);
    there.login = exec::ssh::minted([&](const exec::ssh::grant& what, exec::reply<exec::milliseconds> answer) {
        ++pushed;
        server.authorize(what.public_key);
        answer(3'000ms);  // pool_options::credential_margin is five seconds
    });
    const auto on = client.runner_to(there);
    exec::limits within;
    within.start_timeout = 2'000ms;
    const auto one = client.begin(*on, sh("exit 3"), within);
    client.finish(*one);
    CHECK(pushed <= 2);
    // The login was made for this command and succeeded before the grant ended.
    REQUIRE(one->to.end.has_value());
    CHECK((one->to.end->has_value() || one->failure().code != errc::start_timeout));
}

// For as long as it is good --------------------------------------------------------------------------------------------------

TEST_CASE("ssh login: no command is begun on a session whose credential is about to end, and one that runs goes on") {
    manual_clock clock;
    exec::ssh::pool_options options;
    options.keepalive = std::chrono::hours(24);
    options.idle_timeout = std::chrono::hours(24);
    std::optional<credential> key;
    logins on(
        [&](const exec::ssh::login_request&) {
            auto given = *key;
            given.not_after = clock.now() + 60s;
            return given;
        },
        options, &clock);
    key = key_of(on.server);
    const auto one = on.client.begin(*on.runner, patient_command(), endless());
    on.client.until([&] { return one->to.out == "up\n"; });
    clock.advance(55s - 1ms);
    CHECK(on.client.outcome_of(*on.runner, sh("true")).ok());
    CHECK(on.login->asked.size() == 1);
    clock.advance(1ms);  // the margin
    CHECK(on.client.outcome_of(*on.runner, sh("true")).ok());
    CHECK(on.login->asked.size() == 2);
    CHECK(on.login->asked[1].attempt == 1);
    CHECK(on.client.stats().connects == 2);
    clock.advance(1h);
    on.client.on().run_ready();
    CHECK_FALSE(one->over());
    one->handle.close_in();
    CHECK(on.client.finish(*one).outcome().exit == exit_status::exited(4));
    test::drain(on.client.on());
    const auto now = on.client.stats();
    CHECK(now.ready + now.draining + now.suspect == 0);
    CHECK(now.lost_sessions == 0);
}

TEST_CASE("ssh login: a grant that covers only the login leaves the session in use") {
    manual_clock clock;
    exec::ssh::pool_options options;
    options.keepalive = std::chrono::hours(24);
    options.idle_timeout = std::chrono::hours(24);
    options.reuse_past_credential = true;
    std::optional<credential> key;
    logins on(
        [&](const exec::ssh::login_request&) {
            auto given = *key;
            given.not_after = clock.now() + 60s;
            return given;
        },
        options, &clock);
    key = key_of(on.server);
    CHECK(on.client.outcome_of(*on.runner, sh("true")).ok());
    clock.advance(10min);
    CHECK(on.client.outcome_of(*on.runner, sh("true")).ok());
    CHECK(on.login->asked.size() == 1);
}

TEST_CASE("ssh login: a credential that has ended when it comes is not used") {
    manual_clock clock;
    std::optional<credential> key;
    logins on(
        [&](const exec::ssh::login_request&) {
            auto given = *key;
            given.not_after = clock.now();
            return given;
        },
        {}, &clock);
    key = key_of(on.server);
    const auto one = on.client.begin(*on.runner, sh("true"));
    for (int turns = 0; !one->over() && turns < 20; ++turns) {
        clock.advance(500ms);
        on.client.on().run_ready();
        if (test::readable(on.client.on().poll_fd(), 500)) test::drain(on.client.on());
    }
    on.client.finish(*one);
    CHECK(one->failure().code == errc::auth_failed);
    CHECK(on.login->asked.size() <= 2);
    CHECK(on.accepted() == 0);
}

// Providers that misbehave -----------------------------------------------------------------------------------------------

TEST_CASE("ssh login: what a provider fails with is told, at the stage of the grant, and no login is tried") {
    logins on([](const exec::ssh::login_request&) -> exec::result<credential> {
        return exec::fail(errc::denied, "not today");
    });
    const auto why = on.client.failure_of(*on.runner, sh("true"));
    CHECK(why.code == errc::denied);
    CHECK(why.at == stage::grant);
    CHECK(why.context == "not today");
    CHECK(on.login->asked.size() == 1);
    CHECK(on.accepted() + on.failed() == 0);
}

namespace {

// Keeps its replies.
class slow_login final : public exec::ssh::provider {
   public:
    void obtain(const exec::ssh::login_request&, exec::reply<credential> answer) override {
        kept.push_back(std::move(answer));
    }
    std::vector<exec::reply<credential>> kept{};
};

}  // namespace

TEST_CASE("ssh login: a provider that forgets its answer is a failure of the grant") {
    const test::openssh_server server(test::quick());
    ssh_client client;
    const auto login = std::make_shared<slow_login>();
    auto there = endpoint_of(server);
    there.login = login;
    const auto on = client.runner_to(there);
    const auto one = client.begin(*on, sh("true"));
    client.until([&] { return !login->kept.empty(); });
    login->kept.clear();
    client.finish(*one);
    CHECK(one->failure().code == errc::broken_reply);
    CHECK(one->failure().at == stage::grant);
}

TEST_CASE(
    "ssh login: a provider that takes too long is told by the name of its stage, and its late answer harms nobody") {
    const test::process_guard nothing_left;
    const test::openssh_server server(test::quick());
    exec::ssh::pool_options options;
    options.handshake_timeout = 1'500ms;
    ssh_client client(options);
    const auto login = std::make_shared<slow_login>();
    auto there = endpoint_of(server);
    there.login = login;
    const auto on = client.runner_to(there);
    const auto one = client.begin(*on, sh("true"));
    client.finish(*one);
    CHECK(one->failure().code == std::errc::timed_out);
    CHECK(one->failure().at == stage::grant);
    REQUIRE(login->kept.size() == 1);
    login->kept[0](key_of(server));
    test::drain(client.on());
    CHECK(client.stats().connecting + client.stats().ready == 0);
    CHECK(test::times(server.log(), "Accepted publickey") == 0);
}

TEST_CASE("ssh login: an answer that comes after the pool has ended is dropped") {
    const test::process_guard nothing_left;
    const test::openssh_server server(test::quick());
    const auto login = std::make_shared<slow_login>();
    {
        ssh_client client;
        auto there = endpoint_of(server);
        there.login = login;
        const auto on = client.runner_to(there);
        const auto one = client.begin(*on, sh("true"));
        client.until([&] { return !login->kept.empty(); });
        client.end_pool();
        CHECK(one->failure().code == errc::shutting_down);
        login->kept[0](key_of(server));
        test::drain(client.on());
    }
    login->kept.clear();
}

TEST_CASE("ssh login: a server that goes away while the provider thinks is noticed at once") {
    test::openssh_server server(test::quick());
    ssh_client client;
    const auto login = std::make_shared<slow_login>();
    auto there = endpoint_of(server);
    there.login = login;
    const auto on = client.runner_to(there);
    const auto one = client.begin(*on, sh("true"));
    client.until([&] { return !login->kept.empty(); });
    server.kill_connections(9);
    // Far below the budgets of the handshake and of the start: only the event can end it.
    client.finish(*one);
    CHECK(one->failure().code == errc::connect_failed);
    CHECK(one->failure().at == stage::grant);
}
