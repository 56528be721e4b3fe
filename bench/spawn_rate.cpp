// How fast are runs, one after the other, and what does each of them cost?
#include "harness/rounds.h"
#include "harness/usage.h"
#include "sides/side.h"

namespace {

enum figure { rate, cpu, heap };

}  // namespace

int main(int argc, char** argv) {
    bench::report report("spawn_rate", "runs of a tiny static child, one after the other, both streams captured", argc,
                         argv);
    const char* const tiny[] = {EXEC_BENCH_TINY, nullptr};
    const auto sides = bench::all_sides();
    std::vector<bench::turn> turns;
    for (const auto& side : sides) {
        turns.emplace_back([&](bool counts) -> std::vector<double> {
            const auto cpu_before = bench::cpu_seconds();
            const auto heap_before = bench::allocations();
            const auto began = bench::now();
            const auto runs = static_cast<double>(bench::repeat_for(bench::seconds(counts ? 0.06 : 0.01), [&] {
                side.must_say(tiny, {4, 4, true});
            }));
            return {runs / (bench::now() - began), (bench::cpu_seconds() - cpu_before) / runs * 1e6,
                    static_cast<double>(bench::allocations() - heap_before) / runs};
        });
    }
    const auto got = bench::in_turns(report.rounds(15), turns);

    report.column("runs/s", 0);
    report.column("to bare", 2);
    report.column("to contract", 2);
    report.column("CPU µs", 0);
    report.column("to bare", 2);
    report.column("to contract", 2);
    report.column("allocations", 1);
    const auto& bare = got[0];
    const auto& contract = got[1];
    const auto& ours = got[2];
    for (std::size_t i = 0; i < sides.size(); ++i) {
        const auto& of = got[i];
        report.row(sides[i].name, sides[i].is,
                   {bench::median(of[rate]), bench::ratio(of[rate], bare[rate]), bench::ratio(of[rate], contract[rate]),
                    bench::median(of[cpu]), bench::ratio(of[cpu], bare[cpu]), bench::ratio(of[cpu], contract[cpu]),
                    bench::median(of[heap])});
    }
    report.at_least("runs/s to the bare floor", bench::ratio(ours[rate], bare[rate]), 0.90);
    report.stretch("runs/s to the bare floor, more", bench::ratio(ours[rate], bare[rate]), 0.95, true);
    report.at_least("runs/s to the contract floor", bench::ratio(ours[rate], contract[rate]), 0.97);
    report.at_most("CPU to the bare floor", bench::ratio(ours[cpu], bare[cpu]), 1.15);
    report.at_most("CPU to the contract floor", bench::ratio(ours[cpu], contract[cpu]), 1.05);
    report.at_most("allocations, run()", bench::median(ours[heap]), 4);
    report.at_most("allocations, on a loop", bench::median(got[3][heap]), 4);
    return report.finish();
}
