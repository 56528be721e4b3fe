// A trail on a disk that is full, locked, or holds something else than was written.
#include <exec/sqlite/audit_trail.h>

#include <doctest/doctest.h>

#include <csignal>
#include <cstdint>
#include <system_error>

#include <string>
#include <vector>

#include <fcntl.h>
#include <sched.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../file_text.h"
#include "../forked.h"
#include "../living.h"
#include "asked.h"

using test::begin;
using test::ended_well;
using test::expected;
using test::finish;
using test::forked;
using test::numbered;
using test::query;
using test::record;
using test::scratch_directory;
using test::trail_host;

namespace {

// Another program that has the database to itself until its end.
class locked {
   public:
    explicit locked(const std::string& path) {
        REQUIRE(sqlite3_open(path.c_str(), &raw_) == SQLITE_OK);
        sqlite3_busy_timeout(raw_, 20'000);
        REQUIRE(sqlite3_exec(raw_, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr) == SQLITE_OK);
    }
    ~locked() { sqlite3_close(raw_); }
    locked(const locked&) = delete;
    locked& operator=(const locked&) = delete;

   private:
    sqlite3* raw_ = nullptr;
};

// Fills the trail until it refuses, then goes on after `room` was made. Answers "" or what was not as it should be.
template <class MakeRoom>
std::string fill_and_recover(const std::string& path, std::errc wanted, MakeRoom&& make_room) {
    trail_host host(path);
    auto& trail = host.trail();
    if (!begin(trail, record(1))) return "nothing could be begun";
    std::uint64_t number = 1;
    exec::result<void> refused;
    while (refused.has_value() && number < 100'000) {
        auto what = record(++number);
        what.redacted_argv = {std::string(20'000, 'x')};
        refused = test::note(trail, what, ended_well());
    }
    if (refused.has_value()) return "the disk was never full";
    if (refused.error().code != wanted) return "refused with " + refused.error().message();
    // Also what would fit somewhere in the file is refused for as long as the log cannot grow.
    const auto finished = finish(trail, numbered(1), ended_well());
    const auto before = query(trail, {.limit = 10'000});
    if (!before || before->size() != number - 1) return "rows were lost on the full disk";

    make_room();
    if (const auto again = begin(trail, record(number + 1)); !again) return "no recovery: " + again.error().message();
    const auto open = query(trail, {.only_open = true}).value();
    if (open.size() != 1 || open[0].id != numbered(number + 1)) return "the end that was owed was not written";
    return {};
}

}  // namespace

TEST_CASE(
    "sqlite trail: a locked database is a failure in time, the end is made up for, and the lock gone all is well") {
    const scratch_directory here;
    const auto path = here / "trail.db";
    trail_host host(exec::sqlite_audit_options{.path = path, .answer_within = exec::milliseconds(200)});
    auto& trail = host.trail();
    REQUIRE(begin(trail, record(1)).has_value());
    {
        const locked by_another(path);
        const auto began = std::chrono::steady_clock::now();
        const auto refused = begin(trail, record(2));
        REQUIRE_FALSE(refused.has_value());
        CHECK(refused.error().code == std::errc::timed_out);
        CHECK(finish(trail, numbered(1), ended_well()).error().code == std::errc::timed_out);
        CHECK(std::chrono::steady_clock::now() - began >= exec::milliseconds(400));
        CHECK(query(trail).value().size() == 1);  // readers are not held up
    }
    REQUIRE(begin(trail, record(3)).has_value());
    const auto rows = query(trail).value();
    REQUIRE(rows.size() == 2);
    CHECK(rows[0].id == numbered(3));
    CHECK(rows[1].id == numbered(1));
    CHECK(rows[1].how.status == exec::audit_status::ok);
}

TEST_CASE("sqlite trail: a lock that is given back in time costs nothing but time") {
    const scratch_directory here;
    const auto path = here / "trail.db";
    trail_host host(exec::sqlite_audit_options{.path = path, .answer_within = exec::milliseconds(60'000)});
    std::vector<expected<void>> answers(10);
    {
        const locked by_another(path);
        for (std::size_t i = 0; i < answers.size(); ++i) host.trail().begin(record(i), answers[i].reply());
        CHECK_FALSE(answers[0].is_there());
    }
    for (auto& one : answers) CHECK(one.get().has_value());
}

TEST_CASE("sqlite trail: a locked database cannot be opened, in time") {
    const scratch_directory here;
    const auto path = here / "trail.db";
    { trail_host host(path); }
    const locked by_another(path);
    trail_host host(exec::sqlite_audit_options{.path = path, .answer_within = exec::milliseconds(100)});
    REQUIRE_FALSE(host.made.has_value());
    CHECK(host.made.error().code == std::errc::device_or_resource_busy);
}

TEST_CASE("sqlite trail: an end that is owed when the trail ends is tried once more") {
    const scratch_directory here;
    const auto path = here / "trail.db";
    {
        test::held_executor later;
        const auto trail =
            exec::make_sqlite_audit({.path = path, .blocking = &later, .answer_within = exec::milliseconds(50)})
                .value();
        expected<void> begun;
        trail->begin(record(1), begun.reply());
        later.go_on();
        REQUIRE(begun.get().has_value());
        {
            const locked by_another(path);
            expected<void> refused;
            trail->finish(numbered(1), ended_well(), refused.reply());
            later.go_on();  // until nothing more is tried
            REQUIRE_FALSE(refused.get().has_value());
        }
        later.release();
    }
    trail_host next(path);
    const auto rows = query(next.trail()).value();
    REQUIRE(rows.size() == 1);
    CHECK(rows[0].how.status == exec::audit_status::ok);
}

TEST_CASE("sqlite trail: a full disk refuses what would begin, loses no row, and recovers") {
    const scratch_directory here;
    forked process([&here](const forked::voice& to) {
        if (::unshare(CLONE_NEWNS) != 0 || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
            ::mount("tmpfs", here.path().c_str(), "tmpfs", 0, "size=1m") != 0) {
            to.say("SKIP");
            return;
        }
        const auto make_room = [&here] { ::mount("tmpfs", here.path().c_str(), "tmpfs", MS_REMOUNT, "size=8m"); };
        to.say("found: " + fill_and_recover(here / "trail.db", std::errc::no_space_on_device, make_room));
    });
    const auto found = process.hear();
    if (found == "SKIP") {
        MESSAGE("SKIP: no tmpfs may be mounted here");
        return;
    }
    CHECK(found == "found: ");
}

TEST_CASE("sqlite trail: a file that may not grow refuses what would begin, loses no row, and recovers") {
    const scratch_directory here;
    forked process([&here](const forked::voice& to) {
        std::signal(SIGXFSZ, SIG_IGN);
        rlimit size{400 * 1024, RLIM_INFINITY};
        ::setrlimit(RLIMIT_FSIZE, &size);
        const auto make_room = [&size] {
            size.rlim_cur = RLIM_INFINITY;
            ::setrlimit(RLIMIT_FSIZE, &size);
        };
        to.say("found: " + fill_and_recover(here / "trail.db", std::errc::io_error, make_room));
    });
    CHECK(process.hear() == "found: ");
}

TEST_CASE("sqlite trail: a damaged file is a failure that says so, when it is opened and when it is used") {
    const scratch_directory here;
    const auto path = here / "trail.db";
    {
        trail_host host(path);
        for (std::uint64_t number = 1; number <= 300; ++number) {
            REQUIRE(test::note(host.trail(), record(number), ended_well()).has_value());
        }
    }
    const auto whole = test::file_text(path);
    REQUIRE(whole.size() > 20 * 4096);

    auto garbage = whole;
    garbage.replace(0, 100, std::string(100, 'g'));
    test::write_file(path, garbage, 0600);
    {
        trail_host host(path);
        REQUIRE_FALSE(host.made.has_value());
        CHECK(host.made.error().code == std::errc::bad_message);
        CHECK(host.made.error().context.find(path) != std::string::npos);
    }

    // All pages but those of the schema.
    auto holes = whole;
    for (std::size_t at = 4 * 4096; at < holes.size(); ++at) holes[at] = static_cast<char>(at * 7);
    test::write_file(path, holes, 0600);
    trail_host host(path);
    const auto failed = [&] {
        if (!host.made) return host.made.error().code;
        if (auto rows = query(host.trail(), {.limit = 1000}); !rows) return rows.error().code;
        auto begun = begin(host.trail(), record(1000));
        return begun ? std::error_code() : begun.error().code;
    }();
    CHECK(failed == std::errc::bad_message);

    test::write_file(path,
                     "no database at all, but a text of some length, longer than a header of SQLite's would be, "
                     "which has a hundred bytes, and so this goes on a little.",
                     0600);
    CHECK(trail_host(path).made.error().code == std::errc::bad_message);
}

TEST_CASE("sqlite trail: a file that may not be written is refused when it is opened") {
    if (::geteuid() == 0) {
        const scratch_directory here;
        forked process([&here](const forked::voice& to) {
            ::chmod(here.path().c_str(), 0755);
            { trail_host host(here / "trail.db"); }
            if (::setuid(65534) != 0) ::_exit(2);
            trail_host host(here / "trail.db");
            to.say(host.made ? "made" : host.made.error().code == std::errc::permission_denied ? "denied" : "other");
        });
        CHECK(process.hear() == "denied");
        return;
    }
    MESSAGE("SKIP: only root can become somebody else");
}
