// The examples of SSH, run as a person runs them, on real servers.
#include <csignal>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <exec/local_runner.h>

#include "guards.h"
#include "heard.h"
#include "living.h"
#include "local_host.h"
#include "poll_host.h"
#include "servers/keys.h"
#include "servers/loopback.h"
#include "servers/openssh_server.h"

using exec::exit_status;

namespace {

std::string target(const test::ssh_server& of) { return of.user() + "@127.0.0.1"; }
std::string target(const test::ssh_server& of, int port) { return target(of) + ':' + std::to_string(port); }

exec::command words_of(std::vector<std::string> words, const std::vector<std::string>& more) {
    words.insert(words.end(), more.begin(), more.end());
    return {.program_and_args = *exec::argv::make(words)};
}

// The example, told of a server's port and key, and whom of its hosts to believe.
exec::command once(const test::ssh_server& at, const std::string& known_hosts, const std::vector<std::string>& more) {
    return words_of({EXEC_SSH_ONCE, "-p", std::to_string(at.port()), "-i", at.client_key(), "-k", known_hosts}, more);
}

exec::outcome ran(exec::command what) {
    const auto how = exec::run(std::move(what), {.run_timeout = std::chrono::seconds(60)});
    REQUIRE(how);
    CHECK(how->stopped_by == exec::stop_reason::nobody);
    return *how;
}

// The part, or all of the text that does not have it.
std::string found(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos ? part : text;
}
#define CHECK_HAS(text, part) CHECK(found(text, part) == part)

// Another machine's key, where this one's belongs.
std::string known_hosts_of_another(const test::ssh_server& of, const test::scratch_directory& files) {
    const auto other = test::make_key(files.path(), "ed25519", "other");
    const auto file = files / "other_hosts";
    test::write_file(file, "[127.0.0.1]:" + std::to_string(of.port()) + ' ' + other.public_line + '\n');
    return file;
}

}  // namespace

TEST_CASE("ssh_once: both streams and the exit status are the command's") {
    const test::process_guard nothing_left;
    const test::openssh_server server;
    const auto how = ran(once(server, server.login().known_hosts_file,
                              {target(server), "--", "sh", "-c", "echo \"$1\"; echo err >&2; exit 7", "sh", "a  b'c"}));
    CHECK(how.exit == exit_status::exited(7));
    CHECK(how.out.bytes == "a  b'c\n");
    CHECK(how.err.bytes == "err\n");
}

TEST_CASE("ssh_once: what never ran is told in a sentence that names the step") {
    const test::process_guard nothing_left;
    const test::openssh_server server;
    const test::scratch_directory files;
    const auto known = server.login().known_hosts_file;

    const auto missing = ran(once(server, known, {target(server), "--", "/no/such/program"}));
    CHECK(missing.exit == exit_status::exited(127));
    CHECK_HAS(missing.err.bytes, "ssh_once: program: No such file or directory");

    const auto stranger = ran(once(server, known_hosts_of_another(server, files), {target(server), "--", "true"}));
    CHECK(stranger.exit == exit_status::exited(255));
    CHECK_HAS(stranger.err.bytes, "ssh_once: host key: host key mismatch: ");

    const auto nobody =
        ran(once(server, known, {"-p", std::to_string(test::free_port()), target(server), "--", "true"}));
    CHECK(nobody.exit == exit_status::exited(255));
    CHECK_HAS(nobody.err.bytes, "ssh_once: connect: Connection refused");

    CHECK(ran(once(server, known, {target(server), "true"})).exit == exit_status::exited(2));
}

TEST_CASE("ssh_once: a limit of time and ^C end the command over there") {
    const test::process_guard nothing_left;
    const test::openssh_server server;
    const auto known = server.login().known_hosts_file;
    const auto word = test::unique_word();
    const std::vector<std::string> long_one{target(server), "--", "sh", "-c", "echo up; sleep 1000; :", word};

    auto limited = long_one;
    limited.insert(limited.begin(), {"-t", "1"});
    const auto late = ran(once(server, known, limited));
    CHECK(late.exit == exit_status::exited(128 + SIGTERM));
    CHECK(late.out.bytes == "up\n");
    CHECK_HAS(late.err.bytes, "stopped: run_timeout, left over: group_gone");
    CHECK(test::named(word).empty());

    const auto loop = test::new_loop();
    const auto here = *exec::make_local_runner(*loop);
    test::heard to;
    auto handle = here->start(once(server, known, long_one), {}, std::make_unique<test::listener>(to));
    REQUIRE(test::drive_until(*loop, [&] { return to.out == "up\n"; }));
    CHECK_FALSE(test::named(word).empty());
    REQUIRE(handle.signal(SIGINT));
    REQUIRE(test::drive_until(*loop, [&] { return to.over(); }));
    CHECK(to.outcome().exit == exit_status::exited(128 + SIGTERM));
    CHECK_HAS(to.err, "stopped: cancelled, left over: group_gone");
    CHECK(test::named(word).empty());
}

TEST_CASE("ssh_fleet: every machine is told, and one that failed fails the fleet") {
    const test::process_guard nothing_left;
    test::openssh_server first;
    test::openssh_server second;
    test::openssh_server stranger;
    const test::scratch_directory files;
    const auto known = files / "known_hosts";
    test::write_file(known, first.known_hosts_line() + "\n" + second.known_hosts_line() + "\n");
    for (auto* server : {&second, &stranger}) server->authorize(first.client_public_line());
    const std::vector<std::string> begin{EXEC_SSH_FLEET, "-i", first.client_key(), "-k", known};

    const auto good =
        ran(words_of(begin, {target(first, first.port()), target(second, second.port()), "--", "echo", "hi"}));
    CHECK(good.exit == exit_status::exited(0));
    CHECK(good.err.bytes.empty());
    CHECK_HAS(good.out.bytes, "2 of 2 did it");
    CHECK_HAS(good.out.bytes, "| hi\n");

    const auto some = ran(words_of(begin, {target(first, first.port()), target(stranger, stranger.port()),
                                           target(second, test::free_port()), "--", "true"}));
    CHECK(some.exit == exit_status::exited(1));
    CHECK_HAS(some.out.bytes, "1 of 3 did it");
    CHECK_HAS(some.out.bytes, "host key: host key mismatch: ");
    CHECK_HAS(some.out.bytes, "connect: Connection refused");

    const auto failed =
        ran(words_of(begin, {target(first, first.port()), target(second, second.port()), "--", "false"}));
    CHECK(failed.exit == exit_status::exited(1));
    CHECK_HAS(failed.out.bytes, "0 of 2 did it");
    CHECK_HAS(failed.out.bytes, "exited 1");
}
