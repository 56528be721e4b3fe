#include <exec/outcome.h>

#include <array>
#include <set>
#include <string>
#include <string_view>
#include <system_error>

#include <doctest/doctest.h>

namespace {

using exec::ended;
using exec::exit_status;
using exec::outcome;
using exec::stop_reason;

static_assert(exit_status{}.what == exit_status::kind::unknown);
static_assert(exit_status::exited(0) != exit_status{});
static_assert(exit_status::exited(9) != exit_status::signaled(9));
static_assert(exit_status::exited(137).as_shells_do() == 137);
static_assert(exit_status::signaled(9).as_shells_do() == 137);
static_assert(!exit_status{}.as_shells_do());

constexpr std::array every_reason{stop_reason::nobody,       stop_reason::start_timeout, stop_reason::run_timeout,
                                  stop_reason::idle_timeout, stop_reason::deadline,      stop_reason::cancelled,
                                  stop_reason::output_limit, stop_reason::consumer,      stop_reason::observer_failed,
                                  stop_reason::shutdown};

outcome ended_as(exit_status exit, stop_reason why = stop_reason::nobody) {
    outcome how;
    how.exit = exit;
    how.stopped_by = why;
    return how;
}

}  // namespace

TEST_CASE("outcome: ok means exit 0, by itself, seen, and known to have begun") {
    CHECK(ended_as(exit_status::exited(0)).ok());
    CHECK_FALSE(outcome{}.ok());
    CHECK_FALSE(ended_as(exit_status::exited(1)).ok());
    CHECK_FALSE(ended_as(exit_status::signaled(15)).ok());
    for (const auto why : every_reason) {
        CHECK(ended_as(exit_status::exited(0), why).ok() == (why == stop_reason::nobody));
    }
    auto broken = ended_as(exit_status::exited(0));
    broken.broke = std::make_error_code(std::errc::connection_reset);
    CHECK_FALSE(broken.ok());
    auto unconfirmed = ended_as(exit_status::exited(0));
    unconfirmed.began = exec::started::unknown;
    CHECK_FALSE(unconfirmed.ok());
}

TEST_CASE("outcome: nobody's word is never success") {
    CHECK(outcome{}.how() == ended::lost);
    CHECK(outcome{}.exit.what == exit_status::kind::unknown);
    CHECK(outcome{}.tree == exec::tree_state::unknown);
}

TEST_CASE("outcome: how() names our cause before the child's own end, and a lost link before both") {
    struct row {
        stop_reason why;
        ended how;
    };
    for (const auto& each :
         {row{stop_reason::start_timeout, ended::timed_out}, row{stop_reason::run_timeout, ended::timed_out},
          row{stop_reason::idle_timeout, ended::timed_out}, row{stop_reason::deadline, ended::timed_out},
          row{stop_reason::cancelled, ended::cancelled}, row{stop_reason::output_limit, ended::output_limit},
          row{stop_reason::consumer, ended::cancelled}, row{stop_reason::observer_failed, ended::cancelled},
          row{stop_reason::shutdown, ended::cancelled}}) {
        const auto why = each.why;
        CAPTURE(exec::to_string(why));
        // A command may exit 0 after TERM, die of KILL, or never be seen again: the cause is the same.
        for (const auto exit :
             {exit_status::exited(0), exit_status::exited(3), exit_status::signaled(9), exit_status{}}) {
            CHECK(ended_as(exit, why).how() == each.how);
            CHECK(ended_as(exit, why).exit == exit);
        }
        auto broken = ended_as(exit_status::exited(0), why);
        broken.broke = std::make_error_code(std::errc::connection_reset);
        CHECK(broken.how() == ended::lost);
    }
    CHECK(ended_as(exit_status::exited(0)).how() == ended::exited);
    CHECK(ended_as(exit_status::exited(255)).how() == ended::exited);
    CHECK(ended_as(exit_status::signaled(9)).how() == ended::signaled);
}

TEST_CASE("outcome: every word of every enumeration has its own text") {
    std::set<std::string_view> reasons;
    for (const auto why : every_reason) reasons.insert(exec::to_string(why));
    CHECK(reasons.size() == every_reason.size());
    CHECK(reasons.count("invalid") == 0);

    std::set<std::string_view> trees;
    for (const auto left : {exec::tree_state::unknown, exec::tree_state::may_survive, exec::tree_state::group_gone,
                            exec::tree_state::gone}) {
        trees.insert(exec::to_string(left));
    }
    CHECK(trees == std::set<std::string_view>{"unknown", "may_survive", "group_gone", "gone"});

    std::set<std::string_view> ends;
    for (const auto how :
         {ended::lost, ended::timed_out, ended::output_limit, ended::cancelled, ended::signaled, ended::exited}) {
        ends.insert(exec::to_string(how));
    }
    CHECK(ends == std::set<std::string_view>{"lost", "timed_out", "output_limit", "cancelled", "signaled", "exited"});
    CHECK(exec::to_string(static_cast<ended>(99)) == "invalid");
}
