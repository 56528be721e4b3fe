// Servers that never get as far as a login: a failure that names the step, as soon as it can be known, and nothing else.
#include <exec/ssh/pool.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "guards.h"
#include "posix/fd.h"
#include "servers/fault_proxy.h"
#include "servers/hostile_server.h"
#include "servers/loopback.h"
#include "ssh/counted.h"
#include "ssh/remote_host.h"

using namespace std::chrono_literals;
using exec::errc;
using exec::stage;
using test::counted_login;
using test::counted_trust;
using test::endpoint_of;
using test::fault_proxy;
using test::flight;
using test::hostile_server;
using test::manners;
using test::sh;
using test::ssh_client;

namespace {

exec::ssh::pool_options patient_for(exec::milliseconds handshake) {
    exec::ssh::pool_options options;
    options.handshake_timeout = handshake;
    return options;
}

// A client of a server that nobody can log in to.
struct stranger {
    explicit stranger(int port, exec::milliseconds handshake) : client(patient_for(handshake)) {
        runner = client.runner_to(test::endpoint_at(port, "root", login, trust));
    }
    exec::failure fails() { return client.failure_of(*runner, sh("true")); }

    std::shared_ptr<counted_login> login = std::make_shared<counted_login>(exec::ssh::credential::password("secret"));
    std::shared_ptr<counted_trust> trust = std::make_shared<counted_trust>(exec::ssh::accept_anything());
    ssh_client client;
    std::shared_ptr<exec::runner> runner{};
};

// Above the patience of a test: only the event itself can end it.
constexpr exec::milliseconds for_ever{60'000};
constexpr exec::milliseconds soon{300};

}  // namespace

// A stranger on the port ----------------------------------------------------------------------------------------------------

TEST_CASE("ssh session: a server that keeps a client waiting is left in time, and the step is named") {
    struct kind {
        std::string name;
        manners how;
        stage at;
    };
    const kind kinds[] = {
        {"silent", manners::silent, stage::banner},
        {"dripping", manners::dripping, stage::banner},
        {"endless lines", manners::endless_lines, stage::banner},
        {"half a key exchange", manners::half_kex, stage::key_exchange},
    };
    for (const auto& each : kinds) {
        CAPTURE(each.name);
        const test::process_guard nothing_left;
        hostile_server server(each.how);
        {
            stranger on(server.port(), soon);
            const auto why = on.fails();
            CHECK((why.code == std::errc::timed_out || each.how == manners::endless_lines));
            CHECK_MESSAGE(why.at == each.at, why.message());
            CHECK(on.client.stats().connects == 1);
            CHECK(on.client.stats().connect_failures == 1);
            CHECK(on.client.stats().connecting == 0);
            CHECK(on.trust->shown.empty());
            CHECK(on.login->asked.empty());
        }
    }
}

TEST_CASE("ssh session: a server that speaks something else is left as soon as it has, and the step is named") {
    struct kind {
        std::string name;
        manners how;
        stage at;
    };
    const kind kinds[] = {
        {"garbage", manners::garbage, stage::banner},
        {"a reset", manners::reset, stage::banner},
        {"the banner and the end", manners::banner_only, stage::key_exchange},
    };
    for (const auto& each : kinds) {
        CAPTURE(each.name);
        const test::process_guard nothing_left;
        hostile_server server(each.how);
        stranger on(server.port(), for_ever);
        exec::limits within;
        within.start_timeout = for_ever;
        const auto one = on.client.begin(*on.runner, sh("true"), within);
        on.client.finish(*one);
        const auto& why = one->failure();
        // A reset may come before anybody has seen that it was connected.
        if (each.how == manners::reset && why.at == stage::connect) {
            CHECK(why.code == std::errc::connection_reset);
        } else {
            CHECK(why.code == errc::connect_failed);
            CHECK_MESSAGE(why.at == each.at, why.message());
        }
        CHECK(why.message().size() < 4096);
        CHECK(on.trust->shown.empty());
        CHECK(on.login->asked.empty());
        CHECK(on.client.stats().connects == 1);
    }
}

TEST_CASE("ssh session: the context of a failure shows what a stranger said in safe letters only") {
    hostile_server server(manners::garbage);
    stranger on(server.port(), soon);
    const auto why = on.fails().message();
    for (const char byte : why) CHECK((static_cast<unsigned char>(byte) >= 0x20 && byte != 0x7f));
}

TEST_CASE("ssh session: the start budget of the only command ends a handshake before its own time") {
    hostile_server server(manners::silent);
    stranger on(server.port(), for_ever);
    exec::limits within;
    within.start_timeout = 200ms;
    const auto one = on.client.begin(*on.runner, sh("true"), within);
    on.client.finish(*one);
    CHECK((one->failure().code == errc::start_timeout || one->failure().code == std::errc::timed_out));
    // Nobody waits for it any more: it ends as well.
    on.client.until([&] { return on.client.stats().connecting == 0; });
}

TEST_CASE("ssh session: a stopped command does not wait for a handshake, and the next one may use it") {
    hostile_server server(manners::silent);
    stranger on(server.port(), 1'000ms);
    const auto one = on.client.begin(*on.runner, sh("true"));
    on.client.until([&] { return on.client.stats().connecting == 1; });
    one->handle.stop();
    on.client.finish(*one);
    CHECK(one->failure().code == errc::cancelled);
    CHECK(on.fails().at == stage::banner);
    CHECK(server.connections() <= 2);
}

// A line that breaks under a handshake ----------------------------------------------------------------------------------------

TEST_CASE("ssh session: a line that fails at any byte of the handshake is one failure in time, of a step of it") {
    const test::openssh_server server(test::quick());
    struct fault {
        std::string name;
        void (*happens)(fault_proxy&);
        bool is_told;  // to the client, by an event
    };
    const fault faults[] = {
        {"reset", [](fault_proxy& line) { line.reset(); }, true},
        {"black hole", [](fault_proxy& line) { line.black_hole(); }, false},
        {"stall", [](fault_proxy& line) { line.stall(); }, false},
    };
    for (const auto& each : faults) {
        CAPTURE(each.name);
        // By what the server has said: nothing, its banner, its KEXINIT, more, and the login.
        for (const std::size_t after : {0U, 20U, 500U, 1'700U, 2'300U}) {
            CAPTURE(after);
            const test::process_guard nothing_left;
            fault_proxy line(server.port());
            ssh_client client(patient_for(each.is_told ? for_ever : 500ms));
            const auto login = std::make_shared<counted_login>(*exec::ssh::read_private_key(server.client_key()));
            auto there = endpoint_of(server, line.port());
            there.login = login;
            const auto on = client.runner_to(there);
            // Slow enough that a byte can be waited for.
            line.rate(fault_proxy::direction::to_client, 20'000);
            const auto one = client.begin(*on, sh("echo said; exit 3"));
            client.until([&] {
                return one->over() ||
                       (line.connections() > 0 && line.bytes(fault_proxy::direction::to_client) >= after);
            });
            if (one->over()) continue;
            each.happens(line);
            if (client.stats().ready == 0 || !each.is_told) {
                client.until([&] { return one->over() || client.stats().ready == 1; });
            }
            if (!one->over()) continue;  // it was ready already: tests of running commands
            one->kept_its_promises();
            const auto& why = one->failure();
            CHECK((why.code == errc::connect_failed || why.code == std::errc::timed_out ||
                   why.code == std::errc::connection_reset || why.code == errc::auth_failed));
            CHECK_MESSAGE((why.at >= stage::connect && why.at <= stage::login), why.message());
        }
    }
}

TEST_CASE("ssh session: a port at which nobody listens is a failure of the connect") {
    const int port = test::free_port();
    stranger on(port, for_ever);
    const auto why = on.fails();
    CHECK(why.code == std::errc::connection_refused);
    CHECK(why.at == stage::connect);
}

TEST_CASE("ssh session: a server that has no algorithm in common is a failure of the key exchange") {
    auto options = test::quick();
    options.ciphers = "3des-cbc";
    const test::openssh_server server(options);
    ssh_client client(patient_for(for_ever));
    const auto on = client.runner_to(endpoint_of(server));
    const auto why = client.failure_of(*on, sh("true"));
    CHECK(why.code == errc::connect_failed);
    CHECK_MESSAGE(why.at == stage::key_exchange, why.message());
}

TEST_CASE("ssh session: logins that sshd drops at random because there are too many cost nobody his command") {
    auto options = test::quick();
    options.max_startups = "1:100:1";  // one connection that has not logged in; every other one is dropped
    const test::openssh_server server(options);
    exec::ssh::pool_options several;
    several.channels_per_session = 1;
    ssh_client client(several);
    const auto on = client.runner_to(endpoint_of(server));
    std::vector<std::unique_ptr<flight>> all;
    for (int i = 0; i < 8; ++i) all.push_back(client.begin(*on, sh("exit 3")));
    for (const auto& each : all) CHECK(client.finish(*each).outcome().exit == exec::exit_status::exited(3));
}
