// Which session a command gets, how many there are of them, and who waits.
#include <exec/ssh/pool.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "file_text.h"
#include "guards.h"
#include "servers/dropbear_server.h"
#include "servers/fault_proxy.h"
#include "servers/hostile_server.h"
#include "servers/tinyssh_server.h"
#include "ssh/counted.h"
#include "ssh/remote_host.h"

using namespace std::chrono_literals;
using exec::errc;
using exec::exit_status;
using exec::stage;
using test::endpoint_of;
using test::flight;
using test::remote_host;
using test::sh;
using test::ssh_client;

namespace {

// Of 30 commands at once, each leaves one line in a file and ends in its own way.
void run_many(ssh_client& client, exec::runner& on) {
    const test::scratch_directory place;
    std::vector<std::unique_ptr<flight>> many;
    for (int i = 0; i < 30; ++i) {
        const auto number = std::to_string(i);
        many.push_back(client.begin(on, sh("echo ran >>" + place / number + "; echo " + number + "; exit " + number)));
    }
    for (int i = 0; i < 30; ++i) {
        CAPTURE(i);
        auto& one = client.finish(*many[static_cast<std::size_t>(i)]);
        REQUIRE(one.to.end->has_value());
        CHECK(one.outcome().exit == exit_status::exited(i));
        CHECK(one.to.out == std::to_string(i) + "\n");
        CHECK(test::file_text(place / std::to_string(i)) == "ran\n");
    }
    CHECK(client.stats().commands == 30);
    CHECK(client.stats().waiting == 0);
}

std::string quick_shell() { return test::quick().login_shell; }

exec::ssh::pool_options with(std::size_t sessions, std::size_t channels) {
    exec::ssh::pool_options options;
    options.sessions_per_target = sessions;
    options.channels_per_session = channels;
    return options;
}

// Says "up", and ends when it may.
exec::command patient_command() {
    auto what = sh("echo up; read line; exit 4");
    what.in = exec::input::streamed();
    return what;
}
std::size_t up(const std::vector<std::unique_ptr<flight>>& all) {
    return static_cast<std::size_t>(
        std::count_if(all.begin(), all.end(), [](const auto& one) { return one->to.out == "up\n" && !one->over(); }));
}

}  // namespace

// Whatever a server allows ------------------------------------------------------------------------------------------------

TEST_CASE("ssh pool: however few channels a server allows, every command runs once and ends well") {
    for (const int allowed : {1, 2, 3, 10}) {
        CAPTURE(allowed);
        auto server = test::quick();
        server.max_sessions = allowed;
        remote_host host(server);
        run_many(host.client(), host.runner());
        CHECK(host.stats().lost_sessions == 0);
        CHECK(host.stats().connects <= 4);
    }
}

TEST_CASE("ssh pool: a share that is far above what the server allows is only slower") {
    auto server = test::quick();
    server.max_sessions = 2;
    remote_host host(server, with(1, 20));
    run_many(host.client(), host.runner());
    CHECK(host.stats().connects == 1);
    CHECK(host.stats().lost_sessions == 0);
}

TEST_CASE("ssh pool: a server that gives one channel a connection serves thirty commands") {
    const test::tinyssh_server server(quick_shell());
    ssh_client client;
    const auto on = client.runner_to(endpoint_of(server));
    run_many(client, *on);
}

// Dropbear 2022.83 sometimes aborts on an assertion when many channels of a connection end together.
TEST_CASE("ssh pool: a server that may die under many commands is told truly, command by command") {
    const test::scratch_directory place;
    test::dropbear_options options;
    options.login_shell = quick_shell();
    const test::dropbear_server server(options);
    ssh_client client;
    const auto on = client.runner_to(endpoint_of(server));
    std::vector<std::unique_ptr<flight>> many;
    for (int i = 0; i < 60; ++i) {
        const auto number = std::to_string(i);
        many.push_back(client.begin(*on, sh("echo ran >>" + place / number + "; echo " + number + "; exit 3")));
    }
    for (int i = 0; i < 60; ++i) {
        CAPTURE(i);
        const auto& one = client.finish(*many[static_cast<std::size_t>(i)]);
        const auto runs = test::file_text(place / std::to_string(i));
        CHECK((runs.empty() || runs == "ran\n"));
        if (!one.to.end->has_value()) {
            CHECK_MESSAGE(runs.empty(), one.failure().message());
            CHECK_MESSAGE(one.failure().at == stage::request, one.failure().message());
        } else if (one.outcome().how() == exec::ended::exited) {
            CHECK(one.outcome().exit == exit_status::exited(3));
            CHECK(one.to.out == std::to_string(i) + "\n");
        } else {
            CHECK(one.outcome().how() == exec::ended::lost);
        }
    }
    CHECK(client.stats().waiting == 0);
}

// Bounds ------------------------------------------------------------------------------------------------------------------

TEST_CASE(
    "ssh pool: no more sessions and channels than it may have, and whoever waits comes in the order of the calls") {
    remote_host host(test::quick(), with(2, 2));
    std::vector<std::unique_ptr<flight>> all;
    for (int i = 0; i < 7; ++i) all.push_back(host.begin(patient_command()));
    host.client().until([&] { return up(all) == 4; });
    CHECK(host.stats().connects == 2);
    CHECK(host.stats().waiting == 3);
    for (std::size_t i = 0; i < 4; ++i) CHECK(all[i]->to.out == "up\n");
    // One place for each that ends.
    for (std::size_t i = 0; i < 3; ++i) {
        all[i]->handle.close_in();
        host.client().finish(*all[i]);
        CHECK(all[i]->outcome().exit == exit_status::exited(4));
        host.client().until([&] { return all[4 + i]->to.out == "up\n"; });
        CHECK(host.stats().waiting == 2 - i);
    }
    CHECK(host.stats().connects == 2);
    for (std::size_t i = 3; i < 7; ++i) {
        all[i]->handle.close_in();
        CHECK(host.client().finish(*all[i]).outcome().exit == exit_status::exited(4));
    }
}

TEST_CASE("ssh pool: one more than may wait is told so at once, and nobody else is harmed") {
    auto options = with(1, 1);
    options.waiting_per_target = 2;
    remote_host host(test::quick(), options);
    const auto first = host.begin(patient_command());
    host.client().until([&] { return first->to.out == "up\n"; });
    const auto second = host.begin(sh("exit 1"));
    const auto third = host.begin(sh("exit 2"));
    const auto fourth = host.begin(sh("exit 3"));
    host.client().finish(*fourth);
    CHECK(fourth->failure().code == errc::too_busy);
    CHECK(fourth->failure().at == stage::queue);
    first->handle.close_in();
    CHECK(host.client().finish(*first).outcome().exit == exit_status::exited(4));
    CHECK(host.client().finish(*second).outcome().exit == exit_status::exited(1));
    CHECK(host.client().finish(*third).outcome().exit == exit_status::exited(2));
}

TEST_CASE("ssh pool: the start budget counts in the queue, and what waited for too long never runs") {
    const test::scratch_directory place;
    remote_host host(test::quick(), with(1, 1));
    const auto first = host.begin(patient_command());
    host.client().until([&] { return first->to.out == "up\n"; });
    exec::limits within;
    within.start_timeout = 100ms;
    const auto second = host.begin(sh("touch " + place / "ran"), within);
    host.client().finish(*second);
    CHECK(second->failure().code == errc::start_timeout);
    CHECK(host.stats().waiting == 0);
    first->handle.close_in();
    host.client().finish(*first);
    CHECK(host.outcome_of(sh("true")).ok());
    CHECK_FALSE(test::exists(place / "ran"));
    CHECK(host.stats().commands == 2);
}

TEST_CASE("ssh pool: a deadline counts in the queue, under its own name or as the start that it did not reach") {
    remote_host host(test::quick(), with(1, 1));
    const auto first = host.begin(patient_command());
    host.client().until([&] { return first->to.out == "up\n"; });
    exec::limits within;
    within.deadline = host.on().now() + 100ms;
    const auto second = host.begin(sh("true"), within);
    host.client().finish(*second);
    CHECK(second->failure().code == errc::start_timeout);
}

TEST_CASE("ssh pool: a command that is stopped in the queue is cancelled, and its place is free") {
    remote_host host(test::quick(), with(1, 1));
    const auto first = host.begin(patient_command());
    host.client().until([&] { return first->to.out == "up\n"; });
    const auto second = host.begin(sh("exit 1"));
    auto third = host.begin(sh("exit 2"));
    const auto fourth = host.begin(sh("exit 3"));
    host.client().until([&] { return host.stats().waiting == 3; });
    second->handle.stop();
    third->handle = {};  // dropped: nobody is told
    host.client().finish(*second);
    CHECK(second->failure().code == errc::cancelled);
    host.client().until([&] { return host.stats().waiting == 1; });
    CHECK_FALSE(third->to.end.has_value());
    first->handle.close_in();
    CHECK(host.client().finish(*fourth).outcome().exit == exit_status::exited(3));
    CHECK(host.stats().commands == 2);
}

TEST_CASE("ssh pool: only one connection is tried at first, however many commands wait for it") {
    const test::hostile_server silent(test::manners::silent);
    exec::ssh::pool_options options;
    options.handshake_timeout = 300ms;
    ssh_client client(options);
    const auto login = std::make_shared<test::counted_login>(exec::ssh::credential::password("x"));
    const auto on = client.runner_to(test::endpoint_at(silent.port(), "root", login, exec::ssh::accept_anything()));
    std::vector<std::unique_ptr<flight>> all;
    for (int i = 0; i < 20; ++i) all.push_back(client.begin(*on, sh("true")));
    for (const auto& each : all) {
        CHECK(client.finish(*each).failure().at == stage::banner);
    }
    // What one connection was told, they were all told.
    CHECK(silent.connections() == 1);
    CHECK(client.stats().connects == 1);
    CHECK(client.stats().connect_failures == 1);
    CHECK(login->asked.empty());
}

TEST_CASE("ssh pool: under the bound of all targets an unused session makes place") {
    auto options = with(4, 5);
    options.sessions = 1;
    ssh_client client(options);
    const test::openssh_server one(test::quick());
    const test::openssh_server other(test::quick());
    const auto to_one = client.runner_to(endpoint_of(one));
    const auto to_other = client.runner_to(endpoint_of(other));
    CHECK(client.outcome_of(*to_one, sh("exit 1")).exit == exit_status::exited(1));
    CHECK(client.outcome_of(*to_other, sh("exit 2")).exit == exit_status::exited(2));
    CHECK(client.outcome_of(*to_one, sh("exit 3")).exit == exit_status::exited(3));
    CHECK(client.stats().connects == 3);
    CHECK(client.stats().lost_sessions == 0);
}

TEST_CASE("ssh pool: under the bound of all targets a command waits until another target's session is unused") {
    auto options = with(4, 5);
    options.sessions = 1;
    ssh_client client(options);
    const test::openssh_server one(test::quick());
    const test::openssh_server other(test::quick());
    const auto to_one = client.runner_to(endpoint_of(one));
    const auto to_other = client.runner_to(endpoint_of(other));
    const auto first = client.begin(*to_one, patient_command());
    client.until([&] { return first->to.out == "up\n"; });
    const auto second = client.begin(*to_other, sh("exit 2"));
    client.until([&] { return client.stats().waiting == 1; });
    first->handle.close_in();
    CHECK(client.finish(*first).outcome().exit == exit_status::exited(4));
    // Its start budget is far below the time after which an unused session is closed.
    CHECK(client.finish(*second).outcome().exit == exit_status::exited(2));
}

// A way that fails while there is another session ---------------------------------------------------------------------------

TEST_CASE("ssh pool: connections that are refused while the only session is full are not tried in a tight loop") {
    const test::openssh_server server(test::quick());
    test::fault_proxy line(server.port());
    ssh_client client(with(4, 1));
    const auto on = client.runner_to(endpoint_of(server, line.port()));
    const auto first = client.begin(*on, patient_command());
    client.until([&] { return first->to.out == "up\n"; });
    line.refuse();
    exec::limits within;
    within.start_timeout = 1'000ms;
    const auto second = client.begin(*on, sh("exit 5"), within);
    client.finish(*second);
    CHECK_FALSE(second->to.end->has_value());
    // A loop without a rest makes hundreds in that second.
    CHECK(client.stats().connects <= 20);
    CHECK_FALSE(first->over());
}

TEST_CASE("ssh pool: logins that are denied while the only session is full are not tried in a tight loop") {
    test::openssh_server server(test::quick());
    ssh_client client(with(4, 1));
    const auto key = *exec::ssh::read_private_key(server.client_key());
    const auto login = std::make_shared<test::counted_login>(key);
    auto there = endpoint_of(server);
    there.login = login;
    const auto on = client.runner_to(there);
    const auto first = client.begin(*on, patient_command());
    client.until([&] { return first->to.out == "up\n"; });
    server.revoke_all();
    exec::limits within;
    within.start_timeout = 6'000ms;
    const auto second = client.begin(*on, sh("exit 5"), within);
    client.finish(*second);
    CHECK_FALSE(second->to.end->has_value());
    // The one that came through, the one that was denied, and the second try of that; a few more are no attack.
    CHECK(login->asked.size() <= 5);
    CHECK_FALSE(first->over());
}

TEST_CASE("ssh pool: a command that waits behind a full session runs there, although no second one can be had") {
    const test::openssh_server server(test::quick());
    test::fault_proxy line(server.port());
    ssh_client client(with(4, 1));
    const auto on = client.runner_to(endpoint_of(server, line.port()));
    const auto first = client.begin(*on, patient_command());
    client.until([&] { return first->to.out == "up\n"; });
    line.refuse();
    const auto second = client.begin(*on, sh("exit 5"));
    client.until([&] { return client.stats().connect_failures > 0 || second->over(); });
    REQUIRE_FALSE(second->over());
    first->handle.close_in();
    CHECK(client.finish(*first).outcome().exit == exit_status::exited(4));
    CHECK(client.finish(*second).outcome().exit == exit_status::exited(5));
}

TEST_CASE("ssh pool: after a failed connection the next command tries anew") {
    const test::openssh_server server(test::quick());
    test::fault_proxy line(server.port());
    ssh_client client;
    const auto on = client.runner_to(endpoint_of(server, line.port()));
    line.refuse();
    const auto why = client.failure_of(*on, sh("true"));
    CHECK(why.at == stage::connect);
    CHECK(why.code == std::errc::connection_refused);
    line.accept_again();
    CHECK(client.outcome_of(*on, sh("true")).ok());
    CHECK(client.stats().connect_failures == 1);
    CHECK(client.stats().connects == 2);
}

// What is the same target -------------------------------------------------------------------------------------------------

TEST_CASE("ssh pool: the same objects share a session, everything else does not") {
    const test::openssh_server server(test::quick());
    const auto first = endpoint_of(server);
    struct difference {
        std::string name;
        std::function<void(exec::ssh::endpoint&)> is;
        std::uint64_t connects;
    };
    const difference table[] = {
        {"nothing", [](exec::ssh::endpoint&) {}, 1},
        {"scope", [](exec::ssh::endpoint& to) { to.scope = "other tenant"; }, 2},
        {"provider", [&](exec::ssh::endpoint& to) { to.login = endpoint_of(server).login; }, 2},
        {"trust", [&](exec::ssh::endpoint& to) { to.trust = endpoint_of(server).trust; }, 2},
        {"machine",
         [&](exec::ssh::endpoint& to) {
             to.machine = "m";
             to.trust = exec::ssh::accept_anything();
         },
         2},
    };
    for (const auto& each : table) {
        CAPTURE(each.name);
        ssh_client client;
        auto second = first;
        each.is(second);
        const auto one = client.runner_to(first);
        const auto other = client.runner_to(second);
        const auto waits = client.begin(*one, patient_command());
        client.until([&] { return waits->to.out == "up\n"; });
        CHECK(client.outcome_of(*other, sh("true")).ok());
        CHECK(client.stats().connects == each.connects);
    }
}
