// display: hostile text, made safe to show.
//
// Whatever came from outside (a banner, a peer's last words, an argument, a tag) reaches logs, terminals and
// messages through here and nowhere else. What is returned is one line of valid UTF-8 that moves no cursor,
// starts no escape sequence and cannot reorder what stands around it. It is for people: unambiguous, but not
// meant to be parsed back. Threads: pure functions. Needs nothing but the standard library, so that every
// room may use it.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace exec::inline v0 {

namespace detail {

// A code point at the front of `text`: how many bytes it takes there, 0 if they are not UTF-8 (overlong
// forms, surrogates, values above U+10FFFF and cut sequences are not).
struct code_point {
    char32_t value = 0;
    std::size_t bytes = 0;
};

constexpr code_point first_code_point(std::string_view text) noexcept {
    const auto byte = [text](std::size_t at) -> char32_t {
        return at < text.size() ? static_cast<unsigned char>(text[at]) : char32_t{0};
    };
    const auto follows = [&byte](std::size_t at) { return (byte(at) & 0xC0U) == 0x80U; };
    const char32_t lead = byte(0);
    if (text.empty()) return {};
    if (lead < 0x80) return {lead, 1};
    if (lead >= 0xC2 && lead < 0xE0 && follows(1)) return {(lead & 0x1FU) << 6U | (byte(1) & 0x3FU), 2};
    if (lead >= 0xE0 && lead < 0xF0 && follows(1) && follows(2)) {
        const char32_t value = (lead & 0x0FU) << 12U | (byte(1) & 0x3FU) << 6U | (byte(2) & 0x3FU);
        if (value >= 0x800 && (value < 0xD800 || value > 0xDFFF)) return {value, 3};
    }
    if (lead >= 0xF0 && lead < 0xF5 && follows(1) && follows(2) && follows(3)) {
        const char32_t value =
            (lead & 0x07U) << 18U | (byte(1) & 0x3FU) << 12U | (byte(2) & 0x3FU) << 6U | (byte(3) & 0x3FU);
        if (value >= 0x10000 && value <= 0x10FFFF) return {value, 4};
    }
    return {};
}

// C1, the line and paragraph separators, and every control that reorders text (UAX #9).
constexpr bool deceives(char32_t value) noexcept {
    return (value >= 0x80 && value <= 0x9F) || value == 0x061C || value == 0x200E || value == 0x200F ||
           (value >= 0x2028 && value <= 0x202E) || (value >= 0x2066 && value <= 0x2069);
}

constexpr bool is_plain(char byte) noexcept { return byte >= ' ' && byte <= '~' && byte != '\\'; }

// Text that grows up to a bound and then ends in "...", cut between pieces and never inside one.
class bounded_text {
   public:
    explicit bounded_text(std::size_t most) noexcept
        : most_(most), room_for_mark_(most > mark.size() ? most - mark.size() : 0) {}

    // Appends a piece that may only appear whole. False once the text is full; nothing is taken after that.
    bool piece(std::string_view whole) {
        if (full_) return false;
        if (whole.size() > most_ - text_.size()) return cut();
        text_ += whole;
        if (text_.size() <= room_for_mark_) keep_ = text_.size();
        return true;
    }
    // Appends bytes that may be cut anywhere.
    bool run(std::string_view bytes) {
        if (full_) return false;
        if (text_.size() <= room_for_mark_) keep_ = (std::min)(room_for_mark_, text_.size() + bytes.size());
        const auto fits = (std::min)(bytes.size(), most_ - text_.size());
        text_ += bytes.substr(0, fits);
        return fits == bytes.size() || cut();
    }
    bool full() const noexcept { return full_; }
    std::size_t room() const noexcept { return most_ - text_.size(); }
    std::string take() noexcept { return std::move(text_); }

   private:
    static constexpr std::string_view mark = "...";

    bool cut() {
        text_.resize(keep_);
        text_ += mark.substr(0, most_);
        full_ = true;
        return false;
    }

    std::string text_{};
    std::size_t most_;
    std::size_t room_for_mark_;  // a text no longer than this still has room for the mark
    std::size_t keep_ = 0;       // the longest such text that ends between pieces
    bool full_ = false;
};

// Appends the display form of the code point or broken byte at the front of `text`; returns how many bytes it
// took.
inline std::size_t show_one(bounded_text& shown, std::string_view text) {
    constexpr std::string_view digits = "0123456789abcdef";
    const auto [value, bytes] = first_code_point(text);
    const auto byte = static_cast<unsigned char>(text.front());
    switch (byte) {
        case '\n': shown.piece("\\n"); return 1;
        case '\r': shown.piece("\\r"); return 1;
        case '\t': shown.piece("\\t"); return 1;
        case '\\': shown.piece("\\\\"); return 1;
        default: break;
    }
    if (bytes == 0 || (bytes == 1 && !is_plain(text.front()))) {
        const std::array<char, 4> escape{'\\', 'x', digits[byte >> 4U], digits[byte & 0xFU]};
        shown.piece({escape.data(), escape.size()});
        return 1;
    }
    if (deceives(value)) {
        const std::array<char, 6> escape{'\\',
                                         'u',
                                         digits[value >> 12U & 0xFU],
                                         digits[value >> 8U & 0xFU],
                                         digits[value >> 4U & 0xFU],
                                         digits[value & 0xFU]};
        shown.piece({escape.data(), escape.size()});
        return bytes;
    }
    shown.piece(text.substr(0, bytes));
    return bytes;
}

// False once `shown` is full.
inline bool show(bounded_text& shown, std::string_view text) {
    while (!text.empty() && !shown.full()) {
        const auto reach = text.size() <= shown.room() ? text.size() : shown.room() + 1;
        std::size_t plain = 0;
        while (plain < reach && is_plain(text[plain])) ++plain;
        if (plain > 0) {
            shown.run(text.substr(0, plain));
        } else {
            plain = show_one(shown, text);
        }
        text.remove_prefix(plain);
    }
    return !shown.full();
}

}  // namespace detail

// `hostile` as one line of valid UTF-8 of at most `most` bytes. Backslash, line feed, return and tab become
// \\ \n \r \t; other C0 controls, DEL and every byte that is not UTF-8 become \xNN; C1, bidi controls and
// U+2028/9 become \uNNNN. A text that was cut ends in "...", never inside an escape or a character. Reads no
// more of `hostile` than it shows.
inline std::string display(std::string_view hostile, std::size_t most = 256) {
    detail::bounded_text shown(most);
    detail::show(shown, hostile);
    return shown.take();
}

}  // namespace exec::inline v0
