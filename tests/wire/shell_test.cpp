#include <exec/wire/shell.h>

#include <doctest/doctest.h>

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

shell_request read(std::string_view line) { return read_shell_line(line).request.value(); }
std::string line_with(std::string_view parameters, std::string_view context = "{}") {
    return R"({"id":"7","capability":"shell.exec","parameters":)" + std::string(parameters) + R"(,"context":)" +
           std::string(context) + "}";
}
std::vector<std::string> levels_of(const test::decoded& got) {
    std::vector<std::string> all;
    for (const auto& each : got.lines) {
        if (each.at("frame") == "log")
            all.push_back(each.at("level").get<std::string>() + ": " + each.at("message").get<std::string>());
    }
    return all;
}

TEST_CASE("shell: a request in all its forms") {
    CHECK(read(line_with(R"({"command":"ls"})")).parameters.timeout == 30s);
    CHECK(read(line_with(R"({"command":"ls","timeout_ms":0})")).parameters.timeout == 1ms);
    CHECK(read(line_with(R"({"command":"ls","timeout_ms":1})")).parameters.timeout == 1ms);
    CHECK(read(line_with(R"({"command":"ls","timeout_ms":9223372036854775807})")).parameters.timeout == 1h);
    const auto full = read(line_with(R"({"command":"echo \"$1\"\nls"})", R"({"cwd":"/srv","trace_id":"abc","x-a":1})"));
    CHECK(full.parameters.text == "echo \"$1\"\nls");
    CHECK(full.cwd == "/srv");
    CHECK(full.trace_id == "abc");
    CHECK(read(R"({"id":"7","capability":"shell.exec","parameters":{"command":"ls"}})").cwd.empty());
    CHECK(validate_shell(R"({"command":"ls","timeout_ms":5})").has_value());
    CHECK(shell_digest() == "exec-shell/0.1.0");
}

TEST_CASE("shell: a blank text is refused by validate and by execute") {
    CHECK_FALSE(validate_shell(R"({"command":"\t \n"})").has_value());
    CHECK_FALSE(command_of(shell_request{}).has_value());
    CHECK_FALSE(command_of(shell_request{{" \v\f", 1s}, {}, {}}).has_value());
    CHECK(command_of(shell_request{{"ls", 1s}, {}, {}}).has_value());
}

TEST_CASE("shell: the id of a line is known even where its request is refused") {
    const auto refused = read_shell_line(line_with(R"({"command":""})"));
    CHECK(refused.id == "7");
    CHECK_FALSE(refused.request.has_value());
    CHECK(read_shell_line("{").id.empty());
    CHECK(read_shell_line(R"({"id":5})").id.empty());
    const auto foreign = read_shell_line(R"({"id":"a","capability":"file.read","parameters":{}})");
    CHECK(foreign.id == "a");
    CHECK(foreign.request.error().code == errc::unsupported);
}

TEST_CASE("shell: what a context asks for and nobody enforces is refused by name, whatever its value") {
    for (const auto name : {"limits", "scope", "credentials", "session", "sandbox", "network_namespace"}) {
        for (const auto value : {"{}", "null", "\"\"", "[]", "false", "{\"cpu\":1}"}) {
            const auto got = read_shell_line(
                line_with(R"({"command":"ls"})", "{\"cwd\":\"/\",\"" + std::string(name) + "\":" + value + "}"));
            REQUIRE_FALSE(got.request.has_value());
            CHECK(got.request.error().code == errc::unsupported);
            CHECK(got.request.error().context.starts_with("context." + std::string(name) + ": "));
        }
    }
}

TEST_CASE("shell: the command is bash with the text as one word, a list of inherited names, and the trace id") {
    auto wanted = read(line_with(R"({"command":"-x; rm"})", R"({"cwd":"/srv","trace_id":"t1"})"));
    const auto what =
        command_of(wanted, {.inherited = {"PATH", "no_proxy"}, .trace_variable = "SMITH_TRACE_ID"}).value();
    CHECK(what.program_and_args == argv("bash", "-lc", "--", "-x; rm", "bash"));
    CHECK(what.cwd == "/srv");
    std::vector<std::string> variables;
    for (const auto& each : what.env) variables.push_back(std::string(1, static_cast<char>(each.from)) + each.text);
    CHECK(variables == std::vector<std::string>{"<PATH", "<no_proxy", "=SMITH_TRACE_ID=t1"});
    wanted.trace_id.clear();
    std::size_t count = 0;
    const auto untraced = command_of(wanted).value();
    for (auto each = untraced.env.begin(); each != untraced.env.end(); ++each) ++count;
    CHECK(count == 3);
    CHECK_FALSE(command_of(wanted, {.inherited = {"A=B"}}).has_value());

    policy by;
    const auto within = limits_of(wanted, by);
    CHECK(within.run_timeout == 30s);
    CHECK(within.heartbeat == 5s);
    CHECK(within.out.cap == 0);
    CHECK(within.out.show == unlimited_bytes);
}

TEST_CASE("shell: the frames of a command") {
    shell_frames frames("7");
    frames.started("echo 'a'\n\x1b");
    frames.output(stream::out, 0, "hello\n");
    frames.output(stream::err, 0, "w1\nw2");
    frames.heartbeat(5s);
    outcome how;
    how.exit = exit_status::exited(0);
    how.out.total = 6;
    how.err.total = 5;
    how.where = "host";
    how.took.total = 12'345us;
    CHECK_FALSE(frames.over());
    frames.done(how);
    CHECK(frames.over());
    const auto got = test::decode(frames.take(), "frame");
    CHECK(frames.pending() == 0);
    for (const auto& line : got.lines) CHECK(line.at("id") == "7");
    CHECK(got.out.bytes == "hello\n");
    CHECK(got.err.bytes == "w1\nw2");
    CHECK(levels_of(got) == std::vector<std::string>{"info: Executing shell command: echo 'a'\\n\\x1b"});
    CHECK(got.lines[3] == json::parse(R"({"id":"7","frame":"heartbeat","running_ms":5000})"));
    CHECK(
        got.last() ==
        json::parse(
            R"({"id":"7","frame":"result","status":"ok","exit_code":0,"artifacts":[],"duration_ms":12,"stdout_bytes":6,"stderr_bytes":5,"where":"host"})"));
}

TEST_CASE("shell: every end is ok, error or timeout, and a signal has no exit code") {
    struct row {
        result<outcome> how;
        const char* status;
        json exit_code;
    };
    const auto of = [](exit_status exit, stop_reason by = stop_reason::nobody) {
        outcome how;
        how.exit = exit;
        how.stopped_by = by;
        return result<outcome>(how);
    };
    auto lost = of({});
    lost->broke = std::make_error_code(std::errc::broken_pipe);
    const row rows[] = {{of(exit_status::exited(0)), "ok", 0},
                        {of(exit_status::exited(7)), "error", 7},
                        {of(exit_status::signaled(9)), "error", nullptr},
                        {of(exit_status::exited(0), stop_reason::cancelled), "error", 0},
                        {of(exit_status::exited(0), stop_reason::run_timeout), "timeout", 0},
                        {of(exit_status::signaled(9), stop_reason::deadline), "timeout", nullptr},
                        {lost, "error", nullptr},
                        {fail(errc::start_timeout), "timeout", nullptr},
                        {fail(errc::invalid_argument, "command: must not be blank"), "error", nullptr}};
    for (const auto& row : rows) {
        shell_frames frames("a\"b");
        frames.done(row.how);
        const auto got = test::decode(frames.take(), "frame");
        const auto& end = got.last();
        CHECK(end.at("id") == "a\"b");
        CHECK(end.at("frame") == "result");
        CHECK(end.at("status") == row.status);
        CHECK(end.at("exit_code") == row.exit_code);
        CHECK(end.at("artifacts").is_array());
        CHECK(end.contains("signal") == (row.how && row.how->exit.what == exit_status::kind::signaled));
        CHECK(end.contains("code") == (!row.how || status_of(*row.how).http != 200));
        CHECK((end.contains("started") == (row.how && status_of(*row.how).http != 200)));
        const bool late = std::string(row.status) == "timeout";
        CHECK(levels_of(got) ==
              (late ? std::vector<std::string>{"error: Shell command timed out"} : std::vector<std::string>{}));
    }
}

TEST_CASE("shell: lines of stderr are warnings only where that is switched on") {
    shell_options options;
    options.stderr_as_warn = true;
    shell_frames frames("7", options);
    frames.output(stream::err, 0, "one\r\ntw");
    frames.output(stream::out, 0, "not this\n");
    frames.output(stream::err, 7, "o\n\xff\x1b");
    outcome how;
    how.exit = exit_status::exited(0);
    how.artifacts = {"a", "b\xff"};
    frames.done(how);
    const auto got = test::decode(frames.take(), "frame");
    CHECK(levels_of(got) == std::vector<std::string>{"warn: one", "warn: two", "warn: \\xff\\x1b"});
    CHECK(got.err.bytes == "one\r\ntwo\n\xff\x1b");
    CHECK(got.last().at("artifacts") == json::parse(R"(["a","b\\xff"])"));
}

}  // namespace
