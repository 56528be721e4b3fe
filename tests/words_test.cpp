#include <exec/words.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <exec/quote.h>

#include "random_words.h"
#include "real_shells.h"

using exec::argv;
using exec::dialect;
using exec::split;
using exec::split_error;
using kind = exec::split_error::kind;
using namespace std::string_view_literals;

namespace {

real::words words_of(std::string_view line) {
    const auto made = split(line);
    return made ? real::words(made->begin(), made->end()) : real::words{"refused", made.error().context};
}

// What the line is refused for, and where; nothing if it is taken.
struct refusal {
    kind what;
    std::size_t offset;
    bool operator==(const refusal&) const = default;
};
std::optional<refusal> refused(std::string_view line) {
    split_error why;
    const auto made = split(line, &why);
    if (made) return std::nullopt;
    CHECK(made.error().code == exec::errc::invalid_argument);
    if (why.what != kind::words) {
        CHECK(made.error().context == "byte " + std::to_string(why.offset) + ": " + std::string(to_string(why.what)));
    }
    return refusal{why.what, why.offset};
}

// A line of pieces of shell syntax, most of which make it more than words.
std::string syntax(test::random_words& random) {
    static constexpr std::string_view pieces[] = {
        "a",        "b",       "A",       "_",        "0",   "2",   "=",     ":",    "/",    ",",
        ".",        "+",       "-",       "@",        "%",   "^",   "~",     "#",    "!",    "\\",
        "'",        "\"",      "$",       "`",        " ",   "\t",  "\n",    "\r",   "\v",   "\f",
        " ",        " ",       "\\ ",     "\\\n",     "\\'", "''",  "'x y'", "'\n'", "\"\"", "\"p q\"",
        "\"\\\"\"", "\"\\$\"", "\"\\x\"", "\"\\\n\"", "*",   "?",   "[",     "]",    "{",    "}",
        "(",        ")",       "<",       ">",        "|",   "&",   ";",     "\\\\", "\x01", "a=",
        "\xC3\xA9", "~a",      "a~",      "a#",       "a=~", "a:~", "-n",    "if",   "cd"};
    std::string line;
    for (auto count = random.below(9); count > 0; --count) line += pieces[random.below(std::size(pieces))];
    return line;
}

}  // namespace

TEST_CASE("split: blanks and tabs part words, quotes and backslashes keep them together") {
    using words = real::words;
    CHECK(words_of("git log -n1") == words{"git", "log", "-n1"});
    CHECK(words_of("  a \t b\t") == words{"a", "b"});
    CHECK(words_of("a 'b c' \"d e\" f\\ g") == words{"a", "b c", "d e", "f g"});
    CHECK(words_of("a''b \"\" '' c\"d\"'e'") == words{"ab", "", "", "cde"});
    CHECK(words_of(R"(a '\n' "\n" \n)") == words{"a", R"(\n)", R"(\n)", "n"});
    CHECK(words_of(R"(a "\"\\\$\`" '"' "'")") == words{"a", R"("\$`)", "\"", "'"});
    CHECK(words_of("a 'b\nc' \"d\ne\"") == words{"a", "b\nc", "d\ne"});
    CHECK(words_of("a b\\\nc \"d\\\ne\" \\\n f") == words{"a", "bc", "de", "f"});
    CHECK(words_of("a '$HOME' \\$HOME \"!\" '*' \\; '#' \\~ \\{") ==
          words{"a", "$HOME", "$HOME", "!", "*", ";", "#", "~", "{"});
    CHECK(words_of("a b#c d~ e^ caf\xC3\xA9 x=1 --y=2") ==
          words{"a", "b#c", "d~", "e^", "caf\xC3\xA9", "x=1", "--y=2"});
}

TEST_CASE("split: what is more than words is refused, with its kind and its byte") {
    const auto is = [](kind what, std::size_t offset) { return std::optional<refusal>({what, offset}); };
    CHECK(refused("a 'b") == is(kind::open_single_quote, 2));
    CHECK(refused("a \"b\\\"") == is(kind::open_double_quote, 2));
    CHECK(refused("a \"b\\") == is(kind::open_double_quote, 2));
    CHECK(refused("a b\\") == is(kind::trailing_backslash, 3));
    CHECK(refused("a\nb") == is(kind::newline, 1));
    CHECK(refused("a b\n") == is(kind::newline, 3));
    for (const char byte : ";|&<>()"sv) CHECK(refused(std::string("a b") + byte + "c") == is(kind::control, 3));
    for (const char byte : "$`{}!"sv) CHECK(refused(std::string("a b") + byte + "c") == is(kind::expansion, 3));
    for (const char byte : "*?[]"sv) CHECK(refused(std::string("a b") + byte + "c") == is(kind::glob, 3));
    CHECK(refused("a \"b$c\"") == is(kind::expansion, 4));
    CHECK(refused("a \"b`c\"") == is(kind::expansion, 4));
    CHECK(refused("a ~") == is(kind::expansion, 2));
    CHECK(refused("a b=~/x") == is(kind::expansion, 4));
    CHECK(refused("a b:~") == is(kind::expansion, 4));
    CHECK(refused("a =ls") == is(kind::expansion, 2));
    CHECK(refused("a #b") == is(kind::comment, 2));
    CHECK(refused("a \\\n#b") == is(kind::comment, 4));
    CHECK(refused("FOO=bar a") == is(kind::assignment, 3));
    CHECK(refused("_1+=bar a") == is(kind::assignment, 3));
    CHECK_FALSE(refused("1=bar a"));
    CHECK_FALSE(refused("a FOO=bar"));
    CHECK_FALSE(refused("'FOO'=bar a"));
    CHECK_FALSE(refused("F\\OO=bar a"));
    for (const auto line : {"a\0b"sv, "'\0'"sv, "\"\0\""sv, "a\\\0"sv}) CHECK(refused(line)->what == kind::nul);
    CHECK(refused("a'b\0'"sv) == is(kind::nul, 3));
    CHECK(refused("a\\\0"sv) == is(kind::nul, 2));
    for (const auto line : {""sv, "  \t"sv, "\\\n"sv, "'' a"sv, "' ' a"sv}) {
        CHECK(refused(line) == is(kind::words, line.size()));
    }
    CHECK(split("").error().context == "argv: empty");
    CHECK(split("'' a").error().context == "argv[0]: the program is blank");
    CHECK(refused(std::string(131'072, 'x'))->what == kind::words);
}

TEST_CASE("split: every kind has its own words") {
    for (int each = 0; each <= static_cast<int>(kind::words); ++each) {
        CHECK(to_string(static_cast<kind>(each)) != "unknown");
        for (int other = 0; other < each; ++other) {
            CHECK(to_string(static_cast<kind>(each)) != to_string(static_cast<kind>(other)));
        }
    }
    CHECK(to_string(static_cast<kind>(static_cast<int>(kind::words) + 1)) == "unknown");
}

TEST_CASE("split: undoes join, for every vector that is an argv") {
    const auto undoes = [](test::random_words& random) {
        auto vector = random.vector();
        vector.front().insert(0, "p");
        const auto words = argv::make(vector).value();
        if (split(exec::join(words, dialect::posix).value()).value() != words) return false;
        const auto universal = exec::join(words, dialect::universal);
        return !universal || split(*universal).value() == words;
    };
    test::random_words random(test::seed(21));
    for (int round = 0; round < 5'000; ++round) REQUIRE(undoes(random));
}

TEST_CASE("split: what it takes, every POSIX shell reads as the same words") {
    test::random_words random(test::seed(22));
    std::vector<std::string> taken;
    std::vector<real::words> meant;
    for (int round = 0; round < 20'000; ++round) {
        auto line = syntax(random);
        const auto words = split("program " + line);  // as arguments: the shell is not to look for a program
        if (!words) continue;
        taken.push_back(std::move(line));
        meant.emplace_back(std::next(words->begin()), words->end());
    }
    CHECK(taken.size() > 1'500);

    for (const std::string name : {"dash", "bash", "bash --posix", "zsh", "ksh93", "mksh", "busybox", "posh", "yash"}) {
        CAPTURE(name);
        for (const auto locale : real::locales) {
            if (name == "yash" && locale == "C") continue;  // takes ASCII only
            CAPTURE(locale);
            // Many lines to a call, each before a mark: one program for all of them would take minutes.
            std::string script;
            std::vector<real::words> sent;
            for (std::size_t at = 0; at < taken.size(); ++at) {
                if (at % 200 == 0) {
                    script += (at == 0 ? "" : "\n") + exec::quote(real::print_args(), dialect::posix).value();
                    sent.push_back({real::print_args()});
                }
                script += " " + taken[at] + " 'end of line'";
                sent.back().insert(sent.back().end(), meant[at].begin(), meant[at].end());
                sent.back().push_back("end of line");
            }
            const auto ended = real::run_script(real::find_shell(name), locale, real::door::file, script + "\n");
            CHECK(real::difference(sent, ended.out, ended.err) == "");
        }
    }
}

TEST_CASE("soak: split: a million random lines and a million random vectors" * doctest::test_suite("soak")) {
    const auto seed = test::seed(std::random_device{}());
    MESSAGE("EXEC_TEST_SEED=" << seed);
    test::random_words random(seed);
    for (int round = 0; round < 1'000'000; ++round) {
        const auto line = syntax(random);
        if (const auto words = split(line))
            REQUIRE(split(exec::join(*words, dialect::posix).value()).value() == *words);
        auto vector = random.vector();
        vector.front().insert(0, "p");
        const auto words = argv::make(vector).value();
        REQUIRE(split(exec::join(words, dialect::posix).value()).value() == words);
    }
}
