// Logins with the keys of an SSH agent: a real one, and those that are none.
#include "ssh/agent_login.h"

#include <chrono>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <exec/local_runner.h>

#include "guards.h"
#include "posix/fd.h"
#include "servers/keys.h"
#include "servers/server_process.h"
#include "ssh/counted.h"
#include "ssh/remote_host.h"

using namespace std::chrono_literals;
using exec::errc;
using exec::exit_status;
using exec::stage;
using exec::ssh::credential;
using test::endpoint_of;
using test::sh;
using test::ssh_client;

// What libssh 0.10 forgets of its own: the list of keys that it had read before the one that it reads.
extern "C" const char* __lsan_default_suppressions() { return "leak:ssh_buffer_new\n"; }

namespace {

// ssh-agent of OpenSSH.
class agent {
   public:
    agent()
        : process_(
              {.words = {"ssh-agent", "-D", "-a", path()}, .log = place_ / "log", .behind = {}, .connection = -1}) {
        if (!process_.says("Agent pid")) throw std::runtime_error("ssh-agent does not start");
    }
    std::string path() const { return place_ / "socket"; }
    void add(const std::string& key_file) { tell({"ssh-add", "-q", key_file}); }
    void add_asking_first(const std::string& key_file) { tell({"ssh-add", "-q", "-c", key_file}); }

   private:
    void tell(std::vector<std::string> words) {
        exec::command what;
        what.program_and_args = *exec::argv::make(words);
        if (!what.env.set("SSH_AUTH_SOCK", path())) throw std::runtime_error("SSH_AUTH_SOCK");
        const auto how = exec::run(std::move(what));
        if (!how || !how->ok()) throw std::runtime_error("ssh-add: " + (how ? how->err.bytes : how.error().message()));
    }

    const test::scratch_directory place_;
    test::server_process process_;
};

// Listens where an agent would, takes one connection, and answers what the test wants.
class no_agent {
   public:
    no_agent() : listener_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
        sockaddr_un at{};
        at.sun_family = AF_UNIX;
        std::memcpy(at.sun_path, path().data(), path().size());
        REQUIRE(::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0);
        REQUIRE(::listen(listener_.get(), 4) == 0);
    }
    std::string path() const { return place_ / "socket"; }
    // False: nobody has come yet.
    bool accept() {
        if (!talk_) talk_ = exec::posix::fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
        return static_cast<bool>(talk_);
    }
    void say(const std::string& bytes) {
        CHECK(::send(talk_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size()));
    }
    void hang_up() { talk_ = {}; }

   private:
    const test::scratch_directory place_;
    exec::posix::fd listener_;
    exec::posix::fd talk_{};
};

exec::ssh::endpoint with_agent(const test::ssh_server& server, const std::string& path) {
    auto there = endpoint_of(server);
    there.login = exec::ssh::always(credential::agent(path));
    return there;
}

}  // namespace

TEST_CASE("ssh agent: a key of a running agent logs in, of whatever kind, and leaves no descriptor") {
    const test::process_guard nothing_left;
    test::openssh_server server(test::quick());
    const test::scratch_directory place;
    for (const std::string type : {"ed25519", "ecdsa", "rsa"}) {
        CAPTURE(type);
        const auto key = test::make_key(place.path(), type, type);
        server.revoke_all();
        server.authorize(key.public_line);
        agent running;
        running.add(key.file);
        ssh_client client;
        const auto on = client.runner_to(with_agent(server, running.path()));
        CHECK(client.outcome_of(*on, sh("exit 3")).exit == exit_status::exited(3));
        CHECK(client.stats().connects == 1);
    }
}

TEST_CASE("ssh agent: a certificate in it logs in") {
    const test::scratch_directory place;
    const auto authority = test::make_key(place.path(), "ed25519", "ca");
    const auto key = test::make_key(place.path(), "ed25519", "id");
    auto options = test::quick();
    options.trusted_user_ca = authority.public_line;
    test::openssh_server server(options);
    server.revoke_all();
    test::sign_user_key(authority, key, server.user());
    agent running;
    running.add(key.file);  // which takes the certificate beside it too
    ssh_client client;
    const auto on = client.runner_to(with_agent(server, running.path()));
    CHECK(client.outcome_of(*on, sh("exit 3")).exit == exit_status::exited(3));
}

TEST_CASE("ssh agent: of several keys the one that the server takes is used, if it is among the first five") {
    const test::process_guard nothing_left;
    const test::openssh_server server(test::quick());
    for (const std::size_t before : {4U, 5U}) {
        CAPTURE(before);
        const test::scratch_directory place;
        agent running;
        for (std::size_t i = 0; i < before; ++i) {
            running.add(test::make_key(place.path(), "ed25519", "stranger" + std::to_string(i)).file);
        }
        running.add(server.client_key());
        ssh_client client;
        const auto on = client.runner_to(with_agent(server, running.path()));
        if (before < exec::ssh::agent_login::most_offered) {
            CHECK(client.outcome_of(*on, sh("exit 3")).exit == exit_status::exited(3));
        } else {
            CHECK(client.failure_of(*on, sh("exit 3")).code == errc::auth_failed);
        }
        CHECK(client.stats().connects == 1);
    }
}

TEST_CASE("ssh agent: many logins at once each have their own conversation") {
    const test::process_guard nothing_left;
    const test::openssh_server server(test::quick());
    agent running;
    running.add(server.client_key());
    ssh_client client;
    const auto there = with_agent(server, running.path());
    std::vector<std::shared_ptr<exec::runner>> runners;
    std::vector<std::unique_ptr<test::flight>> all;
    for (int i = 0; i < 8; ++i) {
        auto other = there;
        other.scope = std::to_string(i);
        runners.push_back(client.runner_to(other));
        all.push_back(client.begin(*runners.back(), sh("exit 3")));
    }
    for (const auto& each : all) CHECK(client.finish(*each).outcome().exit == exit_status::exited(3));
}

TEST_CASE("ssh agent: what is wrong with an agent is told at the login, with its path, and nobody is asked twice") {
    const test::process_guard nothing_left;
    const test::openssh_server server(test::quick());
    const auto why_of = [&](const std::string& path) {
        ssh_client client;
        const auto on = client.runner_to(with_agent(server, path));
        const auto why = client.failure_of(*on, sh("true"));
        CHECK(why.code == errc::auth_failed);
        CHECK(why.at == stage::login);
        CHECK(client.stats().connects == 1);
        return why.context;
    };
    const test::scratch_directory place;
    const auto has = [](const std::string& text, const std::string& part) { return text.find(part) != text.npos; };
    CHECK(has(why_of(place / "nobody"), place / "nobody"));
    CHECK(has(why_of(place / "nobody"), "No such file"));
    CHECK(has(why_of(""), "no path"));
    CHECK(has(why_of(std::string(200, 'x')), "no path"));
    {
        const agent running;
        CHECK(has(why_of(running.path()), "it has no key"));
    }
    agent running;
    running.add_asking_first(server.client_key());  // there is nobody to ask
    CHECK(has(why_of(running.path()), "it has not signed"));
}

TEST_CASE("ssh agent: one that hangs up or talks nonsense is a failure at once, whatever it says") {
    const test::process_guard nothing_left;
    const test::openssh_server server(test::quick());
    using bytes = std::string;
    const bytes answers[] = {
        "",                                          // hangs up
        bytes("\0\0", 2),                            // in the middle of a length
        bytes("\0\0\0\0", 4),                        // a message of nothing
        "SSH-2.0-OpenSSH_9.2\r\n",                   // another protocol
        bytes("\0\0\0\x01\x05", 5),                  // refuses
        bytes("\0\0\0\x01\x0c", 5),                  // a list without a count
        bytes("\0\0\0\x05\x0c\0\0\0\0", 9),          // of nothing
        bytes("\0\0\0\x05\x0c\xff\xff\xff\xff", 9),  // of more than there is
        bytes("\0\0\0\x09\x0c\0\0\0\x01\xff\xff\xff\xff", 13),
        bytes("\0\0\0\x11\x0c\0\0\0\x01\0\0\0\x04"
              "abcd\0\0\0\0",
              21),  // no key
    };
    for (const auto& answer : answers) {
        CAPTURE(answer);
        no_agent fake;
        ssh_client client;
        const auto on = client.runner_to(with_agent(server, fake.path()));
        const auto one = client.begin(*on, sh("true"));
        REQUIRE(client.sees([&] { return fake.accept(); }));
        fake.say(answer);
        fake.hang_up();
        client.finish(*one);
        CHECK(one->failure().code == errc::auth_failed);
        CHECK(one->failure().at == stage::login);
    }
}

TEST_CASE("ssh agent: one that never answers ends with its login, by name, and holds nobody else up") {
    const test::process_guard nothing_left;
    const test::openssh_server server(test::quick());
    no_agent fake;
    exec::ssh::pool_options options;
    options.handshake_timeout = 2'000ms;
    ssh_client client(options);
    const auto stalled = client.runner_to(with_agent(server, fake.path()));
    const auto other = client.runner_to(endpoint_of(server));
    const auto one = client.begin(*stalled, sh("true"));
    REQUIRE(client.sees([&] { return fake.accept(); }));
    for (int i = 0; i < 10 && !one->over(); ++i) {
        CHECK(client.outcome_of(*other, sh("exit 4")).exit == exit_status::exited(4));
    }
    CHECK_FALSE(one->over());
    client.finish(*one);
    CHECK(one->failure().code == std::errc::timed_out);
    CHECK(one->failure().at == stage::login);
    CHECK(one->failure().context.find("agent has not answered") != std::string::npos);
}

TEST_CASE("ssh agent: a command that is stopped, and a pool that ends, do not wait for an agent") {
    const test::process_guard nothing_left;
    const test::openssh_server server(test::quick());
    no_agent fake;
    ssh_client client;
    const auto on = client.runner_to(with_agent(server, fake.path()));
    const auto one = client.begin(*on, sh("true"));
    const auto two = client.begin(*on, sh("true"));
    REQUIRE(client.sees([&] { return fake.accept(); }));
    one->handle.stop();
    CHECK(client.finish(*one).failure().code == errc::cancelled);
    client.end_pool();
    CHECK(two->failure().code == errc::shutting_down);
}
