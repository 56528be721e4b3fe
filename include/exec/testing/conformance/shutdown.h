// Rows about the end of a runner and of its loop, with work in flight. Each has a loop of its own.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "exec/testing/conformance/bench.h"
#include "exec/testing/conformance/handle.h"
#include "exec/testing/conformance/time.h"

namespace exec::inline v0::testing::conformance {

// Whether it is over is asked without driving the loop.
inline bool is_over(trial& one) {
    return one.look([](const heard& told) { return told.end.has_value() && told.destroyed; });
}

inline std::vector<row> shutdown_rows() {
    return {
        {"a runner may go before its commands",
         [](bench& here) {
             auto own = here.subject().fresh();
             here.use(own.on.get(), std::move(own.tested));
             trial one(here);
             one.start(here.sh("sleep 0.2; echo done; exit 3"));
             here.use(own.on.get(), here.subject().tested);
             const auto how = one.end();
             here.exits(how, 3);
             here.says(how, "done\n");
         },
         asks_for::a_loop},
        {"shutdown ends what runs, and tells it before it returns",
         [](bench& here) {
             auto own = here.subject().fresh();
             here.use(own.on.get(), own.tested);
             trial obeys(here);
             trial ignores(here);
             obeys.start(here.sh(says_its_pid));
             ignores.start(here.sh(ignores_term), ends_after(60'000, 300));
             obeys.wait_for("\n");
             ignores.wait_for("up");
             own.on->shutdown(here.subject().patience);
             here.claim(is_over(obeys) && is_over(ignores), "it returned before everything was told");
             here.exits(obeys.end(), exit_status::signaled(15), stop_reason::shutdown);
             here.exits(ignores.end(), exit_status::signaled(9), stop_reason::shutdown);
             trial late(here);
             late.start(here.sh("exit 0"));
             here.fails(late.end(), errc::shutting_down);
         },
         asks_for::a_loop},
        {"a loop that is destroyed kills what runs, and tells it before it is gone",
         [](bench& here) {
             auto own = here.subject().fresh();
             here.use(own.on.get(), own.tested);
             trial one(here);
             one.start(here.sh(ignores_term), ends_after(60'000));
             one.wait_for("up");
             own.on.reset();
             one.loop_is_gone();
             here.claim(is_over(one), "it was destroyed before everything was told");
             const auto how = one.end();
             here.exits(how, exit_status::signaled(9), stop_reason::shutdown);
             here.claim(how && how->out.bytes == "up\n", "what it said is kept; " + describe(how));
             // A handle may outlive its loop; its members then do nothing.
             one.handle.write_in("abc");
             one.handle.close_in();
             one.handle.resume();
             one.handle.stop();
             here.claim(!one.handle.signal(15), "a signal was sent by a loop that is gone");
         },
         asks_for::a_loop},
        {"a start whose loop is destroyed before it began is told so, and never runs",
         [](bench& here) {
             auto own = here.subject().fresh();
             here.use(own.on.get(), own.tested);
             trial one(here);
             one.start(here.sh("exec sleep 300"));
             own.on.reset();
             one.loop_is_gone();
             here.claim(is_over(one), "nobody was told");
             here.fails(one.end(), errc::shutting_down);
         },
         asks_for::a_loop},
    };
}

}  // namespace exec::inline v0::testing::conformance
