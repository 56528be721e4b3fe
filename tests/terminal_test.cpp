// A command on a terminal: what it sees, what may be typed, and how it ends.
#include <exec/local_runner.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <signal.h>

#include "guards.h"
#include "living.h"
#include "local_host.h"
#include "posix/syscalls.h"

using namespace std::chrono_literals;
using exec::exit_status;
using exec::stop_reason;
using exec::tree_state;
using test::both_drives;
using test::child;
using test::drive;
using test::heard;
using test::local_host;
using test::sh;

namespace {

exec::command on_terminal(exec::command what, exec::terminal_size size = {}) {
    what.terminal = size;
    return what;
}

exec::command typed_to(exec::command what, std::string bytes) {
    what.in = exec::input::bytes(std::move(bytes));
    return what;
}

exec::command streamed(exec::command what) {
    what.in = exec::input::streamed();
    return what;
}

bool heard_until(local_host& host, const heard& to, const std::string& text) {
    return test::drive_until(host.on(), [&] { return to.out.find(text) != std::string::npos; });
}

std::int64_t number_after(const std::string& text, const std::string& mark) {
    const auto at = text.find(mark);
    return at == std::string::npos ? -1 : std::atol(text.c_str() + at + mark.size());
}

}  // namespace

TEST_CASE("terminal: all three streams are one terminal of the size that was asked for, and the session's own") {
    const test::process_guard nothing_left;
    local_host host;
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        const auto ended = host.outcome_of(how, on_terminal(child({"tty"}), {132, 43}));
        CHECK(ended.out.bytes == "0 43 132\r\n1 43 132\r\n2 43 132\r\n");
        CHECK(ended.out.complete);
        CHECK(ended.err.total == 0);
        CHECK(ended.err.complete);
        const auto session = host.outcome_of(how, on_terminal(child({"session"}))).out.bytes;
        CHECK(session.find("tty yes") != std::string::npos);
        CHECK(number_after(session, "pid ") == number_after(session, "sid "));
        CHECK(host.outcome_of(how, on_terminal(sh("echo by name >/dev/tty"))).out.bytes == "by name\r\n");
        const auto fds = host.outcome_of(how, on_terminal(child({"fds"}))).out.bytes;
        CHECK(std::count(fds.begin(), fds.end(), '\n') == 3);
    }
}

TEST_CASE("terminal: what both streams say comes in its true order, to the last byte before the end") {
    const test::process_guard nothing_left;
    local_host host;
    std::string expected;
    for (int i = 0; i < 400; ++i) expected += "o" + std::to_string(i) + "\r\ne" + std::to_string(i) + "\r\n";
    exec::limits within;
    within.out.cap = 4 * exec::MiB;
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        const auto script = sh("i=0; while [ $i -lt 400 ]; do echo o$i; echo e$i >&2; i=$((i+1)); done");
        CHECK(host.outcome_of(how, on_terminal(script)).out.bytes == expected);
        // More than any buffer of a terminal holds.
        const auto flood = host.outcome_of(how, on_terminal(child({"flood", "1000000"})), within);
        CHECK(flood.ok());
        CHECK(flood.out.total == 1'000'000);
        CHECK(flood.out.complete);
        CHECK(flood.took.drain < 20s);
    }
}

TEST_CASE("terminal: the end of a terminal is an end of output, not an error") {
    const test::process_guard nothing_left;
    local_host host;
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        // All of it was closed long before the exit.
        auto ended = host.outcome_of(how, on_terminal(sh("echo said; exec <&- >&- 2>&-; sleep 0.1; exit 3")));
        CHECK(ended.exit == exit_status::exited(3));
        CHECK(ended.out.bytes == "said\r\n");
        CHECK(ended.out.complete);
        CHECK_FALSE(ended.broke);
        ended = host.outcome_of(how, on_terminal(child({"signal", "9"})));
        CHECK(ended.exit == exit_status::signaled(SIGKILL));
        CHECK(ended.out.complete);
    }
}

TEST_CASE("terminal: known input is typed, and its end too, whether the last line has one or not") {
    const test::process_guard nothing_left;
    local_host host;
    exec::limits within;
    within.run_timeout = 10s;
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        for (const std::string text : {"one\ntwo\n", "one\ntwo", "", "\n"}) {
            CAPTURE(text);
            const auto ended = host.outcome_of(how, typed_to(on_terminal(sh("stty -echo; echo; cat")), text), within);
            CHECK(ended.ok());
            std::string shown;
            for (const char byte : text) shown += byte == '\n' ? std::string("\r\n") : std::string(1, byte);
            CHECK(ended.out.bytes.ends_with("\r\n" + shown));
            CHECK(ended.in_taken == text.size());  // the end that was typed is ours
        }
    }
}

TEST_CASE("terminal: without input nothing is typed, and nothing ends") {
    const test::process_guard nothing_left;
    local_host host;
    exec::limits within;
    within.run_timeout = 300ms;
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        CHECK(host.outcome_of(how, on_terminal(sh("cat")), within).stopped_by == stop_reason::run_timeout);
    }
}

TEST_CASE("terminal: close_in types the end, and the command may go on") {
    const test::process_guard nothing_left;
    local_host host;
    heard to;
    auto handle = host.start(streamed(on_terminal(sh("stty -echo; echo ready; cat; echo after"))), {}, to);
    REQUIRE(heard_until(host, to, "ready\r\n"));
    CHECK(handle.write_in("line\n") == 5);
    REQUIRE(heard_until(host, to, "line\r\n"));
    handle.close_in();
    host.finish(to);
    CHECK(to.outcome().ok());
    CHECK(to.out == "ready\r\nline\r\nafter\r\n");
    CHECK(to.outcome().in_taken == 5);
}

TEST_CASE("terminal: a resize is seen by the child, with its signal") {
    const test::process_guard nothing_left;
    local_host host;
    heard to;
    auto handle =
        host.start(on_terminal(sh("sleep 1000 & trap 'stty size; kill $!; exit 0' WINCH; echo ready; wait")), {}, to);
    CHECK(handle.resize({90, 30}).error().code == exec::errc::wrong_state);  // not begun
    REQUIRE(heard_until(host, to, "ready\r\n"));
    CHECK(handle.resize({90, 30}).has_value());
    host.finish(to);
    CHECK(to.outcome().ok());
    CHECK(to.out.ends_with("30 90\r\n"));
    CHECK(handle.resize({10, 10}).error().code == exec::errc::wrong_state);
}

TEST_CASE("terminal: what is typed as ^C is an interrupt, for whoever stands in the foreground") {
    const test::process_guard nothing_left;
    local_host host;
    heard to;
    auto handle = host.start(streamed(on_terminal(sh("echo ready; exec sleep 1000"))), {}, to);
    REQUIRE(heard_until(host, to, "ready\r\n"));
    CHECK(handle.write_in("\x03") == 1);
    host.finish(to);
    CHECK(to.outcome().exit == exit_status::signaled(SIGINT));
    CHECK(to.outcome().stopped_by == stop_reason::nobody);

    heard trapping;
    handle = host.start(streamed(on_terminal(sh("trap 'echo interrupted; exit 5' INT; echo ready; sleep 1000 & wait"))),
                        {}, trapping);
    REQUIRE(heard_until(host, trapping, "ready\r\n"));
    CHECK(handle.write_in("\x03") == 1);
    host.finish(trapping);
    CHECK(trapping.outcome().exit == exit_status::exited(5));
    CHECK(trapping.out.find("interrupted\r\n") != std::string::npos);
}

TEST_CASE("terminal: an interactive shell has job control, and a stop takes its foreground command too") {
    const test::process_guard nothing_left;
    local_host host;
    heard to;
    exec::limits within;
    within.stop.grace = 300ms;
    auto shell = on_terminal(test::words({"bash", "--norc", "--noprofile", "-i"}));
    auto handle = host.start(streamed(shell), within, to);
    CHECK(handle.write_in("PS1=; set -m; sleep 1000 & echo background $!.\n") > 0);
    REQUIRE(heard_until(host, to, ".\r\n"));
    REQUIRE(heard_until(host, to, "background "));
    CHECK(handle.write_in("sh -c 'trap \"\" TERM HUP; echo fore\"\"ground $$.; while :; do sleep 1000; done'\n") > 0);
    REQUIRE(heard_until(host, to, "foreground "));
    REQUIRE(test::drive_until(host.on(),
                              [&] { return to.out.find(".\r\n", to.out.find("foreground ")) != std::string::npos; }));
    // bash prints the job's number first; the pid is what stands before the dot.
    const auto background = number_after(to.out.substr(to.out.rfind("background")), "background ");
    const auto foreground = number_after(to.out.substr(to.out.rfind("foreground")), "foreground ");
    REQUIRE(background > 1);
    REQUIRE(foreground > 1);
    const test::killed_at_end later(background);
    CHECK(test::alive(foreground));
    CHECK(test::alive(background));
    static std::vector<pid_t> killed;
    killed.clear();
    auto spied = exec::posix::kernel_syscalls();
    spied.kill = [](pid_t whom, int number) {
        if (number == SIGKILL) killed.push_back(whom);
        return exec::posix::kernel_syscalls().kill(whom, number);
    };
    {
        const exec::posix::replaced_syscalls in_use(spied);
        handle.stop();
        host.finish(to);
    }
    // Before the shell: once that is dead, nobody can tell any more who was in front.
    REQUIRE(!killed.empty());
    CHECK(killed.front() == -static_cast<pid_t>(foreground));
    // The shell ignores TERM while it waits for its command: KILL it was.
    CHECK(to.outcome().stopped_by == stop_reason::cancelled);
    CHECK(test::ends(foreground));
    // A background job has a group of its own: nobody claims more than that the shell's is gone.
    CHECK((to.outcome().tree == tree_state::group_gone || to.outcome().tree == tree_state::may_survive));
}

TEST_CASE("terminal: who holds it after the exit is waited for like the holder of a pipe, and killed") {
    const test::process_guard nothing_left;
    local_host host;
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        const auto ended = host.outcome_of(how, on_terminal(sh("trap '' HUP; sleep 1000 & echo $!; exit 3")));
        CHECK(ended.exit == exit_status::exited(3));
        CHECK(ended.tree == tree_state::group_gone);
        const auto left = std::atol(ended.out.bytes.c_str());
        CHECK(left > 1);
        CHECK_FALSE(test::alive(left));
    }
}

TEST_CASE("terminal: a size of nothing is refused, and so is a terminal that the way to spawn cannot give") {
    const test::process_guard nothing_left;
    local_host host;
    exec::local_options options;
    options.spawn = exec::spawn_kind::posix_spawn;
    local_host plain(options);
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        CHECK(host.failure_of(how, on_terminal(child({"tty"}), {0, 24})).code == exec::errc::invalid_argument);
        CHECK(plain.failure_of(how, on_terminal(child({"tty"}))).code == exec::errc::unsupported);
    }
}
