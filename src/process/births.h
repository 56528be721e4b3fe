// births: which starts are going on in this process right now.
//
// A child is born with a copy of the host's descriptors and holds the pipes of whatever else is being started at that
// moment, until it has closed them or reached its exec. That takes microseconds, or as long as a busy machine leaves it
// unscheduled: a command beside it that has ended meanwhile then seems to have left somebody who holds its output. Whoever
// waits for the end of a pipe can ask here whether such a newborn explains it.
// Threads: any; no lock, so that nothing is left locked in a copy of the host made by fork.
#pragma once

#include <cstdint>

namespace exec::inline v0::process {

// One start, from before its child is born until that has reached its exec or is known never to.
class birth_in_progress {
   public:
    birth_in_progress() noexcept;
    ~birth_in_progress();
    birth_in_progress(const birth_in_progress&) = delete;
    birth_in_progress& operator=(const birth_in_progress&) = delete;

   private:
    int place_;  // -1: they were all taken
};

// How many have begun. A descriptor that is closed in this process before the call is held by no newborn of a later one.
std::uint64_t births_begun() noexcept;
// Whether one of the first `of` is still going on.
bool any_birth_among(std::uint64_t of) noexcept;

}  // namespace exec::inline v0::process
