// Where a host is, and the race to its addresses: real listeners, ones that refuse and ones that never answer.
#include "ssh/dial.h"

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <sys/socket.h>

#include <exec/loop.h>
#include <exec/testing/manual_clock.h>

#include "guards.h"
#include "poll_host.h"
#include "posix/syscalls.h"
#include "ssh/address.h"
#include "stream_sockets.h"
#include "syscall_spy.h"

using namespace std::chrono_literals;
using exec::errc;
using exec::stage;
using exec::posix::fd;
using exec::posix::syscalls;
using exec::ssh::address;
using test::listening;
using test::new_loop;

namespace {

address at(const std::string& host, int port) {
    auto made = exec::ssh::literal(host, static_cast<std::uint16_t>(port));
    REQUIRE(made);
    return *made;
}

// A dial by itself, and what it said.
struct dialled {
    explicit dialled(exec::loop& loop, std::vector<address> to) : on(loop) {
        on.post([this, to = std::move(to)]() mutable {
            dial.emplace(*exec::detail::core_of(on), "host:1", std::move(to), [this](exec::result<fd> how) {
                answer.emplace(std::move(how));
                dial.reset();
            });
            dial->begin();
        });
    }
    exec::result<fd>& wait() {
        REQUIRE(test::drive_until(on, [this] { return answer.has_value(); }));
        return *answer;
    }

    exec::loop& on;
    std::optional<exec::ssh::dial> dial{};
    std::optional<exec::result<fd>> answer{};
};

}  // namespace

// Addresses --------------------------------------------------------------------------------------------------------------

TEST_CASE("address: a literal is told from a name without asking anybody") {
    using exec::ssh::literal;
    CHECK(exec::ssh::text_of(*literal("192.0.2.1", 22)) == "192.0.2.1");
    CHECK(exec::ssh::text_of(*literal("2001:db8::1", 22)) == "2001:db8::1");
    CHECK(exec::ssh::text_of(*literal("fe80::1%lo", 22)) == "fe80::1%lo");
    CHECK_FALSE(literal("localhost", 22));
    CHECK_FALSE(literal("", 22));
    CHECK_FALSE(literal("[::1]", 22));
    CHECK_FALSE(literal(std::string("127.0.0.1\0.example", 18), 22));
}

TEST_CASE("address: families come in turn, each in its own order") {
    const auto a = at("2001:db8::1", 1), b = at("2001:db8::2", 1), c = at("2001:db8::3", 1);
    const auto x = at("192.0.2.1", 1), y = at("192.0.2.2", 1);
    CHECK(exec::ssh::in_turn({a, b, c, x, y}) == std::vector<address>{a, x, b, y, c});
    CHECK(exec::ssh::in_turn({x, y, a}) == std::vector<address>{x, a, y});
    CHECK(exec::ssh::in_turn({x}) == std::vector<address>{x});
}

TEST_CASE("address: a look-up that finds nothing says so in the resolver's words, at stage::resolve") {
    for (const auto& host : {std::string("no..name"), std::string("127.0.0.1\0.example", 18), std::string()}) {
        const auto found = exec::ssh::look_up(host, 22);
        REQUIRE_FALSE(found);
        CHECK(found.error().code == errc::connect_failed);
        CHECK(found.error().at == stage::resolve);
    }
    CHECK(exec::ssh::look_up("no..name", 22).error().context.find("no..name: ") == 0);
}

// The race ---------------------------------------------------------------------------------------------------------------

TEST_CASE("dial: an attempt that does not answer is joined by the next one after its head start") {
    const test::process_guard nothing_left;
    const auto loop = new_loop();
    const listening silent = listening::silent();
    listening good("127.0.0.1");
    const auto begun = std::chrono::steady_clock::now();
    dialled race(*loop, {at("127.0.0.1", silent.port()), at("127.0.0.1", good.port())});
    REQUIRE(race.wait());
    CHECK(std::chrono::steady_clock::now() - begun >= exec::ssh::dial::head_start);
    const auto there = good.accept();
    test::check_talks((*race.answer)->get(), there.get());
}

TEST_CASE("dial: an attempt that fails is followed at once, whatever its head start") {
    const test::process_guard nothing_left;
    exec::testing::manual_clock clock;  // stands still
    const auto loop = new_loop({.clock = &clock});
    const test::refusing nobody;
    listening good("::1");
    dialled race(*loop, {at("127.0.0.1", nobody.port()), at("::1", good.port())});
    CHECK(race.wait());
}

TEST_CASE("dial: with a hanging attempt beside it, a failed one still lets the next begin at once") {
    const test::process_guard nothing_left;
    exec::testing::manual_clock clock;
    const auto loop = new_loop({.clock = &clock});
    const listening silent = listening::silent();
    const test::refusing nobody;
    listening good("127.0.0.1");
    dialled race(*loop, {at("127.0.0.1", silent.port()), at("127.0.0.1", nobody.port()), at("127.0.0.1", good.port())});
    test::drain(*loop);
    CHECK_FALSE(race.answer);
    clock.advance(exec::ssh::dial::head_start - 1ms);
    loop->run_ready();
    test::drain(*loop);
    CHECK_FALSE(race.answer);
    clock.advance(1ms);
    loop->run_ready();
    CHECK(race.wait());
}

TEST_CASE("dial: all failed: the code is that of the address that told most, and the context names all") {
    const test::process_guard nothing_left;
    const auto loop = new_loop();
    const test::refusing nobody;
    // Not for TCP: it never leaves this host.
    dialled race(*loop, {at("255.255.255.255", nobody.port()), at("127.0.0.1", nobody.port())});
    const auto& why = race.wait().error();
    CHECK(why.code == std::errc::connection_refused);
    CHECK(why.code.category() == std::system_category());
    CHECK(why.at == stage::connect);
    CHECK(why.kind() == errc::connect_failed);
    CHECK(why.context.find("host:1 (127.0.0.1); tried 2 of 2 addresses: 255.255.255.255 ") == 0);
    CHECK(why.context.find(", 127.0.0.1 Connection refused") != std::string::npos);
}

TEST_CASE("dial: a context stays short however many addresses refused") {
    const test::process_guard nothing_left;
    const auto loop = new_loop();
    const test::refusing nobody;
    dialled race(*loop, std::vector<address>(exec::ssh::most_addresses, at("127.0.0.1", nobody.port())));
    const auto& why = race.wait().error();
    CHECK(why.code == std::errc::connection_refused);
    CHECK(why.context.size() == 512);
    CHECK(why.context.substr(509) == "...");
}

TEST_CASE("dial: a socket that is connected to itself is a port at which nobody listens") {
    const test::process_guard nothing_left;
    const auto loop = new_loop();
    auto table = exec::posix::kernel_syscalls();
    // The chance in 28000, every time.
    table.connect = [](int socket, const sockaddr* to, socklen_t size) {
        ::bind(socket, to, size);
        return ::connect(socket, to, size);
    };
    int port = 0;
    {
        const test::refusing free_for_a_moment;
        port = free_for_a_moment.port();
    }
    const exec::posix::replaced_syscalls in_use(table);
    dialled race(*loop, {at("127.0.0.1", port)});
    const auto& how = race.wait();
    REQUIRE_FALSE(how);
    CHECK(how.error().code == std::errc::connection_refused);
}

TEST_CASE("dial: no descriptor left keeps its number, and asks to come again later") {
    const test::process_guard nothing_left;
    const auto loop = new_loop();
    const test::watched_syscalls<&syscalls::socket> watched;
    test::spy<& syscalls::socket>.error = EMFILE;
    test::spy<& syscalls::socket>.fails_at = -1;
    dialled race(*loop, {at("127.0.0.1", 1), at("::1", 1)});
    const auto& why = race.wait().error();
    CHECK(why.code == std::errc::too_many_files_open);
    CHECK(why.advise() == exec::advice::retry_later);
    CHECK(test::spy<&syscalls::socket>.calls == 2);
}
