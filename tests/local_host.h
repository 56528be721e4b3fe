// Commands on this host for tests, in both drive modes.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <exec/local_runner.h>
#include <exec/loop.h>
#include <exec/observer.h>
#include <exec/shell.h>

#include "heard.h"
#include "poll_host.h"
#include "sanitizer.h"

namespace test {

enum class drive { blocking, on_loop };
inline constexpr drive both_drives[] = {drive::blocking, drive::on_loop};
inline std::string name_of(drive how) { return how == drive::blocking ? "blocking" : "on a loop"; }

inline exec::command words(const std::vector<std::string>& all) {
    exec::command what;
    what.program_and_args = *exec::argv::make(all);
    return what;
}
// A sub-command of tests/child.
inline exec::command child(std::vector<std::string> all) {
    all.insert(all.begin(), EXEC_TEST_CHILD);
    return words(all);
}
inline exec::command sh(std::string_view script, std::initializer_list<std::string_view> arguments = {}) {
    exec::command what;
    what.program_and_args = *exec::shell_script(exec::shell::sh, script, arguments);
    return what;
}

inline std::unique_ptr<exec::loop> new_loop(exec::loop_options options = {}) {
    auto made = exec::make_loop(std::move(options));
    REQUIRE(made.has_value());
    return *std::move(made);
}
inline std::shared_ptr<exec::runner> new_runner(exec::loop& on, exec::local_options options = {}) {
    auto made = exec::make_local_runner(on, std::move(options));
    if (!made) FAIL(made.error().message());
    return *std::move(made);
}

// A loop, a runner on it, and a poll(2) around them.
class local_host {
   public:
    explicit local_host(exec::local_options options = {})
        : loop_(new_loop()), runner_(new_runner(*loop_, std::move(options))) {}

    exec::loop& on() noexcept { return *loop_; }
    exec::runner& local() noexcept { return *runner_; }

    // `to` outlives the command.
    exec::execution start(exec::command what, exec::limits within, heard& to) {
        return runner_->start(std::move(what), std::move(within), std::make_unique<listener>(to));
    }
    // Drives until everything was told to it.
    void finish(const heard& to) {
        REQUIRE(drive_until(*loop_, [&] { return to.over(); }));
    }

    exec::result<exec::outcome> run(drive how, exec::command what, exec::limits within, heard& to) {
        if (how == drive::blocking) {
            listener tell(to);
            return runner_->run(std::move(what), std::move(within), tell, {});
        }
        const auto handle = start(std::move(what), std::move(within), to);
        finish(to);
        return *std::move(to.end);
    }
    exec::result<exec::outcome> run(drive how, exec::command what, exec::limits within = {}) {
        heard to;
        auto how_it_ended = run(how, std::move(what), std::move(within), to);
        for (const auto& promise : to.broken) FAIL_CHECK(promise);
        return how_it_ended;
    }
    // Of a command that must have run.
    exec::outcome outcome_of(drive how, exec::command what, exec::limits within = {}) {
        auto ended = run(how, std::move(what), std::move(within));
        if (!ended) FAIL(ended.error().message());
        return *std::move(ended);
    }
    // Of a command that must not have run.
    exec::failure failure_of(drive how, exec::command what, exec::limits within = {}) {
        auto ended = run(how, std::move(what), std::move(within));
        if (ended) FAIL("it ran: ", ended->out.bytes, ended->err.bytes);
        return std::move(ended).error();
    }

   private:
    std::unique_ptr<exec::loop> loop_;
    std::shared_ptr<exec::runner> runner_;
};

}  // namespace test
