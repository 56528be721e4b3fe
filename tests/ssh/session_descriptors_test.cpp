// The sockets of sessions are nobody else's: no child of this host inherits one, and none is left open.
#include <exec/ssh/pool.h>

#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <unistd.h>

#include <exec/local_runner.h>

#include "guards.h"
#include "servers/hostile_server.h"
#include "ssh/remote_host.h"

using test::flight;
using test::remote_host;
using test::sh;

namespace {

// What a child of this host has open.
std::string descriptors_of_a_child(test::ssh_client& client) {
    const auto here = test::new_runner(client.on());
    return client.outcome_of(*here, test::words({"/bin/ls", "-l", "/proc/self/fd"})).out.bytes;
}

}  // namespace

TEST_CASE("ssh descriptors: a local child started at any step of a session inherits none of it") {
    const test::process_guard nothing_left;
    remote_host host;
    const test::hostile_server silent(test::manners::silent);
    const auto waiting = host.client().runner_to(test::endpoint_at(
        silent.port(), "root", exec::ssh::always(exec::ssh::credential::password("x")), exec::ssh::accept_anything()));
    const auto connecting = host.client().begin(*waiting, sh("true"));
    const auto running = host.begin(sh("while :; do echo flood; done"));
    for (int step = 0; step < 60; ++step) {
        CAPTURE(step);
        const auto list = descriptors_of_a_child(host.client());
        CHECK_MESSAGE(list.find("socket:") == std::string::npos, list);
        CHECK_MESSAGE(list.find("eventpoll") == std::string::npos, list);
    }
    CHECK(running->to.out.size() > 0);
    CHECK_FALSE(connecting->over());
}

TEST_CASE("ssh descriptors: a hundred sessions that fail in every way leave none open") {
    const test::process_guard nothing_left;
    for (const auto how : {test::manners::reset, test::manners::garbage, test::manners::banner_only}) {
        const test::hostile_server server(how);
        test::ssh_client client;
        const auto on = client.runner_to(test::endpoint_at(server.port(), "root",
                                                           exec::ssh::always(exec::ssh::credential::password("x")),
                                                           exec::ssh::accept_anything()));
        const auto before = test::host_state::now();
        for (int i = 0; i < 33; ++i) static_cast<void>(client.failure_of(*on, sh("true")));
        // The server is a thread of this program, and closes its ends when it has seen ours.
        auto changes = test::host_state::now().changes_since(before);
        for (int times = 0; times < 5000 && !changes.empty(); ++times) {
            ::usleep(1000);
            changes = test::host_state::now().changes_since(before);
        }
        for (const auto& change : changes) FAIL_CHECK(change);
        CHECK(client.stats().connects == 33);
    }
}
