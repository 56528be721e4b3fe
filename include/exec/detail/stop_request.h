// The stop that a handle has asked for, on its way to the thread that drives the command; and what a caller is told whose command
// was stopped before it began.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <optional>

#include "exec/error.h"
#include "exec/outcome.h"
#include "exec/time.h"

namespace exec::inline v0::detail {

// Threads: ask() from any; the rest from the one that drives.
class stop_request {
   public:
    // Again: the grace can only get shorter.
    void ask(milliseconds grace) noexcept {
        const auto wanted = (std::max)(grace, milliseconds::zero()).count();
        auto before = grace_.load(std::memory_order_relaxed);
        while ((before == none || wanted < before) &&
               !grace_.compare_exchange_weak(before, wanted, std::memory_order_release, std::memory_order_relaxed)) {
        }
    }
    bool asked() const noexcept { return grace_.load(std::memory_order_acquire) != none; }
    // The grace, once for each time that one was asked for.
    std::optional<milliseconds> take() noexcept {
        const auto grace = grace_.exchange(none, std::memory_order_acquire);
        return grace == none ? std::nullopt : std::optional(milliseconds(grace));
    }

   private:
    static constexpr std::int64_t none = -1;
    std::atomic<std::int64_t> grace_{none};  // milliseconds
};

constexpr errc code_of_unbegun(stop_reason why) noexcept {
    switch (why) {
        case stop_reason::start_timeout:
        case stop_reason::deadline: return errc::start_timeout;
        case stop_reason::shutdown: return errc::shutting_down;
        default: return errc::cancelled;
    }
}

}  // namespace exec::inline v0::detail
