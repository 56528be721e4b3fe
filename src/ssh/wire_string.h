// The strings of the SSH protocol: four bytes of length, the highest first, and so many bytes (RFC 4251 section 5).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace exec::inline v0::ssh {

// Takes a number off the front of `rest`. Nothing: there are fewer than four bytes; `rest` is left alone.
inline std::optional<std::uint32_t> take_number(std::string_view& rest) noexcept {
    if (rest.size() < 4) return {};
    std::uint32_t number = 0;
    for (std::size_t i = 0; i < 4; ++i) number = number << 8U | static_cast<unsigned char>(rest[i]);
    rest.remove_prefix(4);
    return number;
}

// Takes a string off the front of `rest`. Nothing: it is longer than what is there; what is left is of no use then.
inline std::optional<std::string_view> take_string(std::string_view& rest) noexcept {
    const auto size = take_number(rest);
    if (!size || *size > rest.size()) return {};
    const auto text = rest.substr(0, *size);
    rest.remove_prefix(*size);
    return text;
}

}  // namespace exec::inline v0::ssh
