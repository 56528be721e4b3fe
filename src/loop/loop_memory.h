// loop_memory: one mapping with two uses: a page that tells whether this process is a forked child, and room to read into.
//
// The kernel empties the first page in a forked child (MADV_WIPEONFORK), so the question costs a load where getpid()
// would cost a system call. A vfork-like child shares the page, and is this process for our purposes.
#pragma once

#include <atomic>
#include <cstddef>
#include <span>

#include <sys/types.h>

#include "exec/export.h"

namespace exec::inline v0::detail {

class loop_memory {
   public:
    loop_memory() noexcept = default;
    ~loop_memory();
    loop_memory(const loop_memory&) = delete;
    loop_memory& operator=(const loop_memory&) = delete;

    // 0 or an errno value.
    int map(std::size_t scratch_bytes) noexcept;

    EXEC_API bool inherited() const noexcept;
    // Costs nothing until it is written to.
    std::span<char> scratch() const noexcept { return scratch_; }

   private:
    char* start_ = nullptr;
    std::span<char> scratch_{};
    pid_t made_by_ = 0;  // 0: the page tells
};

}  // namespace exec::inline v0::detail
