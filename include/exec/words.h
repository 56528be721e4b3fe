// split: one line of text into the words that every POSIX shell would see in it, where there is nothing else to see.
//
// The strict inverse of join(words, dialect::posix): it takes quotes and backslashes away, and never expands, looks up or
// runs anything. A line in which some shell would do more than that (a variable, a glob, a pipe, an assignment, a
// comment) is refused at that byte, rather than read as something that its author did not mean.
// For configuration and input fields that people write; what programs tell programs is a list of words already.
// Threads: pure functions.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "exec/argv.h"
#include "exec/error.h"
#include "exec/result.h"

namespace exec::inline v0 {

// Why a line is not just words, and where.
struct split_error {
    enum class kind : std::uint8_t {
        open_single_quote,   // never closed; the offset is the quote's
        open_double_quote,   // the same
        trailing_backslash,  // the last byte of the line
        newline,             // outside quotes and not behind a backslash: the command would end there
        control,             // ; | & < > ( )
        expansion,           // $ and `, also between double quotes; { } !; ~ and = where they may expand
        glob,                // * ? [ ]
        comment,             // # where a word would start
        assignment,          // NAME= in front of the program
        nul,
        words,  // the line is fine, but its words are no argv: none, a blank program, too many, too long
    };
    kind what{};
    std::size_t offset = 0;  // bytes into the line; its length for kind::words
};

constexpr std::string_view to_string(split_error::kind what) noexcept {
    switch (what) {
        case split_error::kind::open_single_quote: return "a single quote that is never closed";
        case split_error::kind::open_double_quote: return "a double quote that is never closed";
        case split_error::kind::trailing_backslash: return "a backslash with nothing behind it";
        case split_error::kind::newline: return "a newline outside quotes";
        case split_error::kind::control: return "an unquoted control operator or redirection";
        case split_error::kind::expansion: return "an unquoted character that shells expand";
        case split_error::kind::glob: return "an unquoted glob character";
        case split_error::kind::comment: return "an unquoted # that starts a comment";
        case split_error::kind::assignment: return "an assignment in front of the program";
        case split_error::kind::nul: return "a NUL";
        case split_error::kind::words: return "words that are no argv";
    }
    return "unknown";
}

namespace detail {

class splitter {
   public:
    explicit splitter(std::string_view line) : line_(line) { packed_.reserve(line.size() + 1); }

    std::optional<split_error> run() {
        while (at_ < line_.size()) {
            if (auto wrong = step(line_[at_])) return wrong;
        }
        end_word();
        return std::nullopt;
    }
    // Every word followed by a NUL, as argv keeps them.
    std::string take() noexcept { return std::move(packed_); }

   private:
    using kind = split_error::kind;

    std::optional<split_error> step(char byte) {
        switch (byte) {
            case ' ':
            case '\t':
                end_word();
                ++at_;
                return std::nullopt;
            case '\'': return single_quoted();
            case '"': return double_quoted();
            case '\\': return escaped();
            default: return bare(byte);
        }
    }

    std::optional<split_error> bare(char byte) {
        if (const auto special = meaning_of(byte)) return split_error{*special, at_};
        put(byte);
        bare_before_ = byte;
        ++at_;
        return std::nullopt;
    }

    // What a shell would do with an unquoted byte here, unless it takes it as it is.
    std::optional<kind> meaning_of(char byte) const noexcept {
        const auto one_of = [byte](std::string_view set) { return set.find(byte) != std::string_view::npos; };
        if (byte == '\0') return kind::nul;
        if (byte == '\n') return kind::newline;
        if (one_of(";|&<>()")) return kind::control;
        if (one_of("$`{}!")) return kind::expansion;
        if (one_of("*?[]")) return kind::glob;
        if (byte == '#' && !in_word_) return kind::comment;
        const bool leads = packed_.empty() || packed_.back() == '\0';  // zsh: also behind '' at the start of a word
        if (byte == '~' && (leads || bare_before_ == '=' || bare_before_ == ':')) return kind::expansion;
        if (byte == '=' && leads) return kind::expansion;  // zsh: the path of a command
        if (byte == '=' && is_assigned_name()) return kind::assignment;
        return std::nullopt;
    }
    // NAME or NAME+, all of it unquoted, at the start of the line.
    bool is_assigned_name() const noexcept {
        if (words_ > 0 || quoted_) return false;
        auto name = std::string_view(packed_);
        if (name.size() > 1 && name.back() == '+') name.remove_suffix(1);
        const auto is_letter = [](char byte) {
            return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || byte == '_';
        };
        return is_letter(name.front()) && std::all_of(name.begin(), name.end(), [&](char byte) {
                   return is_letter(byte) || (byte >= '0' && byte <= '9');
               });
    }

    std::optional<split_error> single_quoted() {
        const auto close = line_.find('\'', at_ + 1);
        if (close == std::string_view::npos) return split_error{kind::open_single_quote, at_};
        const auto inside = line_.substr(at_ + 1, close - at_ - 1);
        if (const auto nul = inside.find('\0'); nul != std::string_view::npos) {
            return split_error{kind::nul, at_ + 1 + nul};
        }
        begin_quoted();
        packed_ += inside;
        at_ = close + 1;
        return std::nullopt;
    }

    std::optional<split_error> double_quoted() {
        const auto open = at_++;
        begin_quoted();
        for (; at_ < line_.size(); ++at_) {
            const char byte = line_[at_];
            if (byte == '"') {
                ++at_;
                return std::nullopt;
            }
            if (byte == '\0') return split_error{kind::nul, at_};
            if (byte == '$' || byte == '`') return split_error{kind::expansion, at_};
            if (byte == '\\' && at_ + 1 < line_.size() && is_escape_in_double_quotes(line_[at_ + 1])) {
                if (line_[++at_] == '\n') continue;
            }
            packed_ += line_[at_];
        }
        return split_error{kind::open_double_quote, open};
    }
    static bool is_escape_in_double_quotes(char next) noexcept {
        return next == '"' || next == '\\' || next == '$' || next == '`' || next == '\n';
    }

    std::optional<split_error> escaped() {
        if (at_ + 1 == line_.size()) return split_error{kind::trailing_backslash, at_};
        const char next = line_[at_ + 1];
        if (next == '\0') return split_error{kind::nul, at_ + 1};
        if (next != '\n') {  // both go: the line continues
            begin_quoted();
            packed_ += next;
        }
        at_ += 2;
        return std::nullopt;
    }

    void put(char byte) {
        in_word_ = true;
        packed_ += byte;
    }
    void begin_quoted() noexcept {
        in_word_ = true;
        quoted_ = true;
        bare_before_ = '\0';
    }
    void end_word() {
        if (!in_word_) return;
        packed_ += '\0';
        ++words_;
        in_word_ = false;
        bare_before_ = '\0';
    }

    std::string_view line_;
    std::size_t at_ = 0;
    std::string packed_{};
    std::size_t words_ = 0;    // finished ones
    bool in_word_ = false;     // '' begins a word too
    bool quoted_ = false;      // a quote or backslash was seen
    char bare_before_ = '\0';  // the byte before, if it stood unquoted in this word
};

}  // namespace detail

// The words of `line`: blanks and tabs part them, 'text' is itself, "text" knows \" \\ \$ \` as escapes, a backslash
// protects the next byte, a backslash and a newline vanish. split(join(words, dialect::posix)) == words.
// Words are not looked up: `if`, `cd` and `-x` are words; bytes from 0x80 up are part of them.
// Fails with: errc::invalid_argument; `why`, where given, receives kind and offset, which the context has as text.
inline result<argv> split(std::string_view line, split_error* why = nullptr) {
    detail::splitter words(line);
    const auto wrong = words.run();
    if (wrong) {
        if (why != nullptr) *why = *wrong;
        return fail(errc::invalid_argument,
                    "byte " + std::to_string(wrong->offset) + ": " + std::string(to_string(wrong->what)));
    }
    auto made = argv::unpack(words.take());
    if (!made && why != nullptr) *why = {split_error::kind::words, line.size()};
    return made;
}

}  // namespace exec::inline v0
