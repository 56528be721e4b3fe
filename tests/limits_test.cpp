#include <exec/limits.h>

#include <chrono>

#include <doctest/doctest.h>

#include <exec/capabilities.h>

namespace {

using exec::limits;

// What doc/ and the sketches promise; a change of a default is a change for every host.
static_assert(limits{}.run_timeout == std::chrono::seconds(30));
static_assert(limits{}.start_timeout == std::chrono::seconds(10));
static_assert(limits{}.idle_timeout == exec::unlimited);
static_assert(limits{}.heartbeat == exec::unlimited);
static_assert(limits{}.consumer_timeout == std::chrono::seconds(30));
static_assert(!limits{}.deadline);
static_assert(limits{}.stop.polite == 15);
static_assert(limits{}.stop.and_continue);
static_assert(limits{}.stop.grace == std::chrono::seconds(2));
static_assert(limits{}.stop.after_exit == exec::survivors::kill);
static_assert(limits{}.drain_idle == std::chrono::milliseconds(100));
static_assert(limits{}.drain_max == std::chrono::seconds(1));
static_assert(limits{}.out.cap == 1 * exec::MiB);
static_assert(limits{}.out.kept == exec::keep::head_and_tail);
static_assert(limits{}.out.then == exec::at_cap::discard);
static_assert(limits{}.out.show == exec::unlimited_bytes);
static_assert(limits{}.in_queue == 64 * exec::KiB);
static_assert(limits{}.contain == exec::containment::session);
static_assert(limits{}.if_orphaned == exec::orphan::stop);

}  // namespace

TEST_CASE("limits: the defaults are accepted by a runner that can do nothing special") {
    const exec::command what{.program_and_args = exec::argv("true")};
    CHECK(exec::check(what, limits{}, exec::capabilities{}));
    CHECK(exec::check(what, limits::for_job(), exec::capabilities{}));
}

TEST_CASE("limits: a job has no run timeout and keeps nothing, and everything else is as usual") {
    const auto job = limits::for_job();
    const limits usual;
    CHECK(job.run_timeout == exec::unlimited);
    CHECK(job.start_timeout == usual.start_timeout);
    CHECK(job.stop.grace == usual.stop.grace);
    for (const auto& each : {job.out, job.err}) {
        CHECK(each.cap == 0);
        CHECK(each.kept == exec::keep::nothing);
        CHECK(each.then == exec::at_cap::discard);
        CHECK(each.show == exec::unlimited_bytes);
    }
}
