#include <exec/capabilities.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

namespace {

using namespace exec;

capabilities everything() {
    capabilities can;
    can.input_bytes = can.input_streamed = can.terminal = can.merge = can.environment = can.cwd = true;
    can.signals = can.kills_group = can.cgroup = can.pid_namespace = true;
    can.stops_orphans = can.leaves_orphans = can.leaves_survivors = can.resource_use = can.pauses = true;
    return can;
}

command plain() { return {.program_and_args = argv("true")}; }

// The code of the refusal, or none.
std::error_code code_of(const result<void>& how) { return how ? std::error_code{} : how.error().code; }

struct option {
    std::string_view name;  // as the refusal has it
    std::function<void(command&, limits&)> ask;
    bool capabilities::*offered;
};

const std::vector<option>& options() {
    static const std::vector<option> all{
        {"input: bytes", [](command& what, limits&) { what.in = input::bytes(""); }, &capabilities::input_bytes},
        {"input: streamed", [](command& what, limits&) { what.in = input::streamed(); }, &capabilities::input_streamed},
        {"terminal", [](command& what, limits&) { what.terminal = terminal_size{}; }, &capabilities::terminal},
        {"merge_err_into_out", [](command& what, limits&) { what.merge_err_into_out = true; }, &capabilities::merge},
        {"environment",
         [](command& what, limits&) {
             what.env = environment{{"A", "1"}};
         },
         &capabilities::environment},
        {"environment", [](command& what, limits&) { what.env.without_base(); }, &capabilities::environment},
        {"cwd", [](command& what, limits&) { what.cwd = "/"; }, &capabilities::cwd},
        {"containment: cgroup", [](command&, limits& within) { within.contain = containment::cgroup; },
         &capabilities::cgroup},
        {"containment: pid_namespace", [](command&, limits& within) { within.contain = containment::pid_namespace; },
         &capabilities::pid_namespace},
        {"survivors: leave", [](command&, limits& within) { within.stop.after_exit = survivors::leave; },
         &capabilities::leaves_survivors},
        {"orphan: run_on", [](command&, limits& within) { within.if_orphaned = orphan::run_on; },
         &capabilities::leaves_orphans},
    };
    return all;
}

}  // namespace

TEST_CASE("check: an option that a runner lacks is refused by its name, and taken where it is offered") {
    for (const auto& each : options()) {
        CAPTURE(each.name);
        auto what = plain();
        limits within;
        each.ask(what, within);
        CHECK(check(what, within, everything()));
        auto lacks = everything();
        lacks.*each.offered = false;
        const auto refused = check(what, within, lacks);
        REQUIRE_FALSE(refused);
        CHECK(refused.error().code == errc::unsupported);
        CHECK(refused.error().context == each.name);
        // What is not asked for need not be offered.
        CHECK(check(plain(), limits{}, lacks));
    }
}

TEST_CASE("check: on a terminal everything is merged already, so no shared pipe is needed") {
    auto what = plain();
    what.merge_err_into_out = true;
    what.terminal = terminal_size{};
    auto can = everything();
    can.merge = false;
    CHECK(check(what, limits{}, can));
    can.terminal = false;
    CHECK(code_of(check(what, limits{}, can)) == errc::unsupported);
}

TEST_CASE("check: what is wrong for everybody is invalid, whatever the runner can do") {
    struct row {
        const char* said;
        std::function<void(command&, limits&)> spoil;
    };
    using namespace std::string_literals;
    const std::vector<row> rows{
        {"argv: no program", [](command& what, limits&) { what.program_and_args = argv(); }},
        {"cwd: NUL", [](command& what, limits&) { what.cwd = "/\0x"s; }},
        {"limits: run_timeout must be positive",
         [](command&, limits& within) { within.run_timeout = milliseconds(0); }},
        {"limits: run_timeout must be positive",
         [](command&, limits& within) { within.run_timeout = milliseconds(-1); }},
        {"limits: start_timeout must be positive",
         [](command&, limits& within) { within.start_timeout = milliseconds(0); }},
        {"limits: idle_timeout must be positive",
         [](command&, limits& within) { within.idle_timeout = milliseconds(0); }},
        {"limits: heartbeat must be positive", [](command&, limits& within) { within.heartbeat = milliseconds(0); }},
        {"limits: consumer_timeout must be positive",
         [](command&, limits& within) { within.consumer_timeout = milliseconds(0); }},
        {"limits: drain_idle must be positive", [](command&, limits& within) { within.drain_idle = milliseconds(0); }},
        {"limits: drain_max must be positive",
         [](command&, limits& within) { within.drain_max = (milliseconds::min)(); }},
        {"limits: stop.grace is negative", [](command&, limits& within) { within.stop.grace = milliseconds(-1); }},
        {"limits: stop.polite is no signal number", [](command&, limits& within) { within.stop.polite = 0; }},
        {"limits: stop.polite is no signal number", [](command&, limits& within) { within.stop.polite = 65; }},
        {"terminal: no size",
         [](command& what, limits&) {
             what.terminal = terminal_size{0, 24};
         }},
        {"terminal: no size",
         [](command& what, limits&) {
             what.terminal = terminal_size{80, 0};
         }},
        {"limits: in_queue is 0",
         [](command& what, limits& within) {
             what.in = input::streamed();
             within.in_queue = 0;
         }},
    };
    for (const auto& each : rows) {
        CAPTURE(each.said);
        auto what = plain();
        limits within;
        each.spoil(what, within);
        for (const auto& can : {everything(), capabilities{}}) {
            const auto refused = check(what, within, can);
            REQUIRE_FALSE(refused);
            CHECK(refused.error().code == errc::invalid_argument);
            CHECK(refused.error().context == each.said);
        }
    }
    auto what = plain();
    limits within;
    within.stop.grace = milliseconds(0);  // KILL at once
    within.in_queue = 0;                  // and no streamed input to wait in it
    CHECK(check(what, within, capabilities{}));
}

TEST_CASE("check: words, single words and their sum are held to the runner's bounds, exactly") {
    auto can = everything();
    can.max_words = 3;
    can.max_word_bytes = 5;
    can.max_bytes = 16;
    const auto refusal = [&can](const command& what) {
        const auto how = check(what, limits{}, can);
        return how ? std::string("taken") : how.error().context;
    };
    CHECK(refusal({.program_and_args = argv("a", "b", "c")}) == "taken");
    CHECK(refusal({.program_and_args = argv("a", "b", "c", "d")}) == "argv: too many arguments");
    CHECK(refusal({.program_and_args = argv("a", "12345")}) == "taken");
    CHECK(refusal({.program_and_args = argv("a", "123456")}) == "argv[1]: longer than 5 bytes; send it as input");
    CHECK(refusal({.program_and_args = argv("1234", "1234", "12345")}) == "taken");  // 5 + 5 + 6 = 16 with their NULs
    CHECK(refusal({.program_and_args = argv("1234", "12345", "12345")}) ==
          "argv and environment: 17 bytes, at most 16");
    CHECK(refusal({.program_and_args = argv("a"), .env = environment{{"N", "123"}}}) == "taken");
    CHECK(refusal({.program_and_args = argv("a"), .env = environment{{"N", "1234"}}}) == "environment: too long: N");
    CHECK(refusal({.program_and_args = argv("1234", "1234"), .env = environment{{"N", "123"}}}) ==
          "taken");  // 5 + 5 + 6
    CHECK(refusal({.program_and_args = argv("1234", "12345"), .env = environment{{"N", "123"}}}) ==
          "argv and environment: 17 bytes, at most 16");
}

TEST_CASE("check: no refusal quotes an environment's value or an argument") {
    auto can = everything();
    can.max_word_bytes = 5;
    const auto by_value = check({.program_and_args = argv("a"), .env = environment{{"N", "secret"}}}, limits{}, can);
    REQUIRE_FALSE(by_value);
    CHECK(by_value.error().context.find("secret") == std::string::npos);
    const auto by_word = check({.program_and_args = argv("a", "secret")}, limits{}, can);
    REQUIRE_FALSE(by_word);
    CHECK(by_word.error().context.find("secret") == std::string::npos);
}
