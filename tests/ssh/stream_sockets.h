// Sockets on this host for tests of what connects: listeners that accept, refuse or never answer, and a connect() whose
// answer is counted.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <exec/loop.h>
#include <exec/ssh/connector.h>

#include "poll_host.h"
#include "posix/fd.h"
#include "ssh/address.h"

namespace test {

inline std::unique_ptr<exec::loop> new_loop(exec::loop_options options = {}) {
    auto made = exec::make_loop(std::move(options));
    REQUIRE(made.has_value());
    return *std::move(made);
}

inline std::pair<exec::posix::fd, exec::posix::fd> new_pair(int flags = SOCK_CLOEXEC) {
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | flags, 0, ends) == 0);
    return {exec::posix::fd(ends[0]), exec::posix::fd(ends[1])};
}

// A TCP socket at a port of this host that the kernel chose.
class bound {
   public:
    explicit bound(const std::string& host) {
        auto where = exec::ssh::literal(host, 0);
        REQUIRE(where);
        socket_ = exec::posix::fd(::socket(where->family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
        REQUIRE(::bind(socket_.get(), where->get(), where->size) == 0);
        REQUIRE(::getsockname(socket_.get(), where->get(), &where->size) == 0);
        port_ = ntohs(where->family() == AF_INET ? reinterpret_cast<sockaddr_in&>(where->raw).sin_port
                                                 : reinterpret_cast<sockaddr_in6&>(where->raw).sin6_port);
    }
    std::uint16_t port() const noexcept { return port_; }

   protected:
    exec::posix::fd socket_{};
    std::uint16_t port_ = 0;
};

// Nobody listens there, and nobody else can.
class refusing : public bound {
   public:
    refusing() : bound("127.0.0.1") {}
};

class listening : public bound {
   public:
    explicit listening(const std::string& host, int backlog = 64) : bound(host) {
        REQUIRE(::listen(socket_.get(), backlog) == 0);
    }
    // One whose queue is full: the kernel drops whoever else knocks.
    static listening silent() {
        listening made("127.0.0.1", 0);
        const auto where = exec::ssh::literal("127.0.0.1", made.port());
        made.guest_ = exec::posix::fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        REQUIRE(::connect(made.guest_.get(), where->get(), where->size) == 0);
        return made;
    }
    exec::posix::fd accept() {
        REQUIRE(readable(socket_.get(), patience_ms));
        exec::posix::fd made(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
        REQUIRE(made);
        return made;
    }

   private:
    exec::posix::fd guest_{};
};

// Bytes that are put into the one come out of the other, in both directions.
inline void check_talks(int one, int other) {
    for (const auto& [from, to] : {std::pair(one, other), std::pair(other, one)}) {
        char byte = 0;
        REQUIRE(::send(from, "x", 1, MSG_NOSIGNAL) == 1);
        REQUIRE(readable(to, patience_ms));
        REQUIRE(::recv(to, &byte, 1, 0) == 1);
        CHECK(byte == 'x');
    }
}

// One connect() and its answer.
struct asked {
    int answers = 0;
    std::optional<exec::result<exec::ssh::connection>> answer{};

    // In this thread.
    void call(exec::ssh::connector& from, const std::string& host, std::uint16_t port, exec::time_point by) {
        from.connect(host, port, by, [this](exec::result<exec::ssh::connection> how) {
            ++answers;
            answer.emplace(std::move(how));
        });
    }
    // In a callback of the loop; the answer must not come inside.
    void ask(exec::loop& on, exec::ssh::connector& from, const std::string& host, std::uint16_t port,
             exec::time_point by = exec::never) {
        bool called = false;
        on.post([&] {
            call(from, host, port, by);
            called = true;
            CHECK(answers == 0);
        });
        on.run_ready({.events = 1});
        while (!called) on.run_ready({.events = 1});
    }
    exec::ssh::connection connected(exec::loop& on) {
        REQUIRE(drive_until(on, [this] { return answers != 0; }));
        CHECK(answers == 1);
        if (!*answer) FAIL(answer->error().message());
        return **std::move(answer);
    }
    exec::failure refused(exec::loop& on) {
        REQUIRE(drive_until(on, [this] { return answers != 0; }));
        CHECK(answers == 1);
        REQUIRE_FALSE(answer->has_value());
        return answer->error();
    }
};

}  // namespace test
