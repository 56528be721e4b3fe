// When does a run that is out of time return, and what is left of it?
#include <dirent.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <string>

#include "harness/rounds.h"
#include "sides/raw_child.h"
#include "sides/side.h"

namespace {

constexpr std::chrono::milliseconds budget{100};
constexpr double budget_ms = 100;
enum figure { returned, alive, overshoot };

// How many processes have `word` among their arguments.
double count_running(const std::string& word) {
    double count = 0;
    DIR* const all = ::opendir("/proc");
    while (const auto* entry = ::readdir(all)) {
        std::ifstream file(std::string("/proc/") + entry->d_name + "/cmdline");
        const std::string line((std::istreambuf_iterator<char>(file)), {});
        if (line.starts_with("sleep") && line.find(word) != std::string::npos) ++count;
    }
    ::closedir(all);
    return count;
}

// Waits for the leader alone and ends it, or its group, when its time is over: its pipes are not waited for.
void raw_within_budget(bench::words what, bench::amount of_calls) {
    const auto child = bench::start_raw(what, of_calls);
    pollfd watched{child.pidfd, POLLIN, 0};
    if (::poll(&watched, 1, static_cast<int>(budget.count())) == 0) {
        if (of_calls == bench::amount::contract) {
            ::kill(-child.pid, SIGKILL);
        } else {
            ::syscall(SYS_pidfd_send_signal, child.pidfd, SIGKILL, nullptr, 0);
        }
    }
    bench::end_raw(child, of_calls);
}

void run_within_budget(const bench::side& by, bench::words what) {
    if (by.is == bench::kind::floor) {
        const bool contract = by.name == bench::contract_floor().name;
        return raw_within_budget(what, contract ? bench::amount::contract : bench::amount::bare);
    }
    const auto loop = by.fly();
    loop->kill_after(budget);
    loop->start(what);
    loop->drive_until(1);
}

}  // namespace

int main(int argc, char** argv) {
    bench::report report("timeout", "sh -c 'sleep 2 & exec sleep 2', given 100 ms, and a child alone", argc, argv);
    std::vector<bench::side> sides;
    for (auto& one : bench::all_sides()) {
        if (one.fly) sides.push_back(std::move(one));
    }
    std::vector<bench::turn> with_grandchild;
    std::vector<bench::turn> alone;
    for (const auto& side : sides) {
        with_grandchild.emplace_back([&](bool counts) -> std::vector<double> {
            if (!counts) return {};
            const auto sleep = "2.00000" + std::to_string(::getpid());
            const auto script = "sleep " + sleep + " & exec sleep " + sleep;
            const char* const shell[] = {"/bin/sh", "-c", script.c_str(), nullptr};
            const auto began = bench::now();
            run_within_budget(side, shell);
            const auto took = (bench::now() - began) * 1e3;
            return {took, count_running(sleep)};
        });
        alone.emplace_back([&](bool counts) -> std::vector<double> {
            if (!counts) return {};
            const char* const waiting[] = {EXEC_BENCH_TINY, "wait", nullptr};
            const auto began = bench::now();
            run_within_budget(side, waiting);
            return {(bench::now() - began) * 1e3 - budget_ms};
        });
    }
    // Peers return when the grandchild has ended: once is enough to see it.
    const auto tree = bench::in_turns(1, with_grandchild);
    const auto got = bench::in_turns(report.rounds(9), alone);

    report.column("returns ms", 1);
    report.column("still alive", 0);
    report.column("alone, late by ms", 2);
    for (std::size_t i = 0; i < sides.size(); ++i) {
        report.row(sides[i].name, sides[i].is,
                   {bench::median(tree[i][0]), bench::median(tree[i][1]), bench::median(got[i][0])});
    }
    constexpr std::size_t ours = 2;
    report.at_most("returns, ms after the deadline", bench::median(tree[ours][0]) - budget_ms, 10);
    report.at_most("left alive", bench::median(tree[ours][1]), 0);
    report.at_most("alone, ms later than the floor", bench::median(got[ours][0]) - bench::median(got[0][0]), 0.2);
    report.note("peers that return late have returned when the grandchild ended by itself, so nothing is left alive");
    return report.finish();
}
