// Values as JSON text: strings, numbers, and base64 for bytes that are no text.
//
// What is appended is one line of valid JSON that moves no cursor, starts no escape sequence and cannot reorder what stands
// around it, so that a body, a frame or an audit line may be printed as it is. Nothing is lost: a decoder gets the very
// text back. There is no document in here; whoever writes one writes its braces and commas.
// Threads: pure functions. Nothing here fails; all allocate by growing `out` alone.
#pragma once

#include <array>
#include <bit>
#include <charconv>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>

#include "exec/bytes.h"
#include "exec/display.h"

namespace exec::inline v0 {
namespace detail {

inline constexpr std::uint64_t json_each = 0x0101'0101'0101'0101;
inline constexpr std::uint64_t json_high = json_each * 0x80;

// The high bits of the bytes below 0x80 that may not stand in a JSON string as they are, or not on a terminal: the quote,
// the backslash, C0, DEL. Sums of numbers below 0x80 do not carry into the next byte, and leave the answer in its high bit.
constexpr std::uint64_t json_ascii_specials(std::uint64_t word) noexcept {
    const auto low = word & ~json_high;
    const auto differs = [low](char byte) {
        return (low ^ json_each * static_cast<unsigned char>(byte)) + json_each * 0x7F;
    };
    return ~word & json_high & (~((low + json_each * 0x60) & differs('"') & differs('\\')) | (low + json_each));
}
// The same of the bytes with which every character begins that deceives() may answer for: 0xC2, 0xD8, 0xE2.
constexpr std::uint64_t json_wide_specials(std::uint64_t word) noexcept {
    const auto low = word & ~json_high;
    const auto differs = [low](unsigned lead) { return (low ^ json_each * (lead - 0x80)) + json_each * 0x7F; };
    return word & json_high & ~(differs(0xC2) & differs(0xD8) & differs(0xE2));
}

// The first byte is the lowest.
inline std::uint64_t json_word(const char* text) noexcept {
    std::uint64_t word = 0;
    std::memcpy(&word, text, sizeof word);
    if constexpr (std::endian::native == std::endian::big) word = __builtin_bswap64(word);
    return word;
}

inline constexpr std::size_t json_block = 32;

// Whether a block has no specials. A question without a "where" can be asked of all its words at once.
inline bool json_plain_block(const char* text) noexcept {
    std::array<std::uint64_t, json_block / 8> words;  // filled here
    std::uint64_t special = 0;
    std::uint64_t every = 0;
    for (std::size_t i = 0; i < words.size(); ++i) {
        words[i] = json_word(text + 8 * i);
        special |= json_ascii_specials(words[i]);
        every |= words[i];
    }
    if (special != 0 || (every & json_high) == 0) return special == 0;
    for (const auto word : words) special |= json_wide_specials(word);
    return special == 0;
}

// What a character becomes, in eight bytes, so that it is copied in one step.
struct json_escape {
    std::array<char, 8> text{};
    std::size_t size = 0;
};
constexpr json_escape json_escape_of(char32_t value) noexcept {
    constexpr std::string_view digits = "0123456789abcdef";
    const auto two = [](char second) { return json_escape{{'\\', second}, 2}; };
    switch (value) {
        case '"': return two('"');
        case '\\': return two('\\');
        case '\n': return two('n');
        case '\r': return two('r');
        case '\t': return two('t');
        default: break;
    }
    if (value >= 0x20 && value < 0x7F) return {{static_cast<char>(value)}, 1};
    return {{'\\', 'u', digits[value >> 12U & 0xFU], digits[value >> 8U & 0xFU], digits[value >> 4U & 0xFU],
             digits[value & 0xFU]},
            6};
}
inline constexpr auto json_ascii = [] {
    std::array<json_escape, 0x80> all{};
    for (char32_t value = 0; value < all.size(); ++value) all[value] = json_escape_of(value);
    return all;
}();

// Writes what the front of `text` becomes, and up to eight bytes in all. Moves `text` past it, and returns where the next
// one goes. Of a character that is not escaped it takes one byte: the others are no specials.
inline char* put_json_wide(char* to, std::string_view& text) noexcept {
    const auto [value, bytes] = first_code_point(text);
    if (bytes != 0 && deceives(value)) {
        const auto escape = json_escape_of(value);
        text.remove_prefix(bytes);
        std::memcpy(to, escape.text.data(), escape.text.size());
        return to + escape.size;
    }
    *to = text.front();
    text.remove_prefix(1);
    return to + 1;
}
inline char* put_json(char* to, std::string_view& text) noexcept {
    const auto first = static_cast<unsigned char>(text.front());
    if (first >= 0x80) return put_json_wide(to, text);
    const auto& escape = json_ascii[first];
    text.remove_prefix(1);
    std::memcpy(to, escape.text.data(), escape.text.size());
    return to + escape.size;
}

// Through a block on the stack, so that a piece costs neither a call nor a look at the string's room. Long plain stretches go
// by 32 bytes; where there are specials, by eight, up to the next 32 without one.
inline void append_json_text(std::string& out, bytes_view text) {
    std::array<char, 1024> written;  // not initialised
    const auto* full = written.data() + written.size() - json_block;
    auto* to = written.data();
    const auto make_room = [&] {
        if (to <= full) return;
        out.append(written.data(), to);
        to = written.data();
    };
    while (text.size() >= 8) {
        while (text.size() >= json_block && json_plain_block(text.data())) {
            make_room();
            std::memcpy(to, text.data(), json_block);
            to += json_block;
            text.remove_prefix(json_block);
        }
        for (std::size_t plain_run = 0; plain_run < json_block && text.size() >= 8;) {
            const auto word = json_word(text.data());
            auto special = json_ascii_specials(word);
            if ((word & json_high) != 0) special |= json_wide_specials(word);
            const auto plain = static_cast<std::size_t>(std::countr_zero(special)) / 8;
            make_room();
            std::memcpy(to, text.data(), 8);
            to += plain;
            text.remove_prefix(plain);
            plain_run += plain;
            if (plain == 8) continue;
            to = put_json(to, text);
            plain_run = 0;
        }
    }
    while (!text.empty()) {
        make_room();
        to = put_json(to, text);
    }
    out.append(written.data(), to);
}

// The longest prefix that is UTF-8 without a NUL.
constexpr std::size_t shown_as_it_is(bytes_view text) noexcept {
    std::size_t done = 0;
    while (done < text.size()) {
        const auto [value, bytes] = first_code_point(text.substr(done));
        if (bytes == 0 || value == 0) break;
        done += bytes;
    }
    return done;
}

}  // namespace detail

// Appends a JSON string, quotes included. Quote, backslash, C0, DEL, C1, bidi controls and U+2028/9 are escaped.
// REQUIRES: utf8_valid(valid_utf8). Other bytes are copied, and what is appended is then no JSON.
inline void append_json_string(std::string& out, bytes_view valid_utf8) {
    out += '"';
    detail::append_json_text(out, valid_utf8);
    out += '"';
}

// Appends any bytes as a JSON string that people can read. A NUL, and every byte that is not UTF-8, becomes the text \xNN,
// as in display(); a decoder gets that text, not the byte. The rest is as in append_json_string, the backslash included, so
// that it is not meant to be parsed back.
inline void append_json_shown(std::string& out, bytes_view any) {
    constexpr std::string_view digits = "0123456789abcdef";
    out += '"';
    for (;;) {
        const auto readable = detail::shown_as_it_is(any);
        detail::append_json_text(out, any.substr(0, readable));
        if (readable == any.size()) break;
        const auto byte = static_cast<unsigned char>(any[readable]);
        out += "\\\\x";
        out += digits[byte >> 4U];
        out += digits[byte & 0xFU];
        any.remove_prefix(readable + 1);
    }
    out += '"';
}

template <std::integral Number>
requires(!std::same_as<Number, bool> && !std::same_as<Number, char>) void append_json_number(std::string& out,
                                                                                             Number value) {
    std::array<char, 24> text;  // -9223372036854775808 and 18446744073709551615 have 20 characters
    out.append(text.data(), std::to_chars(text.data(), text.data() + text.size(), value).ptr);
}

// Appends RFC 4648 base64 with padding, without quotes.
inline void append_base64(std::string& out, bytes_view any) {
    constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const auto before = out.size();
    out.resize(before + (any.size() + 2) / 3 * 4, '=');
    char* to = out.data() + before;
    const auto byte = [any](std::size_t at) -> std::uint32_t {
        return at < any.size() ? static_cast<unsigned char>(any[at]) : 0U;
    };
    std::size_t at = 0;
    for (; any.size() - at >= 3; at += 3) {
        const auto three = byte(at) << 16U | byte(at + 1) << 8U | byte(at + 2);
        *to++ = digits[three >> 18U];
        *to++ = digits[three >> 12U & 0x3FU];
        *to++ = digits[three >> 6U & 0x3FU];
        *to++ = digits[three & 0x3FU];
    }
    if (at == any.size()) return;
    const auto rest = byte(at) << 16U | byte(at + 1) << 8U;
    *to++ = digits[rest >> 18U];
    *to++ = digits[rest >> 12U & 0x3FU];
    if (any.size() - at == 2) *to = digits[rest >> 6U & 0x3FU];
}

}  // namespace exec::inline v0
