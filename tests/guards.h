// What a run must leave as it found it: the descriptors, children, threads, signals, directory and umask of its host.
//
// A test that starts a process begins with a guard, before the loop and the runner that it makes:
//
//     const test::process_guard nothing_left;
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace test {

// What of this process a run could change by mistake.
class host_state {
   public:
    static host_state now();

    // One sentence for each thing that is not as it was in `before`; empty: nothing has changed.
    std::vector<std::string> changes_since(const host_state& before) const;

   private:
    struct disposition {
        std::uintptr_t handler = 0;
        int flags = 0;
        std::uint64_t mask = 0;
        bool operator==(const disposition&) const = default;
    };
    using numbered = std::map<int, std::string>;

    numbered descriptors_;  // and what they are open on
    numbered children_;     // living or not, and their names
    numbered threads_;      // and their names
    std::array<disposition, 65> dispositions_{};
    std::uint64_t mask_ = 0;     // of this thread
    std::uint64_t pending_ = 0;  // of this thread and this process
    std::string directory_;
    std::string umask_;
};

// CHECKs at its end that nothing has changed since its beginning.
class process_guard {
   public:
    process_guard() : before_(host_state::now()) {}
    ~process_guard();
    process_guard(const process_guard&) = delete;
    process_guard& operator=(const process_guard&) = delete;

    // The kernel may list a thread for a moment after it was joined, and a child that was killed on a busy machine may take
    // longer to go than the library waits for it, which then keeps it for the next start to reap: both are waited for.
    std::vector<std::string> changes() const;

   private:
    const host_state before_;
};

}  // namespace test
