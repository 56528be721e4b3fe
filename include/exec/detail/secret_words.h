// Where secrets stand in words: values that are words of their own, in argv and in the scripts inside it.
//
// A script is read by the quoting rules of a POSIX shell, which needs no more of it than where its words end. Which word is
// one is a guess (the one behind `sh -c`, or any with blanks in it), so that what is found here is hidden in addition to what
// secret_text.h finds.
// Threads: values. Cost: linear in the bytes; a script within a script is read once a level, at most `deepest` levels.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "exec/detail/secret_names.h"
#include "exec/detail/secret_text.h"

namespace exec::inline v0::detail {

class word_scan {
   public:
    explicit word_scan(std::vector<hidden_span>& found, int depth = 0) noexcept : found_(found), depth_(depth) {}

    // The next word. `offset`: where it begins in what the spans are about.
    void word(std::string_view word, std::size_t offset) {
        // It is read as any other word too: nobody knows whether the option before took it for its value.
        if (value_due_) due_value(word, offset);
        const auto name = leading_name(word);
        const bool assigns = !name.empty() && name.size() < word.size() && word[name.size()] == '=';
        if (script_due_ && word != "--" && (word.empty() || word.front() != '-')) {
            script_due_ = false;
            script(word, offset);
        } else if (assigns && is_secret_name(name)) {
            hide_unquoted(word.substr(name.size() + 1), offset + name.size() + 1);
        } else if (!short_option(word, offset)) {
            value_due_ = is_secret_option(word);
            if (word.find_first_of(" \t\n;|&") != std::string_view::npos) script(word, offset);
        }
        know(word);
    }
    // The words of a text, which may stand in quotes as a whole.
    void script(std::string_view text, std::size_t offset) {
        if (depth_ == deepest) return;
        if (is_quoted(text)) {
            text = text.substr(1, text.size() - 2);
            ++offset;
        }
        word_scan inner(found_, depth_ + 1);
        std::size_t at = 0;
        while (at < text.size()) {
            if (is_end(text[at])) {
                inner.end();
                ++at;
            } else if (is_space(text, at)) {
                at += text[at] == '\\' ? 2 : 1;
            } else {
                const auto end = end_of_word(text, at);
                inner.word(text.substr(at, end - at), offset + at);
                at = end;
            }
        }
    }
    // The command ends here.
    void end() noexcept { value_due_ = after_colon_ = script_due_ = false; }

   private:
    static constexpr int deepest = 4;
    static_assert(secret_options.size() <= 32, "programs_ has a bit for each");

    static std::string_view leading_name(std::string_view word) noexcept {
        const auto end = std::find_if_not(word.begin(), word.end(), is_name_byte);
        return word.substr(0, static_cast<std::size_t>(end - word.begin()));
    }
    void hide(std::size_t begin, std::size_t size) {
        if (size > 0) found_.push_back({begin, begin + size});
    }
    void hide_unquoted(std::string_view word, std::size_t offset) {
        const bool quoted = is_quoted(word);
        hide(offset + (quoted ? 1 : 0), word.size() - (quoted ? 2 : 0));
    }
    static bool is_quoted(std::string_view word) noexcept {
        if (word.size() < 2 || (word.front() != '"' && word.front() != '\'')) return false;
        std::size_t at = 1;
        while (at < word.size() && word[at] != word.front()) at += word[at] == '\\' && word.front() == '"' ? 2 : 1;
        return at + 1 == word.size();
    }

    void due_value(std::string_view word, std::size_t offset) {
        const auto colon = after_colon_ ? word.find(':') : std::string_view::npos;
        if (after_colon_) {
            if (colon != std::string_view::npos) hide_from_colon(word, colon, offset);
        } else {
            hide_unquoted(word, offset);
        }
        value_due_ = after_colon_ = false;
    }
    void hide_from_colon(std::string_view word, std::size_t colon, std::size_t offset) {
        const bool quoted = is_quoted(word) && colon + 1 < word.size();
        hide(offset + colon + 1, word.size() - colon - 1 - (quoted ? 1 : 0));
    }

    bool short_option(std::string_view word, std::size_t offset) {
        if (programs_ == 0 || word.size() < 2 || word.front() != '-') return false;
        for (std::size_t i = 0; i < secret_options.size(); ++i) {
            const auto& known = secret_options[i];
            if ((programs_ >> i & 1U) == 0 || !word.starts_with(known.option)) continue;
            auto at = known.option.size();
            if (word.size() == at) {
                value_due_ = known.next_word;
                after_colon_ = known.after_colon_alone;
                if (value_due_) return true;
                continue;
            }
            if (word[at] == '=')
                ++at;
            else if (!known.attached)
                continue;
            const auto value = word.substr(at);
            const auto colon = known.after_colon_alone ? value.find(':') : std::string_view::npos;
            if (!known.after_colon_alone)
                hide_unquoted(value, offset + at);
            else if (colon != std::string_view::npos)
                hide_from_colon(value, colon, offset + at);
            return true;
        }
        return false;
    }

    // Once named, a program counts for all words behind it: it may stand behind sudo, env or timeout.
    void know(std::string_view word) noexcept {
        const auto slash = word.rfind('/');
        const auto name = slash == std::string_view::npos ? word : word.substr(slash + 1);
        for (std::size_t i = 0; i < secret_options.size(); ++i) {
            if (name == secret_options[i].program) programs_ |= std::uint32_t{1} << i;
        }
        if (std::find(shell_names.begin(), shell_names.end(), name) != shell_names.end()) shell_ = true;
        const bool letters = word.size() > 1 && word.front() == '-' && word[1] != '-';
        if (shell_ && letters && word.find('c') != std::string_view::npos) script_due_ = true;
    }

    static bool is_end(char byte) noexcept {
        return byte == '\n' || byte == ';' || byte == '|' || byte == '&' || byte == '(' || byte == ')';
    }
    static bool is_space(std::string_view text, std::size_t at) noexcept {
        return text[at] == ' ' || text[at] == '\t' || text[at] == '\r' ||
               (text[at] == '\\' && at + 1 < text.size() && text[at + 1] == '\n');
    }
    static std::size_t end_of_word(std::string_view text, std::size_t at) noexcept {
        char open = '\0';
        for (; at < text.size(); ++at) {
            const char byte = text[at];
            if (byte == '\\' && open != '\'') {
                ++at;
            } else if (open != '\0') {
                if (byte == open) open = '\0';
            } else if (byte == '"' || byte == '\'') {
                open = byte;
            } else if (is_end(byte) || byte == ' ' || byte == '\t' || byte == '\r') {
                break;
            }
        }
        return (std::min)(at, text.size());
    }

    std::vector<hidden_span>& found_;
    int depth_;
    std::uint32_t programs_ = 0;  // by index of secret_options
    bool shell_ = false;
    bool script_due_ = false;
    bool value_due_ = false;
    bool after_colon_ = false;
};

}  // namespace exec::inline v0::detail
