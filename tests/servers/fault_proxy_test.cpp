// The proxy itself, between a client and a server that are plain sockets of the test.
#include "servers/fault_proxy.h"

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <thread>

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>

#include "guards.h"
#include "posix/fd.h"
#include "servers/loopback.h"

using namespace std::chrono_literals;
using exec::posix::fd;
using test::fault_proxy;
using direction = fault_proxy::direction;
using clock_type = std::chrono::steady_clock;

namespace {

constexpr int patience_ms = 20'000;
// Long enough for bytes of this machine to arrive, if they were on their way.
constexpr int moment_ms = 100;

bool wait_for(const fd& socket, int events, int within_ms = patience_ms) {
    pollfd what{socket.get(), static_cast<short>(events), 0};
    return ::poll(&what, 1, within_ms) == 1;
}

void say(const fd& to, const std::string& text) {
    std::size_t sent = 0;
    while (sent < text.size()) {
        REQUIRE(wait_for(to, POLLOUT));
        const auto size = ::send(to.get(), text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
        REQUIRE(size > 0);
        sent += static_cast<std::size_t>(size);
    }
}

// So many bytes, or fewer with what happened instead: "[end]", "[reset]", "[silence]".
std::string hear(const fd& from, std::size_t size, int within_ms = patience_ms) {
    std::string heard;
    while (heard.size() < size) {
        if (!wait_for(from, POLLIN, within_ms)) return heard + "[silence]";
        std::string piece(size - heard.size(), '\0');
        const auto got = ::recv(from.get(), piece.data(), piece.size(), 0);
        if (got == 0) return heard + "[end]";
        if (got < 0) return heard + (errno == ECONNRESET ? "[reset]" : "[error " + std::to_string(errno) + "]");
        heard.append(piece, 0, static_cast<std::size_t>(got));
    }
    return heard;
}

fd accept_from(const fd& listener) {
    REQUIRE(wait_for(listener, POLLIN));
    fd accepted(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    REQUIRE(accepted);
    return accepted;
}

// A server, a proxy in front of it, and one client that is connected.
struct fixture {
    fd listener = test::listen_on_loopback();
    fault_proxy proxy{test::port_of(listener)};
    fd client = test::connect_to_loopback(proxy.port());
    fd server = accept_from(listener);
};

// A text in which every byte that is lost, doubled or out of order shows.
std::string numbered(std::size_t size) {
    std::string text;
    for (std::size_t number = 0; text.size() < size; ++number) text += std::to_string(number) + " ";
    return text.substr(0, size);
}

}  // namespace

TEST_CASE("fault_proxy: bytes arrive as they were sent, both ways at the same time") {
    const test::process_guard nothing_left;
    fixture all;
    const auto text = numbered(4 * 1024 * 1024);
    std::thread there([&] { say(all.client, text); });
    std::thread back([&] { say(all.server, text); });
    std::string at_client;
    std::thread reader([&] { at_client = hear(all.client, text.size()); });
    const auto at_server = hear(all.server, text.size());
    for (auto* each : {&there, &back, &reader}) each->join();
    CHECK((at_server == text));
    CHECK((at_client == text));
    CHECK(all.proxy.bytes(direction::to_server) == text.size());
    CHECK(all.proxy.bytes(direction::to_client) == text.size());
    CHECK(all.proxy.connections() == 1);
}

TEST_CASE("fault_proxy: the end of a stream is passed on, and the other direction goes on") {
    fixture all;
    say(all.client, "last words");
    ::shutdown(all.client.get(), SHUT_WR);
    CHECK(hear(all.server, 100) == "last words[end]");
    say(all.server, "an answer");
    CHECK(hear(all.client, 9) == "an answer");
    CHECK(all.proxy.open_connections() == 1);
    all.server.reset();
    CHECK(hear(all.client, 1) == "[end]");
    CHECK(all.proxy.open_connections() == 0);
}

TEST_CASE("fault_proxy: a delay holds in its direction alone, and nothing overtakes") {
    fixture all;
    all.proxy.delay(direction::to_server, 150ms);
    const auto began = clock_type::now();
    say(all.client, "slow");
    CHECK(hear(all.server, 4) == "slow");
    CHECK(clock_type::now() - began >= 150ms);
    say(all.client, "a");
    REQUIRE(all.proxy.bytes(direction::to_client) == 0);
    while (all.proxy.bytes(direction::to_server) < 5) std::this_thread::yield();
    all.proxy.delay(0ms);
    say(all.client, "b");
    CHECK(hear(all.server, 2) == "ab");
    CHECK(hear(all.server, 1, 0) == "[silence]");
}

TEST_CASE("fault_proxy: many pieces in flight share one delay") {
    fixture all;
    all.proxy.delay(direction::to_server, 200ms);
    const auto began = clock_type::now();
    std::uint64_t sent = 0;
    for (int piece = 0; piece < 20; ++piece) {
        say(all.client, "0123456789");
        sent += 10;
        while (all.proxy.bytes(direction::to_server) < sent) std::this_thread::yield();
    }
    CHECK(hear(all.server, sent).size() == sent);
    const auto took = clock_type::now() - began;
    CHECK(took >= 200ms);
    CHECK(took < 200ms * 20);
}

TEST_CASE("fault_proxy: round trips are counted as the client waits for them, not as the pieces that fly") {
    fixture all;
    all.proxy.delay(30ms);
    say(all.server, "banner");
    say(all.client, "banner");
    CHECK(hear(all.client, 6) == "banner");
    CHECK(hear(all.server, 6) == "banner");
    CHECK(all.proxy.round_trips() == 0);
    for (int question = 0; question < 3; ++question) {
        say(all.client, "?");
        CHECK(hear(all.server, 1) == "?");
        say(all.server, "!");
        CHECK(hear(all.client, 1) == "!");
    }
    CHECK(all.proxy.round_trips() == 3);

    // Two questions on their way together cost one.
    for (int question = 0; question < 2; ++question) {
        say(all.client, "?");
        while (all.proxy.bytes(direction::to_server) < 10U + static_cast<unsigned>(question)) std::this_thread::yield();
    }
    for (int question = 0; question < 2; ++question) {
        CHECK(hear(all.server, 1) == "?");
        say(all.server, "!");
    }
    CHECK(hear(all.client, 2) == "!!");
    CHECK(all.proxy.round_trips() == 4);
}

TEST_CASE("fault_proxy: a rate is held, and changed while bytes wait") {
    fixture all;
    all.proxy.rate(direction::to_client, 100'000);
    const auto text = numbered(300'000);
    std::thread sender([&] { say(all.server, text); });
    const auto began = clock_type::now();
    auto heard = hear(all.client, 50'000);
    const auto took = clock_type::now() - began;
    CHECK(took >= 450ms);
    all.proxy.rate(direction::to_client, 0);
    const auto faster = clock_type::now();
    heard += hear(all.client, 250'000);
    // At the old rate it would be 2.5 s.
    CHECK(clock_type::now() - faster < 2s);
    sender.join();
    CHECK((heard == text));
}

TEST_CASE("fault_proxy: it holds no more than a mebibyte for a receiver that does not read") {
    fixture all;
    all.proxy.delay(direction::to_server, 1h);
    const std::string text(65536, 'x');
    for (std::uint64_t sent = 0; sent < 32U * 1024 * 1024; sent += 65536) {
        if (!wait_for(all.client, POLLOUT, moment_ms)) break;
        if (::send(all.client.get(), text.data(), text.size(), MSG_NOSIGNAL) <= 0) break;
    }
    const auto before = all.proxy.bytes(direction::to_server);
    CHECK(before >= 1024 * 1024);
    CHECK(before < 1024 * 1024 + 65536);
    CHECK_FALSE(wait_for(all.client, POLLOUT, 0));
}

TEST_CASE("fault_proxy: a stall loses nothing") {
    fixture all;
    all.proxy.stall();
    say(all.client, "held");
    const fd second = test::connect_to_loopback(all.proxy.port());
    CHECK(hear(all.server, 4, moment_ms) == "[silence]");
    CHECK(all.proxy.connections() == 1);
    CHECK(all.proxy.bytes(direction::to_server) == 0);
    all.proxy.resume();
    CHECK(hear(all.server, 4) == "held");
    const fd its_server = accept_from(all.listener);
    CHECK(all.proxy.connections() == 2);
}

TEST_CASE("fault_proxy: while nothing can move it does not spin") {
    fixture all;
    std::string text(65536, 'x');
    SUBCASE("both ends have hung up in a stall") {
        all.proxy.stall();
        all.client.reset();
        test::reset_connection(all.server);
    }
    SUBCASE("something has become due in a stall") {
        all.proxy.delay(20ms);
        say(all.client, "due");
        while (all.proxy.bytes(direction::to_server) < 3) std::this_thread::yield();
        all.proxy.stall();
    }
    SUBCASE("the receiver does not read") {
        while (wait_for(all.client, POLLOUT, moment_ms))
            ::send(all.client.get(), text.data(), text.size(), MSG_NOSIGNAL);
    }
    CHECK(all.proxy.open_connections() == 1);
    timespec before{};
    timespec after{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    std::this_thread::sleep_for(500ms);
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    const auto used = (after.tv_sec - before.tv_sec) * 1'000'000'000 + after.tv_nsec - before.tv_nsec;
    CHECK(used < 50'000'000);
}

TEST_CASE("fault_proxy: a black hole takes everything, also what is on its way, and tells nobody") {
    fixture all;
    all.proxy.delay(direction::to_server, 1h);
    say(all.client, "on its way");
    while (all.proxy.bytes(direction::to_server) < 10) std::this_thread::yield();
    all.proxy.black_hole();
    all.proxy.delay(0ms);
    say(all.client, std::string(3 * 1024 * 1024, 'x'));
    say(all.server, "nothing");
    const fd second = test::connect_to_loopback(all.proxy.port());
    CHECK(hear(all.client, 1, moment_ms) == "[silence]");
    CHECK(hear(all.server, 1, moment_ms) == "[silence]");
    CHECK_FALSE(wait_for(all.listener, POLLIN, 0));
    CHECK(all.proxy.connections() == 2);
    all.proxy.resume();
    say(all.client, "late");
    CHECK(hear(all.server, 4) == "late");
    ::shutdown(second.get(), SHUT_WR);
    while (all.proxy.open_connections() != 1) std::this_thread::yield();
}

TEST_CASE("fault_proxy: a reset reaches both sides, and the next connection works") {
    fixture all;
    all.proxy.reset();
    CHECK(hear(all.client, 1) == "[reset]");
    CHECK(hear(all.server, 1) == "[reset]");
    CHECK(all.proxy.open_connections() == 0);
    const fd client = test::connect_to_loopback(all.proxy.port());
    const fd server = accept_from(all.listener);
    say(client, "again");
    CHECK(hear(server, 5) == "again");
}

TEST_CASE("fault_proxy: a reset by the server is a reset for the client") {
    fixture all;
    test::reset_connection(all.server);
    CHECK(hear(all.client, 1) == "[reset]");
}

TEST_CASE("fault_proxy: half open, the server is gone and the client is not told") {
    fixture all;
    all.proxy.half_open();
    CHECK(hear(all.server, 1) == "[end]");
    say(all.client, std::string(3 * 1024 * 1024, 'x'));
    CHECK(hear(all.client, 1, moment_ms) == "[silence]");
    const fd client = test::connect_to_loopback(all.proxy.port());
    const fd server = accept_from(all.listener);
    say(server, "new");
    CHECK(hear(client, 3) == "new");
    all.client.reset();
    while (all.proxy.open_connections() != 1) std::this_thread::yield();
}

TEST_CASE("fault_proxy: refused connects, while the others go on") {
    fixture all;
    all.proxy.refuse();
    const fd refused = test::connect_to_loopback(all.proxy.port());
    REQUIRE(wait_for(refused, POLLIN));
    char byte = 0;
    CHECK(::recv(refused.get(), &byte, 1, 0) == -1);
    CHECK(errno == ECONNREFUSED);
    say(all.client, "still");
    CHECK(hear(all.server, 5) == "still");
    all.proxy.accept_again();
    const fd client = test::connect_to_loopback(all.proxy.port());
    const fd server = accept_from(all.listener);
    say(client, "again");
    CHECK(hear(server, 5) == "again");
}

TEST_CASE("fault_proxy: a server that refuses shows as a reset") {
    const int nobody = test::free_port();
    const fault_proxy proxy(nobody);
    const fd client = test::connect_to_loopback(proxy.port());
    CHECK(hear(client, 1) == "[reset]");
}
