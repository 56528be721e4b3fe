#include <exec/json_text.h>
#include <exec/utf8.h>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <string_view>

#include "allocations.h"

namespace {

using namespace exec;
using namespace std::string_view_literals;

std::string json(std::string_view text) {
    std::string out;
    append_json_string(out, text);
    return out;
}
std::string shown(std::string_view bytes) {
    std::string out;
    append_json_shown(out, bytes);
    return out;
}
std::string base64(std::string_view bytes) {
    std::string out;
    append_base64(out, bytes);
    return out;
}
template <class Number>
std::string number(Number value) {
    std::string out;
    append_json_number(out, value);
    return out;
}

// The reverse of append_json_string, one character at a time.
std::string unescaped(std::string_view text) {
    std::string out;
    text = text.substr(1, text.size() - 2);
    while (!text.empty()) {
        if (text.front() != '\\') {
            out += text.front();
            text.remove_prefix(1);
            continue;
        }
        const char what = text[1];
        text.remove_prefix(2);
        if (what != 'u') {
            out += what == 'n' ? '\n' : what == 'r' ? '\r' : what == 't' ? '\t' : what;
            continue;
        }
        const auto value = std::stoul(std::string(text.substr(0, 4)), nullptr, 16);
        text.remove_prefix(4);
        if (value < 0x80) {
            out += static_cast<char>(value);
        } else if (value < 0x800) {
            out += static_cast<char>(0xC0 | value >> 6);
            out += static_cast<char>(0x80 | (value & 0x3F));
        } else {
            out += static_cast<char>(0xE0 | value >> 12);
            out += static_cast<char>(0x80 | (value >> 6 & 0x3F));
            out += static_cast<char>(0x80 | (value & 0x3F));
        }
    }
    return out;
}

TEST_CASE("json_text: what has to be escaped is, and nothing else") {
    CHECK(json("") == R"("")");
    CHECK(json("plain text / with a slash") == R"("plain text / with a slash")");
    CHECK(json("a\"b\\c") == R"("a\"b\\c")");
    CHECK(json("\n\r\t\b\f") == R"("\n\r\t\u0008\u000c")");
    CHECK(json("\0\x1b[0m\x7f"sv) == R"("\u0000\u001b[0m\u007f")");
    CHECK(json("é漢😀“”│✓") == "\"é漢😀“”│✓\"");
    // C1 and what reorders text.
    CHECK(json("\u0080\u009b\u00a0\u061c\u0627\u200d\u200e\u200f") ==
          "\"\\u0080\\u009b\u00a0\\u061c\u0627\u200d\\u200e\\u200f\"");
    CHECK(json("\u2027\u2028\u2029\u202e\u202f\u2065\u2066\u2069\u206a") ==
          "\"\u2027\\u2028\\u2029\\u202e\u202f\u2065\\u2066\\u2069\u206a\"");
}

TEST_CASE("json_text: a character is escaped alike wherever it stands among eight others") {
    const std::string_view each[] = {"\"", "\\",     "\n",     "\x1f", "\x7f",   " ", "~",
                                     "é",  "\u009b", "\u061c", "漢",   "\u2028", "😀", "\0"sv};
    for (const auto one : each) {
        const auto alone = json(one);
        for (std::size_t before = 0; before <= 17; ++before) {
            for (std::size_t after = 0; after <= 9; ++after) {
                const auto text =
                    std::string(before, 'x') + std::string(one) + std::string(one) + std::string(after, 'y');
                const auto inside = alone.substr(1, alone.size() - 2);
                CHECK(json(text) == '"' + std::string(before, 'x') + inside + inside + std::string(after, 'y') + '"');
            }
        }
    }
}

TEST_CASE("json_text: any text comes back, longer ones than the block too") {
    std::mt19937_64 random(7);
    const std::string_view alphabet[] = {
        "a",      "bc",     "\"",   "\\",
        "\n",     "\x01",   "\x1b", "\x7f",
        "é",      "\u0085", "漢字", "\u202e",
        "\u2028", "😀",      "\0"sv, "a long run of plain text, longer than a word of the machine"};
    for (int round = 0; round < 300; ++round) {
        std::string text;
        for (auto pieces = random() % 400; pieces > 0; --pieces) text += alphabet[random() % std::size(alphabet)];
        const auto written = json(text);
        CHECK(unescaped(written) == text);
        CHECK(utf8_valid(written));
        for (const char byte : written) REQUIRE(static_cast<unsigned char>(byte) >= 0x20);
    }
}

TEST_CASE("json_text: bytes that break the promise of UTF-8 are copied, and nothing is read behind them") {
    for (const auto broken :
         {"\xC2"sv, "\xE2\x80"sv, "\xE2"sv, "\xD8"sv, "\xFF"sv, "\x80"sv, "1234567\xE2"sv, "12345678\xC2"sv}) {
        const auto copy = std::string(broken);  // of its own length, for the sanitizer
        CHECK(json(copy) == '"' + copy + '"');
    }
}

TEST_CASE("json_text: shown says bytes that are no text as \\xNN, and the rest as it is") {
    CHECK(shown("plain") == R"("plain")");
    CHECK(shown("") == R"("")");
    CHECK(shown("\xff") == R"("\\xff")");
    CHECK(shown("a\0b"sv) == R"("a\\x00b")");
    CHECK(shown("é\xC3(\xE6\xBC") == "\"é\\\\xc3(\\\\xe6\\\\xbc\"");
    CHECK(shown("\xED\xA0\x80") == R"("\\xed\\xa0\\x80")");
    CHECK(shown("\n\x1b\u202e") == R"("\n\u001b\u202e")");
    CHECK(shown("C:\\x41") == R"("C:\\x41")");  // not meant to be parsed back
    std::mt19937_64 random(11);
    for (int round = 0; round < 300; ++round) {
        std::string bytes(random() % 64, '\0');
        for (auto& byte : bytes) byte = static_cast<char>(random());
        const auto written = shown(bytes);
        CHECK(utf8_valid(written));
        CHECK(unescaped(written).find('\0') == std::string::npos);
    }
}

TEST_CASE("json_text: numbers, to the ends of their types") {
    CHECK(number(0) == "0");
    CHECK(number((std::numeric_limits<std::int64_t>::min)()) == "-9223372036854775808");
    CHECK(number((std::numeric_limits<std::uint64_t>::max)()) == "18446744073709551615");
    CHECK(number(std::uint8_t{255}) == "255");
    CHECK(number(std::int8_t{-128}) == "-128");
}

TEST_CASE("json_text: base64 as in RFC 4648") {
    CHECK(base64("") == "");
    CHECK(base64("f") == "Zg==");
    CHECK(base64("fo") == "Zm8=");
    CHECK(base64("foo") == "Zm9v");
    CHECK(base64("foob") == "Zm9vYg==");
    CHECK(base64("fooba") == "Zm9vYmE=");
    CHECK(base64("foobar") == "Zm9vYmFy");
    CHECK(
        base64(
            "\0\x10\x83\x10\x51\x87\x20\x92\x8b\x30\xd3\x8f\x41\x14\x93\x51\x55\x97\x61\x96\x9b\x71\xd7\x9f\x82\x18\xa3\x92\x59\xa7\xa2\x9a\xab\xb2\xdb\xaf\xc3\x1c\xb3\xd3\x5d\xb7\xe3\x9e\xbb\xf3\xdf\xbf"sv) ==
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
    std::string behind = "kept:";
    append_base64(behind, "fo");
    CHECK(behind == "kept:Zm8=");
}

TEST_CASE("json_text: nothing is allocated where the string has room") {
    std::string out;
    out.reserve(64 * KiB);
    const std::string text(8 * KiB, '\n');
    const test::allocations before;
    append_json_string(out, text);
    append_json_shown(out, "\xff text");
    append_base64(out, text);
    append_json_number(out, 1);
    CHECK(before.count() == 0);
}

}  // namespace
