// unique_id: 128 random bits that name one thing of one kind.
//
// A job's name is never its pid, which the kernel gives away again, and never its tag, which somebody else may take
// next. Ids of different kinds do not mix: a job_id is no audit_id.
// Threads: values. Never makes an id: whoever owns the things takes the bits from getrandom(2).
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "exec/error.h"
#include "exec/result.h"

namespace exec::inline v0 {

// `Of` only tells the kinds apart and may be incomplete.
template <class Of>
class unique_id {
   public:
    using bits = std::array<std::uint8_t, 16>;

    constexpr unique_id() noexcept = default;  // all zero: names nothing
    // REQUIRES: nothing else of its kind was given these bits.
    explicit constexpr unique_id(const bits& random) noexcept : bits_(random) {}

    // The inverse of text(). One id has one spelling: 32 hexadecimal digits, lower case.
    // Fails with: errc::invalid_argument.
    static result<unique_id> parse(std::string_view text) {
        if (text.size() != digits) return fail(errc::invalid_argument, "id: not 32 digits");
        bits parsed{};
        for (std::size_t at = 0; at < digits; ++at) {
            const auto value = alphabet.find(text[at]);
            if (value == std::string_view::npos) {
                return fail(errc::invalid_argument, "id: no lower-case hexadecimal digit at " + std::to_string(at));
            }
            parsed[at / 2] = static_cast<std::uint8_t>(std::size_t{parsed[at / 2]} << 4U | value);
        }
        return unique_id(parsed);
    }
    std::string text() const {
        std::string shown(digits, '0');
        for (std::size_t at = 0; at < digits; ++at) {
            const auto byte = bits_[at / 2];
            shown[at] = alphabet[at % 2 == 0 ? byte >> 4U : byte & 0xFU];
        }
        return shown;
    }

    constexpr const bits& raw() const noexcept { return bits_; }
    explicit constexpr operator bool() const noexcept { return bits_ != bits{}; }
    auto operator<=>(const unique_id&) const = default;

   private:
    static constexpr std::size_t digits = 32;
    static constexpr std::string_view alphabet = "0123456789abcdef";

    bits bits_{};
};

}  // namespace exec::inline v0

template <class Of>
struct std::hash<exec::unique_id<Of>> {
    std::size_t operator()(const exec::unique_id<Of>& id) const noexcept {
        const auto& bits = id.raw();
        return std::hash<std::string_view>{}({reinterpret_cast<const char*>(bits.data()), bits.size()});
    }
};
