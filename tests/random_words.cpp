#include "random_words.h"

#include <cstdlib>

namespace test {

std::string utf8(char32_t code_point) {
    const auto byte = [](char32_t value) { return static_cast<char>(static_cast<unsigned char>(value)); };
    const auto tail = [&](unsigned shift) { return byte(0x80 | (code_point >> shift & 0x3F)); };
    if (code_point < 0x80) return {byte(code_point)};
    if (code_point < 0x800) return {byte(0xC0 | code_point >> 6), tail(0)};
    if (code_point < 0x10000) return {byte(0xE0 | code_point >> 12), tail(6), tail(0)};
    return {byte(0xF0 | code_point >> 18), tail(12), tail(6), tail(0)};
}

std::vector<std::string> every_byte_in_context() {
    std::vector<std::string> all;
    for (int value = 1; value < 256; ++value) {
        const std::string byte(1, static_cast<char>(value));
        all.insert(all.end(), {byte, byte + byte, "a" + byte + "b"});
        for (const char other : special) {
            const std::string beside(1, other);
            all.insert(all.end(), {byte + beside, beside + byte});
        }
    }
    return all;
}

std::vector<std::string> every_code_point() {
    std::vector<std::string> all;
    for (char32_t value = 1; value < 0x10000; ++value) {
        if (value < 0xD800 || value > 0xDFFF) all.push_back(utf8(value));
    }
    for (const char32_t value : {U'\x10000', U'\x1F600', U'\x20000', U'\xE0001', U'\xE007F', U'\xF0000', U'\xFFFFD',
                                 U'\x100000', U'\x10FFFD', U'\x10FFFF'}) {
        all.push_back(utf8(value));
    }
    return all;
}

const std::vector<std::string>& notorious() {
    static const std::vector<std::string> all{"",
                                              " ",
                                              "  a  ",
                                              "-n",
                                              "--",
                                              "-",
                                              "+",
                                              "=ls",
                                              "=",
                                              "==",
                                              "~",
                                              "~root",
                                              "a=~",
                                              "a:~/x",
                                              "FOO=bar",
                                              "FOO+=bar",
                                              "a[1]=b",
                                              "{a,b}",
                                              "{1..3}",
                                              "{",
                                              "}",
                                              "{}",
                                              "$(id)",
                                              "`id`",
                                              "${HOME}",
                                              "$HOME",
                                              "$'a\\n'",
                                              "$\"a\"",
                                              "$",
                                              "$$",
                                              "!!",
                                              "!$",
                                              "!",
                                              "!x",
                                              "! x",
                                              "a!",
                                              "\\!",
                                              "'!'",
                                              "\\",
                                              "\\\\",
                                              "\\'",
                                              "'",
                                              "''",
                                              "'\\''",
                                              "\"",
                                              "a\\",
                                              "\\\n",
                                              "\n",
                                              "a\nb",
                                              "\n^x^y",
                                              "\n!!",
                                              "\n#",
                                              "\r\n",
                                              "*",
                                              "?",
                                              "[a-z]",
                                              "@(a|b)",
                                              "!(x)",
                                              "+(x)",
                                              "<(id)",
                                              ">(id)",
                                              "=(id)",
                                              "%1",
                                              "%self",
                                              "%",
                                              "@",
                                              "@x",
                                              "#",
                                              "#x",
                                              "a#b",
                                              ";",
                                              ";;",
                                              "&",
                                              "&&",
                                              "|",
                                              "||",
                                              "|&",
                                              ">x",
                                              "2>&1",
                                              "<<EOF",
                                              "(",
                                              ")",
                                              "((1))",
                                              "[",
                                              "]",
                                              "[[",
                                              "]]",
                                              "if",
                                              "then",
                                              "fi",
                                              "do",
                                              "done",
                                              "while",
                                              "for",
                                              "case",
                                              "esac",
                                              "in",
                                              "function",
                                              "time",
                                              "coproc",
                                              "not",
                                              "and",
                                              "or",
                                              "begin",
                                              "end",
                                              "exec",
                                              "eval",
                                              "G",
                                              "2",
                                              "^a^b",
                                              "^",
                                              ":",
                                              ".",
                                              "..",
                                              "../x",
                                              "/",
                                              "//",
                                              "\t",
                                              "\v",
                                              "\f",
                                              "\a",
                                              "\x1b[0m",
                                              "\x03",
                                              "\x04",
                                              "\x15",
                                              "\x7f",
                                              "\xA0",
                                              "\x80",
                                              "\xFF",
                                              "\xC0\x80",
                                              "\xED\xA0\x80",
                                              "\xF4\x90\x80\x80",
                                              "\xE2\x82",
                                              "caf\xC3\xA9",
                                              "\xE2\x80\xA8",
                                              "\xE2\x80\xAE",
                                              "\xEF\xBB\xBF",
                                              "\xEE\xBE\x80",
                                              "\xEF\x98\x80",
                                              "\xEF\xB7\x90",
                                              "\x81",
                                              "\x83 ",
                                              "\x88",
                                              "\x98",
                                              "it's",
                                              "say \"hi\"",
                                              "C:\\dir\\",
                                              "a,b",
                                              "1,000",
                                              "user@host:~/x",
                                              "a b c",
                                              "\\ ",
                                              "\\x41"};
    return all;
}

std::string random_words::word() {
    std::size_t length = below(24);
    if (below(200) == 0) length = 500 + below(3000);
    std::string made;
    const auto kind = below(4);
    while (made.size() < length) {
        switch (kind) {
            case 0: made += static_cast<char>(1 + below(255)); break;
            case 1: made += special[below(special.size())]; break;
            case 2: made += notorious()[below(notorious().size())]; break;
            default: {
                const auto plane = below(4) == 0 ? std::size_t{0x110000} : std::size_t{0x3000};
                const auto value = static_cast<char32_t>(1 + below(plane - 1));
                if (value < 0xD800 || value > 0xDFFF) made += utf8(value);
            }
        }
        if (made.empty()) break;
    }
    return made;
}

std::vector<std::string> random_words::vector() {
    std::vector<std::string> made(1 + below(8));
    for (auto& each : made) each = word();
    return made;
}

std::uint64_t seed(std::uint64_t fallback) {
    const char* given = std::getenv("EXEC_TEST_SEED");
    return given != nullptr ? std::strtoull(given, nullptr, 0) : fallback;
}

}  // namespace test
