// fmt formatters for what a host logs: how a command ended, why it never ran, and its argv as it may be shown.
//
// The one public header that includes fmt. Format specifications are those of strings: "{:<12}" pads, "{:.40}" cuts.
// Threads: pure functions.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>

#include "exec/argv.h"
#include "exec/bytes.h"
#include "exec/error.h"
#include "exec/outcome.h"
#include "exec/quote.h"

namespace exec::inline v0::detail {

constexpr std::string_view to_string(stream which) noexcept { return which == stream::out ? "out" : "err"; }
constexpr std::string_view to_string(started what) noexcept { return what == started::yes ? "yes" : "unknown"; }
inline std::string to_string(const exit_status& how) {
    switch (how.what) {
        case exit_status::kind::unknown: return "unknown";
        case exit_status::kind::exited: return fmt::format("exited {}", how.number);
        case exit_status::kind::signaled: return fmt::format("signaled {}{}", how.number, how.core ? " (core)" : "");
    }
    return "invalid";
}
inline std::string to_string(const failure& why) { return why.message(); }
inline std::string to_string(const argv& words) { return display(words); }

template <class T>
struct text_formatter : fmt::formatter<std::string_view> {
    template <class Context>
    auto format(const T& what, Context& context) const {
        return fmt::formatter<std::string_view>::format(to_string(what), context);
    }
};

}  // namespace exec::inline v0::detail

template <>
struct fmt::formatter<exec::ended> : exec::detail::text_formatter<exec::ended> {};
template <>
struct fmt::formatter<exec::stop_reason> : exec::detail::text_formatter<exec::stop_reason> {};
template <>
struct fmt::formatter<exec::tree_state> : exec::detail::text_formatter<exec::tree_state> {};
template <>
struct fmt::formatter<exec::started> : exec::detail::text_formatter<exec::started> {};
template <>
struct fmt::formatter<exec::stream> : exec::detail::text_formatter<exec::stream> {};
template <>
struct fmt::formatter<exec::stage> : exec::detail::text_formatter<exec::stage> {};
template <>
struct fmt::formatter<exec::advice> : exec::detail::text_formatter<exec::advice> {};
// "exited 3", "signaled 9", "signaled 6 (core)", "unknown".
template <>
struct fmt::formatter<exec::exit_status> : exec::detail::text_formatter<exec::exit_status> {};
// failure::message().
template <>
struct fmt::formatter<exec::failure> : exec::detail::text_formatter<exec::failure> {};
// display(argv): at most 256 bytes, nothing in it reaches a terminal as a control character. Not redacted.
template <>
struct fmt::formatter<exec::argv> : exec::detail::text_formatter<exec::argv> {};
