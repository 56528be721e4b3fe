// rounds: several sides measured in turn, A B C A B C ..., so that what disturbs the machine disturbs them alike.
//
// A figure is a median over rounds. A ratio is taken inside each round, where both sides met the same neighbours, and
// the median is taken of that. Each side works in a process of its own, since several of the peers want to be the only
// one to handle SIGCHLD.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <vector>

namespace bench {

using seconds = std::chrono::duration<double>;

// By the steady clock.
double now() noexcept;

// One figure of one side, a sample a round.
using samples = std::vector<double>;

double median(samples of);
// The median of `of` / `to`, round by round.
double ratio(const samples& of, const samples& to);

// What one side does in one turn, and the figures that came of it. `counts`: false in the first turn, which warms up.
using turn = std::function<std::vector<double>(bool counts)>;

// Gives every side one turn that only warms up, then `count` that count. The order is turned round in every other round, so
// that nobody always follows the same neighbour. Returns, for each side, samples[figure]. Ends the program where a side
// fails.
std::vector<std::vector<samples>> in_turns(std::size_t count, const std::vector<turn>& sides);

// Repeats `once` until `at_least` has passed and returns how many times that was.
template <class Once>
std::size_t repeat_for(seconds at_least, Once&& once) {
    const double end = now() + at_least.count();
    std::size_t done = 0;
    do {
        once();
        ++done;
    } while (now() < end);
    return done;
}

}  // namespace bench
