// What the hostile servers say, and that a client of patience meets them with a time limit.
#include "servers/hostile_server.h"

#include <exec/argv.h>
#include <exec/local_runner.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <string>
#include <thread>

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/socket.h>

#include "guards.h"
#include "posix/fd.h"
#include "servers/loopback.h"

using namespace std::chrono_literals;
using exec::posix::fd;
using test::hostile_server;
using test::manners;

namespace {

// Up to `size` bytes and what came after them.
struct heard {
    std::string bytes{};
    std::string then{};  // "more", "silence", "end", "reset"
};

heard hear(const fd& from, std::size_t size, int silence_ms = 300) {
    heard all;
    while (all.bytes.size() < size) {
        pollfd what{from.get(), POLLIN, 0};
        // The first bytes may take as long as they like.
        if (::poll(&what, 1, all.bytes.empty() && silence_ms > 0 ? 20'000 : silence_ms) != 1) {
            all.then = "silence";
            return all;
        }
        std::string piece(size - all.bytes.size(), '\0');
        const auto got = ::recv(from.get(), piece.data(), piece.size(), 0);
        if (got <= 0) {
            all.then = got == 0 ? "end" : errno == ECONNRESET ? "reset" : "error";
            return all;
        }
        all.bytes.append(piece, 0, static_cast<std::size_t>(got));
    }
    all.then = "more";
    return all;
}

}  // namespace

TEST_CASE("hostile_server: each is as bad as its name") {
    const test::process_guard nothing_left;
    SUBCASE("silent") {
        const hostile_server server(manners::silent);
        const fd client = test::connect_to_loopback(server.port());
        while (server.connections() == 0) std::this_thread::yield();
        pollfd what{client.get(), POLLIN, 0};
        CHECK(::poll(&what, 1, 200) == 0);
        CHECK(server.sent() == 0);
    }
    SUBCASE("dripping") {
        const hostile_server server(manners::dripping);
        const fd client = test::connect_to_loopback(server.port());
        const auto began = std::chrono::steady_clock::now();
        CHECK(hear(client, 5, 20'000).bytes == "SSSSS");
        CHECK(std::chrono::steady_clock::now() - began >= 190ms);
    }
    SUBCASE("endless lines") {
        const hostile_server server(manners::endless_lines);
        const fd client = test::connect_to_loopback(server.port());
        const auto lines = hear(client, 4 * 1024 * 1024, 20'000);
        CHECK(lines.then == "more");
        CHECK(lines.bytes.rfind("this line comes before the banner\r\nthis line", 0) == 0);
        CHECK(lines.bytes.find("SSH-") == std::string::npos);
    }
    SUBCASE("garbage") {
        const hostile_server server(manners::garbage);
        const fd client = test::connect_to_loopback(server.port());
        const auto all = hear(client, 10'000);
        CHECK(all.then == "silence");
        CHECK(all.bytes.size() == 4096);
        CHECK(all.bytes.find('\n') == std::string::npos);
        CHECK(all.bytes.find("SSH-") == std::string::npos);
    }
    SUBCASE("banner only") {
        const hostile_server server(manners::banner_only);
        const fd client = test::connect_to_loopback(server.port());
        const auto all = hear(client, 1000);
        CHECK(all.bytes == "SSH-2.0-hostile\r\n");
        CHECK(all.then == "end");
    }
    SUBCASE("half kex") {
        const hostile_server server(manners::half_kex);
        const fd client = test::connect_to_loopback(server.port());
        const auto all = hear(client, 1000);
        CHECK(all.then == "silence");
        CHECK(all.bytes.size() == 17 + 22);
        CHECK(all.bytes[17 + 5] == 20);
    }
    SUBCASE("reset") {
        const hostile_server server(manners::reset);
        const fd client = test::connect_to_loopback(server.port());
        CHECK(hear(client, 1).then == "reset");
        CHECK(server.open_connections() == 0);
    }
}

TEST_CASE("hostile_server: it sees when its client has gone") {
    for (const auto how : {manners::silent, manners::dripping, manners::endless_lines}) {
        const hostile_server server(how);
        fd client = test::connect_to_loopback(server.port());
        while (server.open_connections() != 1) std::this_thread::yield();
        client.reset();
        while (server.open_connections() != 0) std::this_thread::yield();
        CHECK(server.connections() == 1);
    }
}

TEST_CASE("hostile_server: no manners let the OpenSSH client in, and none outlives its time limit") {
    for (const auto how : {manners::silent, manners::dripping, manners::endless_lines, manners::garbage,
                           manners::banner_only, manners::half_kex, manners::reset}) {
        CAPTURE(static_cast<int>(how));
        const hostile_server server(how);
        exec::limits within;
        within.run_timeout = 2s;
        const auto ended =
            exec::run({.program_and_args = exec::argv("ssh", "-F", "none", "-o", "BatchMode=yes", "-p",
                                                      std::to_string(server.port()), "127.0.0.1", "echo in")},
                      within);
        REQUIRE(ended.has_value());
        CHECK_FALSE(ended->ok());
        CHECK(ended->out.bytes.empty());
        CHECK(server.connections() == 1);
    }
}
