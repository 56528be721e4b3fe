// What goes into a command and what comes out of it, byte by byte.
#include <exec/local_runner.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include "guards.h"
#include "living.h"
#include "local_host.h"
#include "syscall_spy.h"

using namespace std::chrono_literals;
using exec::bytes_view;
using exec::exit_status;
using exec::flow;
using exec::KiB;
using exec::MiB;
using exec::stop_reason;
using exec::stream;
using test::both_drives;
using test::child;
using test::drive;
using test::heard;
using test::local_host;
using test::sh;
using table = exec::posix::syscalls;

namespace {

// Not periodic in any power of two, so that a lost or doubled piece cannot hide.
std::string pattern(std::size_t size) {
    std::string made(size, '\0');
    std::uint32_t state = 1;
    for (auto& byte : made) {
        state = state * 1664525 + 1013904223;
        byte = static_cast<char>(state >> 24);
    }
    return made;
}

exec::limits keeping(std::size_t cap) {
    exec::limits within;
    within.out.cap = within.err.cap = cap;
    return within;
}

exec::command fed(exec::command what, std::string bytes) {
    what.in = exec::input::bytes(std::move(bytes));
    return what;
}

}  // namespace

TEST_CASE("streams: stdout and stderr are apart and byte-exact, all 256 bytes of them") {
    const test::process_guard nothing_left;
    local_host host;
    const auto all = pattern(5000) + std::string("\0\n\r\x04\x1a\xff", 6);
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        const auto ended = host.outcome_of(how, fed(sh("tee /dev/stderr"), all));
        CHECK(ended.ok());
        CHECK(ended.out.bytes == all);
        CHECK(ended.err.bytes == all);
        CHECK((ended.out.complete && ended.err.complete));
        CHECK(ended.in_taken == all.size());
    }
}

TEST_CASE("streams: merged, both streams come in the order in which they were written, on out alone") {
    const test::process_guard nothing_left;
    local_host host;
    std::string expected;
    for (int i = 0; i < 500; ++i) expected += "o" + std::to_string(i) + "\ne" + std::to_string(i) + "\n";
    auto what = sh("i=0; while [ $i -lt 500 ]; do echo o$i; echo e$i >&2; i=$((i+1)); done");
    what.merge_err_into_out = true;
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        heard to;
        const auto ended = host.run(how, what, {}, to);
        REQUIRE(ended.has_value());
        CHECK(ended->out.bytes == expected);
        CHECK(to.out == expected);
        CHECK(ended->err.total == 0);
        CHECK(ended->err.complete);
        CHECK(to.err.empty());
    }
}

TEST_CASE("streams: without input a command reads the end at once") {
    const test::process_guard nothing_left;
    local_host host;
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        const auto ended = host.outcome_of(how, sh("cat; readlink /proc/self/fd/0"));
        CHECK(ended.out.bytes == "/dev/null\n");
        CHECK(ended.in_taken == 0);
        // Empty input is a pipe at its end.
        CHECK(host.outcome_of(how, fed(sh("cat; readlink /proc/self/fd/0"), "")).out.bytes.starts_with("pipe:"));
    }
}

TEST_CASE("streams: 64 MiB go in and come out again without a deadlock and without a byte changed") {
    const test::process_guard nothing_left;
    local_host host;
    const auto all = pattern(64 * MiB);
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        const auto ended = host.outcome_of(how, fed(child({"cat"}), all), keeping(all.size()));
        CHECK(ended.ok());
        CHECK(ended.in_taken == all.size());
        CHECK(ended.out.total == all.size());
        CHECK_FALSE(ended.out.truncated);
        CHECK((ended.out.bytes == all));
    }
}

TEST_CASE("streams: 64 MiB that are streamed in wait in a bounded queue and arrive whole") {
    const test::process_guard nothing_left;
    local_host host;
    const auto all = pattern(64 * MiB);
    auto within = keeping(all.size());
    within.in_queue = 100'000;
    auto what = child({"cat"});
    what.in = exec::input::streamed();

    heard to;
    exec::execution handle;
    std::size_t given = 0;
    int shorted = 0;
    const auto give = [&] {
        while (given < all.size()) {
            const auto part = bytes_view(all).substr(given, 300'000);
            const auto taken = handle.write_in(part);
            if (taken > within.in_queue) to.broken.push_back("more was taken than the queue holds");
            given += taken;
            if (taken < part.size()) {
                ++shorted;
                return;
            }
        }
        handle.close_in();
    };
    to.on_room = give;
    handle = host.start(what, within, to);
    give();  // before it has begun
    CHECK(given == within.in_queue);
    host.finish(to);
    CHECK(to.outcome().ok());
    CHECK(to.outcome().in_taken == all.size());
    CHECK((to.outcome().out.bytes == all));
    CHECK((to.out == all));
    CHECK(to.rooms == shorted);  // once for each write that was cut short
    CHECK(to.broken.empty());
}

TEST_CASE("streams: a child that reads only some of its input is no error, and what its pipe took is told") {
    const test::process_guard nothing_left;
    local_host host;
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        // All of it fits into the pipe.
        auto ended = host.outcome_of(how, fed(child({"read", "10"}), pattern(1000)));
        CHECK(ended.ok());
        CHECK(ended.in_taken == 1000);
        // A pipe of 64 KiB, of which no whole page was read.
        ended = host.outcome_of(how, fed(child({"read", "10"}), pattern(1 * MiB)));
        CHECK(ended.ok());
        CHECK(ended.in_taken == 64 * KiB);
        // Never read at all.
        exec::limits within;
        within.run_timeout = 100ms;
        ended = host.outcome_of(how, fed(child({"sleep"}), pattern(1 * MiB)), within);
        CHECK(ended.stopped_by == stop_reason::run_timeout);
        CHECK(ended.in_taken == 64 * KiB);
    }
}

TEST_CASE("streams: a child that stopped reading takes everything, so that no writer waits for it") {
    const test::process_guard nothing_left;
    local_host host;
    auto what = child({"close-in"});
    what.in = exec::input::streamed();
    heard to;
    exec::execution handle = host.start(what, {}, to);
    REQUIRE(test::drive_until(host.on(), [&] { return to.out == "closed\n"; }));

    const auto much = pattern(1 * MiB);
    CHECK(handle.write_in(much) == 64 * KiB);
    REQUIRE(test::drive_until(host.on(), [&] { return to.rooms == 1; }));
    CHECK(handle.write_in(much) == much.size());
    CHECK(handle.write_in(much) == much.size());
    handle.stop();
    host.finish(to);
    CHECK(to.outcome().in_taken == 0);
    CHECK(to.rooms == 1);
    CHECK(to.outcome().stopped_by == stop_reason::cancelled);
    CHECK(handle.write_in("late") == 4);
}

TEST_CASE("streams: input that is not streamed takes nothing") {
    const test::process_guard nothing_left;
    local_host host;
    heard to;
    auto handle = host.start(fed(sh("cat"), "fixed"), {}, to);
    CHECK(handle.write_in("more") == 0);
    handle.close_in();
    host.finish(to);
    CHECK(to.outcome().out.bytes == "fixed");
    CHECK(to.rooms == 0);
}

TEST_CASE("streams: the end of input comes behind what is queued, and only when it is asked for") {
    const test::process_guard nothing_left;
    local_host host;
    auto what = sh("while read line; do echo got $line; done; echo end");
    what.in = exec::input::streamed();
    heard to;
    auto handle = host.start(what, {}, to);
    CHECK(handle.write_in("one\n") == 4);
    REQUIRE(test::drive_until(host.on(), [&] { return to.out == "got one\n"; }));
    CHECK(handle.write_in("two\nthree") == 9);
    handle.close_in();
    CHECK(handle.write_in("after the end\n") == 14);  // taken and dropped
    host.finish(to);
    CHECK(to.outcome().out.bytes == "got one\ngot two\nend\n");
    CHECK(to.outcome().in_taken == 13);
}

TEST_CASE("streams: past the cap, what nobody listens to is dropped inside the kernel") {
    const test::process_guard nothing_left;
    local_host host;
    auto within = keeping(1000);
    within.out.kept = exec::keep::head;
    constexpr std::uint64_t flood = 32 * MiB;
    const auto what = child({"flood", std::to_string(flood)});

    SUBCASE("on a loop, once the observer has seen as much as it wanted") {
        const test::watched_syscalls<&table::read, &table::splice> spies;
        within.out.show = 1000;
        heard to;
        const auto handle = host.start(what, within, to);
        host.finish(to);
        CHECK(to.outcome().ok());
        CHECK(to.outcome().out.total == flood);
        CHECK(to.outcome().out.bytes.size() == 1000);
        CHECK(to.out.size() == 1000);
        REQUIRE(to.gaps.size() == 1);
        CHECK(to.gaps[0].at == 1000);
        CHECK(to.gaps[0].missing == flood - 1000);
        CHECK(test::spy<&table::read>.calls < 20);
        CHECK(test::spy<&table::splice>.calls > 10);
    }
    SUBCASE("blocking, where nobody was named") {
        const test::watched_syscalls<&table::read, &table::splice> spies;
        const auto ended = exec::run(what, within);
        REQUIRE(ended.has_value());
        CHECK(ended->out.total == flood);
        CHECK(ended->out.bytes.size() == 1000);
        CHECK(ended->out.tail().empty());
        CHECK(test::spy<&table::read>.calls < 20);
        CHECK(test::spy<&table::splice>.calls > 10);
    }
    SUBCASE("where the kernel will not, it is read and dropped, with the same result") {
        const test::watched_syscalls<&table::read, &table::splice> spies;
        test::spy<& table::splice>.fails_at = -1;
        test::spy<& table::splice>.error = EINVAL;
        const auto ended = exec::run(what, within);
        REQUIRE(ended.has_value());
        CHECK(ended->out.total == flood);
        CHECK(ended->out.bytes.size() == 1000);
        CHECK(test::spy<&table::splice>.calls == 1);
    }
}

TEST_CASE("streams: an observer sees every byte, whatever is kept") {
    const test::process_guard nothing_left;
    local_host host;
    auto within = keeping(10);
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        heard to;
        const auto ended = host.run(how, child({"flood", "3000000", "both"}), within, to);
        REQUIRE(ended.has_value());
        CHECK(to.out.size() == 3'000'000);
        CHECK(to.err.size() == 3'000'000);
        CHECK((to.out == to.err));
        CHECK(ended->out.bytes == to.out.substr(0, 5) + to.out.substr(to.out.size() - 5));
        CHECK(ended->out.truncated);
        CHECK(ended->out.complete);
        CHECK(to.gaps.empty());
        CHECK(to.broken.empty());
    }
}

TEST_CASE("streams: tiny writes arrive as they were, and nobody waits for more of them") {
    const test::process_guard nothing_left;
    local_host host;
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        CHECK(host.outcome_of(how, child({"trickle", "1000"})).out.total == 1000);
    }
    // What was said is shown while the child lives on.
    heard to;
    auto handle = host.start(sh("echo here; exec sleep 100"), {}, to);
    CHECK(test::drive_until(host.on(), [&] { return to.out == "here\n"; }));
    handle = {};
    CHECK(test::drive_until(host.on(), [&] { return to.destroyed; }));
}

TEST_CASE("streams: the size of an output pipe is the one that was asked for") {
    const test::process_guard nothing_left;
    exec::local_options options;
    options.pipe_bytes = 512 * KiB;
    local_host host(options);
    // Nobody reads while the observer holds the output: the child ends only if the pipes take all of it.
    heard to;
    exec::execution handle;
    to.on_output = [](stream, bytes_view) { return flow::pause; };
    handle = host.start(sh("echo first; exec \"$1\" flood 400000 >&2", {EXEC_TEST_CHILD}), {}, to);
    REQUIRE(test::drive_until(host.on(), [&] { return to.pid && !test::alive(*to.pid); }));
    to.on_output = nullptr;
    handle.resume();
    host.finish(to);
    CHECK(to.err.size() == 400'000);
}
