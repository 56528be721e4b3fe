// A server whose key is not trusted: the error says so, and no credential was asked for or sent.
#include <exec/ssh/host_keys.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "guards.h"
#include "ssh/counted.h"
#include "ssh/remote_host.h"

using namespace std::chrono_literals;
using exec::errc;
using exec::stage;
using test::counted_login;
using test::counted_trust;
using test::sh;
using test::ssh_client;

namespace {

std::string port_of(const test::ssh_server& server) { return "[127.0.0.1]:" + std::to_string(server.port()); }

// Neither our side nor the server's knows of a login.
void check_no_login(const test::ssh_server& server, const counted_login& login) {
    CHECK(login.asked.empty());
    const auto log = server.log();
    for (const auto* word : {"Accepted", "Failed publickey", "Failed password", "authenticating user", "Postponed"}) {
        CAPTURE(word);
        CHECK(test::times(log, word) == 0);
    }
}

// One that has nothing to do with the server.
std::string other_key(const std::string& type = "ed25519") {
    const test::scratch_directory place;
    const auto line = test::make_key(place.path(), type).public_line;
    return line.substr(0, line.rfind(' '));
}

struct asked {
    explicit asked(const test::ssh_server& of, std::shared_ptr<exec::ssh::host_keys> in)
        : server(of),
          login(std::make_shared<counted_login>(*exec::ssh::read_private_key(of.client_key()))),
          trust(std::make_shared<counted_trust>(std::move(in))) {
        runner = client.runner_to(test::endpoint_at(of.port(), of.user(), login, trust));
    }

    const test::ssh_server& server;
    std::shared_ptr<counted_login> login;
    std::shared_ptr<counted_trust> trust;
    ssh_client client{};
    std::shared_ptr<exec::runner> runner{};
};

}  // namespace

TEST_CASE("ssh trust: a server that shows another key than the known one gets no login, and the error says both") {
    const test::process_guard nothing_left;
    const test::openssh_server server(test::quick());
    const auto stranger = other_key();
    asked on(server, *exec::ssh::known_hosts_text(port_of(server) + " " + stranger, "the list"));
    std::vector<std::unique_ptr<test::flight>> all;
    for (int i = 0; i < 5; ++i) all.push_back(on.client.begin(*on.runner, sh("true")));
    for (const auto& each : all) {
        const auto& why = on.client.finish(*each).failure();
        CHECK(why.code == errc::host_key_mismatch);
        CHECK_MESSAGE(why.at == stage::host_key, why.message());
        CHECK(why.context.find(exec::ssh::parse_host_key(server.host_key_line())->fingerprint) != std::string::npos);
        CHECK(why.context.find("the list:1") != std::string::npos);
    }
    // Not tried again for those that wait.
    CHECK(on.client.stats().connects == 1);
    CHECK(on.trust->shown.size() == 1);
    check_no_login(server, *on.login);
}

TEST_CASE("ssh trust: each reason for which a key is not trusted ends before the login") {
    const test::openssh_server server(test::quick());
    const auto own = server.host_key_line();
    const auto at = port_of(server);
    struct reason {
        std::string name;
        std::string list;
        errc code;
    };
    const reason reasons[] = {
        {"unknown", "other.example " + own, errc::host_key_mismatch},
        {"nothing known", "", errc::host_key_mismatch},
        {"known at another port", "127.0.0.1 " + own, errc::host_key_mismatch},
        {"changed", at + " " + other_key(), errc::host_key_mismatch},
        {"another type is known", at + " " + other_key("ecdsa"), errc::host_key_mismatch},
        {"revoked", "@revoked " + at + " " + own, errc::host_key_mismatch},
        {"revoked and known", at + " " + own + "\n@revoked * " + own, errc::host_key_mismatch},
        {"an authority only", "@cert-authority " + at + " " + other_key(), errc::unsupported},
        {"negated", "!" + at + ",[127.0.0.*]:* " + own, errc::host_key_mismatch},
    };
    for (const auto& each : reasons) {
        CAPTURE(each.name);
        auto list = exec::ssh::known_hosts_text(each.list, "the list");
        REQUIRE(list.has_value());
        asked on(server, *std::move(list));
        const auto why = on.client.failure_of(*on.runner, sh("true"));
        CHECK_MESSAGE((why.code == each.code || why.at == stage::key_exchange), why.message());
        CHECK(on.client.stats().connects == 1);
        check_no_login(server, *on.login);
    }
}

TEST_CASE("ssh trust: a pinned key is the only one that counts") {
    const test::openssh_server server(test::quick());
    {
        asked on(server, *exec::ssh::pinned({other_key()}));
        CHECK(on.client.failure_of(*on.runner, sh("true")).code == errc::host_key_mismatch);
        check_no_login(server, *on.login);
    }
    for (const auto& pin : {server.host_key_line(), exec::ssh::parse_host_key(server.host_key_line())->fingerprint}) {
        asked on(server, *exec::ssh::pinned({pin}));
        CHECK(on.client.outcome_of(*on.runner, sh("true")).ok());
        CHECK(on.login->asked.size() == 1);
    }
}

TEST_CASE("ssh trust: of several keys the server shows the one that is known") {
    auto options = test::quick();
    options.host_key_types = {"rsa", "ecdsa", "ed25519"};
    const test::openssh_server server(options);
    for (const auto& type : options.host_key_types) {
        CAPTURE(type);
        asked on(server, *exec::ssh::known_hosts_text(port_of(server) + " " + server.host_key_line(type), "the list"));
        CHECK(on.client.outcome_of(*on.runner, sh("true")).ok());
        REQUIRE(on.trust->shown.size() == 1);
        CHECK(on.trust->shown[0].algorithm == exec::ssh::parse_host_key(server.host_key_line(type))->algorithm);
    }
}

TEST_CASE("ssh trust: a key that changes under a running session does not touch it, and the next login is refused") {
    test::openssh_server server(test::quick());
    asked on(server, *exec::ssh::known_hosts_text(server.known_hosts_line(), "the list"));
    auto what = sh("echo up; read line; exit 4");
    what.in = exec::input::streamed();
    const auto one = on.client.begin(*on.runner, std::move(what));
    on.client.until([&] { return one->to.out == "up\n"; });
    server.restart_with_new_host_key();
    CHECK(on.client.outcome_of(*on.runner, sh("true")).ok());  // on the session that it has
    on.client.sessions().retire(test::endpoint_at(server.port(), server.user(), on.login, on.trust));
    const auto why = on.client.failure_of(*on.runner, sh("true"));
    CHECK(why.code == errc::host_key_mismatch);
    CHECK(on.client.stats().connects == 2);
    CHECK(on.login->asked.size() == 1);
    CHECK(test::times(server.log(), "Accepted publickey") == 1);
    one->handle.close_in();
    CHECK(on.client.finish(*one).outcome().exit == exec::exit_status::exited(4));
}

TEST_CASE("ssh trust: a mismatch is told once for each command, never tried again by itself, and is no loop") {
    const test::openssh_server server(test::quick());
    asked on(server, *exec::ssh::known_hosts_text(port_of(server) + " " + other_key(), "the list"));
    for (int i = 0; i < 3; ++i) {
        CHECK(on.client.failure_of(*on.runner, sh("true")).code == errc::host_key_mismatch);
        CHECK(on.client.stats().connects == static_cast<std::uint64_t>(i + 1));
    }
    check_no_login(server, *on.login);
}

namespace {

// Keeps its replies.
class slow_trust final : public exec::ssh::host_keys {
   public:
    void check(const exec::ssh::host_name& of, const exec::ssh::host_key&, exec::reply<void> trusted) override {
        names.push_back(of);
        kept.push_back(std::move(trusted));
    }
    std::vector<exec::ssh::host_name> names{};
    std::vector<exec::reply<void>> kept{};
};

}  // namespace

TEST_CASE("ssh trust: a policy that takes too long or forgets its answer is no trust") {
    const test::openssh_server server(test::quick());
    for (const bool forgets : {true, false}) {
        CAPTURE(forgets);
        const test::process_guard nothing_left;
        exec::ssh::pool_options options;
        if (!forgets) options.handshake_timeout = 1'000ms;
        ssh_client client(options);
        const auto trust = std::make_shared<slow_trust>();
        const auto login = std::make_shared<counted_login>(*exec::ssh::read_private_key(server.client_key()));
        const auto on = client.runner_to(test::endpoint_at(server.port(), server.user(), login, trust));
        const auto one = client.begin(*on, sh("true"));
        client.until([&] { return !trust->kept.empty() || one->over(); });
        if (forgets) trust->kept.clear();
        client.finish(*one);
        if (forgets) {
            CHECK(one->failure().code == errc::broken_reply);
        } else {
            CHECK(one->failure().code == std::errc::timed_out);
        }
        CHECK_MESSAGE(one->failure().at == stage::host_key, one->failure().message());
        // Too late.
        if (!forgets) trust->kept[0]({});
        test::drain(client.on());
        check_no_login(server, *login);
    }
}

TEST_CASE("ssh trust: the key is looked up under the name of the machine, where it has one") {
    const test::openssh_server server(test::quick());
    ssh_client client;
    const auto trust = std::make_shared<slow_trust>();
    auto there = test::endpoint_of(server);
    there.trust = trust;
    there.machine = "i-0abc";
    const auto on = client.runner_to(there);
    const auto one = client.begin(*on, sh("exit 3"));
    client.until([&] { return !trust->kept.empty(); });
    CHECK(trust->names[0].host == "i-0abc");
    trust->kept[0]({});
    CHECK(client.finish(*one).outcome().exit == exec::exit_status::exited(3));
}
