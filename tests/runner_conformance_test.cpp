#include <exec/testing/runner_conformance.h>

#include <algorithm>
#include <functional>
#include <future>
#include <iterator>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <exec/local_runner.h>
#include <exec/loop_thread.h>
#include <exec/wrappers.h>

#include "guards.h"
#include "sanitizer.h"

namespace {

using namespace exec;
using testing::check_conformance;
using testing::conformance_report;
using testing::conformance_subject;
using testing::drive;

// ---- the local runner ------------------------------------------------------------------------------------------------

const char* name_of(spawn_kind kind) {
    switch (kind) {
        case spawn_kind::automatic: return "automatic";
        case spawn_kind::clone3: return "clone3";
        case spawn_kind::clone: return "clone";
        case spawn_kind::posix_spawn: return "posix_spawn";
        case spawn_kind::fork: return "fork";
    }
    return "invalid";
}
const char* name_of(drive how) {
    switch (how) {
        case drive::blocking: return "blocking";
        case drive::here: return "loop";
        case drive::elsewhere: return "loop_thread";
    }
    return "invalid";
}

local_options on_rung(spawn_kind kind) {
    local_options options;
    options.spawn = kind;
    options.pid_namespace = kind != spawn_kind::posix_spawn;
    if (auto mine = own_cgroup()) options.cgroup = *mine;
    return options;
}

conformance_subject::pair local_pair(const local_options& options) {
    auto on = make_loop();
    REQUIRE(on);
    auto local = make_local_runner(**on, options);
    if (!local && !options.cgroup.empty()) {
        // Not a place where this process may make cgroups.
        auto without = options;
        without.cgroup.clear();
        local = make_local_runner(**on, without);
    }
    if (!local) FAIL(local.error().message());
    return {*std::move(on), *std::move(local)};
}

// The rows that this rung cannot keep. Nothing else may be refused.
std::set<std::string> refusals(spawn_kind kind, const conformance_subject& subject) {
    std::vector<bool capabilities::*> lacks;
    if (kind == spawn_kind::posix_spawn) {
        lacks = {&capabilities::cwd, &capabilities::terminal, &capabilities::pid_namespace, &capabilities::cgroup};
    } else if (!subject.tested->can().cgroup) {
        lacks = {&capabilities::cgroup};  // no hierarchy that this process may write to
    }
    std::set<std::string> names;
    for (const auto& row : testing::conformance_rows()) {
        const bool lacking = std::find(lacks.begin(), lacks.end(), row.need) != lacks.end();
        if (row.need != nullptr && lacking && testing::conformance::applies(row, subject)) names.insert(row.name);
    }
    return names;
}

// One rung in one drive mode. Returns what to say about it; assertions belong to the test's own thread.
struct judged {
    std::string name;
    conformance_report report;
    std::set<std::string> expected_refusals;
};

judged check_local(spawn_kind kind, drive how) {
    const auto options = on_rung(kind);
    auto own = local_pair(options);
    conformance_subject subject;
    subject.tested = own.tested;
    subject.on = own.on.get();
    subject.how = how;
    subject.fresh = [&options] { return local_pair(options); };
    std::unique_ptr<loop_thread> thread;
    if (how == drive::elsewhere) thread = std::make_unique<loop_thread>(*own.on);
    return {std::string("local runner, ") + name_of(kind) + ", " + name_of(how), check_conformance(subject),
            refusals(kind, subject)};
}

}  // namespace

TEST_CASE("conformance: the local runner keeps every row, on every rung, in every drive mode, all at once") {
    const test::process_guard nothing_left;
    std::vector<std::future<judged>> playing;
    for (const auto kind : {spawn_kind::clone3, spawn_kind::clone, spawn_kind::posix_spawn, spawn_kind::fork}) {
        // The rungs differ in nothing that two threads share.
        if (test::thread_sanitizer && kind != spawn_kind::clone3) continue;
        // A slow fork holds the pipes of those that are played beside it for longer than their drains last.
        if (test::address_sanitizer && kind == spawn_kind::fork) continue;
        for (const auto how : {drive::blocking, drive::here, drive::elsewhere}) {
            playing.push_back(std::async(std::launch::async, check_local, kind, how));
        }
        // Three times slower in all that it does: nine players at once leave a child unscheduled for longer than a drain.
        if (test::address_sanitizer) {
            for (const auto& each : playing) each.wait();
        }
    }
    for (auto& each : playing) {
        const auto [name, report, expected] = each.get();
        MESSAGE(report.text(name));
        for (const auto& violation : report.violations) FAIL_CHECK(name, ": ", violation.row, ": ", violation.sentence);
        CHECK(std::set<std::string>(report.refused.begin(), report.refused.end()) == expected);
        CHECK(report.total() >= 80);
    }
}

// ---- the kit itself -------------------------------------------------------------------------------------------------

namespace {

// The local runner, spoiled in one way.
class spoiled : public runner_wrapper {
   public:
    using runner_wrapper::runner_wrapper;
    execution start(command what, limits within, std::unique_ptr<observer> tell) override {
        return inner().start(std::move(what), std::move(within), spoil(std::move(tell)));
    }

   protected:
    virtual std::unique_ptr<observer> spoil(std::unique_ptr<observer> tell) { return tell; }
};

// What the kit says of one row, played on a spoiled runner.
template <class Runner>
conformance_report report_of(const std::string& row, milliseconds patience = milliseconds(30'000)) {
    auto on = *make_loop();
    conformance_subject subject;
    subject.tested = std::make_shared<Runner>(*make_local_runner(*on));
    subject.on = on.get();
    subject.how = drive::here;
    subject.patience = patience;
    subject.only = [&row](std::string_view name) { return name == row; };
    auto report = check_conformance(subject);
    CHECK(report.total() == 1);
    return report;
}

void finds(const conformance_report& report, const std::string& part_of_sentence) {
    REQUIRE(report.violations.size() == 1);
    CHECK_MESSAGE(report.violations[0].sentence.find(part_of_sentence) != std::string::npos, report.text("spoiled"));
}

// Changes what an observer is told by one function.
template <class Observer>
class spoiling : public spoiled {
   public:
    using spoiled::spoiled;

   private:
    std::unique_ptr<observer> spoil(std::unique_ptr<observer> tell) override {
        return std::make_unique<Observer>(std::move(tell));
    }
};

}  // namespace

TEST_CASE("conformance: the kit passes what it should pass, alone as in the whole table") {
    const auto report = report_of<spoiled>("a signal is told as a signal, and not as 128 + n");
    CHECK(report.kept.size() == 1);
    CHECK(report.text("x") == "x: 1 kept, 0 refused, 1 in all\n");
}

TEST_CASE("conformance: the kit finds an exit code that is off by one") {
    struct wrong final : observer_wrapper {
        using observer_wrapper::observer_wrapper;
        void on_done(result<outcome> how) override {
            if (how && how->exit.number == 200) ++how->exit.number;
            observer_wrapper::on_done(std::move(how));
        }
    };
    finds(report_of<spoiling<wrong>>("every exit code from 0 to 255 is told as it is"), "expected: exited 200");
}

TEST_CASE("conformance: the kit finds a byte that was lost on the way to the observer") {
    struct lossy final : observer_wrapper {
        using observer_wrapper::observer_wrapper;
        flow on_output(stream from, std::uint64_t at, bytes_view bytes) override {
            if (at != 0) return observer_wrapper::on_output(from, at, bytes);
            return observer_wrapper::on_output(from, at, bytes.substr(0, bytes.size() - 1));
        }
    };
    finds(report_of<spoiling<lossy>>("the observer sees every byte of both streams, in order, with its offset"), "");
}

TEST_CASE("conformance: the kit finds a second on_done, and a call outside the loop") {
    struct twice final : observer_wrapper {
        using observer_wrapper::observer_wrapper;
        void on_done(result<outcome> how) override {
            observer_wrapper::on_done(how);
            observer_wrapper::on_done(std::move(how));
        }
    };
    finds(report_of<spoiling<twice>>("ok means 0, and nothing else"), "a call came after on_done");
    struct elsewhere final : observer_wrapper {
        using observer_wrapper::observer_wrapper;
        void on_start(const start_info& what) override {
            std::async(std::launch::async, [&] { observer_wrapper::on_start(what); }).get();
        }
    };
    finds(report_of<spoiling<elsewhere>>("ok means 0, and nothing else"), "outside its loop");
}

TEST_CASE("conformance: the kit finds an end that is never told, and an observer that is never destroyed") {
    struct silent final : observer_wrapper {
        using observer_wrapper::observer_wrapper;
        void on_done(result<outcome>) override {}
    };
    finds(report_of<spoiling<silent>>("ok means 0, and nothing else"), "on_done was not called");
    struct keeping final : observer {
        explicit keeping(std::unique_ptr<observer> inner) : inner_(inner.get()) { kept().push_back(std::move(inner)); }
        static std::vector<std::unique_ptr<observer>>& kept() {
            static std::vector<std::unique_ptr<observer>> all;
            return all;
        }
        void on_start(const start_info& what) override { inner_->on_start(what); }
        void on_done(result<outcome> how) override { inner_->on_done(std::move(how)); }
        observer* inner_;
    };
    finds(report_of<spoiling<keeping>>("ids are not 0 and differ", milliseconds(200)), "it did not end in time");
    keeping::kept().clear();
}

TEST_CASE(
    "conformance: the kit finds an option that is dropped instead of refused, and one that is refused though offered") {
    struct denies_merge : spoiled {
        using spoiled::spoiled;
        capabilities can() const override {
            auto less = runner_wrapper::can();
            less.merge = false;
            return less;
        }
    };
    struct drops_merge final : denies_merge {
        using denies_merge::denies_merge;
        execution start(command what, limits within, std::unique_ptr<observer> tell) override {
            what.merge_err_into_out = false;
            return runner_wrapper::start(std::move(what), std::move(within), std::move(tell));
        }
    };
    const std::string row = "merged output is in the order in which it was said";
    finds(report_of<drops_merge>(row), "must refuse it as unsupported");
    struct refuses_merge final : spoiled {
        using spoiled::spoiled;
        execution start(command what, limits within, std::unique_ptr<observer> tell) override {
            const bool merged = std::exchange(what.merge_err_into_out, false);
            if (merged) what.cwd = std::string("\0", 1);
            return runner_wrapper::start(std::move(what), std::move(within), std::move(tell));
        }
    };
    finds(report_of<refuses_merge>(row), "expected all of out");
    struct honest final : denies_merge {
        using denies_merge::denies_merge;
        execution start(command what, limits within, std::unique_ptr<observer> tell) override {
            if (!what.merge_err_into_out)
                return denies_merge::start(std::move(what), std::move(within), std::move(tell));
            // Whatever the inner runner refuses as unsupported.
            within.contain = containment::cgroup;
            return denies_merge::start(std::move(what), std::move(within), std::move(tell));
        }
    };
    const auto report = report_of<honest>(row);
    CHECK(report.refused == std::vector<std::string>{row});
}

TEST_CASE("conformance: the kit finds a failure to start that is made up as an exit code") {
    struct shell_like final : observer_wrapper {
        using observer_wrapper::observer_wrapper;
        void on_done(result<outcome> how) override {
            if (how) return observer_wrapper::on_done(std::move(how));
            const limits none;
            observer_wrapper::on_start({{}, "shell", none});
            outcome made_up;
            made_up.exit = exit_status::exited(127);
            observer_wrapper::on_done(std::move(made_up));
        }
    };
    finds(report_of<spoiling<shell_like>>("an unknown program is a failure that names the stage, and not an exit code"),
          "expected a failure at: program");
}

TEST_CASE("conformance: the names of the rows are different sentences, and there are enough of them") {
    std::set<std::string> names;
    for (const auto& row : testing::conformance_rows()) {
        CAPTURE(row.name);
        CHECK(names.insert(row.name).second);
    }
    CHECK(names.size() >= 120);
}
