#include "sqlite/reading.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <limits>
#include <string_view>
#include <utility>

#include "sqlite/answer.h"
#include "sqlite/columns.h"
#include "sqlite/schema.h"

namespace exec::inline v0::sqlite {
namespace {

constexpr std::size_t most_rows = 10'000;  // of one answer

time_point now() noexcept { return std::chrono::steady_clock::now(); }

failure too_late() { return os_failure(ETIMEDOUT, stage::none, "audit trail: not found in time"); }

}  // namespace

result<reading> reading::open(const std::string& path) {
    // Not read-only: a reader may be the first who needs what is beside the file.
    auto file = connection::open(path, SQLITE_OPEN_READWRITE);
    if (!file) return std::move(file).error();
    if (auto only = file->run("PRAGMA query_only = 1"); !only) return std::move(only).error();
    reading made(*std::move(file));
    if (auto ready = made.prepare(); !ready) return std::move(ready).error();
    return made;
}

result<void> reading::prepare() {
    const std::pair<statement*, const char*> all[] = {{&find_, find_newest},
                                                      {&by_subject_, select_by_subject},
                                                      {&by_target_, select_by_target},
                                                      {&by_tenant_, select_by_tenant},
                                                      {&by_time_, select_by_time}};
    for (const auto& [which, sql] : all) {
        auto made = file_.prepare(sql);
        if (!made) return std::move(made).error();
        *which = *std::move(made);
    }
    return {};
}

void reading::work(std::vector<read_job>& batch) {
    for (auto& job : batch) {
        if (auto* one = std::get_if<find_job>(&job.what)) {
            answer(one->owed, in_time(job.until, find_, [&] { return find(one->lookup); }));
        } else if (auto* many = std::get_if<query_job>(&job.what)) {
            auto& by = fitting(many->which);
            answer(many->owed, in_time(job.until, by, [&] { return query(many->which, by); }));
        }
    }
    batch.clear();
}

template <class Work>
auto reading::in_time(time_point until, statement& with, Work&& work) -> decltype(work()) {
    const auto moment = now();
    if (moment >= until) return too_late();
    file_.wait_for_locks(exec::until(until, moment));
    file_.interrupt_at(until);
    auto found = work();
    file_.interrupt_at(never);
    with.rewind();
    if (found) return found;
    const auto& code = found.error().code;
    if (code.category() == sqlite_category() && (code.value() & 0xFF) == SQLITE_INTERRUPT) return too_late();
    return found;
}

result<std::optional<audit_seen>> reading::find(const std::string& lookup) {
    find_.bind_bytes(1, lookup);
    const auto row = find_.step();
    if (!row) return row.error();
    if (!*row) return std::optional<audit_seen>();
    audit_seen seen;
    audit_id::bits id{};
    const auto bytes = find_.bytes(0);
    std::copy_n(bytes.begin(), (std::min)(bytes.size(), id.size()), id.begin());
    seen.id = audit_id(id);
    seen.request_digest = find_.text(1);
    if (find_.number(2) != 0) seen.how = end_of(find_, 3);
    return std::optional<audit_seen>(std::move(seen));
}

statement& reading::fitting(const audit_filter& which) noexcept {
    if (which.subject) return by_subject_;
    if (which.target) return by_target_;
    return which.tenant ? by_tenant_ : by_time_;
}

result<std::vector<audit_row>> reading::query(const audit_filter& which, statement& by) {
    const auto as_shown = [](const std::optional<std::string>& any) { return any ? shown(*any) : std::string(); };
    const auto subject = as_shown(which.subject);
    const auto tenant = as_shown(which.tenant);
    const auto target = as_shown(which.target);
    const auto bind = [&by](int at, bool given, std::string_view text) {
        if (given) by.bind(at, text);
    };
    by.bind(1, which.subject ? subject : which.target ? target : tenant);
    bind(2, which.subject.has_value(), subject);
    bind(3, which.tenant.has_value(), tenant);
    bind(4, which.target.has_value(), target);
    if (which.what) by.bind(5, to_string(*which.what));
    if (which.status) by.bind(6, to_string(*which.status));
    const auto stamp = [](const std::optional<audit_time>& time, std::int64_t otherwise) -> std::int64_t {
        return time ? time->time_since_epoch().count() : otherwise;
    };
    by.bind(7, stamp(which.since, (std::numeric_limits<std::int64_t>::min)()));
    by.bind(8, stamp(which.until, (std::numeric_limits<std::int64_t>::max)()));
    by.bind(9, std::int64_t{which.only_open ? 1 : 0});
    by.bind(10, static_cast<std::int64_t>((std::min)(which.limit, most_rows)));

    std::vector<audit_row> rows;
    for (;;) {
        const auto row = by.step();
        if (!row) return row.error();
        if (!*row) return rows;
        rows.push_back(row_of(by));
    }
}

}  // namespace exec::inline v0::sqlite
