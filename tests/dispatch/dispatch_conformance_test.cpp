// A command that goes through a dispatcher keeps the contract of every runner: the table of the conformance kit, played through
// directory, gate, admission and trail.
#include <exec/testing/runner_conformance.h>

#include <algorithm>
#include <cstdlib>
#include <future>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <exec/dispatcher_parts.h>
#include <exec/local_runner.h>
#include <exec/loop_thread.h>

#include "dispatch/front.h"
#include "guards.h"

namespace {

using namespace exec;
using testing::conformance_subject;
using testing::drive;

// Everything that the rows ask for is allowed.
policy permissive() {
    policy all;
    all.ceilings = {unlimited, unlimited, unlimited, unlimited, unlimited, unlimited,
                    unlimited, unlimited, SIZE_MAX,  SIZE_MAX,  SIZE_MAX};
    all.floors.heartbeat = milliseconds(1);
    all.floors.in_queue = 0;
    all.words = {};
    all.max_variables = all.max_variable_bytes = all.max_cwd_bytes = all.max_input_bytes = SIZE_MAX;
    all.variables.refused.clear();
    all.variables.inheritable = {"PATH", "HOME", "NO_SUCH_VARIABLE_HERE"};
    all.survivors_may_stay = all.orphans_may_run_on = true;
    all.concurrency.bytes = SIZE_MAX;
    all.concurrency.running = all.concurrency.running_per_caller = all.concurrency.running_per_target = 4096;
    return all;
}

// A dispatcher with one target, as a runner.
class through final : public runner {
   public:
    through(loop& on, std::shared_ptr<runner> to, std::shared_ptr<testing::recording_audit> audit,
            std::unique_ptr<loop> of_the_runner = {})
        : there_(std::move(of_the_runner)), to_(std::move(to)) {
        auto directory = std::make_shared<testing::scripted_directory>();
        directory->add("", "here", route{.run = to_});
        desk_ = make_dispatcher({.loop = &on,
                                 .directory = directory,
                                 .gate = std::make_shared<test::steered_gate>(),
                                 .audit = std::move(audit),
                                 .policy = permissive()})
                    .value();
        if (there_) driving_ = std::make_unique<loop_thread>(*there_);
    }
    execution start(command what, limits within, std::unique_ptr<observer> tell) override {
        return desk_->submit({.target = target_id("here"), .what = std::move(what), .within = std::move(within)},
                             std::move(tell));
    }
    capabilities can() const override { return to_->can(); }

   private:
    std::unique_ptr<loop> there_;
    std::shared_ptr<runner> to_;
    std::shared_ptr<dispatcher> desk_;
    std::unique_ptr<loop_thread> driving_{};
};

conformance_subject::pair pair_of(bool other_loop, const std::shared_ptr<testing::recording_audit>& audit) {
    auto on = make_loop().value();
    auto there = other_loop ? make_loop().value() : nullptr;
    auto local = make_local_runner(other_loop ? *there : *on).value();
    auto made = std::make_shared<through>(*on, std::shared_ptr<runner>(std::move(local)), audit, std::move(there));
    return {std::move(on), std::move(made)};
}

// Of a dispatcher that goes away, what has not begun ends: its host shuts down.
const std::set<std::string> left_out{"a runner may go before its commands"};

struct judged {
    std::string name;
    testing::conformance_report report;
    std::vector<testing::recording_audit::row> rows;
    std::vector<std::string> wrong;
};

judged play(bool other_loop, drive how, std::string name) {
    const auto audit = std::make_shared<testing::recording_audit>();
    auto own = pair_of(other_loop, audit);
    conformance_subject subject;
    subject.tested = own.tested;
    subject.on = own.on.get();
    subject.how = how;
    subject.fresh = [&] { return pair_of(other_loop, audit); };
    const char* row = std::getenv("EXEC_CONFORMANCE_ROW");
    subject.only = [&](std::string_view each) {
        return left_out.count(std::string(each)) == 0 && (row == nullptr || each.find(row) != std::string_view::npos);
    };
    std::unique_ptr<loop_thread> thread;
    if (how != drive::here) thread = std::make_unique<loop_thread>(*own.on);
    auto report = testing::check_conformance(subject);
    thread.reset();
    own.tested.reset();
    own.on.reset();
    return {std::move(name), std::move(report), audit->rows(), audit->wrong()};
}

}  // namespace

TEST_CASE(
    "dispatch conformance: a command through a dispatcher keeps every row, on its loop and from another, and is "
    "recorded") {
    const test::process_guard nothing_left;
    std::vector<std::future<judged>> playing;
    const auto add = [&](bool other_loop, drive how, const char* name) {
        playing.push_back(std::async(std::launch::async, play, other_loop, how, name));
    };
    add(false, drive::here, "driven here");
    add(false, drive::elsewhere, "driven by a thread");
    add(false, drive::blocking, "in a call that blocks");
    add(true, drive::here, "from another loop");
    for (auto& each : playing) {
        const auto [name, report, rows, wrong] = each.get();
        MESSAGE(report.text(name));
        for (const auto& violation : report.violations) FAIL_CHECK(name, ": ", violation.row, ": ", violation.sentence);
        CHECK((std::getenv("EXEC_CONFORMANCE_ROW") != nullptr || report.kept.size() >= 80));
        CHECK(wrong.empty());
        CHECK(std::all_of(rows.begin(), rows.end(), [](const auto& of) { return of.how.has_value(); }));
    }
}
