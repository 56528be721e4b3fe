// A newborn child that still holds a copy of every descriptor, and the commands beside it that have ended meanwhile.
#include <chrono>
#include <list>
#include <memory>
#include <optional>
#include <utility>

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <exec/testing/manual_clock.h>

#include "guards.h"
#include "heard.h"
#include "living.h"
#include "local_host.h"
#include "process/births.h"
#include "process/rung.h"

using namespace std::chrono_literals;
using exec::process::any_birth_among;
using exec::process::birth_in_progress;
using exec::process::births_begun;

namespace {

// A copy of this process that was made while a command was being started, and holds the pipes of that command.
pid_t holder = -1;

exec::process::birth born_beside_a_holder(exec::process::child_plan& plan,
                                          const exec::process::birth_options& options) {
    holder = ::fork();
    if (holder == 0) {
        for (;;) ::pause();
    }
    return exec::process::be_born_by_clone3(plan, options);
}

void end_holder() {
    REQUIRE(holder > 0);
    ::kill(holder, SIGKILL);
    REQUIRE(::waitpid(std::exchange(holder, -1), nullptr, 0) > 0);
}

// A command that has ended while the holder lives, on a loop whose time stands still.
class ended_beside_a_holder {
   public:
    ended_beside_a_holder() {
        exec::loop_options options;
        options.clock = &clock_;
        loop_ = test::new_loop(std::move(options));
        exec::local_options local;
        local.spawn = exec::spawn_kind::clone3;
        runner_ = test::new_runner(*loop_, local);
        exec::limits within;
        within.drain_idle = 100ms;
        within.drain_max = 1000ms;
        handle_ = runner_->start(test::child({"exit", "3"}), within, std::make_unique<test::listener>(to));
        REQUIRE(test::drive_until(*loop_, [&] { return to.pid.has_value(); }));
        REQUIRE(test::ends(*to.pid));
        REQUIRE(test::readable(loop_->poll_fd(), test::patience_ms));
        test::drain(*loop_);
        CHECK_FALSE(to.over());
    }

    void let_pass(exec::milliseconds time) {
        clock_.advance(time);
        loop_->post([] {});
        test::drain(*loop_);
    }
    void finish() {
        REQUIRE(test::drive_until(*loop_, [&] { return to.over(); }));
    }

    test::heard to{};

   private:
    const test::process_guard nothing_left_{};
    exec::testing::manual_clock clock_{};
    std::unique_ptr<exec::loop> loop_{};
    std::shared_ptr<exec::runner> runner_{};
    exec::execution handle_{};
};

}  // namespace

TEST_CASE("births: a newborn that holds the pipes of a command beside it does not cost that command its last words") {
    auto table = exec::process::rungs_in_use();
    table.clone3 = &born_beside_a_holder;
    const exec::process::replaced_rungs replaced(table);
    std::optional<birth_in_progress> neighbour;

    SUBCASE("it is waited for, until it lets go") {
        neighbour.emplace();
        ended_beside_a_holder command;
        for (int steps = 0; steps < 5; ++steps) command.let_pass(150ms);
        CHECK_FALSE(command.to.over());
        end_holder();
        command.finish();
        CHECK(command.to.outcome().exit == exec::exit_status::exited(3));
        CHECK(command.to.outcome().out.complete);
        CHECK(command.to.outcome().tree == exec::tree_state::group_gone);
    }
    SUBCASE("but no longer than drain_max") {
        neighbour.emplace();
        ended_beside_a_holder command;
        command.let_pass(1001ms);
        command.finish();
        CHECK_FALSE(command.to.outcome().out.complete);
        end_holder();
    }
    SUBCASE("once it has been born, silence ends the drain") {
        neighbour.emplace();
        ended_beside_a_holder command;
        command.let_pass(150ms);
        CHECK_FALSE(command.to.over());
        neighbour.reset();
        command.let_pass(101ms);
        command.finish();
        CHECK_FALSE(command.to.outcome().out.complete);
        CHECK(command.to.outcome().tree == exec::tree_state::may_survive);
        end_holder();
    }
    SUBCASE("one that began later has none of its pipes, and is not waited for") {
        ended_beside_a_holder command;
        neighbour.emplace();
        command.let_pass(101ms);
        command.finish();
        CHECK_FALSE(command.to.outcome().out.complete);
        end_holder();
    }
}

TEST_CASE(
    "births: those that began earlier are told from later ones, and more than there is room for count as earlier") {
    const auto nobody = births_begun();
    CHECK_FALSE(any_birth_among(nobody));
    {
        const birth_in_progress first;
        const auto then = births_begun();
        const birth_in_progress second;
        CHECK_FALSE(any_birth_among(nobody));
        CHECK(any_birth_among(then));
        CHECK(births_begun() == then + 1);
    }
    CHECK_FALSE(any_birth_among(births_begun()));

    std::list<birth_in_progress> many;
    for (int count = 0; count < 100; ++count) many.emplace_back();
    CHECK(any_birth_among(nobody));
    many.clear();
    CHECK_FALSE(any_birth_among(births_begun()));
}
