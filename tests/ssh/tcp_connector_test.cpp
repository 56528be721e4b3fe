// Dials real listeners on this host, and ones that refuse or never answer.
#include <exec/ssh/connector.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <exec/executor.h>

#include "guards.h"
#include "poll_host.h"
#include "posix/syscalls.h"
#include "stream_sockets.h"
#include "syscall_spy.h"

using namespace std::chrono_literals;
using exec::errc;
using exec::milliseconds;
using exec::never;
using exec::stage;
using exec::time_point;
using exec::posix::fd;
using exec::posix::syscalls;
using exec::ssh::connection;
using test::asked;
using test::listening;
using test::new_loop;

namespace {

std::chrono::steady_clock::time_point in(milliseconds delay) { return std::chrono::steady_clock::now() + delay; }

// Keeps what it is given until it is told to do it, or to drop it.
class patient_executor final : public exec::executor {
   public:
    void execute(exec::callback<void()> work) override {
        const std::lock_guard hold(mutex_);
        queue_.push_back(std::move(work));
    }
    std::size_t waiting() {
        const std::lock_guard hold(mutex_);
        return queue_.size();
    }
    exec::callback<void()> take() {
        const std::lock_guard hold(mutex_);
        auto first = std::move(queue_.front());
        queue_.pop_front();
        return first;
    }

   private:
    std::mutex mutex_;
    std::deque<exec::callback<void()>> queue_;
};

std::unique_ptr<exec::executor> new_executor() {
    auto made = exec::make_thread_executor(1);
    REQUIRE(made);
    return *std::move(made);
}

int option(int socket, int level, int name) {
    int value = -1;
    socklen_t size = sizeof value;
    REQUIRE(::getsockopt(socket, level, name, &value, &size) == 0);
    return value;
}

}  // namespace

// TCP --------------------------------------------------------------------------------------------------------------------

TEST_CASE("tcp: a literal address is connected without an executor, in both families") {
    const test::process_guard nothing_left;
    const auto loop = new_loop();
    const auto tcp = exec::ssh::make_tcp_connector(*loop);
    for (const std::string host : {"127.0.0.1", "::1"}) {
        CAPTURE(host);
        listening server(host);
        asked one;
        one.ask(*loop, *tcp, host, server.port());
        auto made = one.connected(*loop);
        auto there = server.accept();
        test::check_talks(made.fd(), there.get());
        CHECK((::fcntl(made.fd(), F_GETFD) & FD_CLOEXEC) != 0);
        CHECK((::fcntl(made.fd(), F_GETFL) & O_NONBLOCK) != 0);
        CHECK_FALSE(made.last_words);
        // Nothing that happens to it is the loop's any more.
        const linger reset{1, 0};
        REQUIRE(::setsockopt(there.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset) == 0);
        there.reset();
        REQUIRE(test::readable(made.fd(), test::patience_ms));
        CHECK_FALSE(test::readable(loop->poll_fd()));
    }
}

TEST_CASE("tcp: sockets do not delay, and their probes fit into the user timeout") {
    const test::process_guard nothing_left;
    const auto loop = new_loop();
    listening server("127.0.0.1");
    struct {
        milliseconds timeout;
        int kept, idle, interval;
    } const cases[] = {{30s, 30'000, 15, 5},
                       {2min, 120'000, 30, 10},
                       {500ms, 500, 1, 1},
                       {exec::unlimited, 0, 30, 10},
                       {exec::unlimited - 1ms, 2'147'483'647, 30, 10}};
    for (const auto& each : cases) {
        const auto tcp = exec::ssh::make_tcp_connector(*loop, {.user_timeout = each.timeout});
        asked one;
        one.ask(*loop, *tcp, "127.0.0.1", server.port());
        const auto made = one.connected(*loop);
        CHECK(option(made.fd(), IPPROTO_TCP, TCP_NODELAY) == 1);
        CHECK(option(made.fd(), SOL_SOCKET, SO_KEEPALIVE) == 1);
        CHECK(option(made.fd(), IPPROTO_TCP, TCP_KEEPIDLE) == each.idle);
        CHECK(option(made.fd(), IPPROTO_TCP, TCP_KEEPINTVL) == each.interval);
        CHECK(option(made.fd(), IPPROTO_TCP, TCP_KEEPCNT) == 3);
        CHECK(option(made.fd(), IPPROTO_TCP, TCP_USER_TIMEOUT) == each.kept);
    }
}

TEST_CASE("tcp: a refusal keeps the kernel's number and names the address") {
    const test::process_guard nothing_left;
    const auto loop = new_loop();
    const auto tcp = exec::ssh::make_tcp_connector(*loop);
    const test::refusing nobody;
    asked one;
    one.ask(*loop, *tcp, "::ffff:127.0.0.1", nobody.port());
    const auto why = one.refused(*loop);
    CHECK(why.code == std::errc::connection_refused);
    CHECK(why.at == stage::connect);
    CHECK(why.context == "[::ffff:127.0.0.1]:" + std::to_string(nobody.port()) + " (::ffff:127.0.0.1)");
}

TEST_CASE("tcp: a name is looked up on the executor, and connected") {
    const test::process_guard nothing_left;
    const auto loop = new_loop();
    const auto names = new_executor();
    const auto tcp = exec::ssh::make_tcp_connector(*loop, {.names = names.get()});
    listening server("127.0.0.1");
    asked one;
    one.ask(*loop, *tcp, "localhost", server.port());
    const auto made = one.connected(*loop);
    const auto there = server.accept();
    test::check_talks(made.fd(), there.get());
}

TEST_CASE("tcp: without an executor a name is unsupported, and nothing is tried") {
    const test::process_guard nothing_left;
    const auto loop = new_loop();
    const auto tcp = exec::ssh::make_tcp_connector(*loop);
    asked one;
    one.ask(*loop, *tcp, "localhost", 22);
    const auto why = one.refused(*loop);
    CHECK(why.code == errc::unsupported);
    CHECK(why.at == stage::resolve);
    CHECK(why.context.find("localhost") == 0);
}

TEST_CASE("tcp: a name that is none fails at stage::resolve") {
    const test::process_guard nothing_left;
    const auto loop = new_loop();
    const auto names = new_executor();
    const auto tcp = exec::ssh::make_tcp_connector(*loop, {.names = names.get()});
    asked one;
    one.ask(*loop, *tcp, "no..name", 22);
    const auto why = one.refused(*loop);
    CHECK(why.code == errc::connect_failed);
    CHECK(why.at == stage::resolve);
}

TEST_CASE("tcp: a look-up that takes too long is answered at `by`, and its late result is dropped") {
    const test::process_guard nothing_left;
    const auto loop = new_loop();
    patient_executor names;
    const auto tcp = exec::ssh::make_tcp_connector(*loop, {.names = &names});
    listening server("127.0.0.1");
    asked one;
    const auto by = in(30ms);
    one.ask(*loop, *tcp, "localhost", server.port(), by);
    const auto why = one.refused(*loop);
    CHECK(std::chrono::steady_clock::now() >= by);
    CHECK(why.code == std::errc::timed_out);
    CHECK(why.code.category() == std::system_category());
    CHECK(why.at == stage::resolve);

    const test::watched_syscalls<&syscalls::socket> watched;
    REQUIRE(names.waiting() == 1);
    names.take()();
    test::drain(*loop);
    CHECK(one.answers == 1);
    CHECK(test::spy<&syscalls::socket>.calls == 0);
}

TEST_CASE("tcp: a look-up that comes while the clock runs out elsewhere is answered once") {
    const test::process_guard nothing_left;
    const auto loop = new_loop();
    const auto names = new_executor();
    const auto tcp = exec::ssh::make_tcp_connector(*loop, {.names = names.get()});
    listening server("127.0.0.1");
    std::deque<asked> all(50);
    for (std::size_t i = 0; i < all.size(); ++i) {
        all[i].ask(*loop, *tcp, "localhost", server.port(), in(milliseconds(i / 4)));
    }
    for (auto& each : all) REQUIRE(test::drive_until(*loop, [&] { return each.answers != 0; }));
    for (auto& each : all) {
        CHECK(each.answers == 1);
        CHECK((each.answer->has_value() || each.answer->error().code == std::errc::timed_out));
    }
}

TEST_CASE("tcp: an executor that drops the look-up is a broken reply") {
    const test::process_guard nothing_left;
    const auto loop = new_loop();
    patient_executor names;
    const auto tcp = exec::ssh::make_tcp_connector(*loop, {.names = &names});
    asked one;
    one.ask(*loop, *tcp, "localhost", 22);
    REQUIRE(names.waiting() == 1);
    names.take().reset();
    const auto why = one.refused(*loop);
    CHECK(why.code == errc::broken_reply);
    CHECK(why.at == stage::resolve);
}

TEST_CASE("tcp: a server that never answers is given up at `by`, at stage::connect") {
    const test::process_guard nothing_left;
    const auto loop = new_loop();
    const auto tcp = exec::ssh::make_tcp_connector(*loop);
    const listening silent = listening::silent();
    asked one;
    const auto by = in(30ms);
    one.ask(*loop, *tcp, "127.0.0.1", silent.port(), by);
    const auto why = one.refused(*loop);
    CHECK(std::chrono::steady_clock::now() >= by);
    CHECK(why.code == std::errc::timed_out);
    CHECK(why.at == stage::connect);
    CHECK(why.context ==
          "127.0.0.1:" + std::to_string(silent.port()) + "; tried 1 of 1 addresses: 127.0.0.1 no answer");
}

TEST_CASE("tcp: whose time is over before it begins opens no socket") {
    const test::process_guard nothing_left;
    const auto loop = new_loop();
    const auto tcp = exec::ssh::make_tcp_connector(*loop);
    const test::watched_syscalls<&syscalls::socket> watched;
    asked one;
    one.ask(*loop, *tcp, "127.0.0.1", 1, in(0ms));
    CHECK(one.refused(*loop).code == std::errc::timed_out);
    CHECK(test::spy<&syscalls::socket>.calls == 0);
}

TEST_CASE("tcp: an option that cannot be set is a failure, and the socket is closed") {
    const test::process_guard nothing_left;
    const auto loop = new_loop();
    const auto tcp = exec::ssh::make_tcp_connector(*loop);
    listening server("127.0.0.1");
    const test::watched_syscalls<&syscalls::set_option> watched;
    test::spy<& syscalls::set_option>.error = ENOPROTOOPT;
    test::spy<& syscalls::set_option>.fails_at = 6;
    asked one;
    one.ask(*loop, *tcp, "127.0.0.1", server.port());
    const auto why = one.refused(*loop);
    CHECK(why.code == std::errc::no_protocol_option);
    CHECK(why.at == stage::connect);
    char byte = 0;
    CHECK(::read(server.accept().get(), &byte, 1) == 0);
}

TEST_CASE("tcp: a connector that is gone still answers what it was asked") {
    const test::process_guard nothing_left;
    const auto loop = new_loop();
    patient_executor names;
    auto tcp = exec::ssh::make_tcp_connector(*loop, {.names = &names});
    listening server("127.0.0.1");
    asked literal;
    asked named;
    literal.ask(*loop, *tcp, "127.0.0.1", server.port());
    named.ask(*loop, *tcp, "localhost", server.port());
    tcp.reset();
    std::thread(names.take()).join();
    CHECK(named.connected(*loop).fd() >= 0);
    CHECK(literal.connected(*loop).fd() >= 0);
}

TEST_CASE("tcp: a loop that shuts down, or is destroyed, answers what is under way and what comes later") {
    const test::process_guard nothing_left;
    for (const bool in_destructor : {false, true}) {
        CAPTURE(in_destructor);
        auto loop = new_loop();
        patient_executor names;
        const auto tcp = exec::ssh::make_tcp_connector(*loop, {.names = &names});
        const listening silent = listening::silent();
        asked resolving;
        asked connecting;
        asked fresh;
        resolving.ask(*loop, *tcp, "localhost", silent.port());
        connecting.ask(*loop, *tcp, "127.0.0.1", silent.port());
        test::drain(*loop);
        loop->post([&] { fresh.call(*tcp, "127.0.0.1", silent.port(), never); });
        if (!in_destructor) loop->shutdown(1s);
        asked late;
        if (!in_destructor) late.ask(*loop, *tcp, "127.0.0.1", silent.port());
        loop.reset();
        for (auto* each : {&resolving, &connecting, &fresh, &late}) {
            if (each == &late && in_destructor) continue;
            REQUIRE(each->answers == 1);
            CHECK(each->answer->error().code == errc::shutting_down);
        }
        names.take()();  // after everybody has gone
        CHECK(resolving.answers == 1);
    }
}

TEST_CASE("tcp: a reply that throws harms nobody else") {
    const test::process_guard nothing_left;
    const auto loop = new_loop();
    const auto tcp = exec::ssh::make_tcp_connector(*loop);
    listening server("127.0.0.1");
    loop->post([&] {
        tcp->connect("127.0.0.1", server.port(), never,
                     [](exec::result<connection>) { throw std::runtime_error("of the host"); });
    });
    REQUIRE(test::drive_until(*loop, [&] { return loop->exceptions() == 1; }));
    asked one;
    one.ask(*loop, *tcp, "127.0.0.1", server.port());
    CHECK(one.connected(*loop).fd() >= 0);
}

// Connections and descriptors --------------------------------------------------------------------------------------------

TEST_CASE("connection: closes what it owns, once") {
    const test::process_guard nothing_left;
    auto [a, b] = test::new_pair();
    auto [c, d] = test::new_pair();
    const int first = a.release();
    const int second = c.release();
    {
        connection one(first);
        one = connection(second);
        CHECK(::fcntl(first, F_GETFD) == -1);
        auto& same = one;
        one = std::move(same);
        CHECK(one.fd() == second);
        connection other(std::move(one));
        CHECK(one.fd() == -1);
        CHECK(other.fd() == second);
    }
    CHECK(::fcntl(second, F_GETFD) == -1);
}

TEST_CASE("descriptor: gives its socket away once, close-on-exec") {
    const test::process_guard nothing_left;
    auto [mine, theirs] = test::new_pair(0);
    const int number = mine.get();
    const auto once = exec::ssh::use_descriptor(mine.release());
    CHECK((::fcntl(number, F_GETFD) & FD_CLOEXEC) != 0);
    asked first;
    first.call(*once, "anything", 22, never);
    REQUIRE(first.answers == 1);
    REQUIRE(first.answer->has_value());
    CHECK((*first.answer)->fd() == number);
    asked second;
    second.call(*once, "anything", 22, never);
    REQUIRE(second.answers == 1);
    CHECK(second.answer->error().code == errc::connect_failed);
    CHECK(second.answer->error().at == stage::connect);
}

TEST_CASE("descriptor: one that was never used is closed, one that is no connected stream is refused") {
    const test::process_guard nothing_left;
    auto [mine, theirs] = test::new_pair();
    exec::ssh::use_descriptor(mine.release()).reset();
    char byte = 0;
    CHECK(::read(theirs.get(), &byte, 1) == 0);

    int pipe_ends[2];
    REQUIRE(::pipe2(pipe_ends, O_CLOEXEC) == 0);
    const fd write_end(pipe_ends[1]);
    struct {
        int descriptor;
        int error;
    } const cases[] = {{-1, EBADF},
                       {1'000'000, EBADF},
                       {pipe_ends[0], ENOTSOCK},
                       {::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), EPROTOTYPE},
                       {::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), ENOTCONN}};
    for (const auto& each : cases) {
        asked one;
        one.call(*exec::ssh::use_descriptor(each.descriptor), "anything", 22, never);
        REQUIRE(one.answers == 1);
        CHECK(one.answer->error().code == std::error_code(each.error, std::system_category()));
        CHECK(one.answer->error().at == stage::connect);
    }
}
