#include <exec/sqlite/audit_trail.h>

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <exec/display.h>
#include <exec/utf8.h>

#include "../file_text.h"
#include "../guards.h"
#include "../living.h"
#include "asked.h"

using exec::audit_filter;
using exec::audit_record;
using exec::audit_status;
using test::begin;
using test::ended_well;
using test::expected;
using test::find;
using test::finish;
using test::forget_before;
using test::held_executor;
using test::note;
using test::numbered;
using test::query;
using test::record;
using test::scratch_directory;
using test::trail_host;

namespace {

std::vector<std::uint8_t> ids(const exec::result<std::vector<exec::audit_row>>& rows) {
    std::vector<std::uint8_t> all;
    for (const auto& row : rows.value()) all.push_back(row.id.raw()[0]);
    return all;
}
using numbers = std::vector<std::uint8_t>;

exec::audit_time now() {
    return std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now());
}

// A statement in a connection of the test's own.
void run_sql(const std::string& path, const char* sql) {
    sqlite3* raw = nullptr;
    REQUIRE(sqlite3_open(path.c_str(), &raw) == SQLITE_OK);
    CHECK(sqlite3_exec(raw, sql, nullptr, nullptr, nullptr) == SQLITE_OK);
    sqlite3_close(raw);
}

std::uint32_t big_endian(const std::string& bytes, std::size_t at) {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < 4; ++i) value = value << 8U | static_cast<unsigned char>(bytes[at + i]);
    return value;
}
// Transactions in a write-ahead log that was never begun anew: frames that name the size of the file.
std::size_t commits(const std::string& path) {
    const auto log = test::file_text(path + "-wal");
    std::size_t count = 0;
    for (std::size_t at = 32; at + 24 <= log.size(); at += 24 + big_endian(log, 8)) {
        if (big_endian(log, at + 4) != 0) ++count;
    }
    return count;
}

}  // namespace

TEST_CASE("sqlite trail: what was begun and finished is one row, with all that was known of it") {
    const test::process_guard nothing_left;
    const scratch_directory here;
    trail_host host(here / "trail.db");
    auto what = record(1);
    what.what = exec::verb::start_job;
    what.who.roles = {"admin", "on-call"};
    what.who.request_id = "r-1";
    what.who.trace_parent = "00-1-2-01";
    what.labels = {{"zone", "b"}, {"zone", "c"}};
    what.env_names = {"LANG", "TZ"};
    what.cwd = "/srv";
    what.within.idle_timeout = exec::milliseconds(7);
    what.tag = "nightly";
    what.signal_number = 15;
    what.idempotency_key = "k";
    what.request_digest = std::string("\0\xff", 2);
    what.stands_for = 3;
    what.job = exec::job_selector::with_pid(17);
    const auto before = now();
    REQUIRE(begin(host.trail(), what).has_value());

    auto rows = query(host.trail()).value();
    REQUIRE(rows.size() == 1);
    CHECK(rows[0].id == what.id);
    CHECK(rows[0].began >= before);
    CHECK(rows[0].began <= now());
    CHECK_FALSE(rows[0].ended.has_value());
    CHECK(rows[0].what == exec::verb::start_job);
    CHECK(rows[0].subject == "user:ada");
    CHECK(rows[0].tenant == "acme");
    CHECK(rows[0].roles == R"(["admin","on-call"])");
    CHECK(rows[0].request_id == "r-1");
    CHECK(rows[0].trace_parent == "00-1-2-01");
    CHECK(rows[0].target == "build-7");
    CHECK(rows[0].labels == R"([["zone","b"],["zone","c"]])");
    CHECK(rows[0].argv == R"(["git","status"])");
    CHECK(rows[0].words_left_out == 0);
    CHECK(rows[0].env_names == R"(["LANG","TZ"])");
    CHECK(rows[0].cwd == "/srv");
    CHECK(rows[0].limits ==
          R"({"run_timeout_ms":30000,"start_timeout_ms":10000,"idle_timeout_ms":7,"grace_ms":2000,"out_cap":1048576,)"
          R"("err_cap":1048576,"contain":"session","if_orphaned":"stop"})");
    CHECK(rows[0].tag == "nightly");
    CHECK(rows[0].job == "17");
    CHECK(rows[0].signal_number == 15);
    CHECK(rows[0].idempotency_key == "k");
    CHECK(rows[0].request_digest == what.request_digest);
    CHECK(rows[0].stands_for == 3);
    CHECK(rows[0].writer.find("/" + std::to_string(::getpid()) + "/") != std::string::npos);

    exec::audit_end how;
    how.status = audit_status::timeout;
    how.ran = true;
    how.began = exec::started::unknown;
    how.exit = exec::exit_status::signaled(9, true);
    how.stopped_by = exec::stop_reason::run_timeout;
    how.code = std::error_code(ECONNRESET, std::system_category());
    how.context = "peer";
    how.where = "build-7:22";
    how.tree = exec::tree_state::group_gone;
    how.in_bytes = 1;
    how.out_bytes = 2;
    how.err_bytes = (std::numeric_limits<std::uint64_t>::max)();
    how.truncated = true;
    how.complete = true;
    how.took = {exec::nanoseconds(1), exec::nanoseconds(2), exec::nanoseconds(3), exec::nanoseconds(4),
                exec::nanoseconds(5)};
    how.used = {exec::nanoseconds(6), exec::nanoseconds(7), 8, 9, 10, 11, 12};
    how.job = exec::job_id({7});
    REQUIRE(finish(host.trail(), what.id, how).has_value());

    rows = query(host.trail()).value();
    REQUIRE(rows.size() == 1);
    REQUIRE(rows[0].ended.has_value());
    CHECK(*rows[0].ended >= rows[0].began);
    const auto& told = rows[0].how;
    CHECK(told.status == audit_status::timeout);
    CHECK(told.ran);
    CHECK(told.began == exec::started::unknown);
    CHECK(told.exit == how.exit);
    CHECK(told.stopped_by == how.stopped_by);
    CHECK(told.code == how.code);
    CHECK(told.context == "peer");
    CHECK(told.where == "build-7:22");
    CHECK(told.tree == how.tree);
    CHECK(told.in_bytes == 1);
    CHECK(told.out_bytes == 2);
    CHECK(told.err_bytes == std::uint64_t{(std::numeric_limits<std::int64_t>::max)()});
    CHECK(told.truncated);
    CHECK(told.complete);
    CHECK(told.took.queue.count() == 1);
    CHECK(told.took.connect.count() == 2);
    CHECK(told.took.run.count() == 3);
    CHECK(told.took.drain.count() == 4);
    CHECK(told.took.total.count() == 5);
    CHECK(told.used.user.count() == 6);
    CHECK(told.used.system.count() == 7);
    CHECK(told.used.max_rss == 8);
    CHECK(told.used.major_faults == 9);
    CHECK(told.used.minor_faults == 10);
    CHECK(told.used.voluntary_switches == 11);
    CHECK(told.used.involuntary_switches == 12);
    CHECK(told.job == how.job);
    CHECK(rows[0].error == "system:104 Connection reset by peer");
}

TEST_CASE("sqlite trail: a note is one whole row, and one that never ran says so") {
    const scratch_directory here;
    trail_host host(here / "trail.db");
    exec::audit_end refused = exec::audit_end_of(exec::fail(exec::errc::denied, "not yours"));
    REQUIRE(note(host.trail(), record(1), refused).has_value());
    const auto rows = query(host.trail()).value();
    REQUIRE(rows.size() == 1);
    REQUIRE(rows[0].ended.has_value());
    CHECK(rows[0].how.status == audit_status::denied);
    CHECK_FALSE(rows[0].how.ran);
    CHECK(rows[0].how.code == exec::errc::denied);
    CHECK(rows[0].how.exit == exec::exit_status{});
    CHECK(finish(host.trail(), numbered(1), refused).error().code == exec::errc::wrong_state);
}

TEST_CASE("sqlite trail: an id is written once, and is finished once") {
    const scratch_directory here;
    trail_host host(here / "trail.db");
    REQUIRE(begin(host.trail(), record(1)).has_value());
    CHECK((begin(host.trail(), record(1)).error().code.value() & 0xFF) == SQLITE_CONSTRAINT);
    REQUIRE(begin(host.trail(), record(2)).has_value());
    REQUIRE(finish(host.trail(), numbered(1), ended_well()).has_value());
    CHECK(finish(host.trail(), numbered(1), ended_well()).error().code == exec::errc::wrong_state);
    CHECK(finish(host.trail(), numbered(3), ended_well()).error().code == exec::errc::wrong_state);
    CHECK(ids(query(host.trail())) == numbers{2, 1});
    CHECK(ids(query(host.trail(), {.only_open = true})) == numbers{2});
}

TEST_CASE("sqlite trail: one row that is refused costs none of those that wait beside it") {
    const scratch_directory here;
    held_executor later;
    const auto trail = exec::make_sqlite_audit({.path = here / "trail.db", .blocking = &later}).value();
    std::vector<expected<void>> answers(4);
    trail->begin(record(1), answers[0].reply());
    trail->begin(record(1), answers[1].reply());
    trail->finish(numbered(9), ended_well(), answers[2].reply());
    trail->begin(record(2), answers[3].reply());
    later.go_on();
    CHECK(answers[0].get().has_value());
    CHECK_FALSE(answers[1].get().has_value());
    CHECK_FALSE(answers[2].get().has_value());
    CHECK(answers[3].get().has_value());
    expected<std::vector<exec::audit_row>> rows;
    trail->query({}, rows.reply());
    later.go_on();
    CHECK(ids(rows.get()) == numbers{2, 1});
    later.release();
}

TEST_CASE("sqlite trail: SQL, quotes and wildcards come back byte for byte, from every field") {
    const scratch_directory here;
    trail_host host(here / "trail.db");
    const std::string hostile = "'); DROP TABLE execs; -- \" ?1 :a @b $c % _ * [x] /* ";
    auto what = record(1);
    what.who = {hostile, hostile, {}, hostile, hostile};
    what.target = exec::target_id(hostile);
    what.cwd = hostile;
    what.tag = hostile;
    what.idempotency_key = hostile;
    what.request_digest = hostile;
    what.redacted_argv = {hostile, hostile};
    what.env_names = {hostile};
    what.labels = {{hostile, hostile}};
    what.who.roles = {hostile};
    REQUIRE(begin(host.trail(), what).has_value());
    auto how = ended_well();
    how.context = hostile;
    how.where = hostile;
    REQUIRE(finish(host.trail(), what.id, how).has_value());

    const auto rows = query(host.trail(), {.subject = hostile, .tenant = hostile, .target = hostile}).value();
    REQUIRE(rows.size() == 1);
    for (const auto* text :
         {&rows[0].subject, &rows[0].tenant, &rows[0].request_id, &rows[0].trace_parent, &rows[0].target, &rows[0].cwd,
          &rows[0].tag, &rows[0].idempotency_key, &rows[0].request_digest, &rows[0].how.context, &rows[0].how.where}) {
        CHECK(*text == hostile);
    }
    const std::string quoted = R"("'); DROP TABLE execs; -- \" ?1 :a @b $c % _ * [x] /* ")";
    CHECK(rows[0].argv == "[" + quoted + "," + quoted + "]");
    CHECK(rows[0].env_names == "[" + quoted + "]");
    CHECK(rows[0].roles == "[" + quoted + "]");
    CHECK(rows[0].labels == "[[" + quoted + "," + quoted + "]]");
    CHECK(find(host.trail(), what).value().value().id == what.id);
}

TEST_CASE("sqlite trail: whatever the bytes are, text is UTF-8 without controls, and found by the same bytes") {
    const scratch_directory here;
    trail_host host(here / "trail.db");
    std::string bytes;
    for (int byte = 0; byte < 256; ++byte) bytes += static_cast<char>(byte);
    auto what = record(1);
    what.who = {bytes, bytes, {bytes}, bytes, bytes};
    what.target = exec::target_id(bytes);
    what.cwd = bytes;
    what.redacted_argv = {bytes};
    what.idempotency_key = bytes;
    REQUIRE(begin(host.trail(), what).has_value());
    const auto rows = query(host.trail(), {.subject = bytes, .target = bytes}).value();
    REQUIRE(rows.size() == 1);
    CHECK(rows[0].subject == exec::display(bytes, 1024));
    for (const auto* text : {&rows[0].subject, &rows[0].argv, &rows[0].roles, &rows[0].idempotency_key}) {
        CHECK(exec::utf8_valid(*text));
        CHECK(std::none_of(text->begin(), text->end(), [](char c) { return c >= 0 && c < ' '; }));
    }
    CHECK(find(host.trail(), what).value().has_value());
    what.idempotency_key.back() = 'x';
    CHECK_FALSE(find(host.trail(), what).value().has_value());
}

TEST_CASE("sqlite trail: a row is bounded, and says how many words were left out") {
    const scratch_directory here;
    trail_host host(here / "trail.db");
    auto what = record(1);
    const std::string megabyte(1 << 20, '\x01');
    what.who = {megabyte, megabyte, {megabyte, megabyte}, megabyte, megabyte};
    what.target = exec::target_id(megabyte);
    what.cwd = what.tag = megabyte;
    what.redacted_argv = std::vector<std::string>(100, std::string(1000, 'a'));
    what.env_names = std::vector<std::string>(100'000, "N");
    REQUIRE(begin(host.trail(), what).has_value());
    const auto row = query(host.trail()).value().at(0);
    CHECK(row.subject.size() <= 1024);
    CHECK(row.subject.ends_with("..."));
    CHECK(row.roles.size() < 50'000);
    CHECK(row.env_names.size() < 10'000);
    CHECK(row.argv.size() < 34'000);
    CHECK(row.words_left_out == 67);
    CHECK(std::count(row.argv.begin(), row.argv.end(), ',') == 32);
    CHECK(row.argv.ends_with("...\"]"));
}

TEST_CASE("sqlite trail: the newest of one subject, tenant, target, verb and key is found, and no other") {
    const scratch_directory here;
    trail_host host(here / "trail.db");
    auto what = record(1);
    what.idempotency_key = "k";
    what.request_digest = "first";
    CHECK_FALSE(find(host.trail(), what).value().has_value());
    REQUIRE(begin(host.trail(), what).has_value());
    auto seen = find(host.trail(), what).value();
    REQUIRE(seen.has_value());
    CHECK(seen->id == numbered(1));
    CHECK(seen->request_digest == "first");
    CHECK_FALSE(seen->how.has_value());

    auto lost = ended_well();
    lost.exit = exec::exit_status::exited(3);
    lost.status = audit_status::error;
    REQUIRE(finish(host.trail(), what.id, lost).has_value());
    what.id = numbered(2);
    what.request_digest = "second";
    REQUIRE(note(host.trail(), what, ended_well()).has_value());
    seen = find(host.trail(), what).value();
    REQUIRE(seen.has_value());
    CHECK(seen->id == numbered(2));
    CHECK(seen->request_digest == "second");
    REQUIRE(seen->how.has_value());
    CHECK(seen->how->exit == exec::exit_status::exited(0));

    const auto is_new = [&](auto&& change) {
        auto other = what;
        change(other);
        return !find(host.trail(), other).value().has_value();
    };
    CHECK(is_new([](audit_record& other) { other.who.subject = "user:bob"; }));
    CHECK(is_new([](audit_record& other) { other.who.tenant = "other"; }));
    CHECK(is_new([](audit_record& other) { other.target = exec::target_id("build-8"); }));
    CHECK(is_new([](audit_record& other) { other.what = exec::verb::start_job; }));
    CHECK(is_new([](audit_record& other) { other.idempotency_key = "l"; }));
    CHECK(is_new([](audit_record& other) {
        other.who.subject = "user:ad";
        other.who.tenant = "aacme";
    }));
    what.idempotency_key.clear();
    CHECK(find(host.trail(), what).error().code == exec::errc::invalid_argument);
}

TEST_CASE("sqlite trail: what is cut where it is shown is told apart where it is looked for") {
    const scratch_directory here;
    trail_host host(here / "trail.db");
    auto what = record(1);
    what.idempotency_key = std::string(5000, 'k');
    REQUIRE(begin(host.trail(), what).has_value());
    CHECK(find(host.trail(), what).value().has_value());
    what.idempotency_key.back() = 'l';
    CHECK_FALSE(find(host.trail(), what).value().has_value());
}

TEST_CASE("sqlite trail: a key that an earlier trail has written is found in the next") {
    const scratch_directory here;
    auto what = record(1);
    what.idempotency_key = "k";
    {
        trail_host first(here / "trail.db");
        REQUIRE(begin(first.trail(), what).has_value());
    }
    trail_host second(here / "trail.db");
    const auto seen = find(second.trail(), what).value();
    REQUIRE(seen.has_value());
    REQUIRE(seen->how.has_value());
    CHECK(seen->how->status == audit_status::interrupted);
    CHECK(seen->how->ran);
    CHECK(seen->how->began == exec::started::unknown);
}

TEST_CASE("sqlite trail: rows are asked for by each of who, where, what, how and when, newest first") {
    const scratch_directory here;
    trail_host host(here / "trail.db");
    const auto put = [&](std::uint8_t number, const char* subject, const char* tenant, const char* target,
                         exec::verb what, audit_status status) {
        auto one = record(number);
        one.who.subject = subject;
        one.who.tenant = tenant;
        one.target = exec::target_id(target);
        one.what = what;
        auto how = ended_well();
        how.status = status;
        REQUIRE(note(host.trail(), one, how).has_value());
    };
    using exec::verb;
    put(1, "ada", "x", "a", verb::run, audit_status::ok);
    put(2, "bob", "x", "b", verb::run, audit_status::denied);
    put(3, "ada", "y", "b", verb::signal, audit_status::ok);
    const auto middle = now();
    put(4, "ada", "x", "a", verb::run, audit_status::timeout);
    put(5, "eve", "y", "a", verb::list, audit_status::ok);
    const auto asked = [&](audit_filter which) { return ids(query(host.trail(), std::move(which))); };
    CHECK(asked({}) == numbers{5, 4, 3, 2, 1});
    CHECK(asked({.subject = "ada"}) == numbers{4, 3, 1});
    CHECK(asked({.subject = "ad"}).empty());
    CHECK(asked({.tenant = "x"}) == numbers{4, 2, 1});
    CHECK(asked({.target = "a"}) == numbers{5, 4, 1});
    CHECK(asked({.what = verb::run}) == numbers{4, 2, 1});
    CHECK(asked({.status = audit_status::ok}) == numbers{5, 3, 1});
    CHECK(asked({.since = middle}) == numbers{5, 4});
    CHECK(asked({.until = middle}) == numbers{3, 2, 1});
    CHECK(asked({.limit = 2}) == numbers{5, 4});
    CHECK(asked({.limit = 0}).empty());
    CHECK(asked({.subject = "ada",
                 .tenant = "x",
                 .target = "a",
                 .what = verb::run,
                 .status = audit_status::ok,
                 .until = middle}) == numbers{1});
    CHECK(asked({.subject = "ada", .limit = 1}) == numbers{4});
    CHECK(asked({.tenant = "y", .since = middle}) == numbers{5});
    CHECK(asked({.target = "b", .until = middle}) == numbers{3, 2});
}

TEST_CASE("sqlite trail: what waits together is written in one transaction") {
    const scratch_directory here;
    const auto path = here / "trail.db";
    held_executor later;
    const auto trail = exec::make_sqlite_audit({.path = path, .blocking = &later}).value();
    const auto before = commits(path);
    std::vector<expected<void>> answers(200);
    for (std::size_t i = 0; i < answers.size(); ++i) trail->begin(record(i), answers[i].reply());
    CHECK(std::none_of(answers.begin(), answers.end(), [](const auto& one) { return one.is_there(); }));
    CHECK(later.waiting() == 1);
    later.go_on();
    for (auto& one : answers) CHECK(one.get().has_value());
    CHECK(commits(path) == before + 1);
    later.release();
}

TEST_CASE("sqlite trail: a full queue refuses what would begin, and takes what finishes") {
    const scratch_directory here;
    held_executor later;
    const auto trail =
        exec::make_sqlite_audit({.path = here / "trail.db", .blocking = &later, .most_waiting = 2}).value();
    expected<void> first;
    trail->begin(record(1), first.reply());
    later.go_on();
    REQUIRE(first.get().has_value());

    std::vector<expected<void>> answers(4);
    for (std::size_t i = 0; i < 3; ++i) trail->begin(record(i + 2), answers[i].reply());
    trail->finish(numbered(1), ended_well(), answers[3].reply());
    CHECK(answers[2].get().error().code == exec::errc::too_busy);
    later.go_on();
    CHECK(answers[0].get().has_value());
    CHECK(answers[1].get().has_value());
    CHECK(answers[3].get().has_value());
    later.release();
}

TEST_CASE("sqlite trail: work that the executor drops is answered, and the next is done") {
    const scratch_directory here;
    held_executor later;
    const auto trail = exec::make_sqlite_audit({.path = here / "trail.db", .blocking = &later}).value();
    std::vector<expected<void>> answers(3);
    trail->begin(record(1), answers[0].reply());
    trail->begin(record(2), answers[1].reply());
    later.drop();
    CHECK(answers[0].get().error().code == exec::errc::broken_reply);
    CHECK(answers[1].get().error().code == exec::errc::broken_reply);
    trail->begin(record(3), answers[2].reply());
    later.go_on();
    CHECK(answers[2].get().has_value());
    later.release();
}

TEST_CASE("sqlite trail: what waited too long is not written, but its end is") {
    const scratch_directory here;
    held_executor later;
    const auto trail = exec::make_sqlite_audit(
                           {.path = here / "trail.db", .blocking = &later, .answer_within = exec::milliseconds(50)})
                           .value();
    std::vector<expected<void>> answers(4);
    trail->begin(record(1), answers[0].reply());
    later.go_on();
    REQUIRE(answers[0].get().has_value());

    trail->begin(record(2), answers[1].reply());
    trail->finish(numbered(1), ended_well(), answers[2].reply());
    expected<std::vector<exec::audit_row>> late;
    trail->query({}, late.reply());
    std::this_thread::sleep_for(exec::milliseconds(60));  // the time that passes is the subject
    later.go_on();
    CHECK(answers[1].get().error().code == std::errc::timed_out);
    CHECK(answers[2].get().error().code == std::errc::timed_out);
    CHECK(late.get().error().code == std::errc::timed_out);

    expected<std::vector<exec::audit_row>> rows;
    trail->query({}, rows.reply());
    later.go_on();
    const auto found = rows.get().value();
    REQUIRE(found.size() == 1);
    CHECK(found[0].id == numbered(1));
    CHECK(found[0].how.status == audit_status::ok);
    later.release();
}

TEST_CASE("sqlite trail: a reply that throws ends neither the batch nor the trail") {
    const scratch_directory here;
    held_executor later;
    const auto trail = exec::make_sqlite_audit({.path = here / "trail.db", .blocking = &later}).value();
    trail->begin(record(1), [](exec::result<void>) { throw std::runtime_error("the host's"); });
    expected<void> second;
    trail->begin(record(2), second.reply());
    later.go_on();
    CHECK(second.get().has_value());
    later.release();
}

TEST_CASE("sqlite trail: a reply may ask the trail again") {
    const scratch_directory here;
    trail_host host(here / "trail.db");
    expected<void> finished;
    host.trail().begin(record(1),
                       [&](exec::result<void>) { host.trail().finish(numbered(1), ended_well(), finished.reply()); });
    CHECK(finished.get().has_value());
}

TEST_CASE("sqlite trail: its end waits for what was asked of it") {
    const scratch_directory here;
    std::vector<expected<void>> answers(1000);
    {
        trail_host host(here / "trail.db");
        for (std::size_t i = 0; i < answers.size(); ++i)
            host.trail().note(record(i + 1), ended_well(), answers[i].reply());
    }
    CHECK(std::all_of(answers.begin(), answers.end(), [](const auto& one) { return one.is_there(); }));
    trail_host again(here / "trail.db");
    CHECK(query(again.trail(), {.limit = 2000}).value().size() == 1000);
}

TEST_CASE("sqlite trail: many threads at once, each call one row") {
    const scratch_directory here;
    trail_host host(here / "trail.db");
    std::vector<std::thread> threads;
    for (std::uint64_t thread = 0; thread < 4; ++thread) {
        threads.emplace_back([&host, thread] {
            for (std::uint64_t i = 0; i < 50; ++i) {
                const auto what = record(thread * 1000 + i);
                if (!begin(host.trail(), what) || !finish(host.trail(), what.id, ended_well())) std::abort();
                if (!query(host.trail(), {.limit = 3})) std::abort();
            }
        });
    }
    for (auto& thread : threads) thread.join();
    const auto rows = query(host.trail(), {.status = audit_status::ok, .limit = 1000}).value();
    std::set<exec::audit_id> different;
    for (const auto& row : rows) different.insert(row.id);
    CHECK(rows.size() == 200);
    CHECK(different.size() == 200);
}

TEST_CASE("sqlite trail: rows are forgotten by age, and open ones never") {
    const scratch_directory here;
    held_executor later;
    const auto trail = exec::make_sqlite_audit({.path = here / "trail.db", .blocking = &later}).value();
    expected<void> open;
    trail->begin(record(1), open.reply());
    std::vector<expected<void>> answers(2500);
    for (std::size_t i = 0; i < answers.size(); ++i) trail->note(record(i + 2), ended_well(), answers[i].reply());
    later.go_on();
    for (auto& one : answers) REQUIRE(one.get().has_value());
    const auto middle = now() + std::chrono::microseconds(1);
    later.release();
    std::this_thread::sleep_until(middle + std::chrono::microseconds(1));
    REQUIRE(note(*trail, record(9999), ended_well()).has_value());

    CHECK(forget_before(*trail, exec::audit_time{}).value() == 0);
    CHECK(forget_before(*trail, middle).value() == 2500);
    const auto rows = query(*trail).value();
    REQUIRE(rows.size() == 2);
    CHECK(rows[0].id == numbered(9999));
    CHECK(rows[1].id == numbered(1));
    CHECK(finish(*trail, numbered(1), ended_well()).has_value());
}

TEST_CASE("sqlite trail: above the bound the oldest completed rows go by themselves") {
    const scratch_directory here;
    trail_host host(exec::sqlite_audit_options{.path = here / "trail.db", .max_rows = 100});
    REQUIRE(begin(host.trail(), record(1)).has_value());
    for (std::uint64_t i = 2; i <= 1000; ++i) REQUIRE(note(host.trail(), record(i), ended_well()).has_value());
    const auto rows = query(host.trail(), {.limit = 1000}).value();
    CHECK(rows.size() >= 100);
    CHECK(rows.size() <= 108);
    CHECK(rows.front().id == numbered(1000));
    CHECK(rows.back().id == numbered(1));
}

TEST_CASE("sqlite trail: options that cannot work are refused where it is made") {
    const scratch_directory here;
    const auto work = exec::make_thread_executor(1).value();
    const auto refusal = [&](exec::sqlite_audit_options options) {
        auto made = exec::make_sqlite_audit(std::move(options));
        REQUIRE_FALSE(made.has_value());
        return made.error().code;
    };
    CHECK(refusal({.path = here / "trail.db"}) == exec::errc::invalid_argument);
    CHECK(refusal({.path = "", .blocking = work.get()}) == exec::errc::invalid_argument);
    CHECK(refusal({.path = std::string("a\0b", 3), .blocking = work.get()}) == exec::errc::invalid_argument);
    CHECK(refusal({.path = here / "trail.db", .blocking = work.get(), .most_waiting = 0}) ==
          exec::errc::invalid_argument);
    CHECK(refusal({.path = here / "trail.db", .blocking = work.get(), .answer_within = exec::milliseconds(0)}) ==
          exec::errc::invalid_argument);
    CHECK_FALSE(test::exists(here / "trail.db"));
    CHECK(refusal({.path = here / "none/trail.db", .blocking = work.get()}) == std::errc::no_such_file_or_directory);
}

TEST_CASE("sqlite trail: its files are for their owner alone, and programs inherit none of them") {
    const scratch_directory here;
    const auto path = here / "trail.db";
    trail_host host(path);
    REQUIRE(begin(host.trail(), record(1)).has_value());
    for (const auto* end : {"", "-wal", "-shm", ".lock"}) {
        CAPTURE(end);
        struct stat facts {};
        REQUIRE(::stat((path + end).c_str(), &facts) == 0);
        CHECK((facts.st_mode & 07777) == 0600);
    }
    for (int descriptor = 3; descriptor < 256; ++descriptor) {
        const int flags = ::fcntl(descriptor, F_GETFD);
        const auto name = std::filesystem::exists("/proc/self/fd/" + std::to_string(descriptor))
                              ? std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(descriptor)).string()
                              : std::string();
        if (name.find("trail.db") == std::string::npos) continue;
        CAPTURE(name);
        CHECK((flags & FD_CLOEXEC) != 0);
    }
}

TEST_CASE("sqlite trail: a symbolic link is followed on the way, and not at its end") {
    const scratch_directory here;
    const auto work = exec::make_thread_executor(1).value();
    REQUIRE(::mkdir((here / "real").c_str(), 0700) == 0);
    REQUIRE(::symlink((here / "real").c_str(), (here / "way").c_str()) == 0);
    {
        trail_host host(here / "way/trail.db");
        CHECK(begin(host.trail(), record(1)).has_value());
        CHECK(test::exists(here / "real/trail.db"));
    }
    REQUIRE(::symlink((here / "real/trail.db").c_str(), (here / "link.db").c_str()) == 0);
    const auto made = exec::make_sqlite_audit({.path = here / "link.db", .blocking = work.get()});
    REQUIRE_FALSE(made.has_value());
    CHECK(made.error().code == std::errc::too_many_symbolic_link_levels);
    REQUIRE(::symlink((here / "real/new.db").c_str(), (here / "dangling.db").c_str()) == 0);
    CHECK_FALSE(exec::make_sqlite_audit({.path = here / "dangling.db", .blocking = work.get()}).has_value());
    CHECK_FALSE(test::exists(here / "real/new.db"));
}

TEST_CASE("sqlite trail: a newer version and another database are refused, and left as they are") {
    const scratch_directory here;
    const auto path = here / "trail.db";
    const auto work = exec::make_thread_executor(1).value();
    const auto refused = [&](const std::string& which) {
        const auto before = test::file_text(which);
        const auto made = exec::make_sqlite_audit({.path = which, .blocking = work.get()});
        REQUIRE_FALSE(made.has_value());
        CHECK(test::file_text(which) == before);
        return made.error();
    };
    { trail_host host(path); }
    run_sql(path, "PRAGMA user_version = 2");
    const auto newer = refused(path);
    CHECK(newer.code == exec::errc::unsupported);
    CHECK(newer.context.find("version 2") != std::string::npos);
    run_sql(path, "PRAGMA user_version = 1");
    CHECK(trail_host(path).made.has_value());

    run_sql(here / "other.db", "CREATE TABLE customers(name TEXT); PRAGMA user_version = 1");
    CHECK(refused(here / "other.db").code == exec::errc::unsupported);
}
