#include <exec/argv.h>

#include <array>
#include <iterator>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "allocations.h"
#include "misuse.h"
#include "random_words.h"

using exec::argv;
using namespace std::string_literals;
using namespace std::string_view_literals;

namespace {

// A bare string is never taken for a list of words, nor a list of words for "words that you wrote".
static_assert(!std::is_convertible_v<const char*, argv>);
static_assert(!std::is_convertible_v<std::string, argv>);
static_assert(!std::is_constructible_v<argv, std::vector<std::string>>);
static_assert(!std::is_constructible_v<argv, std::nullptr_t>);
static_assert(!exec::detail::range_of_words<std::string>);
static_assert(!exec::detail::range_of_words<const char*>);
static_assert(!exec::detail::range_of_words<std::vector<char>>);
static_assert(exec::detail::range_of_words<std::vector<const char*>>);
static_assert(exec::detail::range_of_words<std::array<std::string_view, 3>>);
static_assert(std::forward_iterator<argv::iterator>);
static_assert(std::is_nothrow_move_constructible_v<argv> && std::is_nothrow_move_assignable_v<argv>);

std::vector<std::string> words_of(const argv& from) { return {from.begin(), from.end()}; }

std::string refusal(const exec::result<argv>& made) {
    if (made) return "taken";
    return made.error().code == exec::errc::invalid_argument ? made.error().context : "another code";
}

}  // namespace

TEST_CASE("argv: a bare string is one word") {
    const argv one("ls -la");
    CHECK(one.size() == 1);
    CHECK(one.program() == "ls -la");
}

TEST_CASE("argv: words come back as they went in, empty ones and all bytes but NUL included") {
    std::vector<std::string> all{"program"};
    for (int value = 1; value < 256; ++value) all.emplace_back(1, static_cast<char>(value));
    all.insert(all.end(), {"", "", "a b", ""});
    const auto made = argv::make(all);
    REQUIRE(made);
    CHECK(words_of(*made) == all);
    CHECK(made->size() == all.size());
    for (std::size_t index = 0; index < all.size(); ++index) CHECK((*made)[index] == all[index]);
    CHECK(std::distance(made->begin(), made->end()) == static_cast<std::ptrdiff_t>(all.size()));
}

TEST_CASE("argv: every kind of list gives the same words") {
    const argv written("a", std::string("b"), "c"sv);
    CHECK(argv::make({"a", "b", "c"}).value() == written);
    CHECK(argv::make(std::vector<std::string>{"a", "b", "c"}).value() == written);
    CHECK(argv::make(std::vector<const char*>{"a", "b", "c"}).value() == written);
    CHECK(argv::make(std::array<std::string_view, 3>{"a", "b", "c"}).value() == written);
    CHECK(argv::make(written).value() == written);
    CHECK(argv::unpack("a\0b\0c\0"s).value() == written);
    CHECK_FALSE(written == argv("a", "b c"));
    CHECK_FALSE(written == argv("a", "b"));
}

TEST_CASE("argv: the block is the words, each with its NUL, ready for a char*[]") {
    const argv words("git", "", "log");
    CHECK(words.packed() == "git\0\0log\0"sv);
    CHECK(words.block() == words.packed().data());
    for (const auto word : words) CHECK(word.data()[word.size()] == '\0');
    CHECK(argv::unpack(std::string(words.packed())).value() == words);
}

TEST_CASE("argv: what is refused names the word by its index and says nothing of it") {
    CHECK(refusal(argv::make(std::vector<std::string>{})) == "argv: empty");
    for (const auto blank : {""sv, " "sv, " \t\n\v\f\r"sv})
        CHECK(refusal(argv::make({blank, "x"})) == "argv[0]: the program is blank");
    CHECK(refusal(argv::make({"\xC2\xA0", "x"})) == "taken");  // only ASCII is known to be blank everywhere
    CHECK(refusal(argv::make({"a", "b", "secret\0x"sv})) == "argv[2]: a NUL at byte 6");
    CHECK(refusal(argv::make({"\0"sv})) == "argv[0]: a NUL at byte 0");
    CHECK(refusal(argv::unpack("a\0b"s)) == "argv: the last word has no NUL");
    CHECK(refusal(argv::unpack({})) == "argv: empty");
    CHECK(refusal(argv::unpack("\0a\0"s)) == "argv[0]: the program is blank");
}

TEST_CASE("argv: each bound holds to the byte and to the word") {
    const std::string longest(131'071, 'x');
    CHECK(refusal(argv::make({"a"sv, longest})) == "taken");
    CHECK(refusal(argv::make({"a"sv, "b"sv, longest + "x"})) ==
          "argv[2]: 131072 bytes, at most 131071; long text belongs into the input or a file");

    const exec::argv_bounds small{.max_words = 3, .max_word_bytes = 5, .max_bytes = 12};
    CHECK(refusal(argv::make({"1", "2", "3"}, small)) == "taken");
    CHECK(refusal(argv::make({"1", "2", "3", "4"}, small)) == "argv[3]: more than 3 words");
    CHECK(refusal(argv::make({"12345", "12345"}, small)) == "taken");
    CHECK(refusal(argv::make({"12345", "12345", ""}, small)) == "argv[2]: more than 12 bytes up to here");
    CHECK(refusal(argv::unpack("12345\0"
                               "12345\0"s,
                               small)) == "taken");
    CHECK(refusal(argv::unpack("1\0"
                               "123456\0"s,
                               small))
              .starts_with("argv[1]: 6 bytes"));

    const argv later("12345", "12345", "");
    CHECK(later.check());
    REQUIRE_FALSE(later.check(small));
    CHECK(later.check(small).error().context == "argv[2]: more than 12 bytes up to here");
    CHECK(argv().check().error().context == "argv: empty");
}

TEST_CASE("argv: the default bounds fit the kernel's: what they take, execve takes beside 512 KiB of environment") {
    const exec::argv_bounds usual;
    constexpr std::size_t stack_quarter = 2 * exec::MiB;
    CHECK(usual.max_bytes + usual.max_words * sizeof(char*) <= stack_quarter - 512 * exec::KiB);
}

TEST_CASE("argv: a default, moved-from or emptied one is blank, and stays a valid object") {
    argv words("git", "status");
    const argv kept = words;
    argv moved = std::move(words);
    CHECK(words.blank());  // NOLINT: the point
    CHECK(words.size() == 0);
    CHECK(words.program() == "");
    CHECK(words.packed() == "");
    CHECK(words.begin() == words.end());
    CHECK(words == argv());
    CHECK(moved == kept);
    words = std::move(moved);
    CHECK(moved.blank());  // NOLINT
    CHECK(words == kept);
    argv& self = words;
    words = std::move(self);
    CHECK(words == kept);

    argv large("program", std::string(4096, 'x'));  // beyond what a string keeps inside
    const argv taken = std::move(large);
    CHECK(large.blank());  // NOLINT
    CHECK(taken.size() == 2);
}

TEST_CASE("argv: behind a prefix; with a lost prefix nothing runs at all") {
    const argv words("id", "-u");
    CHECK(words.behind(argv("sudo", "-n", "--")) == argv("sudo", "-n", "--", "id", "-u"));
    CHECK(words.behind(argv()).blank());
    CHECK(argv().behind(argv("sudo")).blank());
}

TEST_CASE("argv: words that the programmer got wrong are misuse, with the reason") {
    const test::misuse_throws misuse_throws;
    CHECK_THROWS_WITH_AS(argv(""), "argv[0]: the program is blank", test::misuse);
    CHECK_THROWS_WITH_AS(argv("a", "b\0c"sv), "argv[1]: a NUL at byte 1", test::misuse);
    CHECK_THROWS_AS(argv("a", std::string(131'072, 'x')), test::misuse);
    CHECK_THROWS_AS(argv("a")[1], test::misuse);
    CHECK_THROWS_AS(argv()[0], test::misuse);
}

TEST_CASE("argv: one allocation however many words") {
    const std::vector<std::string> many(500, "a word that is longer than a small string");
    const test::allocations making;
    const auto made = argv::make(many);
    CHECK(making.count() == 1);
    const test::allocations wrapping;
    const auto behind = made->behind(*made);
    CHECK(wrapping.count() == 1);
    const test::allocations reading;
    std::size_t bytes = 0;
    for (const auto word : behind) bytes += word.size();
    CHECK(reading.count() == 0);
    CHECK(bytes == 2 * 500 * many.front().size());
}

TEST_CASE("argv: random vectors survive make, unpack and iteration") {
    test::random_words random(11);
    for (int round = 0; round < 2'000; ++round) {
        auto all = random.vector();
        all.insert(all.begin(), "program");
        const auto made = argv::make(all);
        REQUIRE(made);
        REQUIRE(words_of(*made) == all);
        const auto again = argv::unpack(std::string(made->packed()));
        REQUIRE(again);
        REQUIRE(*again == *made);
        REQUIRE(again->size() == all.size());
    }
}
