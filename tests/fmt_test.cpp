#include <doctest/doctest.h>

#include <exec/fmt.h>

#include <fmt/ranges.h>

#include <string>

TEST_CASE("fmt: how a command ended reads as words") {
    exec::outcome how;
    CHECK(fmt::format("{} {}", how.exit, how.how()) == "unknown lost");
    how.exit = exec::exit_status::exited(3);
    CHECK(fmt::format("{} {}", how.exit, how.how()) == "exited 3 exited");
    how.exit = exec::exit_status::signaled(9);
    how.stopped_by = exec::stop_reason::run_timeout;
    how.tree = exec::tree_state::group_gone;
    CHECK(fmt::format("{} {} {} {}", how.exit, how.how(), how.stopped_by, how.tree) ==
          "signaled 9 timed_out run_timeout group_gone");
    CHECK(fmt::format("{}", exec::exit_status::signaled(6, true)) == "signaled 6 (core)");
    CHECK(fmt::format("{} {}", exec::started::yes, exec::started::unknown) == "yes unknown");
    CHECK(fmt::format("{} {}", exec::stream::out, exec::stream::err) == "out err");
}

TEST_CASE("fmt: a failure is its message, and its stage and advice are words") {
    const auto why = exec::os_failure(2, exec::stage::cwd, "/srv/none");
    CHECK(fmt::format("{}", why) == why.message());
    CHECK(fmt::format("{}", why).find("/srv/none") != std::string::npos);
    CHECK(fmt::format("{} {}", why.at, why.advise()) == "cwd fix_request");
}

TEST_CASE("fmt: an argv cannot reach the terminal with what is in it, also where fmt takes it for a range") {
    CHECK(fmt::format("{}", exec::argv("git", "log", "a b")) == "git log 'a b'");
    const auto hostile = fmt::format("{}", exec::argv("printf", "\x1b]0;title\x07", "\xe2\x80\xae"));
    CHECK(hostile.find('\x1b') == std::string::npos);
    CHECK(hostile.find('\x07') == std::string::npos);
    CHECK(hostile.find("\xe2\x80\xae") == std::string::npos);
    CHECK(fmt::format("{}", exec::argv("x", std::string(5000, 'y'))).size() <= 256);
}

TEST_CASE("fmt: specifications are those of strings") {
    CHECK(fmt::format("[{:>10}]", exec::ended::exited) == "[    exited]");
    CHECK(fmt::format("[{:<12}]", exec::exit_status::exited(3)) == "[exited 3    ]");
    CHECK(fmt::format("[{:.4}]", exec::argv("uname", "-a")) == "[unam]");
}
