#include <exec/wire/status.h>

#include <doctest/doctest.h>

#include <cerrno>
#include <chrono>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <nlohmann/json.hpp>

namespace {

using namespace exec;
using namespace exec::wire;
using namespace std::chrono_literals;

// All that exec_category has a sentence for.
std::vector<errc> every_errc() {
    std::vector<errc> all;
    for (int number = 1; exec_category().message(number) != "unknown exec error"; ++number) {
        all.push_back(static_cast<errc>(number));
    }
    return all;
}
// All that to_string knows.
template <class Enum>
std::vector<Enum> every() {
    std::vector<Enum> all;
    for (int number = 0; to_string(static_cast<Enum>(number)) != "invalid"; ++number) {
        all.push_back(static_cast<Enum>(number));
    }
    return all;
}
bool has_row(cause why) {
    int rows = 0;
    for (const auto& row : status_table) rows += row.why == why ? 1 : 0;
    return rows == 1;
}

TEST_CASE("status: every failure and every end has exactly one row, and every row a word and a sentence") {
    CHECK(every_errc().size() >= 17);
    for (const auto code : every_errc()) {
        CAPTURE(static_cast<int>(code));
        CHECK(has_row(code));
    }
    CHECK(every<ended>().size() == 6);
    for (const auto how : every<ended>()) CHECK(has_row(how));
    for (const auto what :
         {refusal::unauthenticated, refusal::no_such_route, refusal::method_not_allowed, refusal::body_too_large}) {
        CHECK(has_row(what));
    }
    CHECK(every_errc().size() + every<ended>().size() + 4 == status_table.size());
    std::set<std::string_view> words;
    for (const auto& row : status_table) {
        const auto& is = row.is;
        CAPTURE(is.code);
        CHECK(is.http >= 200);
        CHECK(is.http < 600);
        CHECK(is.sentence.size() > 8);
        CHECK(is.code.find_first_not_of("abcdefghijklmnopqrstuvwxyz_") == std::string_view::npos);
        CHECK(words.insert(is.code).second);
    }
}

TEST_CASE("status: the numbers that clients rely on") {
    struct row {
        cause why;
        int http;
        bool retry;
    };
    const row rows[] = {{errc::invalid_argument, 400, false},
                        {refusal::unauthenticated, 401, false},
                        {errc::denied, 403, false},
                        {errc::target_not_found, 404, false},
                        {errc::wrong_state, 409, false},
                        {refusal::body_too_large, 413, false},
                        {errc::start_failed, 422, false},
                        {errc::unsupported, 422, false},
                        {errc::caller_too_busy, 429, true},
                        {errc::connect_failed, 502, false},
                        {errc::auth_failed, 502, false},
                        {errc::host_key_mismatch, 502, false},
                        {ended::lost, 502, false},
                        {errc::target_unassigned, 503, true},
                        {errc::target_not_ready, 503, true},
                        {errc::too_busy, 503, true},
                        {errc::audit_unavailable, 503, true},
                        {errc::shutting_down, 503, true},
                        {errc::start_timeout, 504, false},
                        {ended::timed_out, 504, false},
                        {ended::exited, 200, false},
                        {ended::signaled, 200, false}};
    for (const auto& row : rows) {
        const auto is = status_of(row.why);
        CAPTURE(is.code);
        CHECK(is.http == row.http);
        CHECK((is.retry_after > 0s) == row.retry);
    }
    // Only what came to its own end is a success.
    for (const auto& [why, is] : status_table) {
        CHECK((is.http == 200) == (why == cause(ended::exited) || why == cause(ended::signaled)));
        if (is.http == 503 || is.http == 429) CHECK(is.retry_after > 0s);
    }
    CHECK(status_of(static_cast<errc>(200)).http == 500);
}

TEST_CASE("status: a start that was refused for want of something is a 503, a wrong program a 422 with its stage") {
    const auto missing = problem_of(os_failure(ENOENT, stage::program, "frobnicate"));
    CHECK(missing.is.http == 422);
    CHECK(missing.at == "program");
    CHECK(missing.message == "The command could not be started: program: No such file or directory: frobnicate");
    CHECK_FALSE(missing.began.has_value());
    const auto shortage = status_of(os_failure(EMFILE, stage::descriptors));
    CHECK(shortage.http == 503);
    CHECK(shortage.code == "start_failed");
    CHECK(shortage.retry_after == 1s);
    CHECK(status_of(os_failure(ECONNREFUSED, stage::connect)).http == 502);
    CHECK(status_of(failure{}).http == 422);  // an error code that says nothing is a start that failed
}

TEST_CASE("status: a failure's own retry_after goes before the table's, in whole seconds upwards") {
    auto why = fail(errc::too_busy);
    CHECK(status_of(why).retry_after == 1s);
    why.retry_after = 1ms;
    CHECK(status_of(why).retry_after == 1s);
    why.retry_after = 2001ms;
    CHECK(status_of(why).retry_after == 3s);
    why.retry_after = unlimited;
    CHECK(status_of(why).retry_after == 1s);
}

TEST_CASE("status: an outcome's body says whether it began") {
    outcome how;
    how.stopped_by = stop_reason::start_timeout;
    how.began = started::unknown;
    auto body = nlohmann::json::parse(error_body(problem_of(how)));
    CHECK(body["error"]["code"] == "exec_timeout");
    CHECK(body["error"]["started"] == "unknown");
    how = {};
    how.broke = std::make_error_code(std::errc::connection_reset);
    body = nlohmann::json::parse(error_body(problem_of(how)));
    CHECK(problem_of(how).is.http == 502);
    CHECK(body["error"]["started"] == "yes");
    CHECK(body["error"]["message"] == "Nobody knows how the command ended: Connection reset by peer");
    how = {};
    how.exit = exit_status::signaled(15);
    how.stopped_by = stop_reason::cancelled;
    CHECK(status_of(how).http == 409);
    how.stopped_by = stop_reason::shutdown;
    CHECK(status_of(how).http == 503);
    CHECK(status_of(how).retry_after == 0s);
    how.stopped_by = stop_reason::output_limit;
    CHECK(status_of(how).http == 422);
}

TEST_CASE("status: a hostile context reaches no terminal, breaks no JSON, and is cut") {
    const auto hostile = std::string("\x1b]0;title\x07\n\u202e\xff\0end", 18) + std::string(100'000, 'A');
    for (const auto& why : {fail(errc::invalid_argument, hostile), os_failure(ENOENT, stage::program, hostile)}) {
        const auto what = problem_of(why);
        CHECK(what.message.size() < 700);
        const auto text = error_body(what);
        for (const char byte : text) REQUIRE(static_cast<unsigned char>(byte) >= 0x20);
        const auto body = nlohmann::json::parse(text);
        const auto message = body["error"]["message"].get<std::string>();
        CHECK(message.find('\x1b') == std::string::npos);
        CHECK(message.find("\u202e") == std::string::npos);
    }
}

TEST_CASE("status: signals have names") {
    CHECK(signal_name(1) == "SIGHUP");
    CHECK(signal_name(9) == "SIGKILL");
    CHECK(signal_name(15) == "SIGTERM");
    CHECK(signal_name(31) == "SIGSYS");
    CHECK(signal_name(37) == "SIGRTMIN+3");
    CHECK(signal_name(0).empty());
    CHECK(signal_name(-1).empty());
    CHECK(signal_name(32).empty());
    CHECK(signal_name(65).empty());
}

}  // namespace
