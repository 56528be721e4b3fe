// Bytes, sizes and the two output streams of a command.
//
// Threads: values. A bytes_view that a callback receives is valid during that call only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>

namespace exec::inline v0 {

// Borrowed bytes, not text: anything may be in them, NUL included.
using bytes_view = std::string_view;

inline constexpr std::size_t KiB = 1024;
inline constexpr std::size_t MiB = 1024 * KiB;

// The one spelling of "no limit" for sizes.
inline constexpr std::uint64_t unlimited_bytes = (std::numeric_limits<std::uint64_t>::max)();

// `out` is descriptor 1, `err` descriptor 2. A merged or terminal command says everything on `out`.
enum class stream : std::uint8_t { out, err };

}  // namespace exec::inline v0
