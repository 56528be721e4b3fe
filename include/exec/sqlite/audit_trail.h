// audit_trail: an audit trail in a SQLite file that can be asked who ran what, where and when.
//
// One row a call: begun before it runs, completed after. What has gathered while a transaction was being written goes into the
// next one, so that many calls share one sync. Several processes may write one trail. Each begun row is completed exactly
// once: by its own process or, where that has died, by the next that opens the trail (status "interrupted", began unknown).
// Threads: members are called from any thread, several at once. They never block: files are touched on the executor, where
// replies are answered too. A call that finds the queue full, or the process forked, is answered inside.
// Never: builds SQL from text; writes output, values or more of a text than its bound; follows a symbolic link at the end
// of the path.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "exec/audit.h"
#include "exec/executor.h"
#include "exec/export.h"
#include "exec/reply.h"
#include "exec/result.h"

namespace exec::inline v0 {

// The time of day, as the trail stamps it.
using audit_time = std::chrono::sys_time<std::chrono::microseconds>;

// SQLite's extended result codes, where no other number says more. They compare with std::errc: no_space_on_device,
// io_error, device_or_resource_busy, read_only_file_system, permission_denied, and bad_message for a damaged file.
EXEC_API const std::error_category& sqlite_category() noexcept;

struct sqlite_audit_options {
    // The file. Made with mode 0600 if it is missing, and so are path-wal and path-shm; its directory must be there. Beside
    // it path.lock, which must stay for as long as anybody writes. On a local disk: SQLite shares memory through it.
    std::string path{};
    // Where files are touched; outlives the trail. With two threads a search does not hold up what is written.
    executor* blocking = nullptr;
    // full: what was answered survives a loss of power. normal: the death of every process, and a loss of power as of some
    // time before; no sync but those of SQLite's checkpoints.
    enum class durability : std::uint8_t { normal, full } sync = durability::full;
    // Calls that wait to be written; searches that wait. More are refused, but for those that finish what was begun.
    std::size_t most_waiting = 4096;
    // How long a call may wait for the executor, for other processes that write, and for a search to find. What the disk
    // itself takes counts, but cannot be cut short.
    milliseconds answer_within{5000};
    // Above so many rows the oldest completed ones go, a few at a time. 0 = never: see forget_before().
    std::uint64_t max_rows = 0;
};

// A call as the trail has it. Text is valid UTF-8, as display() shows it, and was cut behind 1 KiB; lists are JSON.
struct audit_row {
    audit_id id{};
    audit_time began{};                 // when the trail was asked to begin it
    std::optional<audit_time> ended{};  // empty: not completed yet
    verb what = verb::run;
    std::string subject{};
    std::string tenant{};
    std::string roles{};  // ["admin"]
    std::string request_id{};
    std::string trace_parent{};
    std::string target{};
    std::string labels{};              // [["zone","b"]]
    std::string argv{};                // ["git","status"], of at most 32 KiB
    std::uint64_t words_left_out = 0;  // of argv
    std::string env_names{};           // ["LANG"]
    std::string cwd{};
    std::string limits{};  // {"run_timeout_ms":30000,...}; what is unlimited is not there
    std::string job{};     // as job_selector::text()
    std::string tag{};
    std::optional<int> signal_number{};
    std::string idempotency_key{};
    std::string request_digest{};  // as it was given, up to 1 KiB
    std::uint64_t stands_for = 1;
    std::string writer{};  // instance/boot/namespace/pid/start of the process that began it
    // Of a completed one. The code of a category that is neither exec's nor the system's is errc::start_failed or, of one
    // that ran, errc::connect_failed; `error` has its words.
    audit_end how{};
    std::string error{};  // "system:2 No such file or directory"; "" = none
};

// What is empty fits everything.
struct audit_filter {
    std::optional<std::string> subject{};
    std::optional<std::string> tenant{};
    std::optional<std::string> target{};
    std::optional<verb> what{};
    std::optional<audit_status> status{};  // found by looking through the rows that fit the rest
    std::optional<audit_time> since{};     // began then or later
    std::optional<audit_time> until{};     // began earlier
    bool only_open = false;                // not completed yet
    std::size_t limit = 100;               // rows, at most 10000
};

class audit_trail : public audit_sink {
   public:
    // What begin, note, finish, find, query and forget_before fail with: errc::too_busy (the queue is full), ETIMEDOUT as an
    // OS error (answer_within has passed: nothing was written), errc::wrong_state (finish of what is not open here, or
    // in a process that was forked), errc::broken_reply (the executor dropped the work), or what SQLite answers.
    // A finish that failed is tried again before anything else is written, and for a last time by the destructor; until
    // then whatever is begun fails with it.

    // The rows that fit, newest first.
    virtual void query(audit_filter which, reply<std::vector<audit_row>> answer) = 0;

    // Removes completed rows that began earlier, 1000 in a transaction, and answers how many it were. The file does not
    // shrink: its pages are used again.
    virtual void forget_before(audit_time time, reply<std::uint64_t> answer) = 0;
};

// Opens or makes a trail and completes what dead writers left open. Blocks while it does, at most answer_within for other
// processes that write. The destructor of the trail waits for what was asked of it, at most answer_within for each
// transaction; it must not run on a thread of the executor.
// Fails with: errc::invalid_argument (no path, no executor, a bound of zero), errc::unsupported (the file is another
// database, or a trail of a newer version), and what the calls on the files answer, SQLite's included.
EXEC_API result<std::unique_ptr<audit_trail>> make_sqlite_audit(sqlite_audit_options options);

}  // namespace exec::inline v0
