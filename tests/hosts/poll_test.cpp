// A host that has nothing but poll(2).
#include <doctest/doctest.h>

#include <exec/local_runner.h>
#include <exec/loop.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "guards.h"

namespace {

using exec::argv;

// The host: one poll(2) over its own pipe and the guest's descriptor.
class poll_server {
   public:
    poll_server() { REQUIRE(::pipe2(own_.data(), O_CLOEXEC | O_NONBLOCK) == 0); }
    ~poll_server() {
        ::close(own_[0]);
        ::close(own_[1]);
    }
    poll_server(const poll_server&) = delete;
    poll_server& operator=(const poll_server&) = delete;

    exec::loop& guest() { return *guest_; }
    exec::runner& runner() { return *runner_; }
    // The host's own traffic.
    void request() { REQUIRE(::write(own_[1], "r", 1) == 1); }
    std::size_t requests_served = 0;

    template <class Done>
    bool serve_until(Done done) {
        constexpr int patience_ms = 20'000;
        while (!done()) {
            std::array<pollfd, 2> watched{{{own_[0], POLLIN, 0}, {guest_->poll_fd(), POLLIN, 0}}};
            const auto ready = ::poll(watched.data(), watched.size(), patience_ms);
            if (ready == -1 && errno == EINTR) continue;
            if (ready <= 0) return false;
            if (watched[0].revents != 0) {
                std::array<char, 64> requests{};
                requests_served += static_cast<std::size_t>(::read(own_[0], requests.data(), requests.size()));
            }
            if (watched[1].revents != 0) guest_->run_ready({.events = 16});
        }
        return true;
    }

   private:
    std::array<int, 2> own_{};
    std::unique_ptr<exec::loop> guest_ = exec::make_loop().value();
    std::shared_ptr<exec::runner> runner_ = exec::make_local_runner(*guest_).value();
};

// What the host keeps of each command, by a number of its own.
struct board {
    std::map<int, exec::result<exec::outcome>> ended{};
    std::map<int, std::string> said{};  // on stream::out
};

class posting_observer final : public exec::observer {
   public:
    posting_observer(board& on, int number) : on_(on), number_(number) {}
    exec::flow on_output(exec::stream from, std::uint64_t at, exec::bytes_view bytes) override {
        if (from == exec::stream::err) return exec::flow::more;
        auto& said = on_.said[number_];
        CHECK(at == said.size());
        said += bytes;
        return exec::flow::more;
    }
    void on_done(exec::result<exec::outcome> how) override { CHECK(on_.ended.emplace(number_, std::move(how)).second); }

   private:
    board& on_;
    int number_;
};

}  // namespace

TEST_CASE("poll host: a command speaks and ends through one descriptor, beside the host's own") {
    const test::process_guard nothing_left;
    poll_server server;
    board seen;
    server.request();
    auto running = server.runner().start({.program_and_args = argv("sh", "-c", "printf a; printf b >&2; exit 3")}, {},
                                         std::make_unique<posting_observer>(seen, 1));
    CHECK(seen.ended.empty());
    REQUIRE(server.serve_until([&] { return !seen.ended.empty() && server.requests_served == 1; }));
    const auto& how = seen.ended.at(1);
    REQUIRE(how.has_value());
    CHECK(how->exit == exec::exit_status::exited(3));
    CHECK(how->out.bytes == "a");
    CHECK(how->err.bytes == "b");
}

TEST_CASE("poll host: two hundred commands at once and one that must be timed out, each with its own end") {
    const test::process_guard nothing_left;
    poll_server server;
    board seen;
    exec::limits short_run;
    short_run.run_timeout = exec::milliseconds(300);
    auto slow = server.runner().start({.program_and_args = argv("sleep", "60")}, short_run,
                                      std::make_unique<posting_observer>(seen, 1000));
    std::map<int, exec::execution> running;
    for (int number = 0; number < 200; ++number) {
        running.emplace(number, server.runner().start({.program_and_args = argv("echo", std::to_string(number))}, {},
                                                      std::make_unique<posting_observer>(seen, number)));
    }
    REQUIRE(server.serve_until([&] { return seen.ended.size() == 201; }));
    for (int number = 0; number < 200; ++number) {
        const auto& how = seen.ended.at(number);
        REQUIRE(how.has_value());
        CHECK(how->ok());
        CHECK(seen.said.at(number) == std::to_string(number) + "\n");
    }
    REQUIRE(seen.ended.at(1000).has_value());
    CHECK(seen.ended.at(1000)->how() == exec::ended::timed_out);
    CHECK(seen.ended.at(1000)->exit == exec::exit_status::signaled(15));
}

TEST_CASE("poll host: a chatty command does not keep the host from its own requests") {
    const test::process_guard nothing_left;
    poll_server server;
    board seen;
    exec::limits within;
    within.out.show = 0;
    auto chatty =
        server.runner().start({.program_and_args = argv("yes")}, within, std::make_unique<posting_observer>(seen, 1));
    for (std::size_t served = 1; served <= 50; ++served) {
        server.request();
        REQUIRE(server.serve_until([&] { return server.requests_served == served; }));
    }
    CHECK(seen.ended.empty());
    chatty.stop();
    REQUIRE(server.serve_until([&] { return !seen.ended.empty(); }));
    CHECK(seen.ended.at(1)->how() == exec::ended::cancelled);
}

TEST_CASE("poll host: a conversation: what is written to a command comes back before its input ends") {
    const test::process_guard nothing_left;
    poll_server server;
    board seen;
    auto running = server.runner().start({.program_and_args = argv("cat"), .in = exec::input::streamed()}, {},
                                         std::make_unique<posting_observer>(seen, 1));
    for (const std::string line : {"one\n", "two\n", "three\n"}) {
        const auto expected = seen.said[1] + line;
        CHECK(running.write_in(line) == line.size());
        REQUIRE(server.serve_until([&] { return seen.said[1] == expected; }));
    }
    CHECK(seen.ended.empty());
    running.close_in();
    REQUIRE(server.serve_until([&] { return !seen.ended.empty(); }));
    CHECK(seen.ended.at(1)->ok());
    CHECK(seen.ended.at(1)->in_taken == 14);
}

TEST_CASE("poll host: a dropped command is gone, and its observer hears nothing of it") {
    const test::process_guard nothing_left;
    poll_server server;
    board seen;
    {
        auto dropped = server.runner().start({.program_and_args = argv("sleep", "60")}, {},
                                             std::make_unique<posting_observer>(seen, 1));
    }
    // Another command's end is the event to wait for; the loop's end waits for what is left.
    auto other =
        server.runner().start({.program_and_args = argv("true")}, {}, std::make_unique<posting_observer>(seen, 2));
    REQUIRE(server.serve_until([&] { return seen.ended.count(2) == 1; }));
    CHECK(seen.ended.count(1) == 0);
}
