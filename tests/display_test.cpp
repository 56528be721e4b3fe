#include <exec/display.h>

#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include <exec/quote.h>

#include "random_words.h"
#include "real_shells.h"

using exec::display;
using namespace std::string_view_literals;

namespace {

constexpr auto whole = std::string::npos;

// Reads display's output back; what it cannot read is "?".
std::string undone(std::string_view shown) {
    const auto number = [&](std::size_t digits) {
        const auto value = std::stoul(std::string(shown.substr(2, digits)), nullptr, 16);
        shown.remove_prefix(2 + digits);
        return value;
    };
    std::string text;
    while (!shown.empty()) {
        if (shown.front() != '\\') {
            text += shown.front();
            shown.remove_prefix(1);
            continue;
        }
        switch (shown.at(1)) {
            case 'x': text += static_cast<char>(number(2)); continue;
            case 'u': text += test::utf8(static_cast<char32_t>(number(4))); continue;
            case 'n': text += '\n'; break;
            case 'r': text += '\r'; break;
            case 't': text += '\t'; break;
            case '\\': text += '\\'; break;
            default: text += '?';
        }
        shown.remove_prefix(2);
    }
    return text;
}

bool safe_to_show(std::string_view shown) {
    while (!shown.empty()) {
        const auto [value, bytes] = exec::detail::first_code_point(shown);
        if (bytes == 0 || value < 0x20 || value == 0x7F || exec::detail::deceives(value)) return false;
        shown.remove_prefix(bytes);
    }
    return true;
}

// Any bytes: NUL, broken sequences, controls.
std::string hostile_text(test::random_words& random) {
    auto text = random.word();
    for (auto inserts = random.below(4); inserts > 0; --inserts) {
        static constexpr std::string_view pieces[] = {"\0"sv,           "\xC2"sv,     "\xE2\x80"sv,
                                                      "\xF0\x9F\x98"sv, "\xC2\x9B"sv, "\xE2\x80\xAE"sv,
                                                      "\xE2\x80\xA8"sv, "\xD8\x9C"sv, "\xE2\x81\xA6"sv};
        text.insert(random.below(text.size() + 1), pieces[random.below(std::size(pieces))]);
    }
    return text;
}

}  // namespace

TEST_CASE("display: what it escapes, and how") {
    CHECK(display("plain text, 100%") == "plain text, 100%");
    CHECK(display("a\nb\rc\td") == R"(a\nb\rc\td)");
    CHECK(display(R"(C:\new)") == R"(C:\\new)");
    CHECK(display("\0\x01\x1b[31m\x7f"sv) == R"(\x00\x01\x1b[31m\x7f)");
    CHECK(display("\xC2\x80\xC2\x9B\xC2\x9F\xC2\xA0") == "\\u0080\\u009b\\u009f\xC2\xA0");
    CHECK(display("caf\xC3\xA9 \xF0\x9F\x98\x80") == "caf\xC3\xA9 \xF0\x9F\x98\x80");
    CHECK(display("\xE2\x80\xA8\xE2\x80\xA9") == R"(\u2028\u2029)");
    CHECK(display("") == "");
}

TEST_CASE("display: every bidi control is escaped, and its neighbours are not") {
    for (const char32_t control : {U'\x061C', U'\x200E', U'\x200F', U'\x202A', U'\x202B', U'\x202C', U'\x202D',
                                   U'\x202E', U'\x2066', U'\x2067', U'\x2068', U'\x2069'}) {
        CHECK(display(test::utf8(control)).starts_with("\\u"));
    }
    for (const char32_t letter :
         {U'\x061B', U'\x061D', U'\x200D', U'\x2010', U'\x2027', U'\x202F', U'\x2065', U'\x206A'}) {
        CHECK(display(test::utf8(letter)) == test::utf8(letter));
    }
}

TEST_CASE("display: what is not UTF-8 becomes \\xNN, byte by byte") {
    CHECK(display("\x80") == R"(\x80)");
    CHECK(display("\xC3") == R"(\xc3)");
    CHECK(display("\xC3(") == R"(\xc3()");
    CHECK(display("\xC0\x80") == R"(\xc0\x80)");                          // overlong
    CHECK(display("\xE0\x9F\xBF") == R"(\xe0\x9f\xbf)");                  // overlong
    CHECK(display("\xF0\x8F\xBF\xBF") == R"(\xf0\x8f\xbf\xbf)");          // overlong
    CHECK(display("\xED\xA0\x80") == R"(\xed\xa0\x80)");                  // a surrogate
    CHECK(display("\xF4\x90\x80\x80") == R"(\xf4\x90\x80\x80)");          // above U+10FFFF
    CHECK(display("\xF8\x88\x80\x80\x80") == R"(\xf8\x88\x80\x80\x80)");  // five bytes
    CHECK(display("\xE2\x82") == R"(\xe2\x82)");                          // cut
    CHECK(display("\xE2\x82\xC3\xA9") == "\\xe2\\x82\xC3\xA9");
}

TEST_CASE("display: every code point comes back, and shows nothing dangerous") {
    for (char32_t value = 0; value <= 0x10FFFF; ++value) {
        if (value >= 0xD800 && value <= 0xDFFF) continue;
        const auto text = test::utf8(value);
        const auto shown = display(text, whole);
        REQUIRE(safe_to_show(shown));
        REQUIRE(undone(shown) == text);
    }
}

TEST_CASE("display: random bytes: never dangerous, never ambiguous") {
    test::random_words random(test::seed(3));
    for (int round = 0; round < 20'000; ++round) {
        const auto text = hostile_text(random);
        const auto shown = display(text, whole);
        REQUIRE(safe_to_show(shown));
        REQUIRE(undone(shown) == text);
    }
}

TEST_CASE("display: a cut is visible, keeps the bound, and never splits an escape or a character") {
    CHECK(display("abcdef", 6) == "abcdef");
    CHECK(display("abcdef", 5) == "ab...");
    CHECK(display("\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC", 8) == "\xE2\x82\xAC...");
    CHECK(display("ab\n\n", 6) == R"(ab\n\n)");
    CHECK(display("ab\n\nc", 6) == R"(ab...)");
    CHECK(display("ab\n\nc", 7) == R"(ab\n\nc)");
    CHECK(display("abc", 2) == "..");
    CHECK(display("abc", 0) == "");
    CHECK(display("", 0) == "");
    CHECK(display(std::string(257, 'x')) == std::string(253, 'x') + "...");

    test::random_words random(test::seed(5));
    for (int round = 0; round < 500; ++round) {
        const auto text = hostile_text(random).substr(0, 60);
        const auto full = display(text, whole);
        for (std::size_t most = 3; most <= full.size() + 1; ++most) {
            auto cut = display(text, most);
            REQUIRE(cut.size() <= most);
            if (most >= full.size()) {
                REQUIRE(cut == full);
                continue;
            }
            REQUIRE(cut.ends_with("..."));
            cut.resize(cut.size() - 3);
            REQUIRE(full.starts_with(cut));
            REQUIRE(safe_to_show(cut));
            REQUIRE(text.starts_with(undone(cut)));  // whole escapes and whole characters
            REQUIRE(cut.size() + 3 + 6 > most);      // and as much as fits: the longest piece has 6 bytes
        }
    }
}

TEST_CASE("display: an argv is bare where it is clear, and quoted where it is not") {
    using exec::argv;
    CHECK(display(argv("git", "log", "-n1", "--format=%h", "a b", "")) == "git log -n1 --format=%h 'a b' ''");
    CHECK(display(argv("echo", "it's", "a\nb", "\x1b[0m", "C:\\")) == R"(echo $'it\'s' $'a\nb' $'\x1b[0m' $'C:\\')");
    CHECK(display(argv("ls", "caf\xC3\xA9", "$HOME", "=ls", "~")) == "ls 'caf\xC3\xA9' '$HOME' '=ls' '~'");
    CHECK(display(argv()) == "");
    CHECK(display(argv("program", std::string(5'000, 'x'))) == "program " + std::string(245, 'x') + "...");
    CHECK(display(argv("a", "b c"), 5) == "a ...");
}

TEST_CASE("display: what a person copies from a log into bash is the same words") {
    const auto& bash = real::find_shell("bash");
    test::random_words random(test::seed(9));
    std::vector<real::words> lines = real::lines_of(test::notorious());
    for (int round = 0; round < 300; ++round) lines.push_back(random.vector());
    const auto shown = [](const real::words& line, exec::dialect) {
        return display(exec::argv::make(line).value(), whole);
    };
    CHECK(real::travel(bash, "C.UTF-8", real::door::input, exec::dialect::posix, lines, shown) == "");
}
