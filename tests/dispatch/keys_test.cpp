#include <doctest/doctest.h>

#include <chrono>
#include <string>

#include "dispatch/front.h"

using namespace exec;
using namespace std::chrono_literals;
using exec::testing::script;
using test::front;
using test::heard;

namespace {

call keyed(std::string key = "k1", std::string subject = "ada") {
    auto what = front::ask(std::move(subject));
    what.idempotency_key = std::move(key);
    return what;
}

}  // namespace

TEST_CASE("keys: a second call with the key joins the first, and both get one answer of one run") {
    front on;
    on.runner->next(script().says("once").waits(1s).exits(3));
    auto& first = on.hear();
    auto& second = on.hear();
    const auto a = on.start(first, keyed());
    const auto b = on.start(second, keyed());
    on.turn();
    on.pass(1s);
    REQUIRE(first.over());
    REQUIRE(second.over());
    CHECK(first.outcome().exit == exit_status::exited(3));
    CHECK(second.outcome().exit == exit_status::exited(3));
    CHECK(second.outcome().out.bytes == "once");
    CHECK(on.runner->calls().size() == 1);
    CHECK(on.audit->rows().size() == 1);
    CHECK((*on.metrics)("exec_calls_total verb=run result=joined") == 1);
}

TEST_CASE("keys: a call that comes after the answer gets it, without a run, until it is too old") {
    front on;
    on.runner->otherwise([](const command&) { return script().says("x").exits(0); });
    CHECK(on.end_of(keyed()).value().out.bytes == "x");
    CHECK(on.end_of(keyed()).value().out.bytes == "x");
    CHECK(on.runner->calls().size() == 1);
    on.pass(601s);
    // The output is forgotten, the end is not: the trail has it.
    const auto later = on.end_of(keyed()).value();
    CHECK(on.runner->calls().size() == 1);
    CHECK(later.exit == exit_status::exited(0));
    CHECK(later.out.bytes.empty());
    CHECK(later.out.total == 1);
    CHECK_FALSE(later.out.complete);
}

TEST_CASE("keys: another request behind the same key is refused, and another caller's key is another key") {
    front on;
    on.runner->otherwise([](const command&) { return script().exits(0); });
    CHECK(on.end_of(keyed()).has_value());
    auto other = keyed();
    other.what.program_and_args = argv("uname", "-a");
    CHECK(on.refusal(other) == errc::invalid_argument);
    auto secret = keyed();
    REQUIRE(secret.what.env.set("A", "1").has_value());
    CHECK(on.refusal(secret) == errc::invalid_argument);
    CHECK(on.end_of(keyed("k1", "bob")).has_value());
    CHECK(on.end_of(keyed("k2")).has_value());
    CHECK(on.runner->calls().size() == 3);
}

TEST_CASE("keys: what never ran is not remembered, and the next call with the key runs") {
    front on;
    on.audit->fail_begin(fail(errc::audit_unavailable));
    CHECK(on.refusal(keyed()) == errc::audit_unavailable);
    on.audit->fail_begin({});
    on.runner->next(script().exits(0));
    CHECK(on.end_of(keyed()).has_value());
}

TEST_CASE("keys: a new process finds the key in the trail, and never runs it again") {
    auto audit = std::make_shared<testing::recording_audit>();
    {
        front on({.audit = audit});
        on.runner->next(script().says("abc").exits(9));
        CHECK(on.end_of(keyed("done")).has_value());
        on.runner->next(script().hangs());
        auto& to = on.hear();
        auto running = on.start(to, keyed("open"));
        on.turn();
        audit->fail_finish(fail(errc::audit_unavailable));  // the process dies before the end is written
    }
    audit->fail_finish({});
    front on({.audit = audit});
    const auto done = on.end_of(keyed("done")).value();
    CHECK(done.exit == exit_status::exited(9));
    CHECK(done.out.total == 3);
    const auto open = on.end_of(keyed("open")).value();
    CHECK(open.began == started::unknown);
    CHECK(open.how() == ended::lost);
    CHECK(on.runner->calls().empty());
    auto other = keyed("done");
    other.what.program_and_args = argv("id");
    CHECK(on.refusal(other) == errc::invalid_argument);
}

TEST_CASE("keys: a trail that cannot be searched refuses keys rather than running something twice") {
    front on({.audit = std::make_shared<no_audit>()});
    on.runner->otherwise([](const command&) { return script().exits(0); });
    CHECK(on.refusal(keyed()) == errc::unsupported);
    CHECK(on.end_of().has_value());
}

TEST_CASE("keys: one who has joined may leave, and the command goes on") {
    front on;
    on.runner->next(script().waits(1s).exits(0));
    auto& first = on.hear();
    auto& second = on.hear();
    auto& third = on.hear();
    const auto a = on.start(first, keyed());
    on.turn();
    auto b = on.start(second, keyed());
    {
        const auto dropped = on.start(third, keyed());
        on.turn();
    }
    on.turn();
    b.stop();
    on.turn();
    REQUIRE(second.over());
    CHECK(second.end->error().kind() == errc::cancelled);
    CHECK(third.destroyed);
    CHECK_FALSE(third.end.has_value());
    on.pass(1s);
    CHECK(first.outcome().ok());
}

TEST_CASE("keys: a caller whose permission has gone does not get the answer of before") {
    front on;
    on.runner->next(script().exits(0));
    CHECK(on.end_of(keyed()).has_value());
    on.gate->refuse("ada", "not any more");
    CHECK(on.refusal(keyed()) == errc::denied);
}

TEST_CASE("keys: answers are kept within their count and bytes") {
    dispatcher_parts parts;
    parts.keys.answers = 2;
    parts.keys.bytes = 1 * MiB;
    front on(std::move(parts));
    on.runner->otherwise([](const command&) { return script().says(std::string(400'000, 'x')).exits(0); });
    for (const char* key : {"a", "b", "c"}) CHECK(on.end_of(keyed(key)).has_value());
    CHECK(on.end_of(keyed("c")).value().out.bytes.size() == 400'000);
    CHECK(on.end_of(keyed("a")).value().out.bytes.empty());  // from the trail
    CHECK(on.runner->calls().size() == 3);
    CHECK((*on.metrics)("exec_held_bytes") <= 1.0 * MiB);
}
