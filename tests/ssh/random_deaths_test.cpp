// Many commands over few sessions whose servers die at random, and what they are told beside what the far side saw.
//
// EXEC_SOAK_EXECS: how many commands the soak runs (100,000).
#include <exec/ssh/runner.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "file_text.h"
#include "guards.h"
#include "ssh/remote_host.h"

using namespace std::chrono_literals;
using exec::exit_status;
using test::flight;
using test::remote_host;
using test::sh;

namespace {

constexpr std::size_t in_flight = 24;

int status_of(std::size_t number) { return static_cast<int>(number % 7); }

// What was told of one command.
struct account {
    bool failed = false;
    bool exited = false;
};

void die_at_random(std::size_t count) {
    const test::process_guard nothing_left;
    const test::scratch_directory place;
    const auto file = place / "seen";
    exec::ssh::pool_options options;
    options.sessions_per_target = 4;
    remote_host host(test::quick(), options);
    std::mt19937 random(20'260'101);
    const auto pick = [&](std::size_t below) {
        return std::uniform_int_distribution<std::size_t>(0, below - 1)(random);
    };
    exec::limits within;
    within.start_timeout = exec::unlimited;

    std::vector<account> told(count);
    std::vector<std::pair<std::size_t, std::unique_ptr<flight>>> flying;
    std::size_t lost = 0;
    std::size_t kills = 0;
    std::size_t next_kill = 50;
    for (std::size_t started = 0, ended = 0; ended < count;) {
        for (; started < count && flying.size() < in_flight; ++started) {
            const auto number = std::to_string(started);
            // A line is one write, and whole.
            flying.emplace_back(
                started, host.begin(sh("echo b" + number + " >>" + file + "; echo " + number + "; echo e" + number +
                                       " >>" + file + "; exit " + std::to_string(status_of(started))),
                                    within));
        }
        host.client().until([&] {
            return std::any_of(flying.begin(), flying.end(), [](const auto& one) { return one.second->over(); });
        });
        for (auto& [number, one] : flying) {
            if (!one->over()) continue;
            one->kept_its_promises();
            ++ended;
            if (!one->to.end->has_value()) {
                told[number].failed = true;
            } else if (one->outcome().how() == exec::ended::exited) {
                told[number].exited = true;
                CHECK(one->outcome().exit == exit_status::exited(status_of(number)));
                CHECK(one->outcome().out.bytes == std::to_string(number) + "\n");
            } else {
                ++lost;
                CHECK(one->outcome().how() == exec::ended::lost);
                // An exit that came before the end of the connection may stand beside it, and no other one.
                CHECK(one->outcome().exit.what != exit_status::kind::signaled);
                if (one->outcome().exit.what == exit_status::kind::exited)
                    CHECK(one->outcome().exit.number == status_of(number));
            }
            one.reset();
        }
        flying.erase(
            std::remove_if(flying.begin(), flying.end(), [](const auto& one) { return one.second == nullptr; }),
            flying.end());
        if (ended < next_kill) continue;
        next_kill = ended + 20 + pick(180);
        const auto serving = host.server().connections();
        if (serving.empty()) continue;
        ++kills;
        const auto victim = serving[pick(serving.size())];
        for (const auto child : test::children_of(victim)) {
            if (test::file_text("/proc/" + std::to_string(child) + "/comm").rfind("sshd", 0) == 0)
                ::kill(child, SIGKILL);
        }
        ::kill(victim, SIGKILL);
    }
    CHECK(host.stats().waiting == 0);
    CHECK(host.outcome_of(sh("exit 3")).exit == exit_status::exited(3));
    MESSAGE(count, " commands, ", kills, " deaths, ", lost, " lost, ", host.stats().connects, " connects");
    CHECK(kills > 0);
    CHECK(lost > 0);
    // What still runs there may still write, the shells for orders apart.
    host.client().end_pool();
    CHECK(host.client().sees([&] { return host.server().commands().empty(); }));

    std::vector<unsigned> begun(count);
    std::vector<unsigned> ended(count);
    std::istringstream seen(test::file_text(file));
    for (std::string line; std::getline(seen, line);) {
        auto& of = line.front() == 'b' ? begun : ended;
        ++of.at(std::stoul(line.substr(1)));
    }
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < count; ++i) {
        const bool once = begun[i] <= 1;
        const bool true_end = !told[i].exited || (begun[i] == 1 && ended[i] == 1);
        const bool never_ran = !told[i].failed || begun[i] == 0;
        if (once && true_end && never_ran) continue;
        ++wrong;
        FAIL_CHECK("command ", i, ": begun ", begun[i], ", ended ", ended[i], ", told ",
                   told[i].failed   ? "failed"
                   : told[i].exited ? "exited"
                                    : "lost");
    }
    CHECK(wrong == 0);
}

}  // namespace

TEST_CASE("ssh deaths: of 1,500 commands whose connections die at random each is told what the far side saw") {
    die_at_random(1'500);
}

TEST_SUITE("soak") {
    TEST_CASE("ssh deaths: of 100,000 commands whose connections die at random each is told what the far side saw") {
        const char* const count = std::getenv("EXEC_SOAK_EXECS");
        die_at_random(count != nullptr ? static_cast<std::size_t>(std::strtoul(count, nullptr, 10)) : 100'000);
    }
}
