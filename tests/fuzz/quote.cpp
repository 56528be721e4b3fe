// Any words: in every dialect their quotes give them back, and shown to a person they are one line that cannot deceive.
#include <exec/quote.h>
#include <exec/utf8.h>
#include <exec/words.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace exec;
using words_read = std::optional<std::vector<std::string>>;

constexpr dialect every_dialect[] = {dialect::posix, dialect::universal, dialect::fish, dialect::csh};

void demand(bool condition) {
    if (!condition) std::abort();
}

bool has(std::string_view text, char byte) { return text.find(byte) != std::string_view::npos; }

// Reads a line by the few rules that quoting may rely on; nothing where a byte stands bare, outside of any quotes.
//   fish: between quotes a backslash escapes a quote and itself. csh: between quotes it escapes a newline only.
words_read read_back(std::string_view line, dialect shell) {
    std::vector<std::string> words;
    bool in_word = false;
    bool quoted = false;
    for (std::size_t at = 0; at < line.size(); ++at) {
        const char byte = line[at];
        const bool last = at + 1 == line.size();
        const char next = last ? '\0' : line[at + 1];
        if (!quoted && byte == ' ') {
            if (!in_word) return std::nullopt;
            in_word = false;
            continue;
        }
        if (!in_word) words.emplace_back();
        in_word = true;
        if (byte == '\'') {
            quoted = !quoted;
        } else if (!quoted) {
            if (byte != '\\' || last) return std::nullopt;
            if (next == '\n') return std::nullopt;  // a continued line, in every shell
            words.back() += next;
            ++at;
        } else if (byte == '\\' && ((shell == dialect::fish && (next == '\'' || next == '\\')) ||
                                    (shell == dialect::csh && next == '\n'))) {
            words.back() += next;
            ++at;
        } else {
            // csh substitutes its history, and ends at a newline, between quotes too.
            if (shell == dialect::csh && (byte == '!' || byte == '\n')) return std::nullopt;
            words.back() += byte;
        }
    }
    if (quoted || (!in_word && !words.empty())) return std::nullopt;
    return words;
}

int digit(char byte) { return byte <= '9' ? byte - '0' : byte - 'a' + 10; }

// What was shown, if it was not cut.
std::string meant(std::string_view shown) {
    std::string bytes;
    for (std::size_t at = 0; at < shown.size(); ++at) {
        if (shown[at] != '\\') {
            bytes += shown[at];
            continue;
        }
        switch (shown[++at]) {
            case 'n': bytes += '\n'; break;
            case 'r': bytes += '\r'; break;
            case 't': bytes += '\t'; break;
            case '\\': bytes += '\\'; break;
            case 'x':
                bytes += static_cast<char>(digit(shown[at + 1]) << 4 | digit(shown[at + 2]));
                at += 2;
                break;
            case 'u': {
                unsigned value = 0;
                for (int i = 0; i < 4; ++i) value = value << 4U | static_cast<unsigned>(digit(shown[++at]));
                if (value >= 0x800) {
                    bytes += static_cast<char>(0xE0U | value >> 12U);
                    bytes += static_cast<char>(0x80U | (value >> 6U & 0x3FU));
                } else {
                    bytes += static_cast<char>(0xC0U | value >> 6U);
                }
                bytes += static_cast<char>(0x80U | (value & 0x3FU));
                break;
            }
            default: std::abort();
        }
    }
    return bytes;
}

void cannot_deceive(std::string_view shown) {
    demand(utf8_valid(shown));
    for (std::size_t at = 0; at < shown.size(); ++at) {
        const auto byte = static_cast<unsigned char>(shown[at]);
        demand(byte >= 0x20 && byte != 0x7F);
        if (byte < 0xC0) continue;
        const auto follows = [&](std::size_t n) { return static_cast<unsigned>(shown[at + n]) & 0x3FU; };
        if (byte < 0xE0) {
            const auto value = (byte & 0x1FU) << 6U | follows(1);
            demand(value > 0x9F && value != 0x61C);
        } else if (byte < 0xF0) {
            const auto value = (byte & 0x0FU) << 12U | follows(1) << 6U | follows(2);
            demand(value != 0x200E && value != 0x200F);
            demand((value < 0x2028 || value > 0x202E) && (value < 0x2066 || value > 0x2069));
        }
    }
}

void one_word(std::string_view word) {
    for (const auto shell : every_dialect) {
        const auto line = quote(word, shell);
        const bool refused = has(word, '\0') || (shell == dialect::universal && has(word, '\n'));
        demand(line.has_value() == !refused);
        if (refused) continue;
        demand(read_back(*line, shell) == std::vector<std::string>{std::string(word)});
        if (shell != dialect::posix && shell != dialect::universal) continue;
        const auto words = split("program " + *line);
        demand(words.has_value() && words->size() == 2 && (*words)[1] == word);
    }
    const auto shown = display(word, 10 * word.size() + 10);
    cannot_deceive(shown);
    demand(meant(shown) == word);
}

void all_words(const argv& words) {
    std::vector<std::string> wanted;
    for (const auto word : words) wanted.emplace_back(word);
    for (const auto shell : every_dialect) {
        const auto line = join(words, shell);
        if (!line) {
            const bool keyword = detail::is_fish_keyword(words.program());
            demand((shell == dialect::universal && (keyword || has(words.packed(), '\n'))) ||
                   (shell == dialect::fish && keyword));
            continue;
        }
        demand(read_back(*line, shell) == wanted);
        if (shell != dialect::posix && shell != dialect::universal) continue;
        const auto again = split(*line);
        demand(again.has_value() && *again == words);
    }
}

// The same with what is rare among random bytes: 0xFF and the byte behind it become a code point from U+2000 on.
std::string spiced(std::string_view text) {
    std::string bytes;
    for (std::size_t at = 0; at < text.size(); ++at) {
        if (text[at] != '\xFF' || at + 1 == text.size()) {
            bytes += text[at];
            continue;
        }
        const auto low = static_cast<unsigned char>(text[++at]);
        bytes += {'\xE2', static_cast<char>(0x80U | low >> 6U), static_cast<char>(0x80U | (low & 0x3FU))};
    }
    return bytes;
}

}  // namespace

// The first byte is a bound for display(); of the rest every NUL ends a word.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const std::size_t bound = data[0];
    const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
    one_word(text);
    one_word(text.substr(0, text.find('\0')));
    one_word(spiced(text));
    const auto cut = display(text, bound);
    demand(cut.size() <= bound);
    cannot_deceive(cut);

    const auto words = argv::unpack(std::string(text) + '\0');
    if (!words) return 0;
    all_words(*words);
    const auto line = display(*words, bound);
    demand(line.size() <= bound);
    cannot_deceive(line);
    return 0;
}
