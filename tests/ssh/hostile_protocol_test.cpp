// A server that logs everybody in and then breaks the protocol's word or spirit: one truthful end for each command, in time.
#include <exec/ssh/runner.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "guards.h"
#include "living.h"
#include "servers/keys.h"
#include "servers/scripted_server.h"
#include "ssh/remote_host.h"

using namespace std::chrono_literals;
using exec::errc;
using exec::exit_status;
using exec::stage;
using exec::stop_reason;
using test::flight;
using test::scripted_channel;
using test::scripted_server;
using test::server_script;
using answer = test::server_script::answer;

namespace {

// A runner that sends bare lines: there is no shell to answer the wrapper.
struct scripted_host {
    explicit scripted_host(server_script script, exec::ssh::pool_options options = {})
        : server(std::move(script)), client(std::move(options)) {
        const test::scratch_directory place;
        const auto key = *exec::ssh::read_private_key(test::make_key(place.path()).file);
        there = test::endpoint_at(server.port(), "anybody", exec::ssh::always(key), exec::ssh::accept_anything());
        exec::ssh::runner_options bare;
        bare.with = exec::ssh::wrapper::off;
        runner = client.runner_to(there, bare);
    }
    std::unique_ptr<flight> begin(exec::limits within = {}) {
        return client.begin(*runner, test::words({"/bin/command"}), within);
    }
    std::unique_ptr<flight> ended(exec::limits within = {}) {
        auto one = begin(within);
        client.finish(*one);
        return one;
    }

    scripted_server server;
    test::ssh_client client;
    exec::ssh::endpoint there{};
    std::shared_ptr<exec::runner> runner{};
};

// Each command is told about once, and the next one runs on the same session.
std::unique_ptr<flight> after(std::function<void(scripted_channel&)> acts, exec::limits within = {}) {
    bool first = true;
    server_script script;
    script.acts = [&](scripted_channel& on, const std::string&) {
        if (std::exchange(first, false)) return acts(on);
        on.out("usable\n");
        on.status(5);
        on.close();
    };
    const test::process_guard nothing_left;
    scripted_host host(script);
    auto one = host.ended(within);
    const auto next = host.ended();
    CHECK(next->outcome().exit == exit_status::exited(5));
    CHECK(next->to.out == "usable\n");
    CHECK(host.client.stats().connects == 1);
    CHECK(host.client.stats().lost_sessions == 0);
    one->handle = {};
    return one;
}

}  // namespace

TEST_CASE("ssh protocol: a command that ends as it should is what all the others are compared with") {
    const auto one = after([](scripted_channel& on) {
        on.out("out");
        on.err("err");
        on.status(3);
        on.close();
    });
    CHECK(one->outcome().exit == exit_status::exited(3));
    CHECK(one->to.out == "out");
    CHECK(one->to.err == "err");
    CHECK(one->outcome().out.complete);
}

TEST_CASE("ssh protocol: a channel that closes without a status is no success") {
    const auto one = after([](scripted_channel& on) {
        on.out("out");
        on.close();
    });
    CHECK(one->outcome().how() == exec::ended::lost);
    CHECK(one->outcome().exit.what == exit_status::kind::unknown);
    CHECK_FALSE(one->outcome().ok());
    CHECK(one->to.out == "out");
}

TEST_CASE("ssh protocol: of two statuses one counts, and it is told once") {
    const auto one = after([](scripted_channel& on) {
        on.status(3);
        on.status(0);
        on.close();
    });
    CHECK(one->outcome().how() == exec::ended::exited);
    CHECK_FALSE(one->outcome().ok());
}

TEST_CASE("ssh protocol: a status that comes after the close is too late or the truth, and ends nothing twice") {
    const auto one = after([](scripted_channel& on) {
        on.out("out");
        on.close();
        on.status(3);
    });
    const auto& how = one->outcome();
    CHECK((how.exit == exit_status::exited(3) || how.how() == exec::ended::lost));
    CHECK(one->to.out == "out");
}

TEST_CASE("ssh protocol: a status is enough: an end of output that never comes is not waited for beyond the drain") {
    exec::limits within;
    within.drain_idle = 50ms;
    within.drain_max = 200ms;
    const auto one = after(
        [](scripted_channel& on) {
            on.out("out");
            on.status(3);
        },
        within);
    CHECK(one->outcome().exit == exit_status::exited(3));
    CHECK(one->to.out == "out");
    CHECK_FALSE(one->outcome().out.complete);
}

TEST_CASE("ssh protocol: an end of output is no end: the timeout comes, and the answer soon after it") {
    exec::limits within;
    within.run_timeout = 100ms;
    within.stop.grace = 100ms;
    const auto one = after(
        [](scripted_channel& on) {
            on.out("out");
            on.eof();
        },
        within);
    CHECK(one->outcome().stopped_by == stop_reason::run_timeout);
    CHECK(one->outcome().exit.what == exit_status::kind::unknown);
    CHECK(one->to.out == "out");
}

TEST_CASE("ssh protocol: signals of every name are signals, and never a success") {
    struct name {
        std::string said;
        int number;
    };
    const name names[] = {{"KILL", 9},     {"TERM", 15},
                          {"USR1", 10},    {"SIGKILL", 0},
                          {"kill", 0},     {"NONSENSE@example.org", 0},
                          {"", 0},         {std::string(5'000, 'A'), 0},
                          {"\x1b[2J\n", 0}};
    for (const auto& each : names) {
        CAPTURE(each.said.substr(0, 40));
        const auto one = after([&](scripted_channel& on) {
            on.out("out");
            on.signal(each.said, true, "message");
            on.close();
        });
        CHECK(one->outcome().exit.what == exit_status::kind::signaled);
        CHECK(one->outcome().how() == exec::ended::signaled);
        CHECK_FALSE(one->outcome().ok());
        if (each.number != 0) CHECK(one->outcome().exit.number == each.number);
        CHECK(one->outcome().exit.core);
    }
}

TEST_CASE("ssh protocol: a status of 32 bits is not taken for the lack of one") {
    const auto one = after([](scripted_channel& on) {
        on.status(0xffffffff);
        on.close();
    });
    CHECK(one->outcome().exit == exit_status::exited(-1));
    CHECK(one->outcome().how() == exec::ended::exited);
}

TEST_CASE("ssh protocol: a refused request is a failure of the request, and the session lives on") {
    server_script script;
    script.runs = [](std::size_t count) { return count == 0 ? answer::no : answer::yes; };
    script.acts = [](scripted_channel& on, const std::string&) {
        on.status(5);
        on.close();
    };
    scripted_host host(script);
    const auto one = host.ended();
    CHECK(one->failure().code == errc::start_failed);
    CHECK(one->failure().at == stage::request);
    CHECK(host.ended()->outcome().exit == exit_status::exited(5));
    CHECK(host.client.stats().connects == 1);
}

TEST_CASE(
    "ssh protocol: a channel that is never confirmed costs its command the start budget, and the session one place") {
    server_script script;
    script.opens = [](std::size_t count) { return count == 0 ? answer::never : answer::yes; };
    script.acts = [](scripted_channel& on, const std::string&) {
        on.status(5);
        on.close();
    };
    scripted_host host(script);
    exec::limits within;
    within.start_timeout = 200ms;
    const auto one = host.ended(within);
    CHECK(one->failure().code == errc::start_timeout);
    CHECK(host.server.requested() == 0);
    CHECK(host.ended()->outcome().exit == exit_status::exited(5));
    CHECK(host.client.stats().connects == 1);
    CHECK(host.client.stats().zombies == 1);
}

TEST_CASE("ssh protocol: a server that never confirms any channel lets every command fail in time") {
    server_script script;
    script.opens = [](std::size_t) { return answer::never; };
    scripted_host host(script);
    exec::limits within;
    within.start_timeout = 300ms;
    std::vector<std::unique_ptr<flight>> all;
    for (int i = 0; i < 30; ++i) all.push_back(host.begin(within));
    for (const auto& each : all) {
        host.client.finish(*each);
        CHECK(each->failure().code == errc::start_timeout);
    }
    CHECK(host.server.requested() == 0);
    CHECK(host.client.stats().connects <= 4);
}

TEST_CASE(
    "ssh protocol: a server that refuses every channel is asked a few times, with rests, and then the command fails") {
    server_script script;
    script.opens = [](std::size_t) { return answer::no; };
    scripted_host host(script);
    const auto one = host.ended();
    const auto& why = one->failure();
    CHECK_MESSAGE((why.code == errc::too_busy || why.code == errc::start_timeout), why.message());
    CHECK(host.server.requested() == 0);
    CHECK(host.server.opened() <= 20);
    CHECK(host.client.stats().lost_sessions == 0);
}

TEST_CASE("ssh protocol: a request that is never answered may have begun, and is told so in time") {
    server_script script;
    script.runs = [](std::size_t) { return answer::never; };
    scripted_host host(script);
    exec::limits within;
    within.start_timeout = 200ms;
    const auto one = host.ended(within);
    CHECK(one->outcome().began == exec::started::unknown);
    CHECK(one->outcome().stopped_by == stop_reason::start_timeout);
    CHECK(one->outcome().exit.what == exit_status::kind::unknown);
    CHECK(one->to.starts == 0);
}

TEST_CASE("ssh protocol: what is said before the request is answered is output, and its end is the command's") {
    server_script script;
    script.runs = [](std::size_t) { return answer::never; };
    script.acts = [](scripted_channel& on, const std::string&) {
        on.out("early");
        on.status(3);
        on.close();
    };
    scripted_host host(script);
    exec::limits within;
    within.start_timeout = 1'000ms;
    within.run_timeout = 1'000ms;
    const auto one = host.ended(within);
    // It is not known to have been taken; but a failure would be a lie.
    CHECK(one->outcome().exit == exit_status::exited(3));
    CHECK(one->outcome().stopped_by == stop_reason::nobody);
    CHECK(one->to.out == "early");
}

TEST_CASE(
    "ssh protocol: a channel that closes instead of answering the request ends the command at once, and may have run "
    "it") {
    server_script script;
    script.runs = [](std::size_t count) { return count == 0 ? answer::never : answer::yes; };
    script.acts = [first = true](scripted_channel& on, const std::string&) mutable {
        if (!std::exchange(first, false)) on.status(5);
        on.close();
    };
    scripted_host host(script);
    exec::limits within;
    within.start_timeout = 5'000ms;
    const auto one = host.ended(within);
    CHECK(one->outcome().stopped_by == stop_reason::nobody);
    CHECK(one->outcome().began == exec::started::unknown);
    CHECK(one->outcome().how() == exec::ended::lost);
    CHECK(host.ended()->outcome().exit == exit_status::exited(5));
    CHECK(host.client.stats().zombies == 0);
}

TEST_CASE("ssh protocol: a farewell in the middle of a command is a lost connection, with what it said") {
    server_script script;
    script.acts = [](scripted_channel& on, const std::string&) {
        on.out("out");
        on.disconnect();
    };
    scripted_host host(script);
    const auto one = host.ended();
    test::check_lost(*one);
    CHECK(one->to.out == "out");
    CHECK(host.client.stats().lost_sessions == 1);
}

TEST_CASE("ssh protocol: a farewell right behind the status leaves the status") {
    server_script script;
    script.acts = [](scripted_channel& on, const std::string&) {
        on.out("out");
        on.status(3);
        on.close();
        on.disconnect();
    };
    scripted_host host(script);
    const auto one = host.ended();
    CHECK(one->outcome().exit == exit_status::exited(3));
    CHECK(one->to.out == "out");
}

TEST_CASE("ssh protocol: output of a command that was given up is drained, and the session lives on") {
    bool first = true;
    server_script script;
    script.acts = [&](scripted_channel& on, const std::string&) {
        if (!std::exchange(first, false)) {
            on.status(5);
            on.close();
            return;
        }
        on.out("up");
        for (int i = 0; i < 100; ++i) on.out(std::string(32'000, 'x'));
        on.status(3);
        on.close();
    };
    scripted_host host(script);
    auto one = host.begin();
    host.client.until([&] { return !one->to.out.empty(); });
    one->handle = {};
    CHECK(host.ended()->outcome().exit == exit_status::exited(5));
    host.client.until([&] { return host.client.stats().zombies == 0; });
    CHECK(host.client.stats().connects == 1);
    CHECK_FALSE(one->to.end.has_value());
}

TEST_CASE("ssh protocol: a shell that never says the wrapper's word has run nothing, whatever it prints") {
    const std::string sayings[] = {"", "no shell here\n", "\036exec\n", std::string(200'000, 'n'),
                                   "\x1b[31mred\x1b[0m\n"};
    for (const auto& each : sayings) {
        CAPTURE(each.substr(0, 20));
        server_script script;
        script.acts = [&](scripted_channel& on, const std::string&) {
            on.out(each);
            on.err(each);
            on.status(0);
            on.close();
        };
        scripted_host host(script);
        const auto wrapped = host.client.runner_to(host.there);
        const auto one = host.client.begin(*wrapped, test::words({"/bin/command"}));
        host.client.finish(*one);
        if (!one->to.end->has_value()) {
            CHECK(one->failure().code == errc::start_failed);
            CHECK(one->failure().message().find('\x1b') == std::string::npos);
            continue;
        }
        CHECK(one->outcome().how() == exec::ended::lost);
    }
}
