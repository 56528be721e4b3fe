// The two descriptors in a loop's epoll that are its own. Their tickets name no slot that a watch could ever have.
#pragma once

#include <cstdint>

namespace exec::inline v0::detail {

inline constexpr std::uint64_t wake_ticket = 0xffffffff;
inline constexpr std::uint64_t timer_ticket = 0x1'ffffffff;

}  // namespace exec::inline v0::detail
