// What a trail promises while its writers are killed: processes of their own, killed at moments that nobody chose.
#include <exec/sqlite/audit_trail.h>

#include <doctest/doctest.h>

#include <cstdint>
#include <map>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

#include "../file_text.h"
#include "../forked.h"
#include "../living.h"
#include "asked.h"

using exec::audit_status;
using test::begin;
using test::ended_well;
using test::finish;
using test::forked;
using test::numbered;
using test::query;
using test::record;
using test::scratch_directory;
using test::trail_host;
using test::wait_for_the_end;

namespace {

// Every row, newest first.
std::vector<exec::audit_row> all_rows(exec::audit_trail& trail) { return query(trail, {.limit = 10'000}).value(); }

void append(int to, const std::string& line) {
    if (::write(to, line.data(), line.size()) != static_cast<ssize_t>(line.size())) ::_exit(4);
}

// Begins, runs and finishes one call after the other. To run is to append the call's number to a file.
void serve(exec::audit_trail& trail, std::uint64_t first, int ran, const forked::voice& to) {
    for (std::uint64_t number = first;; ++number) {
        if (!begin(trail, record(number))) ::_exit(5);
        append(ran, "ran " + std::to_string(number) + "\n");
        if (!finish(trail, numbered(number), ended_well())) ::_exit(6);
        append(ran, "finished " + std::to_string(number) + "\n");
        to.say(".");
    }
}

// A server with two threads, whose calls are numbered from `first`.
forked server(const std::string& path, const std::string& log, std::uint64_t first,
              exec::sqlite_audit_options::durability sync) {
    return forked([=](const forked::voice& to) {
        const int ran = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        trail_host host(exec::sqlite_audit_options{.path = path, .sync = sync});
        auto& trail = host.trail();
        std::thread other([&] { serve(trail, first + 500'000, ran, to); });
        serve(trail, first, ran, to);
    });
}

}  // namespace

TEST_CASE("sqlite trail: of servers killed at any moment every run has one row, and none is left open") {
    const scratch_directory here;
    const auto path = here / "trail.db";
    const auto log = here / "ran";
    std::minstd_rand chance(7);
    for (std::uint64_t round = 0; round < 50; ++round) {
        const bool full = round % 2 == 0;
        auto dying = server(
            path, log, (round + 1) * 1'000'000,
            full ? exec::sqlite_audit_options::durability::full : exec::sqlite_audit_options::durability::normal);
        const auto calls = chance() % 8;
        for (unsigned heard = 0; heard < calls; ++heard) REQUIRE(dying.hear() == ".");
        const auto spin = chance() % 100'000;  // within a call, too
        for (unsigned volatile i = 0; i < spin;) i = i + 1;
        dying.kill();
        if (round % 5 != 4 && round != 49) continue;  // several dead ones at once

        trail_host next(path);
        std::map<exec::audit_id, audit_status> rows;
        for (const auto& row : all_rows(next.trail())) {
            CHECK(rows.emplace(row.id, row.how.status).second);
            REQUIRE(row.ended.has_value());
            if (row.how.status == audit_status::interrupted) CHECK(row.how.began == exec::started::unknown);
        }
        std::istringstream lines(test::file_text(log));
        std::uint64_t number = 0;
        for (std::string what; lines >> what >> number;) {
            CAPTURE(number);
            const auto row = rows.find(numbered(number));
            REQUIRE(row != rows.end());
            if (what == "finished") CHECK(row->second == audit_status::ok);
        }
    }
    CHECK(test::file_text(log).find("finished") != std::string::npos);
}

TEST_CASE(
    "sqlite trail: of two servers on one file, the rows of the killed one are ended and those of the other are not") {
    const scratch_directory here;
    const auto path = here / "trail.db";
    const auto one_open_row = [&path](std::uint64_t number) {
        return forked([&path, number](const forked::voice& to) {
            trail_host host(path);
            begin(host.trail(), record(number)).value();
            to.say("begun");
            wait_for_the_end();
        });
    };
    auto first = one_open_row(1);
    auto second = one_open_row(2);
    REQUIRE(first.hear() == "begun");
    REQUIRE(second.hear() == "begun");
    first.kill();

    trail_host third(path);
    REQUIRE(begin(third.trail(), record(3)).has_value());
    std::map<exec::audit_id, exec::audit_row> rows;
    for (const auto& row : all_rows(third.trail())) rows[row.id] = row;
    REQUIRE(rows.size() == 3);
    CHECK(rows[numbered(1)].how.status == audit_status::interrupted);
    CHECK(rows[numbered(1)].ended.has_value());
    CHECK_FALSE(rows[numbered(2)].ended.has_value());

    {
        trail_host fourth(path);
        CHECK(query(fourth.trail(), {.only_open = true}).value().size() == 2);
    }
    second.kill();
    trail_host fifth(path);
    const auto open = query(fifth.trail(), {.only_open = true}).value();
    REQUIRE(open.size() == 1);
    CHECK(open[0].id == numbered(3));
    CHECK(finish(third.trail(), numbered(3), ended_well()).has_value());
}

TEST_CASE(
    "sqlite trail: two trails of one process do not end each other's rows, and neither loses its locks by the other's "
    "end") {
    const scratch_directory here;
    const auto path = here / "trail.db";
    int gate[2];
    REQUIRE(::pipe2(gate, O_CLOEXEC) == 0);
    // Forked while no other thread runs, and let go by the end of the pipe.
    forked elsewhere([&](const forked::voice& to) {
        char nothing = 0;
        ::close(gate[1]);
        if (::read(gate[0], &nothing, 1) != 0) ::_exit(2);
        trail_host third(path);
        for (const auto& row : all_rows(third.trail())) {
            to.say(std::to_string(row.id.raw()[0]) + (row.ended ? " ended" : " open"));
        }
    });
    ::close(gate[0]);
    trail_host first(path);
    REQUIRE(begin(first.trail(), record(1)).has_value());
    {
        trail_host second(path);
        REQUIRE(begin(second.trail(), record(2)).has_value());
        CHECK(query(second.trail(), {.only_open = true}).value().size() == 2);
    }
    // What the second left open is ended by who comes next, while the first lives on.
    ::close(gate[1]);
    CHECK(elsewhere.hear() == "2 ended");
    CHECK(elsewhere.hear() == "1 open");
    CHECK(elsewhere.wait() == 0);
    CHECK(finish(first.trail(), numbered(1), ended_well()).has_value());
}

TEST_CASE("sqlite trail: many that open a new trail, or a dead one's, at the same moment all succeed") {
    for (int round = 0; round < 5; ++round) {
        const scratch_directory here;
        const auto path = here / "trail.db";
        for (const bool left_open : {false, true}) {
            if (left_open) {
                forked dying([&path](const forked::voice& to) {
                    trail_host host(path);
                    for (std::uint64_t number = 1; number <= 20; ++number) begin(host.trail(), record(number)).value();
                    to.say("begun");
                    wait_for_the_end();
                });
                REQUIRE(dying.hear() == "begun");
                dying.kill();
            }
            int gate[2];
            REQUIRE(::pipe2(gate, O_CLOEXEC) == 0);
            std::vector<forked> all;
            for (std::uint64_t number = 0; number < 6; ++number) {
                all.emplace_back([&, number](const forked::voice&) {
                    char nothing = 0;
                    ::close(gate[1]);
                    if (::read(gate[0], &nothing, 1) != 0) ::_exit(2);  // the gate opens by being closed
                    trail_host host(
                        exec::sqlite_audit_options{.path = path, .answer_within = exec::milliseconds(60'000)});
                    const auto what = record(1000 + number + (left_open ? 100 : 0));
                    test::note(host.trail(), what, ended_well()).value();
                    if (!query(host.trail(), {.only_open = true}).value().empty()) ::_exit(3);
                });
            }
            ::close(gate[0]);
            ::close(gate[1]);
            for (auto& one : all) CHECK(one.wait() == 0);
        }
        trail_host after(path);
        CHECK(query(after.trail(), {.status = audit_status::interrupted}).value().size() == 20);
        CHECK(query(after.trail(), {.status = audit_status::ok}).value().size() == 12);
    }
}

TEST_CASE("sqlite trail: a fork of the host can do nothing with its trail, and nothing to it") {
    const scratch_directory here;
    const auto path = here / "trail.db";
    trail_host host(path);
    REQUIRE(begin(host.trail(), record(1)).has_value());
    forked child([&host](const forked::voice&) {
        exec::result<void> answer;
        host.trail().begin(record(2), [&](exec::result<void> told) { answer = std::move(told); });
        if (answer.has_value() || answer.error().code != exec::errc::wrong_state) ::_exit(2);
        host.made = exec::fail(exec::errc::cancelled);  // its end
    });
    CHECK(child.wait() == 0);
    CHECK(finish(host.trail(), numbered(1), ended_well()).has_value());
    trail_host again(path);
    CHECK(all_rows(again.trail()).size() == 1);
}

TEST_CASE("sqlite trail: a child that was forked without exec keeps no dead writer's rows open") {
    const scratch_directory here;
    const auto path = here / "trail.db";
    forked dying([&path](const forked::voice& to) {
        trail_host host(path);
        begin(host.trail(), record(1)).value();
        const auto child = ::fork();
        if (child == 0) wait_for_the_end();
        to.say(std::to_string(child));
        wait_for_the_end();
    });
    const test::killed_at_end child(std::stoll(dying.hear()));
    dying.kill();
    trail_host next(path);
    const auto rows = all_rows(next.trail());
    REQUIRE(rows.size() == 1);
    CHECK(rows[0].how.status == audit_status::interrupted);
}
