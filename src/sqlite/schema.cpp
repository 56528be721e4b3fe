#include "sqlite/schema.h"

#include <chrono>
#include <string>

namespace exec::inline v0::sqlite {
namespace {

constexpr std::int64_t application = 0x65786563;  // "exec": what kind of file it is, for file(1) and for us

// Version 1. seq is the order of writing; open rows have no status. Writers stay: one row for each time that the trail was
// opened, named by the rows that it began.
constexpr const char* make_tables = R"sql(
CREATE TABLE writers(
    instance INTEGER PRIMARY KEY,
    identity TEXT NOT NULL  -- instance/boot/pid namespace/pid/start time
) STRICT;
CREATE TABLE execs(
    seq INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    writer INTEGER NOT NULL,
    began_us INTEGER NOT NULL,  -- microseconds since 1970 UTC
    ended_us INTEGER,
    verb TEXT NOT NULL,
    subject TEXT NOT NULL,
    tenant TEXT NOT NULL,
    roles TEXT NOT NULL,
    request_id TEXT,
    trace_parent TEXT,
    target TEXT NOT NULL,
    labels TEXT NOT NULL,
    argv TEXT NOT NULL,
    words_left_out INTEGER NOT NULL,
    env_names TEXT NOT NULL,
    cwd TEXT,
    limits TEXT NOT NULL,
    job TEXT,
    tag TEXT,
    signal INTEGER,
    idempotency_key TEXT,
    digest BLOB,
    lookup BLOB,
    stands_for INTEGER NOT NULL,
    status TEXT,   -- NULL: open
    started TEXT,  -- yes, unknown; NULL: it never ran
    exit_code INTEGER,
    exit_signal INTEGER,
    core INTEGER,
    stopped_by TEXT,
    error_category TEXT,
    error_code INTEGER,
    error TEXT,
    context TEXT,
    place TEXT,
    tree TEXT,
    in_bytes INTEGER,
    out_bytes INTEGER,
    err_bytes INTEGER,
    truncated INTEGER,
    complete INTEGER,
    queue_ns INTEGER,
    connect_ns INTEGER,
    run_ns INTEGER,
    drain_ns INTEGER,
    total_ns INTEGER,
    user_ns INTEGER,
    system_ns INTEGER,
    max_rss INTEGER,
    major_faults INTEGER,
    minor_faults INTEGER,
    voluntary_switches INTEGER,
    involuntary_switches INTEGER,
    started_job TEXT
) STRICT;
CREATE INDEX by_subject ON execs(subject, began_us);
CREATE INDEX by_tenant ON execs(tenant, began_us);
CREATE INDEX by_target ON execs(target, began_us);
CREATE INDEX by_time ON execs(began_us);
CREATE INDEX by_lookup ON execs(lookup) WHERE lookup IS NOT NULL;
CREATE INDEX by_open ON execs(writer) WHERE status IS NULL;
PRAGMA application_id = 0x65786563;
PRAGMA user_version = 1;
)sql";
static_assert(schema_version == 1, "make_tables says which version it makes");

#define EXEC_END_COLUMNS                                                                                      \
    "status, started, exit_code, exit_signal, core, stopped_by, error_category, error_code, context, place, " \
    "tree, in_bytes, out_bytes, err_bytes, truncated, complete, queue_ns, connect_ns, run_ns, drain_ns, "     \
    "total_ns, user_ns, system_ns, max_rss, major_faults, minor_faults, voluntary_switches, "                 \
    "involuntary_switches, started_job"
#define EXEC_SELECT_ROWS                                                                                      \
    "SELECT id, began_us, ended_us, verb, subject, tenant, roles, request_id, trace_parent, target, labels, " \
    "argv, words_left_out, env_names, cwd, limits, job, tag, signal, idempotency_key, digest, stands_for, "   \
    "coalesce((SELECT identity FROM writers WHERE instance = writer), ''), error, " EXEC_END_COLUMNS          \
    " FROM execs WHERE "
#define EXEC_THAT_FIT                                                                                     \
    " AND (?2 IS NULL OR subject = ?2) AND (?3 IS NULL OR tenant = ?3) AND (?4 IS NULL OR target = ?4)"   \
    " AND (?5 IS NULL OR verb = ?5) AND (?6 IS NULL OR status = ?6) AND began_us >= ?7 AND began_us < ?8" \
    " AND (?9 = 0 OR status IS NULL) ORDER BY began_us DESC, seq DESC LIMIT ?10"

// What a file is, before anything is changed in it. True: a trail of ours; false: nothing yet.
result<bool> is_trail(connection& file) {
    // Tables first: another process may be making them, and whoever sees one sees the rest of that transaction after it.
    const auto tables = file.number("SELECT count(*) FROM sqlite_schema");
    if (!tables) return tables.error();
    if (*tables == 0) return false;
    const auto kind = file.number("PRAGMA application_id");
    if (!kind) return kind.error();
    if (*kind != application) return fail(errc::unsupported, "audit trail: the file is another database");
    const auto version = file.number("PRAGMA user_version");
    if (!version) return version.error();
    if (*version == schema_version) return true;
    return fail(errc::unsupported, "audit trail: of version " + std::to_string(*version) + ", and this library knows " +
                                       std::to_string(schema_version));
}

result<void> make_what_is_missing(connection& file) {
    if (auto made = file.run("BEGIN IMMEDIATE"); !made) return made;
    const auto there = is_trail(file);
    auto done = !there ? result<void>(there.error()) : *there ? result<void>() : file.run(make_tables);
    if (done) done = file.run("COMMIT");
    if (!done && file.in_transaction()) (void)file.run("ROLLBACK");
    return done;
}

result<void> prepare_once(connection& file) {
    if (const auto there = is_trail(file); !there) return there.error();
    auto mode = file.prepare("PRAGMA journal_mode = WAL");
    if (!mode) return std::move(mode).error();
    const auto row = mode->step();
    if (!row) return row.error();
    if (!*row || mode->bytes(0) != "wal") {
        return fail(errc::unsupported, "audit trail: no shared memory beside the file, so no WAL");
    }
    mode->rewind();
    return make_what_is_missing(file);
}

}  // namespace

const char* const insert_begun =
    "INSERT INTO execs(id, writer, began_us, verb, subject, tenant, roles, request_id, trace_parent, target, labels, "
    "argv, words_left_out, env_names, cwd, limits, job, tag, signal, idempotency_key, digest, lookup, stands_for) "
    "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23)";

const char* const complete_row =
    "UPDATE execs SET ended_us = ?2, status = ?3, started = ?4, exit_code = ?5, exit_signal = ?6, core = ?7, "
    "stopped_by = ?8, error_category = ?9, error_code = ?10, error = ?11, context = ?12, place = ?13, tree = ?14, "
    "in_bytes = ?15, out_bytes = ?16, err_bytes = ?17, truncated = ?18, complete = ?19, queue_ns = ?20, "
    "connect_ns = ?21, run_ns = ?22, drain_ns = ?23, total_ns = ?24, user_ns = ?25, system_ns = ?26, max_rss = ?27, "
    "major_faults = ?28, minor_faults = ?29, voluntary_switches = ?30, involuntary_switches = ?31, started_job = ?32 "
    "WHERE seq = ?1 AND status IS NULL";

const char* const find_newest = "SELECT id, digest, status IS NOT NULL, " EXEC_END_COLUMNS
                                " FROM execs WHERE lookup = ?1 ORDER BY seq DESC LIMIT 1";

const char* const select_by_subject = EXEC_SELECT_ROWS "subject = ?1" EXEC_THAT_FIT;
const char* const select_by_target = EXEC_SELECT_ROWS "target = ?1" EXEC_THAT_FIT;
const char* const select_by_tenant = EXEC_SELECT_ROWS "tenant = ?1" EXEC_THAT_FIT;
const char* const select_by_time = EXEC_SELECT_ROWS "?1 IS NOT NULL" EXEC_THAT_FIT;

const char* const forget_begun_before =
    "DELETE FROM execs WHERE seq IN "
    "(SELECT seq FROM execs WHERE began_us < ?1 AND status IS NOT NULL ORDER BY began_us LIMIT 1000)";
const char* const forget_up_to_row =
    "DELETE FROM execs WHERE seq IN "
    "(SELECT seq FROM execs WHERE seq <= ?1 AND status IS NOT NULL ORDER BY seq LIMIT 1000)";

result<void> prepare_file(connection& to, sqlite_audit_options::durability sync, time_point until) {
    for (;;) {
        to.wait_for_locks(exec::until(until, std::chrono::steady_clock::now()));
        auto done = prepare_once(to);
        if (done) break;
        if (!is_busy(done.error()) || std::chrono::steady_clock::now() >= until) return done;
        // Two that change the mode of the file at once are refused without a wait: this one waits until the other is done.
        (void)to.run("BEGIN IMMEDIATE; COMMIT");
    }
    // Pages of the log before it is copied into the file: 16 MiB. A copy costs two syncs whatever it is about, and takes the
    // pages at the end of an index once, which were written over and over.
    if (auto set = to.run("PRAGMA wal_autocheckpoint = 4096"); !set) return set;
    const bool full = sync == sqlite_audit_options::durability::full;
    return to.run(full ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL");
}

}  // namespace exec::inline v0::sqlite
