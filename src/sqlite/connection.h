// SQLite with owners and results.
//
// Threads: a connection and its statements are used by one thread at a time, any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include <sqlite3.h>

#include "exec/result.h"
#include "exec/time.h"

namespace exec::inline v0::sqlite {

// Prepared once. Parameters and columns are counted as SQLite counts them: from 1 and from 0.
class statement {
   public:
    statement() noexcept = default;
    explicit statement(sqlite3_stmt* raw) noexcept : raw_(raw) {}
    statement(statement&& other) noexcept : raw_(std::exchange(other.raw_, nullptr)) {}
    statement& operator=(statement&& other) noexcept {
        std::swap(raw_, other.raw_);
        return *this;
    }
    ~statement() { sqlite3_finalize(raw_); }

    // Text and bytes stay the caller's until rewind(). What cannot be bound is told by step().
    void bind(int at, std::int64_t value) noexcept { sqlite3_bind_int64(raw_, at, value); }
    void bind(int at, std::string_view text) noexcept {
        sqlite3_bind_text64(raw_, at, text.data() == nullptr ? "" : text.data(), text.size(), SQLITE_STATIC,
                            SQLITE_UTF8);
    }
    void bind_bytes(int at, std::string_view bytes) noexcept {
        sqlite3_bind_blob64(raw_, at, bytes.data() == nullptr ? "" : bytes.data(), bytes.size(), SQLITE_STATIC);
    }
    void bind_null(int at) noexcept { sqlite3_bind_null(raw_, at); }

    // True: there is a row. False: it is done.
    result<bool> step();
    // To be used again. Forgets what was bound.
    void rewind() noexcept {
        sqlite3_reset(raw_);
        sqlite3_clear_bindings(raw_);
    }

    bool is_null(int column) const noexcept { return sqlite3_column_type(raw_, column) == SQLITE_NULL; }
    std::int64_t number(int column) const noexcept { return sqlite3_column_int64(raw_, column); }
    // Valid until the next step.
    std::string_view bytes(int column) const noexcept {
        const auto* first = static_cast<const char*>(sqlite3_column_blob(raw_, column));
        return {first, static_cast<std::size_t>(sqlite3_column_bytes(raw_, column))};
    }
    std::string text(int column) const { return std::string(bytes(column)); }

   private:
    sqlite3_stmt* raw_ = nullptr;
};

class connection {
   public:
    connection(connection&& other) noexcept : raw_(std::exchange(other.raw_, nullptr)) {}
    connection& operator=(connection&&) = delete;
    ~connection() { sqlite3_close_v2(raw_); }

    // REQUIRES: the path names no symbolic link on its way (SQLITE_OPEN_NOFOLLOW).
    static result<connection> open(const std::string& path, int flags);

    // One or several statements without parameters, of which no row is wanted.
    result<void> run(const char* sql);
    // For many uses.
    result<statement> prepare(const char* sql);
    // The first column of the first row.
    result<std::int64_t> number(const char* sql);

    // How long a statement waits for a lock of another process.
    void wait_for_locks(milliseconds most) noexcept;
    // From now on a statement that runs at `then` or later ends with SQLITE_INTERRUPT. `never` = none does.
    void interrupt_at(time_point then);

    bool in_transaction() const noexcept { return sqlite3_get_autocommit(raw_) == 0; }
    std::int64_t changes() const noexcept { return sqlite3_changes64(raw_); }
    std::int64_t last_row() const noexcept { return sqlite3_last_insert_rowid(raw_); }

   private:
    explicit connection(sqlite3* raw) noexcept : raw_(raw) {}

    static int is_over(void* self) noexcept;

    sqlite3* raw_;
    time_point interrupt_at_ = never;
};

// What the last call on this connection answered.
failure why(sqlite3* raw);
// Whether it is about a lock of somebody else's, who may give it back.
bool is_busy(const failure& what) noexcept;

}  // namespace exec::inline v0::sqlite
