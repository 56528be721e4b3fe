#include "posix/random.h"

#include <sys/types.h>

#include "posix/syscalls.h"

namespace exec::inline v0::posix {

bool fill_random(void* into, std::size_t size) noexcept {
    return sys().random(into, size, 0) == static_cast<ssize_t>(size);
}

}  // namespace exec::inline v0::posix
