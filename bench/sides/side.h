// side: one way to run commands, floor, peer or ours, in the shape in which the benchmarks compare them.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "harness/report.h"

namespace bench {

// A program and its arguments, ended by a null pointer. The first one is an absolute path.
using words = const char* const*;

// What was heard of one run; every side must have heard the same.
struct heard {
    std::uint64_t out = 0;
    std::uint64_t err = 0;
    bool ended = false;  // its end was seen and waited for

    bool operator==(const heard&) const = default;
};

// Commands in flight on one thread, by whatever loop the side has. Both streams of each are captured.
class flight {
   public:
    virtual ~flight() = default;

    // Runs `total` commands, `at_once` at a time, to their end. False where one of them was not heard as `expected`.
    bool run(words what, std::size_t total, std::size_t at_once, const heard& expected);

    // Starts one; nothing is heard of it before drive().
    virtual void start(words what) = 0;
    // Runs the loop until all that were started are running.
    virtual void launch() {}
    // Runs the loop until so many have ended in all.
    virtual void drive_until(std::size_t ended) = 0;
    // Ends all that run, as the library does it.
    virtual void kill_all() = 0;
    // kill_all() after so long, by the library's own timer, within drive_until().
    virtual void kill_after(std::chrono::milliseconds delay) = 0;

    std::size_t ended() const noexcept { return ended_; }
    // What was heard of the one that ended last.
    const heard& last() const noexcept { return last_; }

   protected:
    // Implementations call this at each end, from within drive_until(); then `ended()` decides whether to go on.
    void one_ended(const heard& how);

   private:
    words next_ = nullptr;
    std::size_t to_start_ = 0;
    std::size_t ended_ = 0;
    std::size_t wrong_ = 0;
    heard last_{};
    heard expected_{};
};

// One run by a loop: what side::run is for libraries that have nothing else.
heard run_in(flight& loop, words what);

struct side {
    std::string name;
    kind is;
    // Runs one command to its end in this thread, both streams captured.
    std::function<heard(words)> run{};
    // run(), and the program ends where something else was heard.
    void must_say(words what, const heard& expected) const;
    // Empty: this side has no loop.
    std::function<std::unique_ptr<flight>()> fly{};
};

// Every side of `each` that this build has.
side bare_floor();
side contract_floor();
side ours_blocking();
side ours_on_a_loop();
void add_peers(std::vector<side>& to);

// The floors, then ours, then the peers.
std::vector<side> all_sides();

}  // namespace bench
