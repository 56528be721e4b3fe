// Records as columns: what is bound to a row, and what is read from one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "exec/audit.h"
#include "exec/sqlite/audit_trail.h"
#include "sqlite/connection.h"

namespace exec::inline v0::sqlite {

// A text of the caller's as a column has it, and as a filter must ask for it.
std::string shown(std::string_view any);

// The 32 bytes by which a record with a key is found again: a hash of all of subject, tenant, target, verb and key, which are
// shown only in part. "" without a key.
std::string lookup_of(const audit_record& what);

// Microseconds since the epoch, by the system's clock.
std::int64_t stamp_now();

// What begin() knows, owned, so that it can wait.
struct begun_columns {
    explicit begun_columns(const audit_record& what);
    // Parameters 1 to 23 of insert_begun. Stays unchanged until the statement is rewound.
    void bind_to(statement& insert, std::int64_t writer) const;

    audit_id id;
    std::int64_t began = stamp_now();
    verb what;
    std::string subject, tenant, roles, request_id, trace_parent, target, labels, argv;
    std::uint64_t words_left_out = 0;
    std::string env_names, cwd, limits, job, tag;
    std::optional<int> signal_number;
    std::string key, digest, lookup;
    std::uint64_t stands_for;
};

// What finish() knows.
struct ended_columns {
    explicit ended_columns(const audit_end& how);
    // Parameters 1 to 32 of complete_row.
    void bind_to(statement& update, std::int64_t row) const;

    std::int64_t ended = stamp_now();
    audit_end how;  // its texts are shown
    std::string error{};
    std::string job{};
};

// A row of select_rows.
audit_row row_of(const statement& at);
// The end in a row, whose first column is `first`; of a completed one.
audit_end end_of(const statement& at, int first);

}  // namespace exec::inline v0::sqlite
