// Where execution::id() comes from. One counter for every runner of a process, so that ids never collide.
#pragma once

#include <atomic>
#include <cstdint>

#include "exec/export.h"

namespace exec::inline v0::detail {

// Never 0. Exported, so that a host and a shared library of ours count together.
EXEC_API inline std::uint64_t next_execution_id() noexcept {
    static constinit std::atomic<std::uint64_t> last{0};
    return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

}  // namespace exec::inline v0::detail
