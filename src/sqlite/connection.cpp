#include "sqlite/connection.h"

#include <exec/sqlite/audit_trail.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <limits>
#include <system_error>

namespace exec::inline v0 {
namespace {

class category final : public std::error_category {
   public:
    const char* name() const noexcept override { return "sqlite"; }
    std::string message(int code) const override { return sqlite3_errstr(code); }
    std::error_condition default_error_condition(int code) const noexcept override {
        switch (code & 0xFF) {
            case SQLITE_BUSY: return std::errc::device_or_resource_busy;
            case SQLITE_FULL: return std::errc::no_space_on_device;
            case SQLITE_IOERR: return std::errc::io_error;
            case SQLITE_READONLY: return std::errc::read_only_file_system;
            case SQLITE_PERM:
            case SQLITE_AUTH: return std::errc::permission_denied;
            case SQLITE_CORRUPT:
            case SQLITE_NOTADB: return std::errc::bad_message;
            default: return {code, *this};
        }
    }
};

}  // namespace

const std::error_category& sqlite_category() noexcept {
    static const category one;
    return one;
}

}  // namespace exec::inline v0

namespace exec::inline v0::sqlite {

failure why(sqlite3* raw) {
    const char* file = raw != nullptr ? sqlite3_db_filename(raw, "main") : nullptr;
    auto context = std::string("audit trail ") + (file != nullptr ? file : "");
    if (raw == nullptr) return os_failure(ENOMEM, stage::none, std::move(context));
    const int code = sqlite3_extended_errcode(raw);
    // The kernel's own number, where that is all there is to say.
    if (code == SQLITE_CANTOPEN_SYMLINK) return os_failure(ELOOP, stage::none, std::move(context));
    if ((code & 0xFF) == SQLITE_CANTOPEN && sqlite3_system_errno(raw) != 0) {
        return os_failure(sqlite3_system_errno(raw), stage::none, std::move(context));
    }
    return {std::error_code(code, sqlite_category()), std::move(context), {}, stage::none};
}

bool is_busy(const failure& what) noexcept {
    return what.code.category() == sqlite_category() && (what.code.value() & 0xFF) == SQLITE_BUSY;
}

result<bool> statement::step() {
    switch (sqlite3_step(raw_)) {
        case SQLITE_ROW: return true;
        case SQLITE_DONE: return false;
        default: return why(sqlite3_db_handle(raw_));
    }
}

result<connection> connection::open(const std::string& path, int flags) {
    sqlite3* raw = nullptr;
    const int code = sqlite3_open_v2(path.c_str(), &raw, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, nullptr);
    connection opened(raw);
    if (code != SQLITE_OK) {
        auto told = why(raw);
        told.context = "audit trail " + path;
        return told;
    }
    sqlite3_extended_result_codes(raw, 1);
    sqlite3_db_config(raw, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
    sqlite3_db_config(raw, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
    return opened;
}

result<void> connection::run(const char* sql) {
    if (sqlite3_exec(raw_, sql, nullptr, nullptr, nullptr) != SQLITE_OK) return why(raw_);
    return {};
}

result<statement> connection::prepare(const char* sql) {
    sqlite3_stmt* made = nullptr;
    const int code = sqlite3_prepare_v3(raw_, sql, -1, SQLITE_PREPARE_PERSISTENT, &made, nullptr);
    if (code != SQLITE_OK) return why(raw_);
    return statement(made);
}

result<std::int64_t> connection::number(const char* sql) {
    auto asked = prepare(sql);
    if (!asked) return std::move(asked).error();
    const auto row = asked->step();
    if (!row) return row.error();
    return *row ? asked->number(0) : 0;
}

void connection::wait_for_locks(milliseconds most) noexcept {
    constexpr milliseconds longest{(std::numeric_limits<int>::max)()};
    sqlite3_busy_timeout(raw_, static_cast<int>(std::clamp(most, milliseconds(1), longest).count()));
}

void connection::interrupt_at(time_point then) {
    constexpr int instructions = 4096;  // between two looks at the clock: some 50 us
    interrupt_at_ = then;
    sqlite3_progress_handler(raw_, then == never ? 0 : instructions, is_over, this);
}

int connection::is_over(void* self) noexcept {
    return std::chrono::steady_clock::now() >= static_cast<connection*>(self)->interrupt_at_ ? 1 : 0;
}

}  // namespace exec::inline v0::sqlite
