// Where secrets stand in text: names with a value behind them, URL user info, keys in PEM, tokens by their prefix.
//
// Nothing has to be well formed: it reads command lines, scripts, headers, JSON and prose alike. Where the end of a value is
// in doubt too much is hidden rather than too little.
// Threads: values. Cost: linear in the bytes; what a member hides it consumes, so that no byte is looked at more than a few
// times.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string_view>
#include <vector>

#include "exec/detail/secret_names.h"

namespace exec::inline v0::detail {

// Offsets into the text that was looked at; never empty.
struct hidden_span {
    std::size_t begin = 0;
    std::size_t end = 0;
};

class text_scan {
   public:
    text_scan(std::string_view text, std::vector<hidden_span>& found) noexcept : text_(text), found_(found) {}

    void run() {
        find_private_keys();
        while (at_ < text_.size()) {
            const char byte = text_[at_];
            if (is_name_byte(byte)) {
                name();
            } else if (byte == ':' && text_.substr(at_).starts_with("://")) {
                user_info();
            } else {
                ++at_;
            }
        }
    }

   private:
    static constexpr bool is_blank(char byte) noexcept { return byte == ' ' || byte == '\t'; }
    static constexpr bool is_quote(char byte) noexcept { return byte == '"' || byte == '\'' || byte == '`'; }
    static constexpr bool is_one_of(char byte, std::string_view set) noexcept {
        return set.find(byte) != std::string_view::npos;
    }
    char byte_at(std::size_t at) const noexcept { return at < text_.size() ? text_[at] : '\0'; }
    std::size_t past_blanks(std::size_t at) const noexcept {
        while (at < text_.size() && is_blank(text_[at])) ++at;
        return at;
    }
    void hide(std::size_t begin, std::size_t end) {
        if (begin < end) found_.push_back({begin, end});
    }

    // From behind the first line to the last, or to the end of the text.
    void find_private_keys() {
        constexpr std::string_view label = "PRIVATE KEY";
        constexpr std::string_view closing = "-----END";
        constexpr std::size_t longest_kind = 40;
        for (auto at = text_.find(label); at != std::string_view::npos; at = text_.find(label, at)) {
            const auto from = at - (std::min)(at, longest_kind);
            const auto before = text_.substr(from, at - from);
            at += label.size();
            const auto begin = before.rfind("-----BEGIN ");
            if (begin == std::string_view::npos || before.find("-----END", begin) != std::string_view::npos) continue;
            if (text_.substr(at).starts_with(" BLOCK")) at += 6;
            while (byte_at(at) == '-') ++at;
            const auto end = (std::min)(text_.find(closing, at), text_.size());
            hide(at, end);
            at = end;
        }
    }

    void user_info() {
        const auto begin = at_ + 3;
        const auto end = (std::min)(text_.find_first_of("/?# \t\r\n\"'`<>", begin), text_.size());
        const auto mark = text_.substr(begin, end - begin).rfind('@');
        at_ = begin;
        if (mark == std::string_view::npos) return;
        hide(begin, begin + mark);
        at_ = begin + mark;
    }

    // A run of name bytes: it may hold tokens, and it may name the value behind it.
    void name() {
        const auto begin = at_;
        auto end = begin;
        auto no_jwt_before = begin;
        while (end < text_.size() && is_name_byte(text_[end])) {
            const bool starts = end == begin || !is_letter_or_digit(text_[end - 1]);
            const auto token = starts ? token_at(end, no_jwt_before) : 0;
            hide(end, end + token);
            end += token == 0 ? 1 : token;
        }
        at_ = end;
        const auto named = text_.substr(begin, end - begin);
        if (value_of_option(named) || value_after_operator(named, begin)) return;
        if (equals_ignoring_case(named, "bearer") && past_blanks(end) > end) hide_value(past_blanks(end), false);
    }

    std::size_t token_at(std::size_t at, std::size_t& no_jwt_before) const noexcept {
        const auto rest = text_.substr(at);
        if (at < no_jwt_before || !rest.starts_with("eyJ")) return token_bytes(rest);
        auto end = at;
        while (end < text_.size() && is_token_byte(text_[end])) ++end;
        no_jwt_before = end;  // where one begins in between, it ends there as well
        if (!text_.substr(end).starts_with(".eyJ")) return token_bytes(rest);
        while (end < text_.size() && (is_token_byte(text_[end]) || text_[end] == '.')) ++end;
        return end - at;
    }

    // --password value
    bool value_of_option(std::string_view option) {
        for (;;) {
            const auto value = past_blanks(at_);
            if (option.empty() || option.front() != '-' || value == at_ || !is_secret_name(option)) return false;
            if (is_one_of(byte_at(value), "=:")) return false;
            if (!hide_value(value, false)) return true;
            // Nobody knows whether the first option took the second for its value.
            option = text_.substr(value, at_ - value);
            if (!is_secret_option(option)) return true;
        }
    }

    // name=value, name: value, "name": "value", name => value
    bool value_after_operator(std::string_view named, std::size_t begin) {
        auto at = at_;
        while (at < at_ + 3 && is_one_of(byte_at(at), "\"'\\]") && at < text_.size()) ++at;
        const bool closed = at > at_;
        at = past_blanks(at);
        if (is_one_of(byte_at(at), "+?") && byte_at(at + 1) == '=') ++at;
        const char what = byte_at(at);
        if ((what != '=' && what != ':') || text_.substr(at).starts_with("://") || !is_secret_name(named)) return false;
        for (int more = 0; more < 3 && is_one_of(byte_at(at), "=:>") && at < text_.size(); ++more) ++at;
        if (what == ':' && is_one_of(byte_at(at), "-=+?")) ++at;  // ${NAME:-value}
        const bool leads = begin == 0 || text_[begin - 1] == '\n' || is_quote(text_[begin - 1]);
        const squeezed_name squeezed(named);
        const auto whole = squeezed.text();
        const bool header = whole.ends_with("authorization") || whole.ends_with("cookie");
        hide_value(past_blanks(at), !closed && (header || (what == ':' && leads)), begin);
        return true;
    }

    // Hides what begins at `value` and goes on behind it. False where nothing is there.
    bool hide_value(std::size_t value, bool whole_line, std::size_t name_at = 0) {
        at_ = value;
        if (value >= text_.size() || text_[value] == '\n' || text_[value] == '\r') return false;
        if (byte_at(value) == '$' && is_quote(byte_at(value + 1))) ++value;
        const std::size_t escaped = byte_at(value) == '\\' && is_quote(byte_at(value + 1)) ? 1 : 0;
        if (is_quote(byte_at(value + escaped))) {
            hide_quoted(value + escaped, escaped == 1);
        } else if (whole_line) {
            value = past_scheme(value);
            at_ = line_end(value, name_at);
            hide(value, at_);
        } else {
            at_ = word_end(past_scheme(value));
            hide(past_scheme(value), at_);
        }
        return at_ > value;
    }

    // "Bearer x": the scheme stays.
    std::size_t past_scheme(std::size_t value) const noexcept {
        auto end = value;
        while (end < text_.size() && end - value < 16 && is_name_byte(text_[end])) ++end;
        const auto word = text_.substr(value, end - value);
        const auto next = past_blanks(end);
        if (next == end || next == text_.size() || text_[next] == '\n') return value;
        for (const auto scheme : {"bearer", "basic", "digest", "token", "negotiate", "apikey"}) {
            if (equals_ignoring_case(word, scheme)) return next;
        }
        return value;
    }

    void hide_quoted(std::size_t open, bool escaped) {
        const char quote = text_[open];
        const auto begin = open + 1;
        auto end = begin;
        while (end < text_.size()) {
            if (escaped ? text_[end] == '\\' && byte_at(end + 1) == quote : text_[end] == quote) break;
            end += text_[end] == '\\' && !escaped ? 2 : 1;
        }
        end = (std::min)(end, text_.size());
        const auto behind = end + (escaped ? 2 : 1);
        if (end == text_.size() || ends_value(behind)) {
            const auto kept = past_scheme(begin);
            hide(kept < end ? kept : begin, end);
            at_ = (std::min)(behind, text_.size());
        } else {  // 'a'b is one word to a shell
            at_ = word_end(behind);
            hide(open, at_);
        }
    }

    // Whether nothing of a value can stand there.
    bool ends_value(std::size_t at) const noexcept {
        return at >= text_.size() || is_one_of(text_[at], " \t\r\n,;&|<>)]}\"'`\\");
    }

    std::size_t word_end(std::size_t at) const noexcept {
        for (; at < text_.size(); ++at) {
            const char byte = text_[at];
            if (is_one_of(byte, " \t\r\n&;|<>")) break;
            if (is_quote(byte) && ends_value(at + 1)) break;
            if (byte != '\\') continue;
            if (is_quote(byte_at(at + 1)) && ends_value(at + 2)) break;
            ++at;
        }
        return (std::min)(at, text_.size());
    }

    // A line in quotes ends with them.
    std::size_t line_end(std::size_t at, std::size_t name_at) const noexcept {
        const char before = name_at > 0 ? text_[name_at - 1] : '\0';
        const char quote = is_quote(before) ? before : '\n';
        while (at < text_.size() && text_[at] != '\n' && text_[at] != '\r' && text_[at] != quote) {
            if (quote == '"' && text_[at] == '\\' && at + 1 < text_.size()) ++at;
            ++at;
        }
        return at;
    }

    std::string_view text_;
    std::vector<hidden_span>& found_;
    std::size_t at_ = 0;
};

// In order and apart from each other.
inline void merge(std::vector<hidden_span>& spans) {
    std::sort(spans.begin(), spans.end(), [](const auto& a, const auto& b) { return a.begin < b.begin; });
    std::size_t kept = 0;
    for (const auto span : spans) {
        if (kept > 0 && span.begin <= spans[kept - 1].end) {
            spans[kept - 1].end = (std::max)(spans[kept - 1].end, span.end);
        } else {
            spans[kept++] = span;
        }
    }
    spans.resize(kept);
}

}  // namespace exec::inline v0::detail
