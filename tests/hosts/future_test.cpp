// A host with threads of its own that starts commands and collects them later.
#include <doctest/doctest.h>

#include <exec/future.h>
#include <exec/local_runner.h>
#include <exec/loop.h>
#include <exec/loop_thread.h>

#include <fstream>
#include <future>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include <sys/stat.h>

#include "guards.h"
#include "living.h"

namespace {

using exec::argv;

struct threaded_host {
    std::unique_ptr<exec::loop> loop = exec::make_loop().value();
    std::shared_ptr<exec::runner> runner = exec::make_local_runner(*loop).value();
    exec::loop_thread driver{*loop};
};

}  // namespace

TEST_CASE("future host: many commands in flight, each future with its own outcome") {
    const test::process_guard nothing_left;
    threaded_host host;
    std::vector<std::future<exec::result<exec::outcome>>> ends;
    for (int code = 0; code < 64; ++code) {
        ends.push_back(
            exec::future_run(*host.runner, {.program_and_args = argv("sh", "-c", "exit " + std::to_string(code))}));
    }
    for (int code = 0; code < 64; ++code) {
        const auto how = ends[static_cast<std::size_t>(code)].get();
        REQUIRE(how.has_value());
        CHECK(how->exit == exec::exit_status::exited(code));
    }
}

TEST_CASE("future host: one stop source ends all that run, and each future says by what") {
    const test::process_guard nothing_left;
    threaded_host host;
    std::stop_source everything;
    std::vector<std::future<exec::result<exec::outcome>>> ends;
    for (int each = 0; each < 16; ++each) {
        ends.push_back(
            exec::future_run(*host.runner, {.program_and_args = argv("sleep", "60")}, {}, everything.get_token()));
    }
    everything.request_stop();
    for (auto& end : ends) {
        const auto how = end.get();
        // Stopped before it began, or after: never a word about an exit that nobody saw.
        if (how) {
            CHECK(how->stopped_by == exec::stop_reason::cancelled);
        } else {
            CHECK(how.error().code == exec::errc::cancelled);
        }
    }
}

TEST_CASE("future host: a command whose future was dropped runs to its end") {
    const test::process_guard nothing_left;
    const test::scratch_directory files;
    const auto ask = files / "ask", answer = files / "answer";
    REQUIRE((::mkfifo(ask.c_str(), 0600) == 0 && ::mkfifo(answer.c_str(), 0600) == 0));
    threaded_host host;
    {
        const auto dropped = exec::future_run(
            *host.runner, {.program_and_args = argv("sh", "-c", "read word < \"$1\" && echo heard \"$word\" > \"$2\"",
                                                    "sh", ask, answer)});
    }
    // Opening either end waits for the command to open the other.
    std::ofstream(ask) << "go\n";
    std::string said;
    std::getline(std::ifstream(answer), said);
    CHECK(said == "heard go");
}

TEST_CASE("future host: what cannot start is a failure in the future, with its stage") {
    const test::process_guard nothing_left;
    threaded_host host;
    const auto how = exec::future_run(*host.runner, {.program_and_args = argv("/nonexistent/tool")}).get();
    REQUIRE_FALSE(how.has_value());
    CHECK(how.error().at == exec::stage::program);
}
