#include <exec/wire/workspace.h>

#include <doctest/doctest.h>

#include <cerrno>
#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "wire/decoded.h"

namespace {

using namespace exec;
using namespace exec::wire;
using namespace std::chrono_literals;
using nlohmann::json;

workspace_request read(std::string_view body) { return read_workspace_request(body).value(); }

outcome exited(int code) {
    outcome how;
    how.exit = exit_status::exited(code);
    how.took.total = 1'234'567'890ns;
    return how;
}
outcome stopped(stop_reason why) {
    auto how = exited(0);
    how.exit = exit_status::signaled(9);
    how.stopped_by = why;
    return how;
}

TEST_CASE("workspace: a request in all its forms") {
    const auto plain = read(R"({"cmd":["git","log","","a b"]})");
    CHECK(plain.words == argv("git", "log", "", "a b"));
    CHECK(plain.timeout == 30s);
    const std::pair<const char*, std::chrono::seconds> times[] = {{"1", 1s},
                                                                  {"119", 119s},
                                                                  {"120", 120s},
                                                                  {"121", 120s},
                                                                  {"0", 30s},
                                                                  {"-1", 30s},
                                                                  {"-0", 30s},
                                                                  {"9223372036854775807", 120s},
                                                                  {"-9223372036854775808", 30s}};
    for (const auto& [text, timeout] : times) {
        CHECK(read(std::string(R"({"timeout_s":)") + text + R"(,"cmd":["true"]})").timeout == timeout);
    }
    CHECK(read(R"({"cmd":["true"],"x-request":{"any":[1.5,null]}})").words.size() == 1);
    std::string many = R"({"cmd":["a")";
    for (int i = 1; i < 256; ++i) many += R"(,"")";
    CHECK(read(many + "]}").words.size() == 256);
    CHECK(command_of(plain).program_and_args == plain.words);
}

TEST_CASE("workspace: mistakes are found in the order that the surface promises") {
    const std::string too_many = [] {
        std::string all = R"([" ")";
        for (int i = 0; i < 256; ++i) all += R"(,"a")";
        return all + "]";
    }();
    // Each of these has its own mistake and all that come later.
    const std::pair<std::string, const char*> rows[] = {
        {R"({"cmd":"ls","timeout_s":1.5)", "body: not JSON"},
        {R"({"cmd":"ls","timeout_s":1.5})", "timeout_s: must be an integer"},
        {R"({"cmd":"ls"})", "cmd: must be an array of strings: argv only"},
        {R"({"cmd":[]})", "cmd: must not be empty"},
        {R"({"cmd":)" + too_many + "}", "cmd: 257 elements, at most 256"},
        {R"({"cmd":[" "]})", "cmd[0]: the program is blank"}};
    for (const auto& [body, why] : rows) {
        const auto got = read_workspace_request(body);
        REQUIRE_FALSE(got.has_value());
        CHECK(got.error().context.starts_with(why));
        const auto what = workspace_problem(got.error());
        CHECK(what.is.http == 400);
        const auto error = json::parse(workspace_error(what));
        CHECK(error.at("code") == "invalid_argument");
        CHECK(error.at("error").get<std::string>().starts_with("The request is wrong: "));
        CHECK(error.size() == 2);
    }
}

TEST_CASE("workspace: the timeout bounds queue, connect and run together, and nothing is kept") {
    policy by;
    by.defaults.stop.grace = 7ms;
    const auto now = time_point(5s);
    const auto within = limits_of(read(R"({"cmd":["true"],"timeout_s":9})"), by, now);
    CHECK(within.run_timeout == 9s);
    CHECK(within.start_timeout == 9s);
    CHECK(within.deadline == now + 9s);
    CHECK(within.stop.grace == 7ms);
    for (const auto& each : {within.out, within.err}) {
        CHECK(each.cap == 0);
        CHECK(each.kept == keep::nothing);
        CHECK(each.show == 1 * MiB);
        CHECK(each.then == at_cap::discard);
    }
    const auto held = apply(by, command_of(read(R"({"cmd":["true"]})")), within);
    CHECK(held.has_value());
}

TEST_CASE("workspace: the head waits for the first byte") {
    workspace_stream stream_of(9s);
    CHECK_FALSE(stream_of.head().has_value());
    stream_of.output(stream::out, 0, "");
    stream_of.gap(stream::err, 0, 5);
    CHECK_FALSE(stream_of.head().has_value());
    CHECK(stream_of.pending() == 0);
    stream_of.output(stream::out, 0, "\xE6");  // held back, but a byte
    REQUIRE(stream_of.head().has_value());
    CHECK(*stream_of.head() == response_head{200, "application/x-ndjson", 0s});
    stream_of.output(stream::out, 1, "\xBC\xA2\n");
    auto body = stream_of.take();
    CHECK(stream_of.pending() == 0);
    CHECK_FALSE(stream_of.over());
    auto how = exited(3);
    how.out.total = 4;
    how.err.total = 5;
    stream_of.done(how);
    CHECK(stream_of.over());
    body += stream_of.take();
    const auto got = test::decode(body);
    CHECK(got.out.bytes == "漢\n");
    CHECK(got.err.truncated);
    CHECK(got.err.total == 5);
    CHECK(got.last() ==
          json::parse(R"({"exit_code":3,"duration_ms":1234,"stdout_bytes":4,"stderr_bytes":5,"timeout_s":9})"));
}

TEST_CASE("workspace: a command that says nothing is a 200 with its terminal frame alone") {
    workspace_stream quiet(30s);
    quiet.done(exited(0));
    CHECK(quiet.head()->http == 200);
    CHECK(quiet.take() ==
          "{\"exit_code\":0,\"duration_ms\":1234,\"stdout_bytes\":0,\"stderr_bytes\":0,\"timeout_s\":30}\n");
}

TEST_CASE("workspace: a signal is 128 + n and a name") {
    workspace_stream killed(30s);
    auto how = exited(0);
    how.exit = exit_status::signaled(11, true);
    killed.done(how);
    const auto end = json::parse(killed.take());
    CHECK(end.at("exit_code") == 139);
    CHECK(end.at("signal") == "SIGSEGV");
}

TEST_CASE(
    "workspace: what ended a command is told in a status before the first byte, in a frame after it, never by an exit "
    "code") {
    struct row {
        outcome how;
        int http;
        const char* code;
    };
    auto lost = exited(0);
    lost.broke = std::make_error_code(std::errc::connection_reset);
    auto unknown = exited(0);
    unknown.exit = {};
    auto late = stopped(stop_reason::start_timeout);
    late.began = started::unknown;
    auto term = exited(0);  // left by itself after our TERM
    term.stopped_by = stop_reason::run_timeout;
    const row rows[] = {{stopped(stop_reason::deadline), 504, "exec_timeout"},
                        {stopped(stop_reason::run_timeout), 504, "exec_timeout"},
                        {stopped(stop_reason::idle_timeout), 504, "exec_timeout"},
                        {term, 504, "exec_timeout"},
                        {late, 504, "exec_timeout"},
                        {lost, 502, "exec_lost"},
                        {unknown, 502, "exec_lost"},
                        {stopped(stop_reason::cancelled), 409, "exec_cancelled"},
                        {stopped(stop_reason::consumer), 409, "exec_cancelled"},
                        {stopped(stop_reason::observer_failed), 409, "exec_cancelled"},
                        {stopped(stop_reason::shutdown), 503, "exec_cancelled"},
                        {stopped(stop_reason::output_limit), 422, "exec_output_limit"}};
    for (const auto& row : rows) {
        CAPTURE(row.code);
        for (const bool spoke : {false, true}) {
            workspace_stream response(30s);
            if (spoke) response.output(stream::err, 0, "x");
            response.done(row.how);
            REQUIRE(response.head().has_value());
            CHECK(response.head()->http == (spoke ? 200 : row.http));
            CHECK(response.head()->content_type == (spoke ? "application/x-ndjson" : "application/json"));
            const auto body = response.take();
            const auto end = spoke ? test::decode(body).last() : json::parse(body);
            CHECK(end.at("code") == row.code);
            CHECK(end.at("error").get<std::string>().size() > 8);
            CHECK(end.at("started") == (row.how.began == started::yes ? "yes" : "unknown"));
            CHECK(end.at("timeout_s") == 30);
            CHECK(end.contains("stdout_bytes"));
            CHECK(end.contains("stderr_bytes"));
            CHECK_FALSE(end.contains("exit_code"));
        }
    }
}

TEST_CASE("workspace: a failure is a status and a flat body, and never claims to have begun") {
    auto busy = fail(errc::too_busy, "64 commands");
    busy.retry_after = 1500ms;
    struct row {
        failure why;
        int http;
        const char* code;
        std::chrono::seconds retry;
    };
    const row rows[] = {{fail(errc::target_not_found, "ws-1"), 404, "target_not_found", 0s},
                        {fail(errc::target_unassigned), 400, "no_machine", 0s},
                        {fail(errc::denied, "tier 2"), 403, "exec_tier_forbidden", 0s},
                        {fail(errc::target_not_ready), 503, "target_not_ready", 2s},
                        {busy, 503, "too_busy", 2s},
                        {fail(errc::audit_unavailable), 503, "audit_unavailable", 5s},
                        {fail(errc::start_timeout), 504, "exec_timeout", 0s},
                        {fail(errc::connect_failed), 502, "connect_failed", 0s},
                        {fail(errc::host_key_mismatch), 502, "host_key_mismatch", 0s},
                        {os_failure(ENOENT, stage::program, "nope"), 422, "start_failed", 0s}};
    for (const auto& row : rows) {
        CAPTURE(row.code);
        workspace_stream response(7s);
        response.done(row.why);
        CHECK(*response.head() == response_head{row.http, "application/json", row.retry});
        const auto body = json::parse(response.take());
        CHECK(body.at("code") == row.code);
        CHECK(body.at("error").is_string());
        CHECK_FALSE(body.contains("started"));
        CHECK_FALSE(body.contains("exit_code"));
        CHECK(body.contains("timeout_s") == (row.http == 504));
        CHECK(body.contains("stage") == (row.http == 422));
    }
}

TEST_CASE("workspace: output past what is shown is counted, told once, and marked where that is wanted") {
    for (const bool marker : {false, true}) {
        workspace_options options;
        options.classic_marker = marker;
        workspace_stream response(30s, options);
        response.output(stream::out, 0, std::string(1 * MiB, 'x'));
        response.gap(stream::out, 1 * MiB, 5);
        auto how = exited(0);
        how.out.total = 1 * MiB + 5;
        how.out.truncated = true;
        response.done(how);
        const auto got = test::decode(response.take());
        CHECK(got.out.truncated);
        CHECK(got.out.total == 1 * MiB + 5);
        CHECK(got.out.frames == 17);
        CHECK(got.out.bytes.size() == 1 * MiB + (marker ? 35 : 0));
        CHECK(got.out.bytes.ends_with("[output truncated at 1048576 bytes]") == marker);
        CHECK(got.last().at("stdout_bytes") == 1 * MiB + 5);
    }
}

TEST_CASE("workspace: a stream that was cut says so") {
    workspace_stream response(30s);
    auto how = exited(0);
    how.err.complete = false;
    response.done(how);
    CHECK(json::parse(response.take()).at("complete") == false);
}

TEST_CASE("workspace: the summary is one line of at most 200 bytes, cut between characters") {
    CHECK(workspace_summary(std::vector<std::string>{"git", "commit", "-m", "a b", ""}) == "git commit -m 'a b' ''");
    CHECK(workspace_summary(std::vector<std::string>{"x\n\x1b", "\xff"}).find('\n') == std::string::npos);
    CHECK(workspace_summary(std::vector<std::string>{}).empty());
    for (std::size_t lead = 0; lead < 8; ++lead) {
        std::string word(lead, 'a');
        while (word.size() < 400) word += "漢";
        const auto summary = workspace_summary(std::vector<std::string>{"echo", word, "behind"});
        CHECK(summary.size() <= 200);
        CHECK(summary.size() > 190);
        CHECK(summary.ends_with("..."));
        CHECK(utf8_valid(summary));
    }
}

}  // namespace
