// How a command is ended, what becomes of those it leaves behind, and which word is told about them.
#include <exec/local_runner.h>
#include <exec/testing/manual_clock.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <signal.h>

#include "guards.h"
#include "living.h"
#include "local_host.h"
#include "syscall_spy.h"

using namespace std::chrono_literals;
using exec::exit_status;
using exec::flow;
using exec::KiB;
using exec::stop_reason;
using exec::survivors;
using exec::tree_state;
using test::both_drives;
using test::child;
using test::drive;
using test::heard;
using test::local_host;
using test::sh;
using table = exec::posix::syscalls;

namespace {

exec::limits ends_after(exec::milliseconds run_timeout, exec::milliseconds grace = 20s) {
    exec::limits within;
    within.run_timeout = run_timeout;
    within.stop.grace = grace;
    return within;
}

// The command is stopped when it has said its first line: no guess about how long a shell needs to begin.
exec::outcome stopped_when_ready(local_host& host, drive how, exec::command what, exec::limits within = {}) {
    heard to;
    within.run_timeout = 30s;
    to.on_output = [&](exec::stream, exec::bytes_view) {
        return to.out.find('\n') != std::string::npos ? flow::stop : flow::more;
    };
    auto ended = host.run(how, std::move(what), std::move(within), to);
    for (const auto& promise : to.broken) FAIL_CHECK(promise);
    REQUIRE(ended.has_value());
    return *std::move(ended);
}

std::vector<std::int64_t> numbers_in(const std::string& text) {
    std::istringstream from(text);
    std::vector<std::int64_t> all;
    for (std::int64_t number = 0; from >> number;) all.push_back(number);
    return all;
}

exec::milliseconds in_ms(exec::nanoseconds span) { return std::chrono::duration_cast<exec::milliseconds>(span); }

}  // namespace

TEST_CASE("stopping: a command that ends itself at the polite signal keeps its own exit code beside our cause") {
    const test::process_guard nothing_left;
    local_host host;
    exec::limits within;
    within.stop.grace = 20s;
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        for (const int code : {0, 5}) {
            const auto ended = stopped_when_ready(host, how, child({"on-term", std::to_string(code)}), within);
            CHECK(ended.exit == exit_status::exited(code));
            CHECK(ended.stopped_by == stop_reason::cancelled);
            CHECK(ended.how() == exec::ended::cancelled);
            CHECK_FALSE(ended.ok());
            CHECK(ended.tree == tree_state::group_gone);
            CHECK(ended.took.total < 20s);
        }
    }
}

TEST_CASE("stopping: one that ignores the polite signal is killed, but not before its grace is over") {
    const test::process_guard nothing_left;
    local_host host;
    exec::limits within;
    within.stop.grace = 300ms;
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        const auto ended = stopped_when_ready(host, how, child({"ignore-term"}), within);
        CHECK(ended.exit == exit_status::signaled(SIGKILL));
        CHECK(ended.stopped_by == stop_reason::cancelled);
        CHECK(ended.took.run >= 300ms);
    }
}

TEST_CASE("stopping: without a grace there is no polite signal") {
    const test::process_guard nothing_left;
    local_host host;
    exec::limits within;
    within.stop.grace = 0ms;
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        CHECK(stopped_when_ready(host, how, child({"on-term", "5"}), within).exit == exit_status::signaled(SIGKILL));
    }
}

TEST_CASE("stopping: the polite signal is the one that the policy names") {
    const test::process_guard nothing_left;
    local_host host;
    exec::limits within;
    within.stop.grace = 20s;
    within.stop.polite = SIGINT;
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        CHECK(stopped_when_ready(host, how, sh("trap 'exit 9' INT; echo ready; sleep 100 & wait"), within).exit ==
              exit_status::exited(9));
    }
}

TEST_CASE("stopping: a stopped command is woken to see the polite signal, unless the policy says otherwise") {
    const test::process_guard nothing_left;
    local_host host;
    // The leader stops itself; another member says so once it is true.
    const auto what =
        sh("trap 'exit 7' TERM; p=$$;"
           "(until grep -q '^State:.T' /proc/$p/status; do :; done; echo stopped; exec sleep 100) & kill -STOP $$");
    exec::limits within;
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        within.stop.grace = 20s;
        within.stop.and_continue = true;
        CHECK(stopped_when_ready(host, how, what, within).exit == exit_status::exited(7));
        within.stop.grace = 300ms;
        within.stop.and_continue = false;
        CHECK(stopped_when_ready(host, how, what, within).exit == exit_status::signaled(SIGKILL));
    }
}

TEST_CASE("stopping: every cause is told, with its own word") {
    const test::process_guard nothing_left;
    local_host host;
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        auto ended = host.outcome_of(how, child({"sleep"}), ends_after(100ms));
        CHECK(ended.stopped_by == stop_reason::run_timeout);
        CHECK(ended.exit == exit_status::signaled(SIGTERM));
        CHECK(ended.how() == exec::ended::timed_out);
        CHECK(ended.took.run >= 100ms);

        exec::limits within;
        within.idle_timeout = 200ms;
        ended = host.outcome_of(how, sh("echo said; exec sleep 100"), within);
        CHECK(ended.stopped_by == stop_reason::idle_timeout);
        CHECK(ended.out.bytes == "said\n");

        // The deadline is for the whole call: no grace is left.
        within = {};
        within.deadline = std::chrono::steady_clock::now() + 200ms;
        ended = host.outcome_of(how, child({"on-term", "5"}), within);
        CHECK(ended.stopped_by == stop_reason::deadline);
        CHECK(ended.exit == exit_status::signaled(SIGKILL));

        within = {};
        within.out.cap = 64 * KiB;
        within.out.then = exec::at_cap::stop;
        ended = host.outcome_of(how, sh("exec yes"), within);
        CHECK(ended.stopped_by == stop_reason::output_limit);
        CHECK(ended.how() == exec::ended::output_limit);
        CHECK(ended.out.total > 64 * KiB);
        CHECK(ended.out.bytes.size() == 64 * KiB);
    }
}

TEST_CASE("stopping: a deadline that has passed is a failure, and nothing runs") {
    const test::process_guard nothing_left;
    const test::scratch_directory scratch;
    local_host host;
    exec::limits within;
    within.deadline = std::chrono::steady_clock::now() - 1ms;
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        CHECK(host.failure_of(how, sh("> \"$1\"", {scratch / "ran"}), within).code == exec::errc::start_timeout);
        CHECK_FALSE(test::exists(scratch / "ran"));
    }
}

TEST_CASE("stopping: a command that speaks now and then is not idle") {
    const test::process_guard nothing_left;
    local_host host;
    exec::limits within;
    within.idle_timeout = 1s;
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        const auto ended = host.outcome_of(how, child({"trickle", "9", "150"}), within);
        CHECK(ended.ok());
        CHECK(ended.took.run >= 1200ms);  // longer than the bound
    }
}

TEST_CASE("stopping: a heartbeat comes while nothing is said, and may end the command") {
    const test::process_guard nothing_left;
    local_host host;
    exec::limits within;
    within.heartbeat = 20ms;
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        heard to;
        to.on_heartbeat = [&] { return to.heartbeats == 5 ? flow::stop : flow::more; };
        const auto ended = host.run(how, child({"sleep"}), within, to);
        REQUIRE(ended.has_value());
        CHECK(ended->stopped_by == stop_reason::cancelled);
        CHECK(to.heartbeats >= 5);
        CHECK(ended->took.run >= 100ms);
    }
}

TEST_CASE("stopping: the whole group is ended, not the leader alone") {
    const test::process_guard nothing_left;
    local_host host;
    const auto family = sh("trap '' TERM; sleep 1000 & a=$!; (sleep 1000 & echo $a $!; wait) & wait; wait");
    exec::limits within;
    within.stop.grace = 100ms;
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        const auto ended = stopped_when_ready(host, how, family, within);
        const auto members = numbers_in(ended.out.bytes);
        REQUIRE(members.size() == 2);
        for (const auto member : members) CHECK_FALSE(test::alive(member));
        CHECK(ended.exit == exit_status::signaled(SIGKILL));
        CHECK(ended.tree == tree_state::group_gone);
    }
}

TEST_CASE("stopping: who holds the pipe after the leader's exit is waited for, then killed with the group") {
    const test::process_guard nothing_left;
    local_host host;
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        const auto ended = host.outcome_of(how, child({"hold-pipe"}));
        CHECK(ended.exit == exit_status::exited(0));
        CHECK(ended.stopped_by == stop_reason::nobody);
        CHECK(ended.tree == tree_state::group_gone);
        CHECK_FALSE(ended.out.complete);  // it might have said more
        CHECK(ended.took.drain >= 100ms);
        const auto left = numbers_in(ended.out.bytes);
        REQUIRE(left.size() == 1);
        CHECK_FALSE(test::alive(left[0]));
    }
}

TEST_CASE("stopping: who holds nothing is killed all the same, and nobody waits for a drain") {
    const test::process_guard nothing_left;
    local_host host;
    exec::limits within;
    within.drain_idle = within.drain_max = 30s;
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        const auto ended = host.outcome_of(how, sh("sleep 1000 <&- >/dev/null 2>&1 & echo $!"), within);
        CHECK(ended.exit == exit_status::exited(0));
        CHECK(ended.out.complete);
        CHECK(ended.tree == tree_state::group_gone);
        CHECK(ended.took.total < 20s);
        const auto left = numbers_in(ended.out.bytes);
        REQUIRE(left.size() == 1);
        CHECK_FALSE(test::alive(left[0]));
    }
}

TEST_CASE("stopping: survivors that may stay are told of, and stay") {
    const test::process_guard nothing_left;
    local_host host;
    exec::limits within;
    within.stop.after_exit = survivors::leave;
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        const auto ended = host.outcome_of(how, child({"hold-pipe"}), within);
        const auto left = numbers_in(ended.out.bytes);
        REQUIRE(left.size() == 1);
        const test::killed_at_end later(left[0]);
        CHECK(ended.tree == tree_state::may_survive);
        CHECK(test::alive(left[0]));
        // With nobody there, the word is the same as ever.
        CHECK(host.outcome_of(how, sh("exit 0"), within).tree == tree_state::group_gone);
    }
}

TEST_CASE("stopping: a descendant with a session of its own is told of while it holds the pipe") {
    const test::process_guard nothing_left;
    local_host host;
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        const auto ended = host.outcome_of(how, child({"escape"}));
        const auto left = numbers_in(ended.out.bytes);
        REQUIRE(left.size() == 1);
        const test::killed_at_end later(left[0]);
        CHECK(test::alive(left[0]));
        CHECK(ended.tree == tree_state::may_survive);
        CHECK_FALSE(ended.out.complete);
    }
}

TEST_CASE("stopping: one that holds nothing either cannot be seen, and nobody claims that all is gone") {
    const test::process_guard nothing_left;
    const test::scratch_directory scratch;
    local_host host;
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        const auto ended =
            host.outcome_of(how, sh("exec \"$1\" escape >\"$2\" 2>&1", {EXEC_TEST_CHILD, scratch / "pid"}));
        const auto left = numbers_in(test::file_text(scratch / "pid"));
        REQUIRE(left.size() == 1);
        const test::killed_at_end later(left[0]);
        CHECK(test::alive(left[0]));
        CHECK(ended.tree == tree_state::group_gone);
        CHECK(ended.out.complete);
    }
}

TEST_CASE("stopping: the drain goes on while bytes arrive, each one giving it its whole idle time again") {
    const test::process_guard nothing_left;
    local_host host;
    exec::limits within;
    within.drain_idle = 1s;
    within.drain_max = 20s;
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        // 1.2 s of speaking after the exit.
        const auto ended = host.outcome_of(how, sh("\"$1\" trickle 9 150 & exit 3", {EXEC_TEST_CHILD}), within);
        CHECK(ended.exit == exit_status::exited(3));
        CHECK(ended.out.bytes == "abcdefghi");
        CHECK(ended.out.complete);
        CHECK(ended.took.drain >= 1100ms);
        CHECK(ended.tree == tree_state::group_gone);
    }
}

TEST_CASE("stopping: a grandchild that never stops speaking is bounded, and the exit stays the leader's") {
    const test::process_guard nothing_left;
    local_host host;
    exec::limits within;
    within.drain_max = 300ms;
    within.consumer_timeout = 300ms;  // the time in the blocking run's callbacks
    within.out.cap = 1000;
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        heard to;
        const auto ended = host.run(how, sh("yes & exit 4"), within, to);
        REQUIRE(ended.has_value());
        CHECK(ended->exit == exit_status::exited(4));
        CHECK(ended->stopped_by == stop_reason::nobody);
        CHECK_FALSE(ended->out.complete);
        CHECK(ended->took.drain >= 300ms);
        CHECK(ended->took.drain < 20s);
        CHECK(ended->tree == tree_state::group_gone);
        CHECK(to.out.size() == ended->out.total);
        CHECK(to.broken.empty());
    }
}

TEST_CASE("stopping: resource use is the kernel's, for the command and what it waited for") {
    const test::process_guard nothing_left;
    local_host host;
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        const auto ended = host.outcome_of(how, sh("\"$1\" spin 60; \"$1\" spin 60", {EXEC_TEST_CHILD}));
        CHECK(ended.used.user + ended.used.system >= 110ms);
        CHECK(ended.used.user + ended.used.system < 20s);
        CHECK(ended.used.max_rss > 100 * KiB);
        CHECK(ended.used.minor_faults > 0);
        CHECK(ended.took.total >= ended.took.run + ended.took.drain);
        CHECK(in_ms(ended.took.run) >= 110ms);
    }
}

namespace {

// The table of system calls in which KILL reaches nobody: members of a group that take their time to die.
int kill_but_not_at_once(pid_t to, int number) {
    return number == SIGKILL ? 0 : exec::posix::kernel_syscalls().kill(to, number);
}

}  // namespace

TEST_CASE("stopping: a killed group has a second to be seen empty, and is told of as alive after that") {
    const test::process_guard nothing_left;
    exec::testing::manual_clock clock;
    exec::loop_options options;
    options.clock = &clock;
    const auto loop = test::new_loop(std::move(options));
    const auto local = test::new_runner(*loop);
    const auto let_pass = [&](exec::milliseconds time) {
        clock.advance(time);
        loop->post([] {});
        test::drain(*loop);
    };
    auto slow = exec::posix::kernel_syscalls();
    slow.kill = &kill_but_not_at_once;
    const exec::posix::replaced_syscalls in_use(slow);
    for (const bool dies : {true, false}) {
        CAPTURE(dies);
        heard to;
        const auto handle = local->start(sh("sleep 1000 </dev/null >/dev/null 2>&1 & echo $!"), {},
                                         std::make_unique<test::listener>(to));
        REQUIRE(test::drive_until(*loop, [&] { return to.out.ends_with('\n'); }));
        const auto member = numbers_in(to.out).front();
        REQUIRE(test::ends(*to.pid));
        REQUIRE(test::readable(loop->poll_fd(), test::patience_ms));
        test::drain(*loop);
        for (int steps = 0; steps < 9; ++steps) let_pass(100ms);
        CHECK_FALSE(to.over());
        if (dies) {
            ::kill(static_cast<pid_t>(member), SIGKILL);
            REQUIRE(test::ends(member));
        }
        let_pass(dies ? 50ms : 300ms);
        REQUIRE(to.over());
        CHECK(to.outcome().tree == (dies ? tree_state::group_gone : tree_state::may_survive));
        ::kill(static_cast<pid_t>(member), SIGKILL);
    }
}

TEST_CASE("stopping: a leader that cannot be killed is answered for within a second, and reaped by a later run") {
    const test::process_guard nothing_left;
    local_host host;
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        heard to;
        std::int64_t stuck = 0;
        {
            // A process in uninterruptible sleep, as far as can be seen from here: no signal reaches it.
            const test::watched_syscalls<&table::kill, &table::pidfd_send_signal> spies;
            test::spy<& table::kill>.fails_at = test::spy<& table::pidfd_send_signal>.fails_at = -1;
            test::spy<& table::kill>.error = test::spy<& table::pidfd_send_signal>.error = EPERM;
            const auto ended = host.run(how, child({"sleep"}), ends_after(50ms, 50ms), to);
            REQUIRE(ended.has_value());
            stuck = *to.pid;
            CHECK(ended->exit == exit_status{});
            CHECK(ended->stopped_by == stop_reason::run_timeout);
            CHECK(ended->how() == exec::ended::timed_out);
            CHECK(ended->tree == tree_state::may_survive);
            CHECK(ended->took.total >= 1s);
            CHECK(ended->took.total < 20s);
            CHECK(test::spy<&table::kill>.calls > 5);  // it was tried again and again
        }
        CHECK(test::alive(stuck));
        ::kill(static_cast<pid_t>(stuck), SIGKILL);
        REQUIRE(test::ends(stuck));
        CHECK(nothing_left.changes().size() >= 2);  // the zombie, and the descriptor that will reap it
        CHECK(host.outcome_of(how, sh("exit 0")).ok());
        CHECK_FALSE(test::exists("/proc/" + std::to_string(stuck)));
    }
}
