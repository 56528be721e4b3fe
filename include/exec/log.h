// log_sink: where events go that a person may want to read later. Implemented by hosts.
//
// An event has a fixed name, parts joined by dots from the room to the verb ("ssh.session.closed"), and typed fields: there
// is no sentence to parse. Text that came from outside has been through display() and argv through the redactor.
// Threads: a sink is called from any thread, by several at once, and under no lock of the library. It must not block.
// Never holds: output, environment values, tokens.
#pragma once

#include <concepts>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>
#include <variant>

#include "exec/time.h"

namespace exec::inline v0 {

enum class log_level : std::uint8_t {
    debug,    // each step of each command
    info,     // what happened, once a command or a connection
    warning,  // it went on, but somebody should know
    error,    // a promise could not be kept: a record was not written, a callback threw
};
constexpr std::string_view to_string(log_level how) noexcept {
    switch (how) {
        case log_level::debug: return "debug";
        case log_level::info: return "info";
        case log_level::warning: return "warning";
        case log_level::error: return "error";
    }
    return "invalid";
}

// A name and a value, both borrowed: valid during the call that hands them over.
struct log_field {
    using any = std::variant<bool, std::int64_t, std::uint64_t, double, nanoseconds, std::string_view>;

    constexpr log_field(std::string_view of, bool is) noexcept : name(of), value(is) {}
    template <std::integral Integer>
    constexpr log_field(std::string_view of, Integer is) noexcept : name(of), value(widened<Integer>(is)) {}
    constexpr log_field(std::string_view of, double is) noexcept : name(of), value(is) {}
    constexpr log_field(std::string_view of, nanoseconds is) noexcept : name(of), value(is) {}
    // `unlimited` becomes nanoseconds::max().
    constexpr log_field(std::string_view of, milliseconds is) noexcept
        : name(of), value(saturating_add(time_point{}, is).time_since_epoch()) {}
    constexpr log_field(std::string_view of, std::string_view is) noexcept : name(of), value(is) {}
    constexpr log_field(std::string_view of, const char* is) noexcept : name(of), value(std::string_view(is)) {}

    std::string_view name;
    any value;

   private:
    template <class Integer>
    using widened = std::conditional_t<std::is_signed_v<Integer>, std::int64_t, std::uint64_t>;
};

class log_sink {
   public:
    virtual ~log_sink() = default;

    // Asked before the fields of an event are put together; cheap.
    virtual bool wants(log_level /*how*/) const noexcept { return true; }
    // An exception that leaves it is swallowed: a command does not fail because nobody could write about it.
    virtual void write(log_level how, std::string_view event, std::span<const log_field> fields) = 0;
};

}  // namespace exec::inline v0
