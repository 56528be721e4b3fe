// How many system calls does a run take, in the parent and in the child until it executes?
#include <sys/syscall.h>

#include "harness/call_counter.h"
#include "harness/rounds.h"
#include "sides/side.h"

int main(int argc, char** argv) {
    bench::report report("syscalls", "system calls a run of a tiny static child, both streams captured", argc, argv);
    constexpr std::size_t runs = 4;  // Poco closes every possible descriptor, each by a call that is stopped twice
    const char* const tiny[] = {EXEC_BENCH_TINY, nullptr};

    report.column("all", 1);
    report.column("parent", 1);
    report.column("child", 1);
    report.column("rt_sigaction", 1);
    std::vector<double> all;
    for (const auto& side : bench::all_sides()) {
        // How often a side is woken depends on who is quicker: the middle of some counts.
        bench::samples parent;
        bench::samples child;
        bench::samples actions;
        for (std::size_t round = 0; round < report.rounds(3); ++round) {
            const auto counted = bench::count_calls([&] {
                for (std::size_t i = 0; i < runs; ++i) side.must_say(tiny, {4, 4, true});
            });
            if (!counted) report.skip("ptrace is not permitted here");
            parent.push_back(static_cast<double>(counted->parent) / runs);
            child.push_back(static_cast<double>(counted->child) / runs);
            const auto found = counted->by.find(SYS_rt_sigaction);
            actions.push_back(found == counted->by.end() ? 0 : static_cast<double>(found->second) / runs);
        }
        all.push_back(bench::median(parent) + bench::median(child));
        report.row(side.name, side.is,
                   {all.back(), bench::median(parent), bench::median(child), bench::median(actions)});
    }
    report.at_most("run(), calls more than the contract floor", all[2] - all[1], 2);
    report.at_most("on a loop, calls more than the contract floor", all[3] - all[1], 8);
    return report.finish();
}
