// A host on libuv. One uv_poll is all that it needs for any number of commands.
#include <doctest/doctest.h>

#include <exec/local_runner.h>
#include <exec/loop.h>

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <uv.h>

#include "guards.h"

namespace {

using exec::argv;

class uv_server {
   public:
    uv_server() {
        REQUIRE(uv_loop_init(&own_) == 0);
        REQUIRE(uv_poll_init(&own_, &watched_, guest_->poll_fd()) == 0);
        watched_.data = this;
        REQUIRE(uv_poll_start(&watched_, UV_READABLE, [](uv_poll_t* handle, int status, int) {
                    CHECK(status == 0);
                    static_cast<uv_server*>(handle->data)->guest_->run_ready();
                }) == 0);
        REQUIRE(uv_timer_init(&own_, &tick_) == 0);
        tick_.data = this;
        REQUIRE(uv_timer_start(
                    &tick_, [](uv_timer_t* handle) { ++static_cast<uv_server*>(handle->data)->ticks; }, 1, 1) == 0);
    }
    ~uv_server() {
        uv_close(reinterpret_cast<uv_handle_t*>(&watched_), nullptr);
        uv_close(reinterpret_cast<uv_handle_t*>(&tick_), nullptr);
        uv_run(&own_, UV_RUN_DEFAULT);
        CHECK(uv_loop_close(&own_) == 0);
    }
    uv_server(const uv_server&) = delete;
    uv_server& operator=(const uv_server&) = delete;

    exec::runner& runner() { return *runner_; }
    void run() { uv_run(&own_, UV_RUN_DEFAULT); }
    void stop() { uv_stop(&own_); }
    // Counts while the host is alive to its own timers.
    std::size_t ticks = 0;

   private:
    // The loop's descriptor is closed after uv_poll has let go of it.
    std::unique_ptr<exec::loop> guest_ = exec::make_loop().value();
    std::shared_ptr<exec::runner> runner_ = exec::make_local_runner(*guest_).value();
    uv_loop_t own_{};
    uv_poll_t watched_{};
    uv_timer_t tick_{};
};

// Gathers the ends of a number of commands, and stops the server after the last.
class finish_line {
   public:
    finish_line(uv_server& server, std::size_t expects) : server_(server), expects_(expects) {}

    std::unique_ptr<exec::observer> lane() {
        struct runner_up final : exec::observer {
            finish_line& line;
            std::size_t number;
            runner_up(finish_line& at, std::size_t of) : line(at), number(of) {}
            void on_done(exec::result<exec::outcome> how) override { line.arrived(number, std::move(how)); }
        };
        ended.emplace_back(exec::fail(exec::errc::broken_reply));
        return std::make_unique<runner_up>(*this, ended.size() - 1);
    }
    std::vector<exec::result<exec::outcome>> ended{};

   private:
    void arrived(std::size_t number, exec::result<exec::outcome> how) {
        ended[number] = std::move(how);
        if (--expects_ == 0) server_.stop();
    }
    uv_server& server_;
    std::size_t expects_;
};

}  // namespace

TEST_CASE("libuv host: 200 echo jobs and one timeout job, through one watched descriptor") {
    { const uv_server first; }  // libuv opens two descriptors of its own for as long as the process lives
    const test::process_guard nothing_left;
    uv_server server;
    finish_line line(server, 201);
    std::vector<exec::execution> running;
    exec::limits short_run;
    short_run.run_timeout = exec::milliseconds(300);
    running.push_back(server.runner().start({.program_and_args = argv("sleep", "60")}, short_run, line.lane()));
    for (int number = 1; number <= 200; ++number) {
        running.push_back(
            server.runner().start({.program_and_args = argv("echo", std::to_string(number))}, {}, line.lane()));
    }
    server.run();
    REQUIRE(line.ended[0].has_value());
    CHECK(line.ended[0]->how() == exec::ended::timed_out);
    for (std::size_t number = 1; number <= 200; ++number) {
        REQUIRE(line.ended[number].has_value());
        CHECK(line.ended[number]->ok());
        CHECK(line.ended[number]->out.bytes == std::to_string(number) + "\n");
    }
    CHECK(server.ticks > 0);
}

TEST_CASE("libuv host: the host's timers run on while a command floods it with output") {
    const test::process_guard nothing_left;
    uv_server server;
    finish_line line(server, 1);
    struct until_ten_ticks final : exec::observer {
        std::unique_ptr<exec::observer> next;
        uv_server& host;
        until_ten_ticks(std::unique_ptr<exec::observer> then, uv_server& of) : next(std::move(then)), host(of) {}
        exec::flow on_output(exec::stream, std::uint64_t, exec::bytes_view) override {
            return host.ticks < 10 ? exec::flow::more : exec::flow::stop;
        }
        void on_done(exec::result<exec::outcome> how) override { next->on_done(std::move(how)); }
    };
    auto flood = server.runner().start({.program_and_args = argv("yes")}, {},
                                       std::make_unique<until_ten_ticks>(line.lane(), server));
    server.run();
    CHECK(server.ticks >= 10);
    REQUIRE(line.ended[0].has_value());
    CHECK(line.ended[0]->stopped_by == exec::stop_reason::cancelled);
}
