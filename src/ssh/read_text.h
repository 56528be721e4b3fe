// Small files that somebody was told to write, read whole or not at all.
#pragma once

#include <cstddef>
#include <string>

#include "exec/result.h"

namespace exec::inline v0::ssh {

// What the file says. The bytes are in no other memory of this process, so that wiping the string is enough. Blocks.
// Fails with: what the kernel says, EFBIG if it says more than `most` bytes.
result<std::string> read_text(const std::string& path, std::size_t most);

}  // namespace exec::inline v0::ssh
