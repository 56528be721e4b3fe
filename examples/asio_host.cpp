// A host on Boost.Asio: its io_context drives the library's loop, and a command is an operation like any other.
// A coroutine awaits one command, then races another against a timer of its own; the loser is stopped, with all it started.
// Everything happens on the one thread that runs the io_context.
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <chrono>
#include <cstdio>
#include <exception>
#include <utility>

#include "exec/asio.h"
#include "exec/local_runner.h"

namespace asio = boost::asio;
using namespace asio::experimental::awaitable_operators;

namespace {

asio::awaitable<int> serve(exec::runner& runner) {
    exec::command uname{.program_and_args = exec::argv("uname", "-s")};
    const auto how = co_await exec::async_run(runner, std::move(uname), {}, asio::use_awaitable);
    if (!how) co_return 1;
    std::printf("uname said %s", how->out.bytes.c_str());

    asio::steady_timer timer(co_await asio::this_coro::executor, std::chrono::milliseconds(200));
    exec::command sleep{.program_and_args = exec::argv("sleep", "60")};
    const auto first = co_await (exec::async_run(runner, std::move(sleep), {}, asio::use_awaitable) ||
                                 timer.async_wait(asio::use_awaitable));
    std::printf("%s was first\n", first.index() == 0 ? "the command" : "the timer");
    co_return first.index() == 1 ? 0 : 1;
}

}  // namespace

int main() {
    asio::io_context context;  // outlives the loop, because handlers may wait in it
    const auto loop = exec::make_loop().value();
    const auto runner = exec::make_local_runner(*loop).value();
    exec::asio_drive drive(*loop, context.get_executor());

    int status = 1;
    asio::co_spawn(context, serve(*runner), [&](const std::exception_ptr& thrown, int code) {
        status = thrown ? 1 : code;
        drive.stop();  // nothing is left to drive: run() returns
    });
    context.run();
    return status;
}
