// A host on Boost.Asio: its io_context drives the loop, and commands are operations like its timers.
#include <doctest/doctest.h>

#include <exec/asio.h>
#include <exec/local_runner.h>
#include <exec/loop.h>
#include <exec/loop_thread.h>

#include <boost/asio/any_completion_handler.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include <sys/wait.h>

#include "guards.h"

namespace asio = boost::asio;

namespace {

using exec::argv;
using answer = exec::result<exec::outcome>;
using namespace std::chrono_literals;
using namespace asio::experimental::awaitable_operators;

// In the order in which they must be destroyed, last first.
struct asio_server {
    asio::io_context context{1};
    std::unique_ptr<exec::loop> loop = exec::make_loop().value();
    std::shared_ptr<exec::runner> runner = exec::make_local_runner(*loop).value();
    exec::asio_drive drive{*loop, context.get_executor()};

    // Runs what was spawned, and everything else meanwhile.
    template <class Coroutine>
    void run(Coroutine&& coroutine) {
        bool came = false;
        asio::co_spawn(context, std::forward<Coroutine>(coroutine), [&](const std::exception_ptr& thrown) {
            CHECK(thrown == nullptr);
            came = true;
            drive.stop();
        });
        context.run();
        CHECK(came);
    }
};

exec::command shell(std::string text) { return {.program_and_args = argv("sh", "-c", text)}; }
// Neither living nor waiting to be reaped.
bool no_child_left() { return ::waitpid(-1, nullptr, WNOHANG) == -1 && errno == ECHILD; }
exec::command forever() { return {.program_and_args = argv("sleep", "60")}; }

}  // namespace

TEST_CASE("asio host: a callback gets the outcome, on the thread that runs the context and not inside the call") {
    const test::process_guard nothing_left;
    asio_server server;
    std::optional<answer> end;
    exec::async_run(*server.runner, shell("printf hello; exit 3"), {}, [&](answer how) {
        end.emplace(std::move(how));
        server.drive.stop();
    });
    CHECK_FALSE(end.has_value());
    server.context.run();
    REQUIRE((end.has_value() && end->has_value()));
    CHECK((*end)->exit == exec::exit_status::exited(3));
    CHECK((*end)->out.bytes == "hello");
}

TEST_CASE("asio host: the context has work for as long as a command is in flight, and no longer than the drive") {
    const test::process_guard nothing_left;
    asio_server server;
    server.drive.stop();
    server.context.run();  // nothing is left to do
    server.context.restart();

    exec::asio_drive again(*server.loop, server.context.get_executor());
    bool came = false;
    exec::async_run(*server.runner, shell("exit 0"), {},
                    asio::bind_executor(server.context.get_executor(), [&](const answer& how) {
                        CHECK((how.has_value() && how->ok()));
                        came = true;
                        again.stop();
                        again.stop();
                    }));
    server.context.run();
    CHECK(came);
}

TEST_CASE("asio host: a future") {
    const test::process_guard nothing_left;
    asio_server server;
    auto end = exec::async_run(*server.runner, shell("exit 5"), {}, asio::use_future);
    std::thread io([&server] { server.context.run(); });
    const auto how = end.get();
    asio::post(server.context, [&server] { server.drive.stop(); });
    io.join();
    REQUIRE(how.has_value());
    CHECK(how->exit == exec::exit_status::exited(5));
}

TEST_CASE("asio host: a coroutine awaits one command after the other, between the ticks of its timers") {
    const test::process_guard nothing_left;
    asio_server server;
    server.run([&]() -> asio::awaitable<void> {
        asio::steady_timer timer(server.context);
        std::string word = "x";
        for (int round = 0; round < 3; ++round) {
            const auto how =
                co_await exec::async_run(*server.runner, shell("printf %s " + word + word), {}, asio::use_awaitable);
            REQUIRE(how.has_value());
            word = how->out.bytes;
            timer.expires_after(1ms);
            co_await timer.async_wait(asio::use_awaitable);
        }
        CHECK(word == "xxxxxxxx");
    });
}

TEST_CASE("asio host: `command || timer`: the loser is stopped, and both are over when the coroutine goes on") {
    const test::process_guard nothing_left;
    asio_server server;
    server.run([&]() -> asio::awaitable<void> {
        asio::steady_timer timer(server.context, 50ms);
        const auto late = co_await (exec::async_run(*server.runner, forever(), {}, asio::use_awaitable) ||
                                    timer.async_wait(asio::use_awaitable));
        CHECK(late.index() == 1);
        CHECK(no_child_left());

        timer.expires_after(60s);
        const auto early = co_await (exec::async_run(*server.runner, shell("exit 4"), {}, asio::use_awaitable) ||
                                     timer.async_wait(asio::use_awaitable));
        REQUIRE(early.index() == 0);
        CHECK(std::get<0>(early)->exit == exec::exit_status::exited(4));
    });
}

TEST_CASE("asio host: cancellation of any type stops the command, and its handler learns the true end") {
    const test::process_guard nothing_left;
    for (const auto type : {asio::cancellation_type::terminal, asio::cancellation_type::partial,
                            asio::cancellation_type::total, asio::cancellation_type::all}) {
        asio_server server;
        asio::cancellation_signal cancel;
        std::optional<answer> end;
        // The command says when it has begun, so that the signal meets it running.
        struct when_ready final : exec::observer {
            asio::cancellation_signal& cancel;
            asio::cancellation_type type;
            when_ready(asio::cancellation_signal& of, asio::cancellation_type kind) : cancel(of), type(kind) {}
            exec::flow on_output(exec::stream, std::uint64_t, exec::bytes_view) override {
                cancel.emit(asio::cancellation_type::none);
                cancel.emit(type);
                return exec::flow::more;
            }
        };
        exec::async_run(*server.runner, shell("echo ready; exec sleep 60"), {},
                        std::make_unique<when_ready>(cancel, type),
                        asio::bind_cancellation_slot(cancel.slot(), [&](answer how) {
                            end.emplace(std::move(how));
                            server.drive.stop();
                        }));
        server.context.run();
        REQUIRE((end.has_value() && end->has_value()));
        CHECK((*end)->stopped_by == exec::stop_reason::cancelled);
        CHECK((*end)->exit == exec::exit_status::signaled(15));
        cancel.emit(type);  // nobody listens any more
    }
}

TEST_CASE("asio host: a signal of no type, or one after the end, does nothing") {
    const test::process_guard nothing_left;
    asio_server server;
    asio::cancellation_signal cancel;
    bool ok = false;
    exec::async_run(*server.runner, shell("exit 0"), {}, asio::bind_cancellation_slot(cancel.slot(), [&](answer how) {
        ok = how.has_value() && how->ok();
        server.drive.stop();
    }));
    cancel.emit(asio::cancellation_type::none);
    server.context.run();
    CHECK(ok);
    cancel.emit(asio::cancellation_type::terminal);
}

TEST_CASE("asio host: an observer sees the stream before the handler is called, and is gone by then") {
    const test::process_guard nothing_left;
    struct watcher final : exec::observer {
        std::string& text;
        bool& gone;
        watcher(std::string& into, bool& flag) : text(into), gone(flag) {}
        ~watcher() override { gone = true; }
        exec::flow on_output(exec::stream, std::uint64_t, exec::bytes_view bytes) override {
            text += bytes;
            return exec::flow::more;
        }
        void on_done(answer) override { text += "on_done is not for me"; }
    };
    asio_server server;
    std::string text;
    bool gone = false;
    std::string text_at_the_end;
    bool gone_at_the_end = false;
    exec::async_run(*server.runner, shell("echo one; echo two"), {}, std::make_unique<watcher>(text, gone),
                    [&](const answer&) {
                        text_at_the_end = text;
                        gone_at_the_end = gone;
                        server.drive.stop();
                    });
    server.context.run();
    CHECK(text_at_the_end == "one\ntwo\n");
    CHECK(gone_at_the_end);
}

TEST_CASE("asio host: nothing runs before a deferred operation is launched") {
    const test::process_guard nothing_left;
    asio_server server;
    std::optional<int> code;
    auto later = exec::async_run(*server.runner, shell("exit 6"), {}, asio::deferred);
    CHECK(server.loop->run_ready() == 0);
    CHECK(no_child_left());
    std::move(later)([&](answer how) {
        code = how->exit.number;
        server.drive.stop();
    });
    server.context.run();
    CHECK(code == 6);
}

TEST_CASE("asio host: a type-erased handler is called through the executor that it is bound to") {
    const test::process_guard nothing_left;
    asio_server server;
    asio::thread_pool pool(1);
    std::promise<std::thread::id> where;
    asio::any_completion_handler<void(answer)> handler = asio::bind_executor(pool.get_executor(), [&](const answer&) {
        where.set_value(std::this_thread::get_id());
        asio::post(server.context, [&server] { server.drive.stop(); });
    });
    exec::async_run(*server.runner, shell("exit 0"), {}, std::move(handler));
    server.context.run();
    CHECK(where.get_future().get() != std::this_thread::get_id());
    pool.join();
}

TEST_CASE("asio host: with the loop on a thread of its own, handlers still come where they are bound") {
    const test::process_guard nothing_left;
    asio::io_context context(1);
    const auto loop = exec::make_loop().value();
    const auto runner = exec::make_local_runner(*loop).value();
    const exec::loop_thread driver(*loop);
    int good = 0;
    for (int each = 0; each < 32; ++each) {
        asio::co_spawn(
            context,
            [&context, &runner, &good, each, here = std::this_thread::get_id()]() -> asio::awaitable<void> {
                asio::steady_timer timer(context, 60s);
                const auto how = co_await (
                    exec::async_run(*runner, shell("exit " + std::to_string(each)), {}, asio::use_awaitable) ||
                    timer.async_wait(asio::use_awaitable));
                CHECK(std::this_thread::get_id() == here);
                good += std::get<0>(how)->exit.number == each ? 1 : 0;
            },
            asio::detached);
    }
    context.run();
    CHECK(good == 32);
}

TEST_CASE("asio host: cancelled from its own thread while the loop's thread ends it, every command ends once") {
    const test::process_guard nothing_left;
    asio::io_context context(1);
    const auto loop = exec::make_loop().value();
    const auto runner = exec::make_local_runner(*loop).value();
    const exec::loop_thread driver(*loop);
    std::vector<asio::cancellation_signal> cancel(64);
    std::size_t ended = 0;
    for (auto& each : cancel) {
        exec::async_run(*runner, shell("exit 0"), {},
                        asio::bind_executor(context, asio::bind_cancellation_slot(each.slot(), [&](const answer& how) {
                                                ++ended;
                                                CHECK((how.has_value() || how.error().code == exec::errc::cancelled));
                                            })));
    }
    for (auto& each : cancel) {
        context.poll_one();
        each.emit(asio::cancellation_type::terminal);
    }
    context.run();
    CHECK(ended == cancel.size());
}

TEST_CASE("asio host: many threads may run the context, when a strand drives the loop") {
    const test::process_guard nothing_left;
    asio::thread_pool pool(3);
    const auto strand = asio::make_strand(pool);
    const auto loop = exec::make_loop().value();
    const auto runner = exec::make_local_runner(*loop).value();
    auto drive = std::make_unique<exec::asio_drive>(*loop, strand);
    std::vector<std::future<answer>> ends;
    for (int each = 0; each < 32; ++each) {
        ends.push_back(exec::async_run(*runner, shell("exit " + std::to_string(each)), {}, asio::use_future));
    }
    for (int each = 0; each < 32; ++each) {
        CHECK(ends[static_cast<std::size_t>(each)].get()->exit == exec::exit_status::exited(each));
    }
    asio::post(strand, [&drive] { drive.reset(); });
    pool.join();
}

TEST_CASE("asio host: the loop's end tells every handler, and what is still queued dies with the context") {
    const test::process_guard nothing_left;
    auto server = std::make_unique<asio_server>();
    std::optional<answer> end;
    exec::async_run(*server->runner, forever(), {},
                    asio::bind_executor(server->context, [&](answer how) { end.emplace(std::move(how)); }));
    server->loop->shutdown(exec::milliseconds(5000));
    CHECK_FALSE(end.has_value());
    server->context.poll();
    REQUIRE(end.has_value());
    if (*end) {
        CHECK((*end)->stopped_by == exec::stop_reason::shutdown);
    } else {
        CHECK(end->error().code == exec::errc::shutting_down);
    }

    end.reset();
    exec::async_run(*server->runner, forever(), {},
                    asio::bind_executor(server->context, [&](answer how) { end.emplace(std::move(how)); }));
    server.reset();
    CHECK_FALSE(end.has_value());
}
