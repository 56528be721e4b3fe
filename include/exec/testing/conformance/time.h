// Rows about limits of time, the stop policy and what is told of time.
//
// Limits are short; nothing here fails because a machine is slow, only because a limit came too early or not at all.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "exec/testing/conformance/bench.h"

namespace exec::inline v0::testing::conformance {

inline constexpr char ignores_term[] = "trap '' TERM; echo up; while :; do sleep 0.02; done";

inline limits ends_after(int run_ms, int grace_ms = 60'000) {
    limits within;
    within.run_timeout = milliseconds(run_ms);
    within.stop.grace = milliseconds(grace_ms);
    return within;
}

inline std::vector<row> time_rows() {
    return {
        {"run_timeout: a command that obeys TERM ends by TERM",
         [](bench& here) {
             const auto how = here.run_sh("exec sleep 60", ends_after(200));
             here.exits(how, exit_status::signaled(15), stop_reason::run_timeout);
             here.claim(how && how->how() == ended::timed_out && how->took.run >= milliseconds(200),
                        "it was stopped too early");
         }},
        {"run_timeout: a command that ignores TERM is killed after the grace, and not before",
         [](bench& here) {
             const auto how = here.run_sh(ignores_term, ends_after(200, 300));
             here.exits(how, exit_status::signaled(9), stop_reason::run_timeout);
             here.claim(how && how->took.run >= milliseconds(500), "it was killed within its grace");
         }},
        {"a command that answers TERM with exit 0 has timed out and exited 0: both are told",
         [](bench& here) {
             const auto how =
                 here.run_sh("trap 'echo bye; exit 0' TERM; while :; do sleep 0.02; done", ends_after(300));
             here.exits(how, exit_status::exited(0), stop_reason::run_timeout);
             here.claim(how && how->out.bytes == "bye\n" && !how->ok(), "its last words are kept, and it is not ok");
         }},
        {"partial output is returned",
         [](bench& here) {
             const auto how = here.run_sh("echo before; echo too >&2; exec sleep 60", ends_after(300));
             here.exits(how, exit_status::signaled(15), stop_reason::run_timeout);
             here.says(how, "before\n", "too\n");
         }},
        {"a stopped command is continued, so that it sees its TERM",
         [](bench& here) {
             here.exits(here.run_sh("kill -STOP $$; exec sleep 60", ends_after(200)), exit_status::signaled(15),
                        stop_reason::run_timeout);
         }},
        {"a grace of 0 kills at once",
         [](bench& here) {
             const auto how = here.run_sh("trap 'echo asked' TERM; while :; do sleep 0.02; done", ends_after(200, 0));
             here.exits(how, exit_status::signaled(9), stop_reason::run_timeout);
             here.claim(how && how->out.bytes.empty(), "it was asked first");
         }},
        {"the polite signal is the one that was chosen",
         [](bench& here) {
             auto within = ends_after(200);
             within.stop.polite = 1;
             here.exits(here.run_sh("exec sleep 60", within), exit_status::signaled(1), stop_reason::run_timeout);
         }},
        {"a command that exits in time is not stopped",
         [](bench& here) { here.exits(here.run_sh("exit 7", ends_after(20'000)), 7); }},
        {"idle_timeout: a command that falls silent is stopped",
         [](bench& here) {
             limits within;
             within.idle_timeout = milliseconds(300);
             const auto how = here.run_sh("echo a; exec sleep 60", within);
             here.exits(how, exit_status::signaled(15), stop_reason::idle_timeout);
             here.says(how, "a\n");
         }},
        {"idle_timeout: a command that speaks on out or err is not, however long it takes",
         [](bench& here) {
             limits within;
             within.idle_timeout = milliseconds(2000);
             const auto before = std::chrono::steady_clock::now();
             here.exits(
                 here.run_sh("for i in 1 2 3 4 5; do echo o; sleep 0.25; echo e >&2; sleep 0.25; done; exit 3", within),
                 3);
             here.claim(std::chrono::steady_clock::now() - before >= milliseconds(2000),
                        "it did not even take as long as the timeout");
         }},
        {"deadline: a command that still runs is killed without grace",
         [](bench& here) {
             limits within;
             within.deadline = std::chrono::steady_clock::now() + milliseconds(500);
             within.stop.grace = milliseconds(60'000);
             const auto how = here.run_sh(ignores_term, within);
             here.exits(how, exit_status::signaled(9), stop_reason::deadline);
             here.claim(std::chrono::steady_clock::now() >= *within.deadline, "it came back before its deadline");
         }},
        {"deadline: one that has passed is a failure, and nothing runs",
         [](bench& here) {
             limits within;
             within.deadline = std::chrono::steady_clock::now() - milliseconds(1);
             here.fails(here.run_sh("exit 0", within), errc::start_timeout);
         }},
        {"deadline: it cuts a grace that has begun, and the first cause stays",
         [](bench& here) {
             auto within = ends_after(200);
             within.deadline = std::chrono::steady_clock::now() + milliseconds(900);
             here.exits(here.run_sh(ignores_term, within), exit_status::signaled(9), stop_reason::run_timeout);
         }},
        {"heartbeats come while it runs",
         [](bench& here) {
             limits within;
             within.heartbeat = milliseconds(50);
             trial one(here);
             here.exits(one.run(here.sh("sleep 0.6"), within));
             const auto beats = one.look([](const heard& all) { return all.beats; });
             here.claim(beats.size() >= 2 && beats.size() <= 12,
                        "heartbeats in 600 ms: " + std::to_string(beats.size()));
             here.claim(!beats.empty() && beats.front() >= milliseconds(50), "the first heartbeat came too early");
         }},
        {"the times that are told fit into one another",
         [](bench& here) {
             const auto before = std::chrono::steady_clock::now();
             const auto how = here.run_sh("sleep 0.2");
             const auto all = std::chrono::steady_clock::now() - before;
             if (!here.exits(how)) return;
             const auto& took = how->took;
             here.claim(took.run > nanoseconds::zero(), "it ran for no time at all");
             here.claim(took.queue.count() >= 0 && took.connect.count() >= 0 && took.drain.count() >= 0,
                        "a time is negative");
             here.claim(took.total >= took.queue + took.connect + took.run, "the whole is less than its parts");
             here.claim(took.total <= all, "the whole is more than what passed here");
         }},
        {"what the kernel charged is told",
         [](bench& here) {
             const auto how = here.run_sh("n=0; while [ $n -lt 100000 ]; do n=$((n+1)); done");
             if (!here.exits(how)) return;
             const auto& used = how->used;
             if (!here.can().resource_use) {
                 return here.refused_as_it_should(used.user.count() == 0 && used.max_rss == 0,
                                                  "figures that nobody vouches for");
             }
             here.claim(used.user + used.system > nanoseconds::zero(), "a busy loop used no time");
             here.claim(used.max_rss > 64 * KiB && used.max_rss < 1024 * MiB,
                        "a shell used " + std::to_string(used.max_rss) + " bytes");
         }},
    };
}

}  // namespace exec::inline v0::testing::conformance
