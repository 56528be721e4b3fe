#include <doctest/doctest.h>

#include <exec/policy.h>

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using exec::milliseconds;
using exec::unlimited;

namespace {

exec::command plain() { return {.program_and_args = exec::argv("true")}; }

exec::command with_variable(std::string_view name) {
    auto what = plain();
    REQUIRE(what.env.set(name, "x").has_value());
    return what;
}

bool is_refused(const exec::policy& by, const exec::command& what, const exec::limits& within = {}) {
    const auto answer = exec::apply(by, what, within);
    if (!answer) REQUIRE(answer.error().code == exec::errc::invalid_argument);
    return !answer;
}

std::string reason(const exec::policy& by, const exec::command& what, const exec::limits& within = {}) {
    const auto answer = exec::apply(by, what, within);
    return answer ? std::string() : answer.error().context;
}

// One amount of the limits, with where its bounds stand.
struct time_member {
    const char* name;
    std::function<milliseconds&(exec::limits&)> of;
    milliseconds exec::limit_floors::*floor;
    milliseconds exec::limit_ceilings::*ceiling;
};
const std::vector<time_member>& time_members() {
    using floors = exec::limit_floors;
    using ceilings = exec::limit_ceilings;
    using exec::limits;
    static const std::vector<time_member> all{
        {"run_timeout", [](limits& l) -> milliseconds& { return l.run_timeout; }, &floors::run_timeout,
         &ceilings::run_timeout},
        {"start_timeout", [](limits& l) -> milliseconds& { return l.start_timeout; }, &floors::start_timeout,
         &ceilings::start_timeout},
        {"idle_timeout", [](limits& l) -> milliseconds& { return l.idle_timeout; }, &floors::idle_timeout,
         &ceilings::idle_timeout},
        {"heartbeat", [](limits& l) -> milliseconds& { return l.heartbeat; }, &floors::heartbeat, &ceilings::heartbeat},
        {"consumer_timeout", [](limits& l) -> milliseconds& { return l.consumer_timeout; }, &floors::consumer_timeout,
         &ceilings::consumer_timeout},
        {"stop.grace", [](limits& l) -> milliseconds& { return l.stop.grace; }, &floors::grace, &ceilings::grace},
        {"drain_idle", [](limits& l) -> milliseconds& { return l.drain_idle; }, &floors::drain_idle,
         &ceilings::drain_idle},
        {"drain_max", [](limits& l) -> milliseconds& { return l.drain_max; }, &floors::drain_max, &ceilings::drain_max},
    };
    return all;
}

struct size_member {
    const char* name;
    std::function<std::size_t&(exec::limits&)> of;
    std::size_t exec::limit_floors::*floor;
    std::size_t exec::limit_ceilings::*ceiling;
};
const std::vector<size_member>& size_members() {
    using floors = exec::limit_floors;
    using ceilings = exec::limit_ceilings;
    using exec::limits;
    static const std::vector<size_member> all{
        {"out.cap", [](limits& l) -> std::size_t& { return l.out.cap; }, &floors::out_cap, &ceilings::out_cap},
        {"err.cap", [](limits& l) -> std::size_t& { return l.err.cap; }, &floors::err_cap, &ceilings::err_cap},
        {"in_queue", [](limits& l) -> std::size_t& { return l.in_queue; }, &floors::in_queue, &ceilings::in_queue},
    };
    return all;
}

// Every amount but the one under test is left alone, however it stands by default.
exec::policy wide_open() {
    exec::policy by;
    for (const auto& each : time_members()) {
        by.floors.*each.floor = milliseconds(0);
        by.ceilings.*each.ceiling = unlimited;
    }
    for (const auto& each : size_members()) {
        by.floors.*each.floor = 0;
        by.ceilings.*each.ceiling = SIZE_MAX;
    }
    return by;
}

}  // namespace

TEST_CASE("policy: each time is lowered to its own ceiling and raised to its own floor, and no other is touched") {
    for (const auto& each : time_members()) {
        CAPTURE(each.name);
        auto by = wide_open();
        by.floors.*each.floor = milliseconds(200);
        by.ceilings.*each.ceiling = milliseconds(5000);
        for (const auto& [asked, given] :
             std::vector<std::pair<milliseconds, milliseconds>>{{milliseconds(1), milliseconds(200)},
                                                                {milliseconds(199), milliseconds(200)},
                                                                {milliseconds(200), milliseconds(200)},
                                                                {milliseconds(777), milliseconds(777)},
                                                                {milliseconds(5000), milliseconds(5000)},
                                                                {milliseconds(5001), milliseconds(5000)},
                                                                {unlimited - milliseconds(1), milliseconds(5000)},
                                                                {unlimited, milliseconds(5000)}}) {
            exec::limits within;
            each.of(within) = asked;
            auto answer = exec::apply(by, plain(), within);
            REQUIRE(answer.has_value());
            CHECK(each.of(*answer) == given);
            for (const auto& other : time_members()) {
                if (other.name != each.name) CHECK(other.of(*answer) == other.of(within));
            }
            for (const auto& other : size_members()) CHECK(other.of(*answer) == other.of(within));
        }
    }
}

TEST_CASE("policy: each size is lowered to its own ceiling and raised to its own floor, and no other is touched") {
    for (const auto& each : size_members()) {
        CAPTURE(each.name);
        auto by = wide_open();
        by.floors.*each.floor = 100;
        by.ceilings.*each.ceiling = 9000;
        for (const auto& [asked, given] : std::vector<std::pair<std::size_t, std::size_t>>{
                 {0, 100}, {99, 100}, {100, 100}, {777, 777}, {9000, 9000}, {9001, 9000}, {SIZE_MAX, 9000}}) {
            exec::limits within;
            each.of(within) = asked;
            auto answer = exec::apply(by, plain(), within);
            REQUIRE(answer.has_value());
            CHECK(each.of(*answer) == given);
            for (const auto& other : size_members()) {
                if (other.name != each.name) CHECK(other.of(*answer) == other.of(within));
            }
            for (const auto& other : time_members()) CHECK(other.of(*answer) == other.of(within));
        }
    }
}

TEST_CASE("policy: where amounts are refused, the refusal names the member and the bound that it broke") {
    for (const auto& each : time_members()) {
        CAPTURE(each.name);
        auto by = wide_open();
        by.out_of_range = exec::beyond::refuse;
        by.floors.*each.floor = milliseconds(200);
        by.ceilings.*each.ceiling = milliseconds(50'000);
        exec::limits within;
        each.of(within) = milliseconds(200);
        CHECK_FALSE(is_refused(by, plain(), within));
        each.of(within) = milliseconds(199);
        CHECK(reason(by, plain(), within) == std::string("limits: ") + each.name + " must be at least 200 ms");
        each.of(within) = unlimited;
        CHECK(reason(by, plain(), within) == std::string("limits: ") + each.name + " must be at most 50000 ms");
    }
    for (const auto& each : size_members()) {
        CAPTURE(each.name);
        auto by = wide_open();
        by.out_of_range = exec::beyond::refuse;
        by.ceilings.*each.ceiling = 50;
        exec::limits within;
        each.of(within) = 51;
        CHECK(reason(by, plain(), within) == std::string("limits: ") + each.name + " must be at most 50 bytes");
    }
}

TEST_CASE("policy: zero and negative times are refused by every policy, also by one that clamps") {
    for (const auto& each : time_members()) {
        CAPTURE(each.name);
        exec::limits within;
        each.of(within) = milliseconds(-1);
        CHECK(is_refused({}, plain(), within));
        each.of(within) = milliseconds(0);
        // No grace is a wish that makes sense: KILL at once.
        CHECK(is_refused({}, plain(), within) == (std::string_view(each.name) != "stop.grace"));
    }
}

TEST_CASE("policy: unlimited stays unlimited where there is no ceiling") {
    const auto by = wide_open();
    exec::limits within;
    for (const auto& each : time_members()) each.of(within) = unlimited;
    for (const auto& each : size_members()) each.of(within) = SIZE_MAX;
    auto answer = exec::apply(by, plain(), within);
    REQUIRE(answer.has_value());
    for (const auto& each : time_members()) CHECK(each.of(*answer) == unlimited);
    for (const auto& each : size_members()) CHECK(each.of(*answer) == SIZE_MAX);
}

TEST_CASE("policy: a floor above its ceiling gives the ceiling, since nothing may exceed that") {
    auto by = wide_open();
    by.floors.run_timeout = milliseconds(9000);
    by.ceilings.run_timeout = milliseconds(3000);
    exec::limits within;
    within.run_timeout = milliseconds(5000);
    const auto answer = exec::apply(by, plain(), within);
    REQUIRE(answer.has_value());
    CHECK(answer->run_timeout == milliseconds(3000));
}

TEST_CASE("policy: the default lets the library's own defaults through unchanged, for commands and for jobs") {
    const exec::policy by;
    const auto command = exec::apply(by, plain(), by.defaults);
    REQUIRE(command.has_value());
    CHECK(command->run_timeout == by.defaults.run_timeout);
    CHECK(command->out.cap == by.defaults.out.cap);
    CHECK(command->heartbeat == unlimited);

    const auto job = exec::apply(by, plain(), by.job_defaults, exec::work::job);
    REQUIRE(job.has_value());
    CHECK(job->run_timeout == unlimited);
    CHECK(job->out.kept == exec::keep::nothing);
}

TEST_CASE("policy: a command cannot take the job's way around its run timeout, and a job can be given one") {
    exec::policy by;
    by.ceilings.run_timeout = milliseconds(120'000);
    exec::limits forever;
    forever.run_timeout = unlimited;
    CHECK(exec::apply(by, plain(), forever)->run_timeout == milliseconds(120'000));
    CHECK(exec::apply(by, plain(), forever, exec::work::job)->run_timeout == unlimited);
    by.job_ceilings.run_timeout = milliseconds(86'400'000);
    CHECK(exec::apply(by, plain(), forever, exec::work::job)->run_timeout == milliseconds(86'400'000));
}

TEST_CASE("policy: a deadline and everything that is not an amount pass through unchanged") {
    exec::limits within;
    within.deadline = exec::time_point(milliseconds(123'456));
    within.out.kept = exec::keep::tail;
    within.out.then = exec::at_cap::stop;
    within.out.show = 17;
    within.stop.polite = 2;
    within.stop.and_continue = false;
    const auto answer = exec::apply({}, plain(), within);
    REQUIRE(answer.has_value());
    CHECK(answer->deadline == within.deadline);
    CHECK(answer->out == within.out);
    CHECK(answer->stop.polite == 2);
    CHECK_FALSE(answer->stop.and_continue);
}

TEST_CASE("policy: containment is raised to the weakest that is accepted, never lowered") {
    exec::policy by;
    by.floors.contain = exec::containment::cgroup;
    exec::limits within;
    within.contain = exec::containment::session;
    CHECK(exec::apply(by, plain(), within)->contain == exec::containment::cgroup);
    within.contain = exec::containment::pid_namespace;
    CHECK(exec::apply(by, plain(), within)->contain == exec::containment::pid_namespace);
}

TEST_CASE("policy: nothing may outlive its command or its link unless the host said so") {
    exec::limits stays;
    stays.stop.after_exit = exec::survivors::leave;
    exec::limits runs_on;
    runs_on.if_orphaned = exec::orphan::run_on;
    CHECK(is_refused({}, plain(), stays));
    CHECK(is_refused({}, plain(), runs_on));
    exec::policy by;
    by.survivors_may_stay = true;
    CHECK_FALSE(is_refused(by, plain(), stays));
    CHECK(is_refused(by, plain(), runs_on));
    by.orphans_may_run_on = true;
    CHECK_FALSE(is_refused(by, plain(), runs_on));
    CHECK(exec::apply(by, plain(), runs_on)->if_orphaned == exec::orphan::run_on);
}

TEST_CASE("policy: the default filter refuses each name of the contract, and none that only looks like one") {
    for (const auto* name : {"LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "LD_", "LD_x", "BASH_ENV", "ENV", "IFS",
                             "SHELLOPTS", "PS4", "PROMPT_COMMAND", "GLIBC_TUNABLES"}) {
        CAPTURE(name);
        CHECK(is_refused({}, with_variable(name)));
        CHECK(reason({}, with_variable(name)) == std::string("environment: may not be set: ") + name);
    }
    for (const auto* name :
         {"LD", "OLD_PRELOAD", "ld_preload", "BASH_ENVX", "XBASH_ENV", "ENVIRONMENT", "MYENV", "env", "IFSX", "PS1",
          "PS44", "SHELLOPTS_", "PROMPT_COMMANDS", "GLIBC_TUNABLES2", "PATH", "LD*"}) {
        CAPTURE(name);
        CHECK_FALSE(is_refused({}, with_variable(name)));
    }
}

TEST_CASE("policy: a star stands for a rest only at the end, and alone for every name") {
    exec::variable_filter filter;
    filter.refused = {"A*B", "C*"};
    CHECK(filter.refuses("A*B"));
    CHECK_FALSE(filter.refuses("AxB"));
    CHECK(filter.refuses("C"));
    CHECK(filter.refuses("CD"));
    CHECK_FALSE(filter.refuses("D"));
    filter.refused = {""};
    CHECK_FALSE(filter.refuses("A"));
    filter.refused = {"*"};
    CHECK(filter.refuses("A"));
}

TEST_CASE("policy: a caller inherits nothing of the host unless the host named it, and never a refused name") {
    auto secret = plain();
    REQUIRE(secret.env.inherit("AWS_SECRET_ACCESS_KEY").has_value());
    CHECK(is_refused({}, secret));
    exec::policy by;
    by.variables.inheritable = {"AWS_SECRET_ACCESS_KEY", "LD_PRELOAD"};
    CHECK_FALSE(is_refused(by, secret));
    auto loader = plain();
    REQUIRE(loader.env.inherit("LD_PRELOAD").has_value());
    CHECK(is_refused(by, loader));
}

TEST_CASE("policy: taking a variable away is allowed, whatever its name") {
    auto what = plain();
    REQUIRE(what.env.unset("LD_PRELOAD").has_value());
    REQUIRE(what.env.unset("PATH").has_value());
    CHECK_FALSE(is_refused({}, what));
}

TEST_CASE("policy: counts are refused from the first one too many on") {
    exec::policy by;
    by.words.max_words = 3;
    by.max_variables = 2;
    by.max_variable_bytes = 8;
    by.max_cwd_bytes = 4;
    by.max_input_bytes = 5;

    auto what = plain();
    what.program_and_args = exec::argv("a", "b", "c");
    CHECK_FALSE(is_refused(by, what));
    what.program_and_args = exec::argv("a", "b", "c", "d");
    CHECK(is_refused(by, what));

    what = plain();
    REQUIRE(what.env.set("AB", "12").has_value());
    REQUIRE(what.env.set("CD", "34").has_value());
    CHECK_FALSE(is_refused(by, what));
    REQUIRE(what.env.set("CD", "345").has_value());
    CHECK(reason(by, what) == "environment: 9 bytes, at most 8");
    what = plain();
    for (const auto* name : {"A", "B", "C"}) REQUIRE(what.env.set(name, "").has_value());
    CHECK(reason(by, what) == "environment: 3 variables, at most 2");

    what = plain();
    what.cwd = "/tmp";
    CHECK_FALSE(is_refused(by, what));
    what.cwd = "/tmp/";
    CHECK(is_refused(by, what));
    what.cwd = std::string("/\0x", 3);
    CHECK(is_refused(by, what));

    what = plain();
    what.in = exec::input::bytes("12345");
    CHECK_FALSE(is_refused(by, what));
    what.in = exec::input::bytes("123456");
    CHECK(is_refused(by, what));
}

TEST_CASE("policy: 256 words pass by default and 257 do not; a blank program never does") {
    auto what = plain();
    what.program_and_args = *exec::argv::make(std::vector<std::string>(256, "x"));
    CHECK_FALSE(is_refused({}, what));
    what.program_and_args = *exec::argv::make(std::vector<std::string>(257, "x"));
    CHECK(is_refused({}, what));
    CHECK(is_refused({}, exec::command{}));
}

TEST_CASE("policy: a refusal never quotes a value, a directory or an argument") {
    exec::policy by;
    by.words.max_words = 1;
    by.max_cwd_bytes = 1;
    auto what = plain();
    what.program_and_args = exec::argv("x", "hunter2");
    CHECK(reason(by, what).find("hunter2") == std::string::npos);
    what = with_variable("LD_PRELOAD");
    REQUIRE(what.env.set("LD_PRELOAD", "hunter2").has_value());
    CHECK(reason(by, what).find("hunter2") == std::string::npos);
    what = plain();
    what.cwd = "/hunter2";
    CHECK_FALSE(reason(by, what).empty());
    CHECK(reason(by, what).find("hunter2") == std::string::npos);
}

TEST_CASE("policy: the signals by default are those that end, pause and resize, and no other") {
    for (int number = -1; number <= 70; ++number) {
        CAPTURE(number);
        const auto is = [number](auto... any) { return (... || (number == any)); };
        CHECK(exec::check_signal({}, number).has_value() == is(1, 2, 3, 9, 10, 12, 15, 18, 19, 20, 28));
    }
}
