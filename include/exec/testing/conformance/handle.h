// Rows about the handle: stop, drop, detach, signal, and what it is after the end.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "exec/testing/conformance/bench.h"
#include "exec/testing/conformance/input.h"
#include "exec/testing/conformance/observing.h"
#include "exec/testing/conformance/time.h"
#include "exec/testing/conformance/tree.h"

namespace exec::inline v0::testing::conformance {

inline constexpr char says_its_pid[] = "echo $$; exec sleep 300";

inline std::vector<row> handle_rows() {
    return {
        {"stop before it began: it is cancelled, or was, and that is told",
         [](bench& here) {
             trial one(here);
             one.start(here.sh("exec sleep 60"));
             one.handle.stop();
             const auto how = one.end();
             here.claim(how ? how->stopped_by == stop_reason::cancelled : how.error().code == errc::cancelled,
                        "it was to be cancelled; " + describe(how));
         },
         asks_for::a_handle},
        {"stop while it runs is the cause, and is told once however often it is said",
         [](bench& here) {
             trial one(here);
             one.start(here.sh(says_its_pid));
             one.wait_for("\n");
             one.handle.stop();
             one.handle.stop();
             const auto how = one.end();
             here.exits(how, exit_status::signaled(15), stop_reason::cancelled);
             one.handle.stop();
             here.claim(here.becomes_true(gone(first_line(how))), "it is still there");
         },
         asks_for::a_handle},
        {"a later stop can shorten the grace",
         [](bench& here) {
             trial one(here);
             one.start(here.sh(ignores_term), ends_after(60'000));
             one.wait_for("up");
             one.handle.stop();
             one.handle.stop(milliseconds(0));
             here.exits(one.end(), exit_status::signaled(9), stop_reason::cancelled);
         },
         asks_for::a_handle},
        {"a stop cannot lengthen the grace of the policy",
         [](bench& here) {
             trial one(here);
             one.start(here.sh(ignores_term), ends_after(60'000, 200));
             one.wait_for("up");
             one.handle.stop(milliseconds(3'600'000));
             here.exits(one.end(), exit_status::signaled(9), stop_reason::cancelled);
         },
         asks_for::a_handle},
        {"stop inside a callback",
         [](bench& here) {
             trial one(here);
             one.on().on_output = [&one](stream, bytes_view) {
                 one.handle.stop();
                 return flow::more;
             };
             one.start(here.sh(endless));
             here.exits(one.end(), exit_status::signaled(15), stop_reason::cancelled);
         },
         asks_for::a_handle},
        {"stop on another thread",
         [](bench& here) {
             trial one(here);
             one.start(here.sh(says_its_pid));
             one.wait_for("\n");
             bench::on_another_thread([&one] { one.handle.stop(); });
             here.exits(one.end(), exit_status::signaled(15), stop_reason::cancelled);
         },
         asks_for::a_handle},
        {"stop after the leader's exit ends the drain, and is not the cause of the exit",
         [](bench& here) {
             trial one(here);
             one.start(here.sh("sleep 300 & echo up; exit 3"), drains(300'000, 300'000));
             one.wait_for("up");
             here.exits(here.run_sh("sleep 0.5"));  // to let it exit
             one.handle.stop(milliseconds(0));
             const auto how = one.end();
             here.exits(how, 3);
             here.claim(how && !how->out.complete && group_is_gone(how),
                        "the holder was cut and killed; " + describe(how));
         },
         asks_for::a_handle},
        {"a drop stops the command and is silent",
         [](bench& here) {
             trial one(here);
             one.start(here.sh(says_its_pid));
             one.wait_for("\n");
             const auto pid = one.look([](const heard& told) { return told.out.substr(0, told.out.find('\n')); });
             one.handle = {};
             here.claim(one.wait([](const heard& told) { return told.destroyed; }), "its observer was not destroyed");
             here.claim(one.look([](const heard& told) { return !told.end; }), "it was told of the end");
             here.claim(here.becomes_true(gone(pid)), "the command runs on");
         },
         asks_for::a_handle},
        {"a drop right after the start is silent as well",
         [](bench& here) {
             for (int round = 0; round < 20; ++round) {
                 trial one(here);
                 one.start(here.sh("exec sleep 300"));
                 one.handle = {};
                 here.claim(one.wait([](const heard& told) { return told.destroyed; }),
                            "its observer was not destroyed");
                 here.claim(one.look([](const heard& told) { return !told.end; }), "it was told of the end");
             }
         },
         asks_for::a_handle},
        {"a drop inside a callback: no call comes after it, and the observer goes when the call has returned",
         [](bench& here) {
             trial one(here);
             bool alive_behind = false;
             one.on().on_output = [&](stream, bytes_view) {
                 one.handle = {};
                 alive_behind = one.look([](const heard& told) { return !told.destroyed; });
                 return flow::more;
             };
             one.start(here.sh(endless));
             here.claim(one.wait([](const heard& told) { return told.destroyed; }), "its observer was not destroyed");
             here.claim(one.look([](const heard& told) { return told.chunks == 1 && !told.end; }),
                        "a call came after the drop");
             here.claim(alive_behind, "it was destroyed inside its own call");
         },
         asks_for::a_handle},
        {"a detached command goes on to its end and tells it",
         [](bench& here) {
             trial one(here);
             one.start(here.sh("sleep 0.2; echo done; exit 3"));
             one.handle.detach();
             here.claim(!one.handle, "a detached handle must be inert");
             const auto how = one.end();
             here.exits(how, 3);
             here.says(how, "done\n");
         },
         asks_for::a_handle},
        {"after the end every verb does nothing, and says so where it answers",
         [](bench& here) {
             trial one(here);
             one.start(reading(here.sh("exit 3"), here.can().input_streamed ? input::streamed() : input::none()));
             here.exits(one.end(), 3);
             one.handle.stop();
             one.handle.resume();
             one.handle.close_in();
             one.handle.write_in("abc");
             here.claim(!one.handle.signal(15), "a signal was sent to a command that has ended");
             here.claim(!one.handle.resize({80, 24}), "the terminal of a command that has ended was resized");
             one.handle.detach();
         },
         asks_for::a_handle},
        {"ids are not 0 and differ",
         [](bench& here) {
             trial one(here);
             trial other(here);
             one.start(here.sh("exit 0"));
             other.start(here.sh("exit 0"));
             here.claim(one.handle.id() != 0 && one.handle.id() != other.handle.id(),
                        "one id is 0, or both are the same");
             here.exits(one.end());
             here.exits(other.end());
         },
         asks_for::a_handle},
        {"any signal reaches the whole group, and is no cause",
         [](bench& here) {
             trial one(here);
             one.start(
                 here.sh("(trap 'echo child; exit 0' USR1; while :; do sleep 0.02; done) & "
                         "trap 'echo leader' USR1; echo up; wait; wait; exit 3"));
             one.wait_for("up");
             here.exits(here.run_sh("sleep 0.2"));  // until both traps are set
             const auto sent = one.handle.signal(10);
             if (!here.can().signals) {
                 here.refused_as_it_should(!sent && sent.error().code == errc::unsupported,
                                           "it must refuse what it does not offer");
                 one.handle.stop(milliseconds(0));
                 return static_cast<void>(one.end());
             }
             here.claim(sent.has_value(), "the signal was not sent");
             const auto how = one.end();
             here.exits(how, 3);
             here.claim(how && how->out.bytes.find("child\n") != std::string::npos &&
                            how->out.bytes.find("leader\n") != std::string::npos,
                        "not both heard it; " + (how ? display(how->out.bytes) : std::string()));
         },
         asks_for::a_handle},
        {"a command that is killed by a signal of ours was not stopped by anybody",
         [](bench& here) {
             if (!here.can().signals) return here.refused_as_it_should(true, {});
             trial one(here);
             one.start(here.sh(says_its_pid));
             one.wait_for("\n");
             here.claim(one.handle.signal(9).has_value(), "the signal was not sent");
             here.exits(one.end(), exit_status::signaled(9));
         },
         asks_for::a_handle},
        {"without a terminal a resize is refused",
         [](bench& here) {
             trial one(here);
             one.start(here.sh(says_its_pid));
             one.wait_for("\n");
             const auto sized = one.handle.resize({80, 24});
             here.claim(!sized && sized.error().code == errc::unsupported, "there is no terminal to resize");
             one.handle.stop();
             here.exits(one.end(), exit_status::signaled(15), stop_reason::cancelled);
         },
         asks_for::a_handle},
        {"many at once: each has its own end and its own output",
         [](bench& here) {
             constexpr int many = 40;
             std::deque<trial> all;
             for (int index = 0; index < many; ++index) {
                 all.emplace_back(here).start(here.sh("echo \"$1\"; exit \"$1\"", {std::to_string(index)}));
             }
             for (int index = 0; index < many; ++index) {
                 const auto how = all[static_cast<std::size_t>(index)].end();
                 here.exits(how, index);
                 here.says(how, std::to_string(index) + '\n');
             }
         },
         asks_for::a_handle},
    };
}

}  // namespace exec::inline v0::testing::conformance
