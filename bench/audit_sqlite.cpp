// What does the SQLite trail do with a disk? Calls a second, each begun and finished, against plain SQLite that writes one row
// in a transaction of its own and completes it in another: WAL, with the same syncs, with no index but the one of the id.
#include <exec/sqlite/audit_trail.h>

#include <sqlite3.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <semaphore>
#include <string>
#include <utility>
#include <vector>

#include "harness/report.h"
#include "harness/rounds.h"

namespace {

using namespace exec;
using durability = sqlite_audit_options::durability;

constexpr bench::seconds turn_time(0.4);

[[noreturn]] void give_up(const std::string& why) {
    std::fprintf(stderr, "%s\n", why.c_str());
    std::_Exit(2);
}

// A directory of the disk that the build is on, since /tmp may be memory. Gone with its turn.
class fresh_directory {
   public:
    fresh_directory() : name_("audit_sqlite-XXXXXX") {
        if (::mkdtemp(name_.data()) == nullptr) give_up("no directory for the trail");
    }
    ~fresh_directory() { std::filesystem::remove_all(name_); }
    fresh_directory(const fresh_directory&) = delete;
    fresh_directory& operator=(const fresh_directory&) = delete;

    std::string file() const { return std::filesystem::absolute(name_) / "trail.db"; }

   private:
    std::string name_;
};

audit_id numbered(std::uint64_t number) {
    audit_id::bits bits{};
    std::memcpy(bits.data(), &number, sizeof number);
    bits.back() = 1;
    return audit_id(bits);
}

// About 500 bytes a row.
audit_record record_of(std::uint64_t number) {
    audit_record what;
    what.id = numbered(number);
    what.who = {.subject = "user:ada@example.org",
                .tenant = "acme",
                .roles = {"developer", "on-call"},
                .request_id = "7c0ffee7-5f1d-4b7e-9a55-0a1b2c3d4e5f",
                .trace_parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"};
    what.target = target_id("workspace-7f3a91");
    what.labels = {{"zone", "eu-central-1b"}, {"pool", "build"}};
    what.redacted_argv = {"git", "-C", "/srv/workspaces/7f3a91/checkout", "fetch", "--prune", "--tags", "origin"};
    what.env_names = {"LANG", "GIT_TERMINAL_PROMPT"};
    what.cwd = "/srv/workspaces/7f3a91";
    return what;
}
audit_end good_end() {
    audit_end how;
    how.status = audit_status::ok;
    how.ran = true;
    how.exit = exit_status::exited(0);
    how.where = "build-7:22";
    how.complete = true;
    how.out_bytes = 1234;
    return how;
}

// ---- ours ------------------------------------------------------------------------------------------------------------

// So many calls under way at any time, each followed by the next.
class callers {
   public:
    callers(audit_trail& trail, std::size_t under_way) : trail_(trail), under_way_(under_way) {}

    double calls_a_second() {
        const double began = bench::now();
        end_ = began + turn_time.count();
        for (std::size_t i = 0; i < under_way_; ++i) next();
        for (std::size_t i = 0; i < under_way_; ++i) over_.acquire();
        return static_cast<double>(finished_.load()) / (bench::now() - began);
    }

   private:
    void next() {
        if (bench::now() >= end_) return over_.release();
        const auto what = record_of(++number_);
        trail_.begin(what, [this, id = what.id](result<void> begun) {
            if (!begun) give_up("begin: " + begun.error().message());
            trail_.finish(id, good_end(), [this](result<void> written) {
                if (!written) give_up("finish: " + written.error().message());
                ++finished_;
                next();
            });
        });
    }

    audit_trail& trail_;
    const std::size_t under_way_;
    double end_ = 0;
    std::atomic<std::uint64_t> number_{0};
    std::atomic<std::uint64_t> finished_{0};
    std::counting_semaphore<> over_{0};
};

bench::turn ours(durability sync, std::size_t under_way) {
    return [=](bool) -> std::vector<double> {
        const fresh_directory here;
        const auto disk = make_thread_executor(1).value();
        const auto trail = make_sqlite_audit({.path = here.file(), .blocking = disk.get(), .sync = sync}).value();
        return {callers(*trail, under_way).calls_a_second()};
    };
}

// ---- plain SQLite ----------------------------------------------------------------------------------------------------

class plain_database {
   public:
    plain_database(const std::string& path, durability sync) {
        must(sqlite3_open(path.c_str(), &raw_));
        run("PRAGMA journal_mode = WAL");
        run(sync == durability::full ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL");
        run("CREATE TABLE calls (id BLOB PRIMARY KEY, began INTEGER, who TEXT, tenant TEXT, target TEXT, argv TEXT, "
            "rest TEXT, ended INTEGER, status TEXT, how TEXT)");
        begin_ = prepare("INSERT INTO calls (id, began, who, tenant, target, argv, rest) VALUES (?, ?, ?, ?, ?, ?, ?)");
        finish_ = prepare("UPDATE calls SET ended = ?, status = ?, how = ? WHERE id = ?");
    }
    ~plain_database() {
        sqlite3_finalize(begin_);
        sqlite3_finalize(finish_);
        sqlite3_close(raw_);
    }
    plain_database(const plain_database&) = delete;
    plain_database& operator=(const plain_database&) = delete;

    void begin(const audit_record& what) {
        bind_id(begin_, 1, what.id);
        sqlite3_bind_int64(begin_, 2, time_of_day());
        bind(begin_, 3, what.who.subject);
        bind(begin_, 4, what.who.tenant);
        bind(begin_, 5, what.target.name());
        bind(begin_, 6, argv_);
        bind(begin_, 7, rest_);
        step(begin_);
    }
    void finish(const audit_id& of) {
        sqlite3_bind_int64(finish_, 1, time_of_day());
        bind(finish_, 2, status_);
        bind(finish_, 3, how_);
        bind_id(finish_, 4, of);
        step(finish_);
    }

   private:
    void must(int answer) const {
        if (answer != SQLITE_OK) give_up(std::string("plain SQLite: ") + sqlite3_errmsg(raw_));
    }
    void run(const char* sql) { must(sqlite3_exec(raw_, sql, nullptr, nullptr, nullptr)); }
    sqlite3_stmt* prepare(const char* sql) {
        sqlite3_stmt* made = nullptr;
        must(sqlite3_prepare_v3(raw_, sql, -1, SQLITE_PREPARE_PERSISTENT, &made, nullptr));
        return made;
    }
    static void bind(sqlite3_stmt* to, int at, const std::string& text) {
        sqlite3_bind_text(to, at, text.data(), static_cast<int>(text.size()), SQLITE_STATIC);
    }
    static void bind_id(sqlite3_stmt* to, int at, const audit_id& id) {
        sqlite3_bind_blob(to, at, id.raw().data(), static_cast<int>(id.raw().size()), SQLITE_STATIC);
    }
    void step(sqlite3_stmt* what) {
        if (sqlite3_step(what) != SQLITE_DONE) must(sqlite3_errcode(raw_));
        must(sqlite3_reset(what));
    }
    static std::int64_t time_of_day() {
        const auto now = std::chrono::system_clock::now().time_since_epoch();
        return std::chrono::duration_cast<std::chrono::microseconds>(now).count();
    }

    sqlite3* raw_ = nullptr;
    sqlite3_stmt* begin_ = nullptr;
    sqlite3_stmt* finish_ = nullptr;
    const std::string argv_ = R"(["git","-C","/srv/workspaces/7f3a91/checkout","fetch","--prune","--tags","origin"])";
    const std::string rest_ = std::string(330, 'r');  // what ours keeps in columns
    const std::string status_ = "ok";
    const std::string how_ = std::string(40, 'h');
};

bench::turn plain(durability sync) {
    return [=](bool) -> std::vector<double> {
        const fresh_directory here;
        plain_database database(here.file(), sync);
        std::uint64_t number = 0;
        const double began = bench::now();
        const auto calls = bench::repeat_for(turn_time, [&] {
            const auto what = record_of(++number);
            database.begin(what);
            database.finish(what.id);
        });
        return {static_cast<double>(calls) / (bench::now() - began)};
    };
}

}  // namespace

int main(int argc, char** argv) {
    bench::report report("audit_sqlite", "calls a second, each begun and finished in a SQLite trail", argc, argv);
    constexpr std::array syncs{durability::normal, durability::full};
    constexpr std::array under_way{std::size_t{1}, std::size_t{64}};
    std::vector<bench::turn> sides;
    for (const auto sync : syncs) {
        sides.push_back(plain(sync));
        for (const auto many : under_way) sides.push_back(ours(sync, many));
    }
    const auto got = bench::in_turns(report.rounds(7), sides);

    report.column("calls/s", 0);
    report.column("to plain", 2);
    for (std::size_t i = 0; i < syncs.size(); ++i) {
        const std::string name = syncs[i] == durability::full ? "FULL" : "NORMAL";
        const auto& floor = got[3 * i][0];
        report.row(name + ", plain SQLite, one at a time", bench::kind::floor, {bench::median(floor), 1});
        for (std::size_t k = 0; k < under_way.size(); ++k) {
            const auto& rate = got[3 * i + 1 + k][0];
            report.row(name + ", exec, " + std::to_string(under_way[k]) + " under way", bench::kind::ours,
                       {bench::median(rate), bench::ratio(rate, floor)});
        }
        report.at_least(name + ", 64 under way, calls/s to plain SQLite", bench::ratio(got[3 * i + 2][0], floor), 0.8);
        report.stretch(name + ", one at a time, calls/s to plain SQLite", bench::ratio(got[3 * i + 1][0], floor), 0.8,
                       true);
    }
    return report.finish();
}
