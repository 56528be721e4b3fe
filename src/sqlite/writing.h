// What writes: batches of begun, completed and forgotten rows, each batch one transaction.
//
// Threads: one at a time, any.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "audit/writer.h"
#include "exec/audit.h"
#include "exec/reply.h"
#include "exec/result.h"
#include "exec/sqlite/audit_trail.h"
#include "exec/time.h"
#include "sqlite/columns.h"
#include "sqlite/connection.h"

namespace exec::inline v0::sqlite {

struct begin_job {
    begun_columns what;
    std::optional<ended_columns> how{};  // a call that ended before it began
    reply<void> owed{};
};
struct finish_job {
    audit_id of{};
    ended_columns how;
    reply<void> owed{};
};
struct forget_job {
    std::int64_t before = 0;  // microseconds
    std::uint64_t forgotten = 0;
    std::int64_t last_slice = 0;  // of these, in the last transaction
    reply<std::uint64_t> owed{};
};
// Finishes that failed are tried once more.
struct settle_job {};

struct write_job {
    std::variant<begin_job, finish_job, forget_job, settle_job> what;
    time_point until;  // then it is too late to write it
};

class writing {
   public:
    // Opens or makes the file at a path without symbolic links, and completes what dead writers left open.
    static result<writing> open(const sqlite_audit_options& options, const std::string& path);

    // Does a batch and answers it. Leaves in there what another process has kept it from.
    void work(std::vector<write_job>& batch);

   private:
    writing(const sqlite_audit_options& options, connection file, audit::lock_file lock, audit::writer_id who) noexcept;

    result<void> prepare();
    result<void> take_over(time_point until);
    result<void> complete_dead_writers();
    result<void> sign_in();

    // A transaction around all of them, or the failure that none of them was written for.
    result<void> write(std::vector<write_job>& batch, std::vector<result<void>>& outcomes);
    result<void> write_all(std::vector<write_job>& batch, std::vector<result<void>>& outcomes);
    result<void> write_one(write_job& job);
    result<void> insert(const begun_columns& what);
    result<void> complete(std::int64_t row, const ended_columns& how);
    result<void> complete(const audit_id& of, const ended_columns& how);
    result<void> forget(statement& some, std::int64_t up_to);
    result<void> keep_to_the_bound();

    void refuse_late(std::vector<write_job>& batch);
    void refuse(write_job& job, const failure& why);
    static bool has_more(write_job& job);
    static void answer_written(write_job& job);
    void roll_back() noexcept;

    connection file_;
    audit::lock_file lock_;
    audit::writer_id who_;
    milliseconds patience_;
    std::uint64_t max_rows_;

    statement begin_{}, commit_{}, insert_{}, complete_{}, forget_before_{}, forget_up_to_{};
    std::unordered_map<audit_id, std::int64_t> open_{};       // rows that were begun here
    std::deque<finish_job> owed_{};                           // answered with a failure, and still to be written
    std::vector<std::pair<audit_id, std::int64_t>> begun_{};  // of the transaction
    std::vector<audit_id> completed_{};                       // of the transaction
    std::uint64_t inserted_ = 0;                              // since the bound was looked at
};

}  // namespace exec::inline v0::sqlite
