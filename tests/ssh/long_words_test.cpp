// Words that no login shell, no kernel or no packet takes: a local answer or a way around, and never the end of a session.
#include <exec/ssh/runner.h>

#include <memory>
#include <string>
#include <utility>

#include <doctest/doctest.h>

#include "servers/dropbear_server.h"
#include "ssh/remote_host.h"

using exec::errc;
using exec::exit_status;
using test::endpoint_of;
using test::remote_host;
using test::sh;
using test::ssh_client;

namespace {

const std::size_t sizes[] = {29'999, 30'000, 30'001, 35'000, 100'013, 131'071, 131'072, 262'144, 300'000};

// Tells a word's length and first byte without a program that the kernel would have to give it to. A word that no local
// kernel would take either may be refused before there is a command.
exec::result<exec::command> measured(const std::string& word) {
    auto made = exec::argv::make({"/bin/sh", "-c", "printf %s.%.1s ${#1} \"$1\"", "sh", word});
    if (!made) return std::move(made).error();
    exec::command what;
    what.program_and_args = *std::move(made);
    return what;
}

// Of a word of so many bytes: it was measured over there, or refused here.
void measure(ssh_client& client, exec::runner& on, std::size_t size) {
    auto what = measured(std::string(size, 'w'));
    if (!what) {
        CHECK(what.error().code == errc::invalid_argument);
        CHECK(size > 131'071);
        return;
    }
    const auto one = client.begin(on, *std::move(what));
    client.finish(*one);
    if (one->to.end->has_value()) {
        CHECK(one->outcome().exit == exit_status::exited(0));
        CHECK(one->to.out == std::to_string(size) + ".w");
        CHECK(size <= on.can().max_word_bytes);
    } else {
        CHECK_MESSAGE(one->failure().code == errc::invalid_argument, one->failure().message());
        CHECK_FALSE(exec::is_of_connection(one->failure().at));
    }
    CHECK(one->to.end->has_value() == (size <= on.can().max_word_bytes));
}

void measure_all(const test::ssh_server& server, exec::ssh::runner_options how) {
    ssh_client client;
    const auto on = client.runner_to(endpoint_of(server), std::move(how));
    // A command that would notice the end of the session.
    const auto bystander = client.begin(*on, sh("echo up; sleep 1000"));
    client.until([&] { return bystander->to.out == "up\n"; });
    for (const auto size : sizes) {
        CAPTURE(size);
        measure(client, *on, size);
    }
    CHECK_FALSE(bystander->over());
    CHECK(client.stats().lost_sessions == 0);
    CHECK(client.stats().connects == 1);
}

}  // namespace

TEST_CASE("ssh long words: they are measured over there or refused here, and the session lives on, on OpenSSH") {
    const test::openssh_server server(test::quick());
    measure_all(server, {});
}

TEST_CASE("ssh long words: the same on dropbear, whose packets are small") {
    test::dropbear_options options;
    options.login_shell = test::quick().login_shell;
    const test::dropbear_server server(options);
    measure_all(server, {});
}

TEST_CASE("ssh long words: a bare command line that is too long is refused here") {
    const test::openssh_server server(test::quick());
    ssh_client client;
    exec::ssh::runner_options bare;
    bare.with = exec::ssh::wrapper::off;
    const auto on = client.runner_to(endpoint_of(server), bare);
    CHECK(client.outcome_of(*on, *measured("w")).out.bytes == "1.w");
    for (const std::size_t size : {30'001U, 100'000U, 131'071U}) {
        CAPTURE(size);
        CHECK(client.failure_of(*on, *measured(std::string(size, 'w'))).code == errc::invalid_argument);
    }
    CHECK(client.stats().connects == 1);
    CHECK(client.stats().commands == 1);
}

TEST_CASE("ssh long words: many words, a long variable and a long directory meet the same fate") {
    remote_host host;
    std::vector<std::string> many{"/bin/sh", "-c", "printf %s $#", "sh"};
    for (int i = 0; i < 200; ++i) many.emplace_back(500, 'w');
    CHECK(host.outcome_of(test::words(many)).out.bytes == "200");
    for (const std::size_t size : {30'001U, 100'000U}) {
        auto what = sh("printf %s ${#LONG}");
        REQUIRE(what.env.set("LONG", std::string(size, 'v')));
        CHECK(host.outcome_of(what).out.bytes == std::to_string(size));
    }
    auto nowhere = sh("true");
    nowhere.cwd = "/" + std::string(40'000, 'd');
    CHECK(host.failure_of(nowhere).at == exec::stage::cwd);
    CHECK(host.outcome_of(sh("true")).ok());
    CHECK(host.stats().connects == 1);
}
