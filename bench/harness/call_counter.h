// call_counter: how many system calls a piece of work makes, children included until they execute.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <optional>

namespace bench {

struct calls {
    std::size_t parent = 0;
    std::size_t child = 0;                      // from its birth to its execve, both included
    std::map<unsigned long, std::size_t> by{};  // by number, both
};

// Runs `work` twice under ptrace in a process of its own and counts the second time. Nothing where this process may not be
// traced.
std::optional<calls> count_calls(const std::function<void()>& work);

}  // namespace bench
