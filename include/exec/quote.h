// quote and join: words as one line of text that a shell turns back into the same words.
//
// For the places that take no argv, only text: the one string of an SSH exec request, a line in a script. Every word is
// quoted, a harmless one too: keywords, assignments and the aliases of zsh reach bare words only (for people there is
// display). What a shell cannot carry is refused here, instead of arriving as something else:
//
//   dialect    read back by                                    refused
//   posix      dash bash zsh ksh93 mksh busybox posh yash      NUL
//   fish       fish                                            NUL; a program's name that is a keyword of fish
//   csh        csh tcsh                                        NUL
//   universal  all of them, history expansion on or off        NUL; those names; newline
//
// A newline has no universal form: what the others read as a quoted newline ends the line for csh, which then runs the
// rest of the word as commands. Who knows the shell names its dialect, and all bytes but NUL pass.
// Known limits: yash runs nothing of a line with bytes that are no text in its locale, and calls that success after -c. A
// program's name without a '/' may find a builtin or function of the shell first (`eval`, `[`), whatever the quotes; give a
// path, or put argv("env") in front (argv::behind). The lines are for scripts and requests: at a terminal, its line editor
// sees them first.
// Threads: pure functions. One allocation, the result's.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include "exec/argv.h"
#include "exec/display.h"
#include "exec/error.h"
#include "exec/result.h"

namespace exec::inline v0 {

enum class dialect : std::uint8_t {
    posix,
    universal,  // where nobody knows the shell; the default
    fish,
    csh,  // and tcsh
};

namespace detail {

// How a dialect says the few bytes that single quotes do not protect: a backslash and the byte, either between two
// quoted stretches or inside one.
class quoting {
   public:
    constexpr quoting(std::string_view outside, std::string_view inside) noexcept : inside_(inside) {
        std::size_t at = 0;
        for (const auto part : {outside, inside}) {
            for (const char byte : part) special_[at++] = byte;
        }
        std::fill(special_.begin() + at, special_.end(), special_[0]);
        for (std::size_t each = 0; each < special_.size(); ++each) {
            wide_[each] = every_byte * static_cast<unsigned char>(special_[each]);
        }
    }

    constexpr bool is_special(char byte) const noexcept {
        return byte == special_[0] || byte == special_[1] || byte == special_[2] || byte == special_[3];
    }
    constexpr bool is_escaped_inside(char byte) const noexcept { return inside_.find(byte) != std::string_view::npos; }

    // Where the first special byte stands; text.size() if there is none.
    std::size_t find(std::string_view text) const noexcept {
        std::size_t at = 0;
        while (text.size() - at >= sizeof(std::uint64_t) && !any_in_word(text.data() + at)) at += sizeof(std::uint64_t);
        while (at < text.size() && !is_special(text[at])) ++at;
        return at;
    }
    std::size_t count(std::string_view text) const noexcept {
        std::size_t found = 0;
        for (auto at = find(text); at < text.size(); at = find(text)) {
            ++found;
            text.remove_prefix(at + 1);
        }
        return found;
    }

   private:
    static constexpr std::uint64_t every_byte = 0x0101010101010101;

    // Eight bytes at a time: a byte of `word ^ wide` is zero where the special byte stands, and (v - 1) & ~v has the top
    // bit of the lowest such byte set.
    bool any_in_word(const char* at) const noexcept {
        std::uint64_t word = 0;
        std::memcpy(&word, at, sizeof word);
        std::uint64_t zero = 0;
        for (const auto wide : wide_) {
            const auto difference = word ^ wide;
            zero |= (difference - every_byte) & ~difference;
        }
        return (zero & (every_byte << 7U)) != 0;
    }

    std::array<char, 4> special_{};
    std::array<std::uint64_t, 4> wide_{};
    std::string_view inside_;
};

// In the order of `dialect`. Between quotes, fish takes \ and ' for escapes, csh expands ! and ends the line at a newline.
inline constexpr std::array<quoting, 4> quotings{quoting("'", ""), quoting("'\\!", ""), quoting("", "'\\"),
                                                 quoting("'\\!", "\n")};
constexpr const quoting& quoting_of(dialect shell) noexcept { return quotings[static_cast<std::size_t>(shell)]; }

inline void append_quoted(std::string& line, std::string_view word, const quoting& how) {
    bool open = false;
    const auto quotes = [&](bool wanted) {
        if (open != wanted) line += '\'';
        open = wanted;
    };
    if (word.empty()) line += "''";
    while (!word.empty()) {
        const auto plain = how.find(word);
        if (plain > 0) {
            quotes(true);
            line.append(word.data(), plain);
        }
        if (plain == word.size()) break;
        quotes(how.is_escaped_inside(word[plain]));
        line += '\\';
        line += word[plain];
        word.remove_prefix(plain + 1);
    }
    quotes(false);
}

inline constexpr const char* no_universal_newline = "a newline, which not every shell can carry; name the dialect";

}  // namespace detail

// `word` as one word of a line. Never splits: quote("a b") is one word.
// Fails with: errc::invalid_argument, naming the byte that the dialect cannot carry.
inline result<std::string> quote(std::string_view word, dialect shell = dialect::universal) {
    if (const auto nul = word.find('\0'); nul != std::string_view::npos) {
        return fail(errc::invalid_argument, "quote: byte " + std::to_string(nul) + " is NUL");
    }
    if (const auto newline = word.find('\n'); shell == dialect::universal && newline != std::string_view::npos) {
        return fail(errc::invalid_argument,
                    "quote: byte " + std::to_string(newline) + " is " + detail::no_universal_newline);
    }
    const auto& how = detail::quoting_of(shell);
    std::string line;
    line.reserve(word.size() + 2 + 3 * how.count(word));
    detail::append_quoted(line, word, how);
    return line;
}

namespace detail {

// Words at the head of a command that fish takes for its grammar whatever the quotes.
inline bool is_fish_keyword(std::string_view word) noexcept {
    constexpr std::array<std::string_view, 17> keywords{"!",    "and", "begin",  "builtin", "case",     "command",
                                                        "else", "end", "exec",   "for",     "function", "if",
                                                        "not",  "or",  "switch", "time",    "while"};
    return std::find(keywords.begin(), keywords.end(), word) != keywords.end();
}

}  // namespace detail

// The words as one command line, one blank between them.
// Fails with: errc::invalid_argument if they are blank, or naming the word that the dialect cannot carry.
inline result<std::string> join(const argv& words, dialect shell = dialect::universal) {
    if (words.blank()) return fail(errc::invalid_argument, "join: argv is blank");
    if ((shell == dialect::fish || shell == dialect::universal) && detail::is_fish_keyword(words.program())) {
        return fail(errc::invalid_argument, "argv[0]: a keyword of fish, even in quotes; write the program's path");
    }
    const auto& how = detail::quoting_of(shell);
    const auto packed = words.packed();
    if (const auto newline = packed.find('\n'); shell == dialect::universal && newline != std::string_view::npos) {
        const auto index = std::count(packed.begin(), packed.begin() + static_cast<std::ptrdiff_t>(newline), '\0');
        return fail(errc::invalid_argument, "argv[" + std::to_string(index) + "]: " + detail::no_universal_newline);
    }
    std::string line;
    line.reserve(packed.size() + 2 * words.size() + 3 * how.count(packed));
    for (const auto word : words) {
        if (!line.empty()) line += ' ';
        detail::append_quoted(line, word, how);
    }
    return line;
}

namespace detail {

constexpr bool is_bare(std::string_view word) noexcept {
    constexpr std::string_view marks = "_./:@%+,=-";
    return !word.empty() && word.front() != '=' && std::all_of(word.begin(), word.end(), [marks](char byte) {
        return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
               marks.find(byte) != std::string_view::npos;
    });
}

// 'a b', or $'a\nb' where something has to be escaped.
inline void show_word(bounded_text& shown, std::string_view word) {
    if (is_bare(word)) {
        shown.run(word);
        return;
    }
    const bool escapes = word.find('\'') != std::string_view::npos || display(word, word.size()) != word;
    shown.piece(escapes ? "$'" : "'");
    for (auto quote = word.find('\''); quote != std::string_view::npos; quote = word.find('\'')) {
        show(shown, word.substr(0, quote));
        shown.piece("\\'");
        word.remove_prefix(quote + 1);
    }
    show(shown, word);
    shown.piece("'");
}

}  // namespace detail

// The words for people to read, as bash would take them back: bare where that is clear, else 'quoted', and $'with\n'
// the escapes of display(text) where a byte must not reach a terminal. At most `most` bytes; "..." at the end of a cut.
// Not for a shell (that is join), and not redacted: argv may hold secrets.
inline std::string display(const argv& words, std::size_t most = 256) {
    detail::bounded_text shown(most);
    bool first = true;
    for (const auto word : words) {
        if (!first) shown.piece(" ");
        first = false;
        detail::show_word(shown, word);
        if (shown.full()) break;
    }
    return shown.take();
}

}  // namespace exec::inline v0
