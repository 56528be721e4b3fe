// Rows about everything that a command has started, and about pipes that outlive it.
#pragma once

#include <string>
#include <vector>

#include "exec/testing/conformance/bench.h"
#include "exec/testing/conformance/time.h"

namespace exec::inline v0::testing::conformance {

// The first line that it said: the pid of a descendant.
inline std::string first_line(const result<outcome>& how) {
    return how ? how->out.bytes.substr(0, how->out.bytes.find('\n')) : std::string();
}
// Whether a process has ended, also where its new parent is slow to take note of it.
inline std::string gone(const std::string& pid) {
    return "kill -0 " + pid + " 2>/dev/null || exit 0; grep -q '^State:.Z' /proc/" + pid + "/status";
}
inline bool group_is_gone(const result<outcome>& how) {
    return how && (how->tree == tree_state::group_gone || how->tree == tree_state::gone);
}

inline limits drains(int idle_ms, int max_ms) {
    limits within;
    within.drain_idle = milliseconds(idle_ms);
    within.drain_max = milliseconds(max_ms);
    return within;
}

inline std::vector<row> tree_rows() {
    return {
        {"of a plain command nothing is left, and that is said",
         [](bench& here) {
             const auto how = here.run_sh("exit 0");
             here.claim(group_is_gone(how), "the group must be seen to be empty; " + describe(how));
         }},
        {"a descendant that holds the pipe cannot hold us past the drain",
         [](bench& here) {
             const auto how = here.run_sh("sleep 300 & echo $!; exit 3", drains(100, 500));
             here.exits(how, 3);
             here.claim(how && !how->out.complete, "nobody saw the end of out; " + describe(how));
             here.claim(how && how->took.total < std::chrono::minutes(2), "it was waited for");
             here.claim(group_is_gone(how) && here.becomes_true(gone(first_line(how))),
                        "it is still there; " + describe(how));
         }},
        {"a descendant that still writes is read to its end",
         [](bench& here) {
             const auto how =
                 here.run_sh("(for i in 1 2 3 4 5; do sleep 0.2; echo $i; done) & exit 3", drains(10'000, 60'000));
             here.exits(how, 3);
             here.says(how, "1\n2\n3\n4\n5\n");
         }},
        {"a descendant that writes for ever is cut at drain_max",
         [](bench& here) {
             const auto how = here.run_sh("(while :; do echo x; sleep 0.02; done) & exit 3", drains(10'000, 300));
             here.exits(how, 3);
             here.claim(how && !how->out.complete && how->took.drain >= milliseconds(300),
                        "it was cut too early; " + describe(how));
             here.claim(group_is_gone(how), "it is still there; " + describe(how));
         }},
        {"a descendant that holds no pipe is killed at the end all the same",
         [](bench& here) {
             const auto how = here.run_sh("sleep 300 </dev/null >/dev/null 2>&1 & echo $!");
             here.exits(how);
             here.claim(group_is_gone(how) && here.becomes_true(gone(first_line(how))),
                        "it is still there; " + describe(how));
         }},
        {"survivors::leave leaves it, and says so",
         [](bench& here) {
             limits within;
             within.stop.after_exit = survivors::leave;
             const auto how = here.run_sh("sleep 300 </dev/null >/dev/null 2>&1 & echo $!", within);
             here.exits(how);
             here.claim(how && how->tree == tree_state::may_survive, "it was left and not told; " + describe(how));
             if (here.must_refuse()) return;
             here.exits(here.run_sh("kill -9 " + first_line(how)));
         },
         asks_for::either, &capabilities::leaves_survivors},
        {"a stop reaches the whole group",
         [](bench& here) {
             const auto how = here.run_sh("sleep 300 & echo $!; sleep 300 & echo $!; wait", ends_after(500));
             here.exits(how, exit_status::signaled(15), stop_reason::run_timeout);
             if (!here.can().kills_group)
                 return here.refused_as_it_should(!group_is_gone(how), "a group that it cannot reach is gone");
             here.claim(group_is_gone(how), "a member is still there; " + describe(how));
             here.claim(how && here.becomes_true(gone(first_line(how))), "a member is still there");
         }},
        {"a group in which only a descendant ignores TERM is killed as a whole",
         [](bench& here) {
             const auto how =
                 here.run_sh("(trap '' TERM; exec sleep 300) & echo $!; exec sleep 300", ends_after(300, 200));
             here.claim(how && how->stopped_by == stop_reason::run_timeout, "it was stopped; " + describe(how));
             if (!here.can().kills_group) return;
             here.claim(group_is_gone(how) && here.becomes_true(gone(first_line(how))),
                        "it is still there; " + describe(how));
         }},
        {"an escaped descendant that holds the pipe is not said to be gone, unless it is",
         [](bench& here) {
             const auto how =
                 here.run_sh("setsid sh -c 'echo $$; exec sleep 300' & sleep 0.3; exit 3", drains(200, 1000));
             here.exits(how, 3);
             if (!how) return;
             here.claim(how->tree == tree_state::may_survive || how->tree == tree_state::gone ||
                            how->tree == tree_state::unknown,
                        "a holder of the pipe was there to be seen; " + describe(how));
             here.claim(!how->out.complete || how->tree == tree_state::gone,
                        "nobody saw the end of out; " + describe(how));
             here.claim(here.becomes_true("kill -9 " + first_line(how) + " 2>/dev/null; " + gone(first_line(how))),
                        "it cannot be killed");
         }},
        {"cgroup: nothing escapes",
         [](bench& here) {
             auto within = drains(200, 1000);
             within.contain = containment::cgroup;
             const auto how = here.run_sh("setsid sh -c 'echo $$; exec sleep 300' & sleep 0.3; exit 3", within);
             here.exits(how, 3);
             here.claim(how && how->tree == tree_state::gone, "the cgroup must be seen to be empty; " + describe(how));
             here.claim(how && here.becomes_true(gone(first_line(how))), "it is still there");
         },
         asks_for::either, &capabilities::cgroup},
        {"pid_namespace: nothing escapes, TERM works and the exit code is exact",
         [](bench& here) {
             auto within = drains(200, 1000);
             within.contain = containment::pid_namespace;
             const auto how = here.run_sh("setsid sleep 300 & exit 3", within);
             here.exits(how, 3);
             here.claim(how && how->tree == tree_state::gone, "the namespace must have ended; " + describe(how));
             if (here.must_refuse()) return;
             within.run_timeout = milliseconds(300);
             within.stop.grace = milliseconds(60'000);
             here.exits(here.run_sh("exec sleep 300", within), exit_status::signaled(15), stop_reason::run_timeout);
         },
         asks_for::either, &capabilities::pid_namespace},
        {"orphan::run_on is taken or refused, and changes nothing for a command that is watched",
         [](bench& here) {
             limits within;
             within.if_orphaned = orphan::run_on;
             here.exits(here.run_sh("exit 6", within), 6);
         },
         asks_for::either, &capabilities::leaves_orphans},
    };
}

}  // namespace exec::inline v0::testing::conformance
