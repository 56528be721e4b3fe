// Small files of the kernel's, read whole.
#pragma once

#include <string>

namespace exec::inline v0::posix {

// The file beneath `directory` (AT_FDCWD: as open(2)), or "" if it cannot be read.
std::string read_file_at(int directory, const char* path);

}  // namespace exec::inline v0::posix
