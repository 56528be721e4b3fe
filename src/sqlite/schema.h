// The tables, and every statement that is used on them. All SQL is in schema.cpp, and none of it is made of data.
#pragma once

#include "exec/result.h"
#include "exec/sqlite/audit_trail.h"
#include "sqlite/connection.h"

namespace exec::inline v0::sqlite {

inline constexpr int schema_version = 1;

extern const char* const insert_begun;  // begun_columns::bind_to
extern const char* const complete_row;  // ended_columns::bind_to
extern const char* const find_newest;   // ?1 lookup: id, digest, completed, then the columns of an end

// Rows of a filter, for row_of(). ?1 the text that names the statement, ?2 subject, ?3 tenant, ?4 target, ?5 verb,
// ?6 status, each NULL for any; ?7 from and ?8 before, microseconds; ?9 1 = open ones alone; ?10 how many.
extern const char* const select_by_subject;  // ?1 subject
extern const char* const select_by_target;   // ?1 target
extern const char* const select_by_tenant;   // ?1 tenant
extern const char* const select_by_time;     // ?1 anything

extern const char* const forget_begun_before;  // ?1 microseconds; 1000 completed rows at most
extern const char* const forget_up_to_row;     // ?1 row; the same

// Makes the tables in an empty file, or takes the file for what it is. Leaves it in WAL mode. Tries again for as long as
// another process is at it, until `until`.
// Fails with: errc::unsupported (another database, a newer version), what SQLite answers.
result<void> prepare_file(connection& to, sqlite_audit_options::durability sync, time_point until);

}  // namespace exec::inline v0::sqlite
