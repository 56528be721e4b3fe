// How much a server may send ahead of its reader.
#include <chrono>
#include <memory>
#include <string>

#include <doctest/doctest.h>

#include "remote_host.h"
#include "servers/fault_proxy.h"

using namespace std::chrono_literals;
using test::fault_proxy;
using test::remote_host;
using test::sh;

namespace {

constexpr std::size_t much = 24 * exec::MiB;

// How many round trips that much output takes on a long way, apart from those of a connection that is there.
std::size_t round_trips(std::size_t windows) {
    exec::ssh::pool_options options;
    options.windows = windows;
    remote_host host(test::quick(), std::move(options));
    fault_proxy line(host.server().port());
    const auto on = host.client().runner_to(host.at(line.port()));
    // The questions of the reader are late, and not what is read: the line holds only so much itself.
    line.delay(fault_proxy::direction::to_server, 60ms);
    CHECK(host.client().outcome_of(*on, sh("true")).ok());
    const auto before = line.round_trips();
    const auto how = host.client().outcome_of(*on, sh("exec head -c " + std::to_string(much) + " /dev/zero"));
    CHECK(how.ok());
    CHECK(how.out.total == much);
    return line.round_trips() - before;
}

}  // namespace

TEST_CASE("ssh window: on a long way it grows, and bulk output takes less than half of the round trips") {
    const auto fixed = round_trips(0);
    const auto growing = round_trips(exec::ssh::pool_options{}.windows);
    CAPTURE(fixed);
    CAPTURE(growing);
    CHECK(fixed >= much / 1'280'000);
    CHECK(growing * 2 < fixed);
}

TEST_CASE("ssh window: one that has grown holds what it holds for an observer who pauses, and loses nothing") {
    remote_host host;
    fault_proxy line(host.server().port());
    const auto on = host.client().runner_to(host.at(line.port()));
    line.delay(fault_proxy::direction::to_server, 60ms);
    exec::limits within;
    within.out.kept = exec::keep::nothing;
    const auto one = host.client().begin(*on, sh("exec head -c " + std::to_string(much) + " /dev/zero"), within);
    std::uint64_t calls = 0;
    one->to.on_output = [&](exec::stream, exec::bytes_view) {
        return ++calls % 500 == 0 ? exec::flow::pause : exec::flow::more;
    };
    std::size_t resumed = 0;
    host.client().until([&] {
        if (calls / 500 > resumed) {
            resumed = calls / 500;
            one->handle.resume();
        }
        return one->over();
    });
    CHECK(one->outcome().ok());
    CHECK(one->to.out.size() == much);
    CHECK(resumed > 0);
}
