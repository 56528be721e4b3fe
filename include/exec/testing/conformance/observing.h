// Rows about what an observer is told, wishes and does wrong.
#pragma once

#include <stop_token>
#include <string>
#include <vector>

#include "exec/testing/conformance/bench.h"
#include "exec/testing/conformance/output.h"

namespace exec::inline v0::testing::conformance {

inline constexpr char endless[] = "while :; do echo 1234567; done";

// Uses up time in a callback, as a host's slow disk would.
inline void dawdle(milliseconds so_long) {
    const auto until = std::chrono::steady_clock::now() + so_long;
    while (std::chrono::steady_clock::now() < until) {
    }
}

#if defined(__cpp_exceptions)
// A command whose observer throws at one place ends as observer_failed.
template <class Spoil>
void throws(bench& here, std::string_view script, const limits& within, Spoil&& spoil) {
    trial one(here);
    int calls = 0;
    spoil(one.on(), [&calls] {
        ++calls;
        throw calls;
    });
    const auto how = one.run(here.sh(script), within);
    here.claim(how && how->stopped_by == stop_reason::observer_failed, "a callback threw; " + describe(how));
    here.claim(calls > 0, "it was not called");
}
#endif

inline std::vector<row> observing_rows() {
    std::vector<row> all{
        {"the observer is told of the start first and once, and of everything before the end",
         [](bench& here) {
             trial one(here);
             here.exits(one.run(here.sh("echo a; echo b >&2")));
             here.claim(
                 one.look([](const heard& told) { return told.starts == 1 && told.out == "a\n" && told.err == "b\n"; }),
                 "it was not told everything");
         }},
        {"an observer of a command that never ran hears of nothing but the failure",
         [](bench& here) {
             trial one(here);
             here.fails_at(one.run({.program_and_args = argv("/no/such/program")}), stage::program);
             here.claim(
                 one.look([](const heard& told) { return told.starts == 0 && told.chunks == 0 && told.gaps.empty(); }),
                 "it heard of a start");
         }},
        {"flow::stop from on_output stops the command",
         [](bench& here) {
             trial one(here);
             one.on().on_output = [](stream, bytes_view) { return flow::stop; };
             const auto how = one.run(here.sh(endless));
             here.exits(how, exit_status::signaled(15), stop_reason::cancelled);
             here.claim(how && how->how() == ended::cancelled, "it was cancelled; " + describe(how));
         }},
        {"flow::stop from on_heartbeat stops the command",
         [](bench& here) {
             limits within;
             within.heartbeat = milliseconds(50);
             trial one(here);
             one.on().on_heartbeat = [] { return flow::stop; };
             here.exits(one.run(here.sh("exec sleep 60"), within), exit_status::signaled(15), stop_reason::cancelled);
         }},
        {"an observer that dawdles does not make its command idle, and loses nothing",
         [](bench& here) {
             limits within;
             within.idle_timeout = milliseconds(1000);
             trial one(here);
             int calls = 0;
             one.on().on_output = [&calls](stream, bytes_view) {
                 if (++calls <= 2) dawdle(milliseconds(1200));
                 return flow::more;
             };
             here.exits(one.run(here.sh("exec seq 1 300000"), within));
             const auto said = counted_to(300'000);
             here.claim(one.look([&](const heard& told) { return told.out == said; }),
                        "what was shown is not what was said");
         },
         asks_for::blocking},
        {"a stop token that was requested before ends the command, or keeps it from starting",
         [](bench& here) {
             std::stop_source source;
             source.request_stop();
             trial one(here);
             const auto how = one.run(here.sh("exec sleep 60"), {}, source.get_token());
             here.claim(how ? how->stopped_by == stop_reason::cancelled : how.error().code == errc::cancelled,
                        "it was to be cancelled; " + describe(how));
         }},
        {"a stop token that is requested inside a callback ends the command",
         [](bench& here) {
             std::stop_source source;
             trial one(here);
             one.on().on_output = [&source](stream, bytes_view) {
                 source.request_stop();
                 return flow::more;
             };
             here.exits(one.run(here.sh(endless), {}, source.get_token()), exit_status::signaled(15),
                        stop_reason::cancelled);
         }},
        {"a stop token that is requested on another thread ends the command",
         [](bench& here) {
             std::stop_source source;
             trial one(here);
             one.on().on_start = [&source] { bench::on_another_thread([&source] { source.request_stop(); }); };
             const auto how = one.run(here.sh("exec sleep 60"), {}, source.get_token());
             here.exits(how, exit_status::signaled(15), stop_reason::cancelled);
         },
         asks_for::blocking},
        {"flow::pause means more where the calls may block",
         [](bench& here) {
             limits within;
             within.consumer_timeout = milliseconds(300);
             trial one(here);
             one.on().on_output = [](stream, bytes_view) {
                 dawdle(milliseconds(200));
                 return flow::pause;
             };
             here.exits(one.run(here.sh("echo a; sleep 0.3; echo b; sleep 0.3; echo c"), within));
             here.claim(one.look([](const heard& told) { return told.out == "a\nb\nc\n"; }),
                        "not everything was shown");
         },
         asks_for::blocking},
        {"a null observer is nobody to tell, and the command runs all the same",
         [](bench& here) {
             const auto made = here.run_sh("f=$(mktemp) && rm \"$f\" && printf %s \"$f\"");
             if (!here.exits(made)) return;
             const auto marker = made->out.bytes;
             auto handle = here.tested().start(here.sh("echo done > \"$1\"", {marker}), {}, nullptr);
             here.claim(here.becomes_true("[ -s '" + marker + "' ] && rm '" + marker + "'"), "it did not run");
         },
         asks_for::a_handle},
    };
#if defined(__cpp_exceptions)
    const std::vector<row> exceptions{
        {"an exception in on_start ends the command as observer_failed",
         [](bench& here) { throws(here, "exec sleep 60", {}, [](hooks& on, auto fail) { on.on_start = fail; }); }},
        {"an exception in on_output ends the command as observer_failed",
         [](bench& here) {
             throws(here, endless, {}, [](hooks& on, auto fail) {
                 on.on_output = [fail](stream, bytes_view) {
                     fail();
                     return flow::more;
                 };
             });
         }},
        {"an exception in on_output is told however quick the command was",
         [](bench& here) {
             for (int round = 0; round < 20; ++round) {
                 throws(here, "echo a", {}, [](hooks& on, auto fail) {
                     on.on_output = [fail](stream, bytes_view) {
                         fail();
                         return flow::more;
                     };
                 });
             }
         }},
        {"an exception in on_gap is told, though the command has ended",
         [](bench& here) {
             limits within;
             within.out.show = 1;
             throws(here, "echo abc", within, [](hooks& on, auto fail) { on.on_gap = fail; });
         }},
        {"an exception in on_heartbeat ends the command as observer_failed",
         [](bench& here) {
             limits within;
             within.heartbeat = milliseconds(50);
             throws(here, "exec sleep 60", within, [](hooks& on, auto fail) {
                 on.on_heartbeat = [fail] {
                     fail();
                     return flow::more;
                 };
             });
         }},
        {"an exception in on_done ends there",
         [](bench& here) {
             trial one(here);
             one.on().on_done = [] { throw 1; };
             here.exits(one.run(here.sh("exit 3")), 3);
             here.exits(here.run_sh("exit 4"), 4);  // and whoever drives goes on
         },
         asks_for::a_handle},
    };
    all.insert(all.end(), exceptions.begin(), exceptions.end());
#endif
    return all;
}

}  // namespace exec::inline v0::testing::conformance
