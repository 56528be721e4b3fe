// large_host: the cost of a run in a host that has a lot of something.
#pragma once

#include <string>
#include <vector>

#include "harness/report.h"
#include "harness/rounds.h"
#include "sides/side.h"

namespace bench {

// Runs `what` one after the other, for `slice` in each turn, by every side; reports milliseconds a run and the ratio to
// the bare floor, and holds both kinds of ours to `most` times the floor.
inline int report_large_host(report& to, words what, seconds slice, std::size_t rounds, double most) {
    const auto sides = all_sides();
    std::vector<turn> turns;
    for (const auto& side : sides) {
        turns.emplace_back([&](bool counts) -> std::vector<double> {
            const auto began = now();
            const auto runs = repeat_for(counts ? slice : seconds(0), [&] { side.must_say(what, {4, 4, true}); });
            return {(now() - began) / static_cast<double>(runs) * 1e3};
        });
    }
    const auto got = in_turns(rounds, turns);
    to.column("ms a run", 3);
    to.column("to bare", 2);
    to.column("to contract", 2);
    for (std::size_t i = 0; i < sides.size(); ++i) {
        const auto& each = got[i][0];
        to.row(sides[i].name, sides[i].is, {median(each), ratio(each, got[0][0]), ratio(each, got[1][0])});
    }
    to.at_most("time to the bare floor", ratio(got[2][0], got[0][0]), most);
    to.at_most("time to the contract floor", ratio(got[2][0], got[1][0]), most);
    return to.finish();
}

}  // namespace bench
