// What searches, on a connection of its own: it sees what was committed, and holds nobody up.
//
// Threads: one at a time, any.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "exec/audit.h"
#include "exec/reply.h"
#include "exec/result.h"
#include "exec/sqlite/audit_trail.h"
#include "exec/time.h"
#include "sqlite/connection.h"

namespace exec::inline v0::sqlite {

struct find_job {
    std::string lookup{};
    reply<std::optional<audit_seen>> owed{};
};
struct query_job {
    audit_filter which{};
    reply<std::vector<audit_row>> owed{};
};
struct read_job {
    std::variant<find_job, query_job> what;
    time_point until;
};

class reading {
   public:
    // REQUIRES: the file was prepared.
    static result<reading> open(const std::string& path);

    // Does a batch, answers it and leaves nothing in there.
    void work(std::vector<read_job>& batch);

   private:
    explicit reading(connection file) noexcept : file_(std::move(file)) {}

    result<void> prepare();
    template <class Work>
    auto in_time(time_point until, statement& with, Work&& work) -> decltype(work());
    result<std::optional<audit_seen>> find(const std::string& lookup);
    result<std::vector<audit_row>> query(const audit_filter& which, statement& by);
    statement& fitting(const audit_filter& which) noexcept;

    connection file_;
    statement find_{}, by_subject_{}, by_target_{}, by_tenant_{}, by_time_{};
};

}  // namespace exec::inline v0::sqlite
