// scripted_directory: a directory with the targets that a test puts there.
//
//     testing::scripted_directory machines;
//     machines.add("acme", "build-7", {.run = runner, .kind = "machine"});
//     machines.add("acme", "build-8", fail(errc::target_not_ready));
//
// Whoever asks for what is not there, or for another tenant's, gets errc::target_not_found.
// Threads: any.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "exec/directory.h"
#include "exec/error.h"
#include "exec/result.h"

namespace exec::inline v0::testing {

class scripted_directory : public directory {
   public:
    struct asked {
        caller who{};
        target_id target{};
    };

    // In place of what was said of this target before.
    void add(std::string tenant, std::string target, result<route> answer) {
        const std::lock_guard hold(guard_);
        of_.insert_or_assign({std::move(tenant), std::move(target)}, std::move(answer));
    }
    // From now on answers wait for let_go(): a look-up that takes its time.
    void hold() {
        const std::lock_guard hold(guard_);
        holding_ = true;
    }
    // Answers all that wait, in the thread that calls, and those to come at once.
    void let_go() {
        std::vector<std::pair<reply<route>, result<route>>> due;
        {
            const std::lock_guard hold(guard_);
            holding_ = false;
            due = std::exchange(held_, {});
        }
        for (auto& [answer, what] : due) answer(std::move(what));
    }
    // Every question so far, in order. A copy.
    std::vector<asked> questions() const {
        const std::lock_guard hold(guard_);
        return asked_;
    }

    void find(const caller& who, const target_id& target, reply<route> answer) override {
        result<route> what = fail(errc::target_not_found);
        {
            const std::lock_guard hold(guard_);
            asked_.push_back({who, target});
            if (const auto found = of_.find({who.tenant, target.name()}); found != of_.end()) what = found->second;
            if (holding_) {
                held_.emplace_back(std::move(answer), std::move(what));
                return;
            }
        }
        answer(std::move(what));
    }

   private:
    mutable std::mutex guard_{};
    std::map<std::pair<std::string, std::string>, result<route>> of_{};
    std::vector<asked> asked_{};
    bool holding_ = false;
    std::vector<std::pair<reply<route>, result<route>>> held_{};
};

}  // namespace exec::inline v0::testing
