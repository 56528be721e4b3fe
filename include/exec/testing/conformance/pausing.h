// Rows about an observer that holds the output.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "exec/testing/conformance/bench.h"
#include "exec/testing/conformance/observing.h"

namespace exec::inline v0::testing::conformance {

// Where no output can be held back, that is said by can(), and there is nothing to ask for.
inline bool cannot_pause(bench& here) {
    if (here.can().pauses) return false;
    here.refused_as_it_should(true, {});
    return true;
}

inline std::vector<row> pausing_rows() {
    return {
        {"a pause holds the output until resume, while heartbeats go on",
         [](bench& here) {
             if (cannot_pause(here)) return;
             limits within;
             within.heartbeat = milliseconds(50);
             trial one(here);
             one.on().on_output = [](stream, bytes_view) { return flow::pause; };
             one.start(here.sh(endless), within);
             one.wait([](const heard& told) { return told.chunks > 0; });
             const auto beats = one.look([](const heard& told) { return told.beats.size(); });
             one.wait([beats](const heard& told) { return told.beats.size() >= beats + 3 || told.destroyed; });
             here.claim(one.look([](const heard& told) { return told.chunks == 1; }), "output came through a pause");
             one.handle.resume();
             here.claim(one.wait([](const heard& told) { return told.chunks == 2; }), "nothing came after the resume");
             one.handle.stop();  // and is not made to wait for the pause that has begun
             here.exits(one.end(), exit_status::signaled(15), stop_reason::cancelled);
         },
         asks_for::a_handle},
        {"a pause holds both streams",
         [](bench& here) {
             if (cannot_pause(here)) return;
             limits within;
             within.heartbeat = milliseconds(50);
             trial one(here);
             one.on().on_output = [](stream, bytes_view) { return flow::pause; };
             one.start(here.sh("echo o; sleep 0.2; echo e >&2; exec sleep 60"), within);
             one.wait([](const heard& told) { return told.chunks > 0 && told.beats.size() >= 8; });
             here.claim(one.look([](const heard& told) { return told.err.empty(); }),
                        "err came through a pause of out");
             one.handle.resume();
             here.claim(one.wait([](const heard& told) { return told.err == "e\n"; }),
                        "err did not come after the resume");
             one.handle.stop();
             here.exits(one.end(), exit_status::signaled(15), stop_reason::cancelled);
         },
         asks_for::a_handle},
        {"a resume inside on_output cancels the pause that it returns",
         [](bench& here) {
             if (cannot_pause(here)) return;
             trial one(here);
             one.on().on_output = [&one](stream, bytes_view) {
                 one.handle.resume();
                 return flow::pause;
             };
             one.start(here.sh("exec seq 1 300000"));
             here.exits(one.end());
             const auto all = counted_to(300'000);
             here.claim(one.look([&](const heard& told) { return told.out == all; }),
                        "what was shown is not what was said");
         },
         asks_for::a_handle},
        {"an observer that pauses all the time and is resumed each time sees everything",
         [](bench& here) {
             if (cannot_pause(here)) return;
             trial one(here);
             one.on().on_output = [](stream, bytes_view) { return flow::pause; };
             one.start(here.sh("seq 1 60000; exec seq 1 60000 >&2"));
             int seen = 0;
             while (one.wait([&](const heard& told) { return told.chunks > seen || told.destroyed; })) {
                 seen = one.look([](const heard& told) { return told.chunks; });
                 if (one.look([](const heard& told) { return told.destroyed; })) break;
                 one.handle.resume();
             }
             const auto how = one.end();
             here.exits(how);
             const auto all = counted_to(60'000);
             here.claim(one.look([&](const heard& told) { return told.out == all && told.err == all; }),
                        "what was shown is not what was said");
             here.claim(how && how->out.complete && how->err.complete, "it is complete; " + describe(how));
         },
         asks_for::a_handle},
        {"an observer that holds a running command's output longer than consumer_timeout ends it",
         [](bench& here) {
             if (cannot_pause(here)) return;
             limits within;
             within.consumer_timeout = milliseconds(300);
             trial one(here);
             one.on().on_output = [](stream, bytes_view) { return flow::pause; };
             one.start(here.sh(endless), within);
             const auto how = one.end();
             here.exits(how, exit_status::signaled(15), stop_reason::consumer);
             here.claim(how && !how->out.complete, "the rest was not seen; " + describe(how));
         },
         asks_for::a_handle},
        {"a paused observer is owed what the pipe held at the exit, longer than any drain",
         [](bench& here) {
             if (cannot_pause(here)) return;
             limits within;
             within.drain_idle = within.drain_max = milliseconds(50);
             trial one(here);
             std::atomic<flow> wish{flow::pause};
             one.on().on_output = [&wish](stream, bytes_view) { return wish.load(); };
             one.start(here.sh("echo one; sleep 0.2; echo two; exit 3"), within);
             one.wait([](const heard& told) { return told.chunks > 0; });
             // Another command, to let the first one end and its drain pass.
             here.exits(here.run_sh("sleep 0.6"));
             here.claim(one.look([](const heard& told) { return !told.end; }), "it was not waited for");
             wish = flow::more;
             one.handle.resume();
             const auto how = one.end();
             here.exits(how, 3);
             here.says(how, "one\ntwo\n");
             here.claim(one.look([](const heard& told) { return told.out == "one\ntwo\n"; }),
                        "it was not shown the rest");
         },
         asks_for::a_handle},
        {"a paused observer of an ended command is cut at consumer_timeout, with a gap, and the exit stays the child's",
         [](bench& here) {
             if (cannot_pause(here)) return;
             limits within;
             within.consumer_timeout = milliseconds(600);
             trial one(here);
             one.on().on_output = [](stream, bytes_view) { return flow::pause; };
             one.start(here.sh("echo one; sleep 0.1; echo two; exit 3"), within);
             const auto how = one.end();
             here.exits(how, exit_status::exited(3), stop_reason::consumer);
             here.claim(how && !how->out.complete, "out was cut; " + describe(how));
             here.claim(one.look([](const heard& told) { return told.out == "one\n"; }),
                        "it was shown more than it took");
         },
         asks_for::a_handle},
        {"whoever stops a command does not have to wait for a pause, not even for one after its exit",
         [](bench& here) {
             if (cannot_pause(here)) return;
             limits within;
             within.consumer_timeout = milliseconds(3'600'000);
             within.drain_max = milliseconds(200);
             trial one(here);
             one.on().on_output = [](stream, bytes_view) { return flow::pause; };
             one.start(here.sh("echo one; sleep 0.1; echo two; exit 3"), within);
             one.wait([](const heard& told) { return told.chunks > 0; });
             here.exits(here.run_sh("sleep 0.4"));
             one.handle.stop();
             here.exits(one.end(), 3);
             here.claim(one.look([](const heard& told) { return told.out == "one\n"; }),
                        "it was shown more than it took");
         },
         asks_for::a_handle},
        {"run_timeout counts through a pause, idle_timeout does not",
         [](bench& here) {
             if (cannot_pause(here)) return;
             limits within;
             within.idle_timeout = milliseconds(200);
             within.run_timeout = milliseconds(800);
             within.consumer_timeout = milliseconds(60'000);
             trial one(here);
             one.on().on_output = [](stream, bytes_view) { return flow::pause; };
             one.start(here.sh("echo a; exec sleep 60"), within);
             one.wait([](const heard& told) { return told.chunks > 0; });
             here.exits(here.run_sh("sleep 1"));
             one.handle.resume();
             here.exits(one.end(), exit_status::signaled(15), stop_reason::run_timeout);
         },
         asks_for::a_handle},
    };
}

}  // namespace exec::inline v0::testing::conformance
