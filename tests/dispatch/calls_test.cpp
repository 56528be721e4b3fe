#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <thread>

#include <exec/loop_thread.h>

#include "dispatch/front.h"

using namespace exec;
using namespace std::chrono_literals;
using exec::testing::script;
using test::front;
using test::heard;

TEST_CASE("dispatch: a call goes through directory, gate and trail, and the trail is finished before the answer") {
    front on;
    on.runner->next(script().says("Linux\n").exits(7));
    auto& to = on.hear();
    to.on_done = [&] { CHECK(on.audit->rows().at(0).how.has_value()); };
    const auto running = on.start(to);
    CHECK(on.directory->questions().empty());  // nothing is asked inside the call
    on.turn();
    REQUIRE(to.over());
    CHECK(to.broken.empty());
    CHECK(to.out == "Linux\n");
    CHECK(to.outcome().exit == exit_status::exited(7));

    REQUIRE(on.directory->questions().size() == 1);
    CHECK(on.directory->questions()[0].who.subject == "ada");
    REQUIRE(on.gate->questions().size() == 1);
    CHECK(on.gate->questions()[0].way == on.runner.get());
    REQUIRE(on.audit->rows().size() == 1);
    const auto row = on.audit->rows()[0];
    CHECK(row.what.who.subject == "ada");
    CHECK(row.what.target.name() == "build-7");
    CHECK(row.what.labels.at(0).second == "7");
    CHECK(row.what.redacted_argv == std::vector<std::string>{"uname"});
    CHECK(row.how->status == audit_status::error);
    CHECK(row.how->exit == exit_status::exited(7));
    CHECK(row.how->out_bytes == 6);
    CHECK((*on.metrics)("exec_calls_total verb=run result=error") == 1);
    CHECK((*on.metrics)("exec_running") == 0);
    CHECK((*on.metrics)("exec_held_bytes") == 0);
}

TEST_CASE("dispatch: what the policy refuses reaches neither directory nor trail") {
    front on;
    auto what = front::ask();
    REQUIRE(what.what.env.set("LD_PRELOAD", "/tmp/x.so").has_value());
    CHECK(on.refusal(what) == errc::invalid_argument);
    what = front::ask("ada", "");
    CHECK(on.refusal(what) == errc::invalid_argument);
    what = front::ask();
    what.idempotency_key = std::string(256, 'k');
    CHECK(on.refusal(what) == errc::invalid_argument);
    CHECK(on.directory->questions().empty());
    CHECK(on.audit->rows().empty());
    CHECK((*on.metrics)("exec_calls_total verb=run result=invalid") == 3);
}

TEST_CASE("dispatch: limits beyond the ceiling are lowered, and the outcome and the record say so") {
    policy strict;
    strict.ceilings.run_timeout = 120s;
    front on({.policy = strict});
    on.runner->next(script().exits(0));
    auto what = front::ask();
    what.within.run_timeout = 10h;
    const auto end = on.end_of(what);
    CHECK(end.value().within.run_timeout == 120s);
    CHECK(on.audit->rows().at(0).what.within.run_timeout == 120s);
}

TEST_CASE("dispatch: another tenant's target is as missing as one that does not exist") {
    front on;
    auto foreign = front::ask();
    foreign.who.tenant = "umbrella";
    CHECK(on.refusal(foreign) == errc::target_not_found);
    CHECK(on.refusal(front::ask("ada", "build-9")) == errc::target_not_found);
    CHECK(on.audit->rows().empty());
}

TEST_CASE("dispatch: a failure of the directory reaches the caller as it is") {
    front on;
    auto why = fail(errc::target_not_ready, "it is starting");
    why.retry_after = 5s;
    on.directory->add("acme", "build-8", why);
    const auto end = on.end_of(front::ask("ada", "build-8"));
    CHECK(end.error().kind() == errc::target_not_ready);
    CHECK(end.error().retry_after == 5s);
}

TEST_CASE("dispatch: a refusal of the gate is a record, and nothing ran") {
    front on;
    on.gate->refuse("eve", "you may not run commands here");
    CHECK(on.refusal(front::ask("eve")) == errc::denied);
    REQUIRE(on.audit->rows().size() == 1);
    CHECK(on.audit->rows()[0].how->status == audit_status::denied);
    CHECK(on.runner->calls().empty());
}

TEST_CASE("dispatch: a caller who is refused in a loop costs ten records, and one that stands for the rest") {
    front on;
    on.gate->refuse("eve", "no");
    for (int times = 0; times < 100; ++times) CHECK(on.refusal(front::ask("eve")) == errc::denied);
    on.runner->otherwise([](const command&) { return script().exits(0); });
    CHECK(on.end_of().has_value());  // somebody else is not held back
    CHECK(on.audit->rows().size() == 11);
    on.pass(61s);
    const auto rows = on.audit->rows();
    REQUIRE(rows.size() == 12);
    CHECK(rows.back().what.stands_for == 90);
    CHECK(rows.back().how->status == audit_status::denied);
    CHECK(on.refusal(front::ask("eve")) == errc::denied);  // a new window
    CHECK(on.audit->rows().size() == 13);
}

TEST_CASE("dispatch: counted refusals are written when the dispatcher goes away") {
    front on;
    on.gate->refuse("eve", "no");
    for (int times = 0; times < 30; ++times) CHECK(on.refusal(front::ask("eve")) == errc::denied);
    on.desk.reset();
    on.turn();
    REQUIRE(on.audit->rows().size() == 11);
    CHECK(on.audit->rows().back().what.stands_for == 20);
}

TEST_CASE("dispatch: nothing runs without a record, unless the host has said so") {
    front on;
    on.audit->fail_begin(os_failure(28, stage::none, "/var/log/trail"));
    const auto end = on.end_of();
    CHECK(end.error().kind() == errc::audit_unavailable);
    CHECK(end.error().retry_after > 0ms);
    CHECK(on.runner->calls().empty());
    CHECK((*on.metrics)("exec_audit_writes_total step=begin result=error") == 1);

    front lenient({.without_audit = unrecorded::run_anyway});
    lenient.audit->fail_begin(fail(errc::audit_unavailable));
    lenient.runner->next(script().exits(0));
    CHECK(lenient.end_of().has_value());
    CHECK(lenient.audit->rows().empty());
    CHECK(lenient.log->lines().size() == 1);
}

TEST_CASE("dispatch: a trail that does not answer ends the call within its time, and its late record is closed") {
    front on;
    on.audit->hold();
    auto& to = on.hear();
    auto what = front::ask();
    what.within.start_timeout = 30s;
    const auto running = on.start(to, what);
    on.turn();
    on.pass(4999ms);
    CHECK_FALSE(to.over());
    on.pass(1ms);
    REQUIRE(to.over());
    CHECK(to.end->error().kind() == errc::audit_unavailable);
    on.audit->let_go();
    on.turn();
    const auto rows = on.audit->rows();
    REQUIRE(rows.size() == 1);
    REQUIRE(rows[0].how.has_value());
    CHECK_FALSE(rows[0].how->ran);
    CHECK(on.runner->calls().empty());
}

TEST_CASE("dispatch: an end that cannot be written is logged, and the caller gets the answer all the same") {
    front on;
    on.audit->fail_finish(fail(errc::audit_unavailable, "full"));
    on.runner->next(script().exits(0));
    CHECK(on.end_of().value().ok());
    REQUIRE(on.log->lines().size() == 1);
    CHECK(on.log->lines()[0].find("dispatch.audit.failed step=finish") == 0);
}

TEST_CASE("dispatch: an end whose writing hangs holds the answer for the audit time and no longer") {
    front on;
    on.runner->next(script().waits(1s).exits(0));
    auto& to = on.hear();
    const auto running = on.start(to);
    on.turn();
    on.audit->hold();
    on.pass(1s);
    CHECK_FALSE(to.end.has_value());
    on.pass(5s);
    REQUIRE(to.over());
    CHECK(to.outcome().ok());
    on.audit->let_go();
    on.turn();
}

TEST_CASE("dispatch: a look-up that hangs is answered by the start budget, which names it") {
    front on;
    on.directory->hold();
    auto& to = on.hear();
    const auto running = on.start(to);
    on.turn();
    on.pass(10s);
    REQUIRE(to.over());
    CHECK(to.end->error().kind() == errc::start_timeout);
    CHECK(to.end->error().context == "while the directory was asked");
    on.directory->let_go();  // too late: dropped
    on.turn();
    CHECK(on.gate->questions().empty());
    CHECK(on.runner->calls().empty());
}

TEST_CASE("dispatch: a stop while the gate is asked ends the call, and the gate's yes comes to nothing") {
    front on;
    on.gate->hold();
    auto& to = on.hear();
    auto running = on.start(to);
    on.turn();
    running.stop();
    on.turn();
    REQUIRE(to.over());
    CHECK(to.end->error().kind() == errc::cancelled);
    on.gate->let_go();
    on.turn();
    CHECK(on.runner->calls().empty());
    CHECK(on.audit->rows().empty());
}

TEST_CASE("dispatch: a dropped handle stops the command and silences it, and the trail gets the true end") {
    front on;
    on.runner->next(script().says("a").hangs().on_signal(15, script().exits(3)));
    auto& to = on.hear();
    {
        const auto running = on.start(to);
        on.turn();
        CHECK(to.out == "a");
    }
    on.turn();
    CHECK(to.destroyed);
    CHECK_FALSE(to.end.has_value());
    on.pass(1s);
    const auto rows = on.audit->rows();
    REQUIRE(rows.size() == 1);
    REQUIRE(rows[0].how.has_value());
    CHECK(rows[0].how->status == audit_status::cancelled);
    CHECK(rows[0].how->exit == exit_status::exited(3));
}

TEST_CASE("dispatch: a detached command goes on and tells its end") {
    front on;
    on.runner->next(script().waits(5s).says("b").exits(0));
    auto& to = on.hear();
    on.start(to).detach();
    on.turn();
    on.pass(5s);
    REQUIRE(to.over());
    CHECK(to.out == "b");
}

TEST_CASE("dispatch: input, its end, signals and sizes go to the command, also those given before it began") {
    front on;
    on.directory->hold();
    on.runner->next(script().copies_input().exits(0));
    auto what = front::ask();
    what.what.in = input::streamed();
    auto& to = on.hear();
    auto running = on.start(to, what);
    CHECK(running.write_in("early ") == 6);
    on.turn();
    on.directory->let_go();
    on.turn();
    CHECK(running.write_in("late") == 4);
    running.close_in();
    on.turn();
    REQUIRE(to.over());
    CHECK(to.out == "early late");
    CHECK(running.signal(15).error().kind() == errc::wrong_state);
}

TEST_CASE("dispatch: output, pauses and counts are those of the command") {
    front on;
    on.runner->next(script().says("one").waits(1s).says("two").exits(0));
    auto& to = on.hear();
    to.on_output = [](stream, bytes_view bytes) { return bytes == "one" ? flow::pause : flow::more; };
    auto running = on.start(to);
    on.turn();
    on.pass(2s);
    CHECK(to.out == "one");
    running.resume();
    on.turn();
    REQUIRE(to.over());
    CHECK(to.out == "onetwo");
    CHECK(to.broken.empty());
}

TEST_CASE("dispatch: an observer that throws ends its command and no other") {
    front on;
    on.runner->otherwise([](const command&) { return script().says("x").waits(1s).exits(0); });
    auto& bad = on.hear();
    auto& good = on.hear();
    bad.on_output = [](stream, bytes_view) -> flow { throw 1; };
    const auto first = on.start(bad);
    const auto second = on.start(good);
    on.turn();
    on.pass(10s);
    REQUIRE(bad.over());
    CHECK(bad.outcome().stopped_by == stop_reason::observer_failed);
    REQUIRE(good.over());
    CHECK(good.outcome().ok());
}

TEST_CASE("dispatch: a part that throws has dropped its answer") {
    struct throwing final : directory {
        void find(const caller&, const target_id&, reply<route>) override { throw 1; }
    };
    front on;
    auto parts = dispatcher_parts{
        .loop = on.loop.get(), .directory = std::make_shared<throwing>(), .gate = on.gate, .audit = on.audit};
    on.desk = make_dispatcher(std::move(parts)).value();
    CHECK(on.refusal(front::ask()) == errc::broken_reply);
    CHECK(on.loop->exceptions() == 1);
}

TEST_CASE("dispatch: a missing part is said at construction") {
    front on;
    const auto why = [](dispatcher_parts parts) { return make_dispatcher(std::move(parts)).error().kind(); };
    CHECK(why({}) == errc::invalid_argument);
    CHECK(why({.loop = on.loop.get(), .directory = on.directory, .gate = on.gate}) == errc::invalid_argument);
    CHECK(why({.loop = on.loop.get(), .gate = on.gate, .audit = on.audit}) == errc::invalid_argument);
    policy none;
    none.concurrency.running = 0;
    CHECK(why({.loop = on.loop.get(), .directory = on.directory, .gate = on.gate, .audit = on.audit, .policy = none}) ==
          errc::invalid_argument);
}

TEST_CASE("dispatch: a target that runs no commands says so before anything is recorded") {
    front on;
    on.directory->add("acme", "shelf", route{});
    CHECK(on.refusal(front::ask("ada", "shelf")) == errc::unsupported);
    CHECK(on.audit->rows().empty());
}

TEST_CASE("dispatch: a trace parent reaches the command under the name that the host chose, and the record") {
    front on({.trace_variable = "TRACEPARENT"});
    on.runner->next(script().exits(0));
    auto what = front::ask();
    what.who.trace_parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    CHECK(on.end_of(what).has_value());
    const auto asked = on.runner->calls().at(0).what.env;
    REQUIRE(asked.begin() != asked.end());
    CHECK((*asked.begin()).name == "TRACEPARENT");
    CHECK((*asked.begin()).value == what.who.trace_parent);
    CHECK(on.audit->rows().at(0).what.who.trace_parent == what.who.trace_parent);
    CHECK(on.audit->rows().at(0).what.env_names.empty());
}

TEST_CASE("dispatch: a secret in argv or environment is in no record, log line or failure") {
    front on;
    const std::string secret = "s3cr3t-hunter2-planted";
    on.audit->fail_finish(fail(errc::audit_unavailable, "full"));
    on.runner->otherwise([](const command&) { return script().exits(1); });
    auto what = front::ask();
    what.what.program_and_args = argv("bash", "-lc", "curl --password " + secret + " https://u:" + secret + "@host/");
    REQUIRE(what.what.env.set("API_TOKEN", secret).has_value());
    CHECK(on.end_of(what).has_value());
    std::string all;
    for (const auto& row : on.audit->rows()) {
        for (const auto& word : row.what.redacted_argv) all += word + '\n';
        for (const auto& name : row.what.env_names) all += name + '\n';
    }
    for (const auto& line : on.log->lines()) all += line + '\n';
    CHECK(all.find(secret) == std::string::npos);
    CHECK(all.find("API_TOKEN") != std::string::npos);
    CHECK(all.find("https://") != std::string::npos);
}

TEST_CASE("dispatch: a dispatcher that goes away ends those who wait, and lets run what runs") {
    policy narrow;
    narrow.concurrency.running = 1;
    front on({.policy = narrow});
    on.runner->otherwise([](const command&) { return script().waits(1s).exits(0); });
    auto& first = on.hear();
    auto& second = on.hear();
    auto a = on.start(first);
    auto b = on.start(second);
    on.turn();
    on.desk.reset();
    on.turn();
    REQUIRE(second.over());
    CHECK(second.end->error().kind() == errc::shutting_down);
    CHECK_FALSE(first.over());
    on.pass(1s);
    REQUIRE(first.over());
    CHECK(first.outcome().ok());
    CHECK(on.audit->rows().at(0).how->status == audit_status::ok);
}

TEST_CASE("dispatch: the loop's shutdown ends what runs and what waits, each told once and on record") {
    policy narrow;
    narrow.concurrency.running = 1;
    front on({.policy = narrow});
    on.runner->otherwise([](const command&) { return script().hangs(); });
    auto& first = on.hear();
    auto& second = on.hear();
    auto a = on.start(first);
    auto b = on.start(second);
    on.turn();
    on.loop->shutdown(0ms);
    on.turn();
    REQUIRE(first.over());
    CHECK(first.outcome().stopped_by == stop_reason::shutdown);
    REQUIRE(second.over());
    CHECK(second.end->error().kind() == errc::shutting_down);
    REQUIRE(on.audit->rows().size() == 1);
    CHECK(on.audit->rows()[0].how.has_value());
    auto& third = on.hear();
    const auto c = on.start(third);
    on.turn();
    REQUIRE(third.over());
    CHECK(third.end->error().kind() == errc::shutting_down);
}

TEST_CASE("dispatch: calls from many threads at once each get their own answer, and the trail one record each") {
    auto loop = make_loop().value();
    auto runner = std::make_shared<testing::scripted_runner>(*loop);
    runner->otherwise(
        [](const command& what) { return script().says(std::string(what.program_and_args[1])).exits(0); });
    auto directory = std::make_shared<testing::scripted_directory>();
    directory->add("acme", "build-7", route{.run = runner});
    auto audit = std::make_shared<testing::recording_audit>();
    policy wide;
    wide.concurrency.running = 8;
    wide.concurrency.running_per_caller = 8;
    auto desk = make_dispatcher({.loop = loop.get(),
                                 .directory = directory,
                                 .gate = std::make_shared<test::steered_gate>(),
                                 .audit = audit,
                                 .policy = wide})
                    .value();
    constexpr int threads = 8;
    constexpr int calls = 100;
    std::atomic<int> right{0};
    {
        loop_thread driving(*loop);
        std::vector<std::jthread> callers;
        for (int number = 0; number < threads; ++number) {
            callers.emplace_back([&, number] {
                for (int at = 0; at < calls; ++at) {
                    const auto word = std::to_string(number) + "/" + std::to_string(at);
                    auto what = front::ask("caller-" + std::to_string(number % 3));
                    what.what.program_and_args = argv("echo", word);
                    const auto how = desk->run(std::move(what));
                    if (how && how->ok() && how->out.bytes == word) ++right;
                }
            });
        }
    }
    CHECK(right == threads * calls);
    CHECK(audit->rows().size() == threads * calls);
    CHECK(audit->wrong().empty());
}
