// Any line: split() takes it or names a byte of it, refuses it at its first wrong byte, and what it takes is nothing but
// words and comes back.
#include <exec/quote.h>
#include <exec/words.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

namespace {

using namespace exec;
using kind = split_error::kind;

void demand(bool condition) {
    if (!condition) std::abort();
}

// Whether any shell could take a byte of it for more than a part of a word: read by the three kinds of quotes alone.
bool is_words_only(std::string_view line) {
    const auto stands_in = [](char byte, std::string_view set) { return set.find(byte) != std::string_view::npos; };
    bool begun = false;
    for (std::size_t at = 0; at < line.size(); ++at) {
        switch (line[at]) {
            case '\'': {
                at = line.find('\'', at + 1);
                if (at == std::string_view::npos) return false;
                break;
            }
            case '"':
                for (++at; at < line.size() && line[at] != '"'; ++at) {
                    if (stands_in(line[at], "$`")) return false;
                    if (line[at] == '\\') ++at;
                }
                if (at >= line.size()) return false;
                break;
            case '\\':
                if (++at == line.size()) return false;
                if (line[at] == '\n') continue;
                break;
            case ' ':
            case '\t': begun = false; continue;
            case '#':
                if (!begun) return false;
                break;
            default:
                if (stands_in(line[at], "\n;|&<>()$`{}!*?[]")) return false;
        }
        begun = true;
    }
    return true;
}

void comes_back(const argv& words) {
    for (const auto word : words) demand(word.find('\0') == std::string_view::npos);
    const auto posix = join(words, dialect::posix);
    demand(posix.has_value());
    const auto again = split(*posix);
    demand(again.has_value() && *again == words);
    // Refused only for what its header names.
    const auto universal = join(words, dialect::universal);
    if (!universal) {
        demand(words.packed().find('\n') != std::string_view::npos || detail::is_fish_keyword(words.program()));
        return;
    }
    const auto once_more = split(*universal);
    demand(once_more.has_value() && *once_more == words);
}

void is_refused(std::string_view line, const split_error& why) {
    if (why.what == kind::words) {
        demand(why.offset == line.size());
        return;
    }
    demand(why.offset < line.size());
    const auto upto = line.substr(0, why.offset);
    const char byte = line[why.offset];
    split_error cut{kind::words, line.size() + 1};
    switch (why.what) {
        case kind::open_single_quote: demand(byte == '\''); return;
        case kind::open_double_quote: demand(byte == '"'); return;
        case kind::trailing_backslash: demand(byte == '\\' && why.offset + 1 == line.size()); return;
        case kind::nul: demand(byte == '\0'); return;
        case kind::newline: demand(byte == '\n'); break;
        case kind::comment: demand(byte == '#'); break;
        case kind::assignment: demand(byte == '='); break;
        case kind::control:
        case kind::expansion:
        case kind::glob:
        case kind::words: break;
    }
    // What follows cannot matter, and nothing before it was wrong.
    demand(!split(line.substr(0, why.offset + 1), &cut) && cut.what == why.what && cut.offset == why.offset);
    cut = {kind::words, line.size() + 1};
    if (!split(upto, &cut)) {
        demand(cut.what == kind::words || cut.what == kind::open_single_quote || cut.what == kind::open_double_quote ||
               cut.what == kind::trailing_backslash);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view line(reinterpret_cast<const char*>(data), size);
    split_error why{kind::words, size + 1};
    const auto words = split(line, &why);
    if (words) {
        demand(why.offset == size + 1);  // left alone
        demand(is_words_only(line));
        comes_back(*words);
    } else {
        is_refused(line, why);
    }
    return 0;
}
