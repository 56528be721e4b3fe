// recording_audit: an audit trail in memory, for tests that ask what was written, and what happens where nothing can be.
//
// Holds its users to the promises of audit.h: what is wrong with what was written is in `wrong()`.
// Threads: any.
#pragma once

#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "exec/audit.h"

namespace exec::inline v0::testing {

class recording_audit : public audit_sink {
   public:
    struct row {
        audit_record what{};
        std::optional<audit_end> how{};  // empty: begun, and not finished
    };

    // What begin() and finish() fail with from now on; empty: nothing.
    void fail_begin(std::optional<failure> why) {
        const std::lock_guard hold(guard_);
        begin_fails_ = std::move(why);
    }
    void fail_finish(std::optional<failure> why) {
        const std::lock_guard hold(guard_);
        finish_fails_ = std::move(why);
    }
    // From now on answers wait for let_go(): a disk that takes its time.
    void hold() {
        const std::lock_guard hold(guard_);
        holding_ = true;
    }
    // Answers all that wait, in the thread that calls, and those to come at once.
    void let_go() {
        std::vector<std::pair<reply<void>, result<void>>> due;
        {
            const std::lock_guard hold(guard_);
            holding_ = false;
            due = std::exchange(held_, {});
        }
        for (auto& [answer, what] : due) answer(std::move(what));
    }
    // How many answers wait.
    std::size_t held() const {
        const std::lock_guard hold(guard_);
        return held_.size();
    }

    // In the order of their begins. A copy.
    std::vector<row> rows() const {
        const std::lock_guard hold(guard_);
        return rows_;
    }
    // Promises that were broken: a record begun twice, finished twice, finished and never begun.
    std::vector<std::string> wrong() const {
        const std::lock_guard hold(guard_);
        return wrong_;
    }

    void begin(const audit_record& what, reply<void> answer) override {
        result<void> how;
        {
            const std::lock_guard hold(guard_);
            if (!what.id) wrong_.push_back("a record without an id");
            if (find_row(what.id) != nullptr) wrong_.push_back("begun twice: " + what.id.text());
            if (begin_fails_) {
                how = *begin_fails_;
            } else {
                rows_.push_back({what, std::nullopt});
            }
        }
        give(std::move(answer), std::move(how));
    }
    void finish(const audit_id& of, const audit_end& how, reply<void> answer) override {
        result<void> done;
        {
            const std::lock_guard hold(guard_);
            auto* const found = find_row(of);
            if (found == nullptr) {
                wrong_.push_back("finished and never begun: " + of.text());
            } else if (found->how) {
                wrong_.push_back("finished twice: " + of.text());
            } else if (!finish_fails_) {
                found->how = how;
            }
            if (finish_fails_) done = *finish_fails_;
        }
        give(std::move(answer), std::move(done));
    }
    void find(const audit_record& with_key, reply<std::optional<audit_seen>> answer) override {
        std::optional<audit_seen> seen;
        {
            const std::lock_guard hold(guard_);
            for (const auto& each : rows_) {
                if (each.what.who.subject == with_key.who.subject && each.what.who.tenant == with_key.who.tenant &&
                    each.what.target == with_key.target && each.what.what == with_key.what &&
                    each.what.idempotency_key == with_key.idempotency_key) {
                    seen = audit_seen{each.what.id, each.what.request_digest, each.how};
                }
            }
        }
        answer(std::move(seen));
    }

   private:
    row* find_row(const audit_id& of) {
        for (auto& each : rows_) {
            if (each.what.id == of) return &each;
        }
        return nullptr;
    }
    void give(reply<void> answer, result<void> how) {
        {
            const std::lock_guard hold(guard_);
            if (holding_) {
                held_.emplace_back(std::move(answer), std::move(how));
                return;
            }
        }
        answer(std::move(how));
    }

    mutable std::mutex guard_{};
    std::vector<row> rows_{};
    std::vector<std::string> wrong_{};
    std::optional<failure> begin_fails_{};
    std::optional<failure> finish_fails_{};
    bool holding_ = false;
    std::vector<std::pair<reply<void>, result<void>>> held_{};
};

}  // namespace exec::inline v0::testing
