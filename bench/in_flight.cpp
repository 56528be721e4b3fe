// How fast are runs when one thread has 64 of them in flight?
#include <thread>

#include "harness/rounds.h"
#include "sides/side.h"

namespace {

constexpr std::size_t at_once = 64;
constexpr std::size_t a_batch = 4 * at_once;

// The rate of batches that are flown for a while.
double rate_of(bench::flight& loop, bool counts) {
    const char* const tiny[] = {EXEC_BENCH_TINY, nullptr};
    bool good = true;
    const auto began = bench::now();
    const auto batches = bench::repeat_for(bench::seconds(counts ? 0.12 : 0.01), [&] {
        good = loop.run(tiny, a_batch, at_once, {4, 4, true}) && good;
    });
    if (!good) std::_Exit(2);
    return static_cast<double>(batches * a_batch) / (bench::now() - began);
}

bench::turn one_thread(const bench::side& of) {
    return [&of, loop = std::shared_ptr<bench::flight>()](bool counts) mutable -> std::vector<double> {
        if (!loop) loop = of.fly();
        return {rate_of(*loop, counts)};
    };
}

bench::turn two_threads(const bench::side& of) {
    return [&of](bool counts) -> std::vector<double> {
        double rates[2] = {0, 0};
        const auto fly = [&](double& rate) {
            const auto loop = of.fly();
            rate = rate_of(*loop, counts);
        };
        std::thread other(fly, std::ref(rates[1]));
        fly(rates[0]);
        other.join();
        return {rates[0] + rates[1]};
    };
}

}  // namespace

int main(int argc, char** argv) {
    bench::report report("in_flight", "64 runs of a tiny static child in flight on one thread", argc, argv);
    std::vector<bench::side> sides;
    for (auto& one : bench::all_sides()) {
        if (one.fly) sides.push_back(std::move(one));
    }
    std::vector<bench::turn> turns;
    for (const auto& one : sides) turns.push_back(one_thread(one));
    const auto& ours = sides[2];
    turns.push_back(two_threads(ours));
    const auto got = bench::in_turns(report.rounds(9), turns);

    report.column("runs/s", 0);
    report.column("to bare", 2);
    report.column("to contract", 2);
    const auto row = [&](const std::string& name, bench::kind is, const bench::samples& rate) {
        report.row(name, is, {bench::median(rate), bench::ratio(rate, got[0][0]), bench::ratio(rate, got[1][0])});
    };
    for (std::size_t i = 0; i < sides.size(); ++i) row(sides[i].name, sides[i].is, got[i][0]);
    const auto& two = got.back()[0];
    row(ours.name + ", two threads", ours.is, two);
    report.at_least("runs/s to the bare floor", bench::ratio(got[2][0], got[0][0]), 0.85);
    report.at_least("runs/s to the contract floor", bench::ratio(got[2][0], got[1][0]), 0.95);
    report.at_least("two threads to one", bench::ratio(two, got[2][0]), 1.2);
    report.note("Poco has no loop");
    return report.finish();
}
