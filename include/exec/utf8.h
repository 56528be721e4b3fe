// Where one may cut UTF-8, and whether bytes are UTF-8 at all.
//
// Output arrives in pieces that end anywhere, also inside a character. These functions find the cuts that
// split none, for whoever must hand text on: a JSON string, a terminal, a log line. Bytes that are no UTF-8
// are never held back, changed or refused here; each maximal broken sequence counts as one character, as a
// decoder that substitutes U+FFFD sees it (Unicode 15, section 3.9, table 3-7: no overlong forms, no
// surrogates, nothing above U+10FFFF).
// Threads: pure functions. None allocates, none fails.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "exec/bytes.h"

namespace exec::inline v0 {
namespace detail {

// What a first byte promises: the length of its character, and the range of the byte that follows.
struct utf8_lead {
    std::size_t length;  // 0: no character begins with this byte
    unsigned char low, high;
};

constexpr utf8_lead utf8_lead_of(char first) noexcept {
    const auto byte = static_cast<unsigned char>(first);
    if (byte < 0x80) return {1, 0x80, 0xBF};
    if (byte < 0xC2) return {0, 0x80, 0xBF};
    if (byte < 0xE0) return {2, 0x80, 0xBF};
    if (byte == 0xE0) return {3, 0xA0, 0xBF};
    if (byte == 0xED) return {3, 0x80, 0x9F};
    if (byte < 0xF0) return {3, 0x80, 0xBF};
    if (byte == 0xF0) return {4, 0x90, 0xBF};
    if (byte < 0xF4) return {4, 0x80, 0xBF};
    if (byte == 0xF4) return {4, 0x80, 0x8F};
    return {0, 0x80, 0xBF};
}

constexpr bool utf8_continues(char c) noexcept { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

// Whether `next`, at position `index` >= 1 of the character that `lead` begins, belongs to it.
constexpr bool utf8_continues(const utf8_lead& lead, std::size_t index, char next) noexcept {
    const auto byte = static_cast<unsigned char>(next);
    return index == 1 ? lead.low <= byte && byte <= lead.high : utf8_continues(next);
}

// Eight bytes at a time, so that plain ASCII costs no decoding.
constexpr std::size_t utf8_ascii_run(bytes_view data) noexcept {
    std::size_t done = 0;
    if (!std::is_constant_evaluated()) {
        for (std::uint64_t word = 0; data.size() - done >= sizeof word; done += sizeof word) {
            std::memcpy(&word, data.data() + done, sizeof word);
            if ((word & 0x8080'8080'8080'8080) != 0) break;
        }
    }
    while (done < data.size() && static_cast<unsigned char>(data[done]) < 0x80) ++done;
    return done;
}

}  // namespace detail

// How many bytes of `data` can be given away before more has come: all but a character that is begun and not
// yet complete, so at most 3 are held back. Bytes that no continuation can make valid are given away at once.
// Call it with what was held back in front of what came next; at the end of the stream give away the rest.
constexpr std::size_t utf8_complete_prefix(bytes_view data) noexcept {
    for (std::size_t back = 1; back <= 3 && back <= data.size(); ++back) {
        const auto start = data.size() - back;
        if (detail::utf8_continues(data[start])) continue;
        const auto lead = detail::utf8_lead_of(data[start]);
        const bool begun = back < lead.length && (back == 1 || detail::utf8_continues(lead, 1, data[start + 1]));
        return begun ? start : data.size();
    }
    return data.size();
}

// How many bytes at the start of `data` are what is left of a character whose beginning was cut off: 0 to 3.
// For the piece after a gap, where nothing else explains them.
constexpr std::size_t utf8_torn_prefix(bytes_view data) noexcept {
    std::size_t torn = 0;
    while (torn < 3 && torn < data.size() && detail::utf8_continues(data[torn])) ++torn;
    return torn;
}

// The length of the longest prefix of at most `most` bytes that ends between two characters. All of `data`
// where it fits.
constexpr std::size_t utf8_cut(bytes_view data, std::size_t most) noexcept {
    if (data.size() <= most) return data.size();
    const auto start = utf8_complete_prefix(data.substr(0, most));
    if (start == most) return most;
    const bool goes_on = detail::utf8_continues(detail::utf8_lead_of(data[start]), most - start, data[most]);
    return goes_on ? start : most;
}

namespace detail {

// An automaton that asks nothing on its way: a row a byte, in it six bits a state, which are where the next state's bits lie
// in the next row. The loop is a load, which does not wait, and a shift.
struct utf8_state {
    // One, two or three bytes of 0x80..0xBF are still to come; or those that go on behind 0xE0, 0xED, 0xF0, 0xF4.
    enum : unsigned { broken = 0, between = 6, one = 12, two = 18, three = 24, e0 = 30, ed = 36, f0 = 42, f4 = 48 };
};
inline constexpr auto utf8_rows = [] {
    std::array<std::uint64_t, 256> rows{};
    for (unsigned byte = 0; byte < rows.size(); ++byte) {
        const auto go = [&row = rows[byte]](unsigned from, unsigned to) { row |= std::uint64_t{to} << from; };
        constexpr unsigned after[] = {utf8_state::broken, utf8_state::between, utf8_state::one, utf8_state::two,
                                      utf8_state::three};
        go(utf8_state::between, byte == 0xE0   ? utf8_state::e0
                                : byte == 0xED ? utf8_state::ed
                                : byte == 0xF0 ? utf8_state::f0
                                : byte == 0xF4 ? utf8_state::f4
                                               : after[utf8_lead_of(static_cast<char>(byte)).length]);
        if (!utf8_continues(static_cast<char>(byte))) continue;
        go(utf8_state::one, utf8_state::between);
        go(utf8_state::two, utf8_state::one);
        go(utf8_state::three, utf8_state::two);
        go(byte < 0xA0 ? utf8_state::ed : utf8_state::e0, utf8_state::one);
        go(byte < 0x90 ? utf8_state::f4 : utf8_state::f0, utf8_state::two);
    }
    return rows;
}();

}  // namespace detail

// Whether all of `data` is well-formed UTF-8. NUL is.
constexpr bool utf8_valid(bytes_view data) noexcept {
    constexpr std::size_t stride = 32;  // long enough that the questions between cost nothing
    std::uint64_t state = detail::utf8_state::between;
    for (;;) {
        if (state == detail::utf8_state::between) data.remove_prefix(detail::utf8_ascii_run(data));
        if (data.empty() || state == detail::utf8_state::broken) return state == detail::utf8_state::between;
        const auto next = data.substr(0, stride);
        for (const char byte : next) state = detail::utf8_rows[static_cast<unsigned char>(byte)] >> (state & 63);
        state &= 63;
        data.remove_prefix(next.size());
    }
}

}  // namespace exec::inline v0
