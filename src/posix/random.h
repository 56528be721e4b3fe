// Random bytes from the kernel.
#pragma once

#include <cstddef>

#include "exec/export.h"

namespace exec::inline v0::posix {

// False: the kernel has none yet, which ends a few seconds after its start. REQUIRES: size <= 256, which is never cut short.
EXEC_API bool fill_random(void* into, std::size_t size) noexcept;

}  // namespace exec::inline v0::posix
