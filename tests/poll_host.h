// The smallest host of a loop: poll(2) on its one descriptor, run_ready() when that is readable.
#pragma once

#include <chrono>
#include <cstddef>

#include <poll.h>

#include <exec/loop.h>

namespace test {

// Longer than any healthy wait on a loaded machine.
inline constexpr int patience_ms = 20000;

inline bool readable(int descriptor, int timeout_ms = 0) {
    pollfd what{descriptor, POLLIN, 0};
    return ::poll(&what, 1, timeout_ms) == 1;
}

// Drives until `done`, and tells whether it came. Counts in `wakes` how often poll() returned.
template <class Done>
bool drive_until(exec::loop& on, Done done, std::size_t* wakes = nullptr) {
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::milliseconds(patience_ms);
    while (!done()) {
        if (std::chrono::steady_clock::now() > give_up) return false;
        if (!readable(on.poll_fd(), patience_ms)) return false;
        if (wakes != nullptr) ++*wakes;
        on.run_ready();
    }
    return true;
}

// Drives for as long as there is anything to do at once.
inline std::size_t drain(exec::loop& on) {
    std::size_t handled = 0;
    while (readable(on.poll_fd())) handled += on.run_ready();
    return handled;
}

}  // namespace test
