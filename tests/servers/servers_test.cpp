// The SSH servers of the tests, as the OpenSSH client sees them.
#include "servers/ssh_server.h"

#include <exec/argv.h>
#include <exec/local_runner.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <unistd.h>

#include "file_text.h"
#include "guards.h"
#include "living.h"
#include "servers/dropbear_server.h"
#include "servers/fault_proxy.h"
#include "servers/keys.h"
#include "servers/openssh_server.h"
#include "servers/other_account.h"
#include "servers/server_process.h"
#include "servers/tinyssh_server.h"

using namespace std::chrono_literals;

namespace {

struct said {
    int exit = -1;
    std::string out{};
    std::string err{};
};

said ssh(const test::ssh_login& to, const std::string& command) {
    const auto ended = exec::run({.program_and_args = exec::argv::make(test::client_words(to, command)).value()});
    REQUIRE(ended.has_value());
    return {ended->exit.what == exec::exit_status::kind::exited ? ended->exit.number : -1, ended->out.bytes,
            ended->err.bytes};
}

// A client whose command has said "here" and stays at the server. The client is killed at the end, the command is not.
class staying_client {
   public:
    explicit staying_client(const test::ssh_login& to, const std::string& command = "echo here; exec sleep 1000")
        : process_({.words = test::client_words(to, command), .log = log_}) {
        REQUIRE(process_.says("here"));
    }
    pid_t pid() const { return process_.pid(); }
    bool says(const std::string& text) const { return process_.says(text); }
    std::string said() const { return test::file_text(log_); }

   private:
    const test::scratch_directory files_;
    const std::string log_ = files_ / "log";
    test::server_process process_;
};

struct kind {
    std::string name{};
    std::function<std::unique_ptr<test::ssh_server>()> make{};
};

std::vector<kind> kinds() {
    return {
        {"OpenSSH", [] { return std::make_unique<test::openssh_server>(); }},
        {"dropbear", [] { return std::make_unique<test::dropbear_server>(); }},
        {"tinyssh", [] { return std::make_unique<test::tinyssh_server>(); }},
    };
}

// Those that can be had on this machine.
std::vector<kind> kinds_here() {
    const auto unavailable = test::other_account::unavailable();
    if (unavailable.empty()) return kinds();
    MESSAGE("SKIP: dropbear and tinyssh: " << unavailable);
    return {kinds().front()};
}

void on_each(const std::function<void(test::ssh_server&)>& body) {
    for (const auto& each : kinds_here()) {
        CAPTURE(each.name);
        const auto server = each.make();
        body(*server);
    }
}

bool wait_until(const std::function<bool()>& holds) {
    for (const auto give_up = std::chrono::steady_clock::now() + 20s; std::chrono::steady_clock::now() < give_up;) {
        if (holds()) return true;
        std::this_thread::sleep_for(2ms);
    }
    return false;
}

}  // namespace

TEST_CASE("servers: the OpenSSH client runs a command on each, and is told how it ended") {
    const test::process_guard nothing_left;
    on_each([](test::ssh_server& server) {
        const auto ended = ssh(server.login(), "id -un; echo sorry >&2; exit 3");
        CHECK(ended.out == server.user() + "\n");
        CHECK(ended.err == "sorry\n");
        CHECK(ended.exit == 3);
    });
}

TEST_CASE("servers: a client that knows another host key is not let in by its own doing") {
    on_each([](test::ssh_server& server) {
        const auto to = server.login();
        const test::scratch_directory files;
        auto other = test::make_key(files.path()).public_line;
        test::write_file(to.known_hosts_file, "[127.0.0.1]:" + std::to_string(to.port) + " " + other + "\n");
        const auto ended = ssh(to, "echo in");
        CHECK(ended.out.empty());
        CHECK(ended.exit == 255);
        CHECK(ended.err.find("REMOTE HOST IDENTIFICATION HAS CHANGED") != std::string::npos);
    });
}

TEST_CASE("servers: a key is let in after authorize() and none after revoke_all()") {
    on_each([](test::ssh_server& server) {
        const test::scratch_directory files;
        const auto key = test::make_key(files.path());
        auto to = server.login();
        to.key_file = key.file;
        CHECK(ssh(to, "true").exit == 255);
        server.authorize(key.public_line);
        CHECK(ssh(to, "true").exit == 0);
        CHECK(ssh(server.login(), "true").exit == 0);
        server.revoke_all();
        CHECK(ssh(to, "true").exit == 255);
        CHECK(ssh(server.login(), "true").exit == 255);
    });
}

TEST_CASE("servers: each connection is listed while it lasts, and the commands of them") {
    on_each([](test::ssh_server& server) {
        CHECK(server.connections().empty());
        CHECK(server.commands().empty());
        {
            const staying_client first(server.login());
            CHECK(server.connections().size() == 1);
            const staying_client second(server.login());
            CHECK(server.connections().size() == 2);
            CHECK(server.commands().size() == 2);
            for (const pid_t each : server.commands())
                CHECK(wait_until(
                    [&] { return test::file_text("/proc/" + std::to_string(each) + "/comm") == "sleep\n"; }));
        }
        // The commands notice nothing: they read and write nothing.
        CHECK(wait_until([&] { return server.connections().empty(); }));
        CHECK(server.commands().size() == 2);
    });
}

TEST_CASE("servers: a killed connection ends its client and not its command") {
    on_each([](test::ssh_server& server) {
        const staying_client client(server.login());
        server.kill_connections(SIGKILL);
        CHECK(test::ends(client.pid()));
        CHECK(wait_until([&] { return server.connections().empty(); }));
        CHECK(server.commands().size() == 1);
    });
}

TEST_CASE("servers: a stopped connection is silent until it is continued") {
    on_each([](test::ssh_server& server) {
        const test::scratch_directory files;
        const auto go = files / "go";
        const staying_client client(server.login(),
                                    "echo here; until [ -e " + go + " ]; do sleep 0.01; done; echo there");
        server.kill_connections(SIGSTOP);
        test::write_file(go, "");
        REQUIRE(wait_until([&] { return server.commands().empty(); }));
        CHECK(client.said() == "here\n");
        CHECK(test::alive(client.pid()));
        server.kill_connections(SIGCONT);
        CHECK(client.says("there"));
    });
}

TEST_CASE("servers: nothing is left of one, neither process nor file, whatever runs on it") {
    const test::process_guard nothing_left;
    for (const auto& each : kinds_here()) {
        CAPTURE(each.name);
        const auto word = test::unique_word();
        std::vector<std::int64_t> processes;
        std::vector<std::string> files;
        std::unique_ptr<staying_client> client;
        {
            const auto server = each.make();
            files = {server->client_key(), std::filesystem::path(server->client_key()).parent_path()};
            if (server->home().rfind("/tmp/", 0) == 0) files.push_back(server->home());
            // One that ignores the polite signals, and one that has left its session.
            client = std::make_unique<staying_client>(server->login(),
                                                      "trap '' HUP TERM; (setsid sh -c 'sleep 1000; :' " + word +
                                                          " &) ; echo here; sh -c 'sleep 1000; :' " + word);
            REQUIRE(wait_until([&] { return test::named(word).size() == 2; }));
            processes = test::named(word);
            const auto connections = server->connections();
            REQUIRE(connections.size() == 1);
            processes.insert(processes.end(), connections.begin(), connections.end());
            for (const auto process : processes) CHECK(test::alive(process));
            for (const auto& file : files) CHECK(test::exists(file));
            server->kill_connections(SIGSTOP);
        }
        for (const auto process : processes) CHECK_FALSE(test::alive(process));
        CHECK(test::named(word).empty());
        for (const auto& file : files) CHECK_FALSE(test::exists(file));
    }
}

TEST_CASE("servers: a login through the proxy takes its time, and the same answer comes") {
    test::openssh_server server;
    test::fault_proxy proxy(server.port());
    proxy.delay(20ms);
    const auto began = std::chrono::steady_clock::now();
    const auto ended = ssh(server.login(proxy.port()), "echo through");
    const auto took = std::chrono::steady_clock::now() - began;
    CHECK(ended.out == "through\n");
    CHECK(ended.exit == 0);
    CHECK(proxy.connections() == 1);
    // Key exchange, service, authentication and a command are no fewer, each of 40 ms.
    CHECK(proxy.round_trips() >= 6);
    CHECK(took >= 40ms * proxy.round_trips());
}

TEST_CASE("openssh_server: its options reach sshd") {
    test::openssh_options options;
    options.force_command = "echo forced";
    options.extra = {"Banner none", "Match User nobody-of-this-name", "ForceCommand echo not this"};
    options.ciphers = "aes256-gcm@openssh.com";
    options.rekey_limit = "1M";
    options.max_startups = "2:100:3";
    options.client_alive_interval = 1;
    options.accept_env = "LANG LC_*";
    options.password = true;
    options.host_key_types = {"ecdsa", "ed25519", "rsa"};
    const test::openssh_server server(options);
    const auto to = server.login();
    const auto ended = ssh(to, "echo mine");
    CHECK(ended.out == "forced\n");
    CHECK(server.known_hosts_line().find("rsa") != std::string::npos);
    const auto known = test::file_text(to.known_hosts_file);
    for (const auto* type : {"ecdsa", "ed25519", "rsa"}) {
        CAPTURE(type);
        CHECK(known.find(server.host_key_line(type) + "\n") != std::string::npos);
    }
}

TEST_CASE("openssh_server: after a restart a new client sees another key, and an old connection goes on") {
    test::openssh_server server;
    const auto to = server.login();
    const auto old_key = server.host_key_line();
    const staying_client stays(to);
    for (int times = 0; times < 2; ++times) server.restart_with_new_host_key();
    CHECK(server.host_key_line() != old_key);
    CHECK(server.connections().size() == 1);
    CHECK(ssh(to, "true").err.find("REMOTE HOST IDENTIFICATION HAS CHANGED") != std::string::npos);
    CHECK(ssh(server.login(), "echo again").out == "again\n");
}

TEST_CASE("openssh_server: a certificate of the trusted authority logs in while it is valid") {
    const test::scratch_directory files;
    const auto authority = test::make_key(files.path(), "ed25519", "ca");
    test::openssh_options options;
    options.trusted_user_ca = authority.public_line;
    test::openssh_server server(options);
    server.revoke_all();
    auto to = server.login();
    to.key_file = test::make_key(files.path()).file;
    CHECK(ssh(to, "true").exit == 255);
    test::sign_user_key(authority, {to.key_file, ""}, server.user());
    CHECK(ssh(to, "true").exit == 0);
    test::sign_user_key(authority, {to.key_file, ""}, server.user(), "-10m:-5m");
    CHECK(ssh(to, "true").exit == 255);
}

TEST_CASE("openssh_server: the command for keys is asked at each login") {
    const test::scratch_directory files;
    const auto key = test::make_key(files.path());
    const auto granted = files / "granted";
    test::write_file(files / "grant.sh", "cat " + granted + "\n");
    test::openssh_options options;
    options.authorized_keys_command = "/bin/sh " + (files / "grant.sh");
    test::openssh_server server(options);
    auto to = server.login();
    to.key_file = key.file;
    CHECK(ssh(to, "true").exit == 255);
    test::write_file(granted, key.public_line + "\n");
    CHECK(ssh(to, "true").exit == 0);
    CHECK(::unlink(granted.c_str()) == 0);
    CHECK(ssh(to, "true").exit == 255);
}

TEST_CASE("other_account: commands get its shell and its empty home, and nobody else sees it") {
    if (const auto why = test::other_account::unavailable(); !why.empty()) {
        MESSAGE("SKIP: " << why);
        return;
    }
    const auto passwd = test::file_text("/etc/passwd");
    for (const std::string shell : {"bash", "dash", "fish", "tcsh", "zsh"}) {
        CAPTURE(shell);
        test::openssh_options options;
        options.login_shell = "/usr/bin/" + shell;
        const test::openssh_server server(options);
        CHECK(server.home() != test::current_account().home);
        const auto ended = ssh(server.login(), "sh -c 'readlink /proc/$PPID/exe; pwd'; true");
        CHECK(ended.out == "/usr/bin/" + shell + "\n" + server.home() + "\n");
        CHECK(ended.err.empty());
    }
    CHECK(test::file_text("/etc/passwd") == passwd);
}
