// A dispatcher with parts that a test can steer, on a loop whose clock stands still until it is moved.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <exec/dispatcher_parts.h>
#include <exec/testing/manual_clock.h>
#include <exec/testing/recording_audit.h>
#include <exec/testing/scripted_directory.h>
#include <exec/testing/scripted_runner.h>

#include "heard.h"

namespace test {

// Lets everybody in who is not named.
class steered_gate : public exec::gate {
   public:
    struct asked {
        std::string subject{};
        exec::verb what{};
        const exec::runner* way = nullptr;
    };
    void refuse(const std::string& subject, std::string why) {
        const std::lock_guard hold(guard_);
        refused_ = {subject, std::move(why)};
    }
    void hold() {
        const std::lock_guard hold(guard_);
        holding_ = true;
    }
    void let_go() {
        std::vector<exec::reply<void>> due;
        {
            const std::lock_guard hold(guard_);
            holding_ = false;
            due = std::exchange(held_, {});
        }
        for (auto& each : due) each({});
    }
    std::vector<asked> questions() const {
        const std::lock_guard hold(guard_);
        return asked_;
    }
    void check(const exec::caller& who, exec::verb what, const exec::target_id&, const exec::route& way,
               exec::reply<void> answer) override {
        exec::result<void> how;
        {
            const std::lock_guard hold(guard_);
            asked_.push_back({who.subject, what, way.run.get()});
            if (holding_) {
                held_.push_back(std::move(answer));
                return;
            }
            if (refused_.first == who.subject) how = exec::fail(exec::errc::denied, refused_.second);
        }
        answer(std::move(how));
    }

   private:
    mutable std::mutex guard_{};
    std::pair<std::string, std::string> refused_{"\n", ""};
    std::vector<asked> asked_{};
    bool holding_ = false;
    std::vector<exec::reply<void>> held_{};
};

class recording_log : public exec::log_sink {
   public:
    void write(exec::log_level, std::string_view event, std::span<const exec::log_field> fields) override {
        const std::lock_guard hold(guard_);
        std::string line(event);
        for (const auto& each : fields) {
            line += ' ';
            line += each.name;
            if (const auto* text = std::get_if<std::string_view>(&each.value)) (line += '=') += *text;
        }
        lines_.push_back(std::move(line));
    }
    std::vector<std::string> lines() const {
        const std::lock_guard hold(guard_);
        return lines_;
    }

   private:
    mutable std::mutex guard_{};
    std::vector<std::string> lines_{};
};

class summing_metrics : public exec::metrics_sink {
   public:
    void record(const exec::metric& which, double value, std::span<const exec::metric_label> labels) override {
        const std::lock_guard hold(guard_);
        std::string name(which.name);
        for (const auto& each : labels) ((name += ' ') += each.name).append("=").append(each.value);
        sums_[name] += value;
    }
    double operator()(const std::string& name) const {
        const std::lock_guard hold(guard_);
        const auto found = sums_.find(name);
        return found == sums_.end() ? 0 : found->second;
    }

   private:
    mutable std::mutex guard_{};
    std::map<std::string, double> sums_{};
};

struct front {
    std::deque<heard> ears{};  // outlives every observer
    exec::testing::manual_clock clock{};
    std::unique_ptr<exec::loop> loop = exec::make_loop({.clock = &clock}).value();
    std::shared_ptr<exec::testing::scripted_runner> runner =
        std::make_shared<exec::testing::scripted_runner>(*loop, clock);
    std::shared_ptr<exec::testing::scripted_directory> directory =
        std::make_shared<exec::testing::scripted_directory>();
    std::shared_ptr<steered_gate> gate = std::make_shared<steered_gate>();
    std::shared_ptr<exec::testing::recording_audit> audit = std::make_shared<exec::testing::recording_audit>();
    std::shared_ptr<recording_log> log = std::make_shared<recording_log>();
    std::shared_ptr<summing_metrics> metrics = std::make_shared<summing_metrics>();
    std::shared_ptr<exec::dispatcher> desk{};

    explicit front(exec::dispatcher_parts with = {}) {
        directory->add("acme", "build-7", exec::route{.run = runner, .kind = "machine", .labels = {{"rack", "7"}}});
        with.loop = loop.get();
        with.directory = directory;
        with.gate = gate;
        if (!with.audit) with.audit = audit;
        with.log = log;
        with.metrics = metrics;
        desk = exec::make_dispatcher(std::move(with)).value();
    }
    ~front() { CHECK(audit->wrong() == std::vector<std::string>{}); }

    heard& hear() { return ears.emplace_back(); }
    static exec::call ask(std::string subject = "ada", std::string target = "build-7") {
        return {.who = {.subject = std::move(subject), .tenant = "acme"},
                .target = exec::target_id(std::move(target)),
                .what = {.program_and_args = exec::argv("uname")}};
    }
    // The command stays in flight until its script ends.
    exec::execution start(heard& to, exec::call what = ask()) {
        return desk->submit(std::move(what), std::make_unique<listener>(to));
    }
    void turn() {
        while (loop->run_ready() != 0) {
        }
    }
    void pass(exec::milliseconds so_long) {
        clock.advance(so_long);
        turn();
    }
    // From the call to its end, for a script that ends by itself.
    exec::result<exec::outcome> end_of(exec::call what = ask()) {
        auto& to = hear();
        const auto running = start(to, std::move(what));
        turn();
        REQUIRE(to.over());
        CHECK(to.broken.empty());
        return *to.end;
    }
    exec::errc refusal(exec::call what) {
        const auto end = end_of(std::move(what));
        REQUIRE_FALSE(end.has_value());
        return end.error().kind();
    }
};

}  // namespace test
