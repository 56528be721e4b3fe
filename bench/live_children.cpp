// What does a child cost that is alive and captured, and how soon are 2000 of them ended?
#include <sys/resource.h>

#include <algorithm>

#include "harness/rounds.h"
#include "harness/usage.h"
#include "sides/side.h"

namespace {

constexpr std::size_t wanted = 2000;
enum figure { memory, threads, kill_and_reap };

bench::turn hold(const bench::side& of, std::size_t count) {
    return [&of, count](bool counts) -> std::vector<double> {
        const char* const waiting[] = {EXEC_BENCH_TINY, "wait", nullptr};
        const auto loop = of.fly();
        const std::size_t all = counts ? count : 20;
        const auto before = bench::resident_bytes();
        for (std::size_t i = 0; i < all; ++i) loop->start(waiting);
        loop->launch();
        const auto each = (bench::resident_bytes() - before) / static_cast<double>(all);
        const auto how_many = bench::threads();
        const auto began = bench::now();
        loop->kill_all();
        loop->drive_until(all);
        return {each / 1024, how_many, (bench::now() - began) * 1e3};
    };
}

}  // namespace

int main(int argc, char** argv) {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
    const auto count = (std::min)(wanted, static_cast<std::size_t>(limit.rlim_cur) / 5);

    bench::report report("live_children",
                         std::to_string(count) + " live children, both streams captured, on one thread", argc, argv);
    if (count < wanted) report.note("RLIMIT_NOFILE allows no more than " + std::to_string(limit.rlim_cur));
    std::vector<bench::side> sides;
    for (auto& one : bench::all_sides()) {
        if (one.fly) sides.push_back(std::move(one));
    }
    std::vector<bench::turn> turns;
    for (const auto& one : sides) turns.push_back(hold(one, count));

    // New processes in each round: memory that was used and freed before would not be counted.
    std::vector<std::vector<bench::samples>> got(sides.size(), std::vector<bench::samples>(3));
    for (std::size_t round = 0; round < report.rounds(3); ++round) {
        const auto once = bench::in_turns(1, turns);
        for (std::size_t i = 0; i < sides.size(); ++i) {
            for (const auto which : {memory, threads, kill_and_reap}) got[i][which].push_back(once[i][which][0]);
        }
    }
    report.column("KiB each", 2);
    report.column("threads", 0);
    report.column("kill + reap ms", 1);
    report.column("to bare", 2);
    report.column("to contract", 2);
    for (std::size_t i = 0; i < sides.size(); ++i) {
        const auto& of = got[i];
        report.row(sides[i].name, sides[i].is,
                   {bench::median(of[memory]), bench::median(of[threads]), bench::median(of[kill_and_reap]),
                    bench::ratio(of[kill_and_reap], got[0][kill_and_reap]),
                    bench::ratio(of[kill_and_reap], got[1][kill_and_reap])});
    }
    const auto& ours = got[2];
    report.at_most("KiB a child", bench::median(ours[memory]), 1);
    report.at_most("threads", bench::median(ours[threads]), 2);
    report.at_most("kill and reap to the bare floor", bench::ratio(ours[kill_and_reap], got[0][kill_and_reap]), 1.3);
    return report.finish();
}
