#include "sqlite/writing.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <string>
#include <utility>

#include <fcntl.h>

#include "sqlite/answer.h"
#include "sqlite/schema.h"

namespace exec::inline v0::sqlite {
namespace {

constexpr std::int64_t slice = 1000;  // rows that one statement forgets

time_point now() noexcept { return std::chrono::steady_clock::now(); }

failure too_late() { return os_failure(ETIMEDOUT, stage::none, "audit trail: not written in time"); }

// A row that was refused by itself. Anything else is about the file, and everybody's.
bool is_of_one_row(const failure& what) noexcept {
    if (what.code == errc::wrong_state) return true;
    if (what.code.category() != sqlite_category()) return false;
    const int primary = what.code.value() & 0xFF;
    return primary == SQLITE_CONSTRAINT || primary == SQLITE_TOOBIG || primary == SQLITE_MISMATCH;
}

// One step of a statement that answers no rows.
result<void> step_once(statement& of) {
    const auto done = of.step();
    of.rewind();
    if (!done) return done.error();
    return {};
}

}  // namespace

writing::writing(const sqlite_audit_options& options, connection file, audit::lock_file lock,
                 audit::writer_id who) noexcept
    : file_(std::move(file)),
      lock_(std::move(lock)),
      who_(std::move(who)),
      patience_(options.answer_within),
      max_rows_(options.max_rows) {}

// ---- opening ---------------------------------------------------------------------------------------------------------

result<writing> writing::open(const sqlite_audit_options& options, const std::string& path) {
    const auto until = saturating_add(now(), options.answer_within);
    auto who = audit::new_writer();
    if (!who) return std::move(who).error();
    auto lock = audit::lock_file::open(AT_FDCWD, path + ".lock");
    if (!lock) return std::move(lock).error();
    auto file = connection::open(path, SQLITE_OPEN_READWRITE);
    if (!file) return std::move(file).error();
    if (auto ready = prepare_file(*file, options.sync, until); !ready) return std::move(ready).error();
    writing made(options, *std::move(file), *std::move(lock), *std::move(who));
    if (auto ready = made.prepare(); !ready) return std::move(ready).error();
    if (auto taken = made.take_over(until); !taken) return std::move(taken).error();
    return made;
}

result<void> writing::prepare() {
    const std::pair<statement*, const char*> all[] = {{&begin_, "BEGIN IMMEDIATE"},
                                                      {&commit_, "COMMIT"},
                                                      {&insert_, insert_begun},
                                                      {&complete_, complete_row},
                                                      {&forget_before_, forget_begun_before},
                                                      {&forget_up_to_, forget_up_to_row}};
    for (const auto& [which, sql] : all) {
        auto made = file_.prepare(sql);
        if (!made) return std::move(made).error();
        *which = *std::move(made);
    }
    return {};
}

// The transaction keeps others from it, so that each row is completed once.
result<void> writing::take_over(time_point until) {
    if (auto living = lock_.live_as(who_.instance); !living) return living;
    file_.wait_for_locks(exec::until(until, now()));
    if (auto begun = step_once(begin_); !begun) return begun;
    auto done = complete_dead_writers();
    if (done) done = sign_in();
    if (done) done = step_once(commit_);
    if (!done) roll_back();
    return done;
}

result<void> writing::complete_dead_writers() {
    auto open = file_.prepare(
        "SELECT seq, writer, coalesce((SELECT identity FROM writers WHERE instance = writer), '') "
        "FROM execs WHERE status IS NULL ORDER BY writer");
    if (!open) return std::move(open).error();
    audit_end interrupted;
    interrupted.status = audit_status::interrupted;
    interrupted.ran = true;
    interrupted.began = started::unknown;
    const ended_columns how(interrupted);

    std::vector<std::int64_t> orphans;
    std::optional<std::int64_t> asked;
    bool lives = true;
    for (;;) {
        const auto row = open->step();
        if (!row) return row.error();
        if (!*row) break;
        const auto writer = open->number(1);
        if (asked != writer) {
            const auto who = audit::writer_id::parse(open->bytes(2));
            const auto answer = who ? lock_.lives(*who) : lock_.lives(static_cast<std::uint64_t>(writer));
            if (!answer) return answer.error();
            asked = writer;
            lives = *answer;
        }
        if (!lives) orphans.push_back(open->number(0));
    }
    for (const auto row : orphans) {
        if (auto done = complete(row, how); !done) return done;
    }
    return {};
}

result<void> writing::sign_in() {
    auto signing = file_.prepare("INSERT INTO writers(instance, identity) VALUES(?1, ?2)");
    if (!signing) return std::move(signing).error();
    const auto identity = who_.text();
    signing->bind(1, static_cast<std::int64_t>(who_.instance));
    signing->bind(2, identity);
    return step_once(*signing);
}

// ---- a batch ---------------------------------------------------------------------------------------------------------

void writing::work(std::vector<write_job>& batch) {
    refuse_late(batch);
    std::erase_if(batch, [](const write_job& job) { return std::holds_alternative<settle_job>(job.what); });
    if (batch.empty() && owed_.empty()) return;
    std::vector<result<void>> outcomes(batch.size());
    const auto written = write(batch, outcomes);
    if (!written && is_busy(written.error())) return;  // those whose time is over are refused the next time
    std::vector<write_job> rest;
    for (std::size_t at = 0; at < batch.size(); ++at) {
        auto& job = batch[at];
        const auto& outcome = written ? outcomes[at] : written;
        if (!outcome) {
            refuse(job, outcome.error());
        } else if (has_more(job)) {
            job.until = saturating_add(now(), patience_);
            rest.push_back(std::move(job));
        } else {
            answer_written(job);
        }
    }
    batch = std::move(rest);
}

void writing::refuse_late(std::vector<write_job>& batch) {
    const auto moment = now();
    const auto in_time = [&](const write_job& job) { return job.until > moment; };
    const auto late = std::stable_partition(batch.begin(), batch.end(), in_time);
    for (auto job = late; job != batch.end(); ++job) refuse(*job, too_late());
    batch.erase(late, batch.end());
}

result<void> writing::write(std::vector<write_job>& batch, std::vector<result<void>>& outcomes) {
    auto first = never;
    for (const auto& job : batch) first = (std::min)(first, job.until);
    file_.wait_for_locks((std::min)(patience_, exec::until(first, now())));
    if (auto begun = step_once(begin_); !begun) return begun;
    begun_.clear();
    completed_.clear();
    auto done = write_all(batch, outcomes);
    if (done) done = step_once(commit_);
    if (!done) {
        roll_back();
        return done;
    }
    owed_.clear();
    for (const auto& of : completed_) open_.erase(of);
    for (const auto& [of, row] : begun_) open_.emplace(of, row);
    return {};
}

result<void> writing::write_all(std::vector<write_job>& batch, std::vector<result<void>>& outcomes) {
    for (const auto& one : owed_) {
        if (auto done = complete(one.of, one.how); !done && !is_of_one_row(done.error())) return done;
    }
    for (std::size_t at = 0; at < batch.size(); ++at) {
        outcomes[at] = write_one(batch[at]);
        if (!outcomes[at] && !is_of_one_row(outcomes[at].error())) return outcomes[at];
    }
    return keep_to_the_bound();
}

result<void> writing::write_one(write_job& job) {
    if (const auto* begin = std::get_if<begin_job>(&job.what)) {
        if (auto done = insert(begin->what); !done) return done;
        const auto row = file_.last_row();
        if (begin->how) return complete(row, *begin->how);
        begun_.emplace_back(begin->what.id, row);
        return {};
    }
    if (const auto* finish = std::get_if<finish_job>(&job.what)) return complete(finish->of, finish->how);
    if (auto* some = std::get_if<forget_job>(&job.what)) {
        auto done = forget(forget_before_, some->before);
        some->last_slice = done ? file_.changes() : 0;
        return done;
    }
    return {};
}

result<void> writing::insert(const begun_columns& what) {
    what.bind_to(insert_, static_cast<std::int64_t>(who_.instance));
    ++inserted_;
    return step_once(insert_);
}

result<void> writing::complete(const audit_id& of, const ended_columns& how) {
    const auto known = open_.find(of);
    if (known == open_.end()) return fail(errc::wrong_state, "audit trail: finish of what is not open here");
    auto done = complete(known->second, how);
    if (done || is_of_one_row(done.error())) completed_.push_back(of);
    return done;
}

result<void> writing::complete(std::int64_t row, const ended_columns& how) {
    how.bind_to(complete_, row);
    auto done = step_once(complete_);
    if (done && file_.changes() == 0) return fail(errc::wrong_state, "audit trail: the row is completed already");
    return done;
}

result<void> writing::forget(statement& some, std::int64_t up_to) {
    some.bind(1, up_to);
    return step_once(some);
}

// Rows are numbered, and go from the old end, so that the numbers tell how many there are at most.
result<void> writing::keep_to_the_bound() {
    if (max_rows_ == 0 || inserted_ < std::clamp<std::uint64_t>(max_rows_ / 16, 1, slice / 2)) return {};
    inserted_ = 0;
    const auto newest = file_.number("SELECT coalesce(max(seq), 0) FROM execs");
    if (!newest) return newest.error();
    return forget(forget_up_to_, *newest - static_cast<std::int64_t>(max_rows_));
}

void writing::roll_back() noexcept {
    if (file_.in_transaction()) (void)file_.run("ROLLBACK");
}

// ---- answers ---------------------------------------------------------------------------------------------------------

void writing::refuse(write_job& job, const failure& why) {
    if (auto* begin = std::get_if<begin_job>(&job.what)) return answer<void>(begin->owed, why);
    if (auto* some = std::get_if<forget_job>(&job.what)) return answer<std::uint64_t>(some->owed, why);
    if (auto* finish = std::get_if<finish_job>(&job.what)) {
        answer<void>(finish->owed, why);
        if (open_.contains(finish->of)) owed_.push_back(std::move(*finish));
    }
}

bool writing::has_more(write_job& job) {
    auto* some = std::get_if<forget_job>(&job.what);
    if (some == nullptr) return false;
    some->forgotten += static_cast<std::uint64_t>(some->last_slice);
    return some->last_slice == slice;
}

void writing::answer_written(write_job& job) {
    if (auto* begin = std::get_if<begin_job>(&job.what)) answer<void>(begin->owed, {});
    if (auto* finish = std::get_if<finish_job>(&job.what)) answer<void>(finish->owed, {});
    if (auto* some = std::get_if<forget_job>(&job.what)) answer<std::uint64_t>(some->owed, some->forgotten);
}

}  // namespace exec::inline v0::sqlite
