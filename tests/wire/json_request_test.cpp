#include <exec/wire/json_request.h>

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <random>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "allocations.h"

namespace {

using namespace exec;
using namespace exec::wire;
using namespace std::string_view_literals;

json_document good(std::string_view text) {
    auto document = json_document::parse(text);
    CAPTURE(text);
    if (!document) FAIL(document.error().context);
    return *std::move(document);
}
std::string refusal_of(std::string_view text, const json_bounds& within = {}) {
    const auto document = json_document::parse(text, within);
    return document ? "taken" : document.error().context;
}

TEST_CASE("json_request: every kind of value is read") {
    const auto document = good(
        " {\"s\" : \"a\\u00e9\\\"\\\\ 漢\\ud83d\\ude00\",\r\n\t\"i\":-7 , \"b\":[true,false], "
        "\"n\":null,\"o\":{\"k\":{}},\"e\":[]} ");
    const auto root = document.root();
    CHECK(root.what() == json_value::kind::object);
    CHECK(root.path() == "body");
    CHECK(root.byte() == 1);
    CHECK(root.find("s")->string().value() == "aé\"\\ 漢😀");
    CHECK(root.find("i")->integer(-10, 0).value() == -7);
    const auto b = root.find("b")->elements().value();
    REQUIRE(b.size() == 2);
    CHECK(b[0].boolean().value());
    CHECK_FALSE(b[1].boolean().value());
    CHECK(root.find("n")->what() == json_value::kind::null);
    CHECK(root.find("o")->find("k")->path() == "o.k");
    CHECK(root.find("e")->elements().value().empty());
    CHECK(root.find("e")->strings().value().empty());
    CHECK_FALSE(root.find("x").has_value());
    CHECK_FALSE(root.find("e")->find("x").has_value());
    CHECK(good("[\"a\",\"\"]").root().strings().value().size() == 2);
    CHECK(good("5").root().integer(0, 9).value() == 5);
    CHECK(good("\"x\"").root().string().value() == "x");
}

TEST_CASE("json_request: a value is not read as another kind, and the place is said") {
    const auto document = good(R"({"a":[1,"x",[null,{"deep":1.5}]]})");
    const auto all = document.root().find("a")->elements().value();
    CHECK(all[0].string().error().context == "a[0]: must be a string, is a number (byte 6)");
    CHECK(all[1].integer(0, 1).error().context == "a[1]: must be an integer, is a string (byte 8)");
    CHECK(all[1].boolean().error().context == "a[1]: must be a boolean, is a string (byte 8)");
    CHECK(all[1].elements().error().context == "a[1]: must be an array, is a string (byte 8)");
    CHECK(all[1].only({}).error().context == "a[1]: must be an object, is a string (byte 8)");
    const auto inner = all[2].elements().value();
    CHECK(inner[0].string().error().context == "a[2][0]: must be a string, is null (byte 13)");
    CHECK(inner[1].find("deep")->integer(0, 9).error().context ==
          "a[2][1].deep: must be an integer, without a point or exponent (byte 26)");
    CHECK(all[0].integer(2, 3).error().context == "a[0]: must be from 2 to 3 (byte 6)");
}

TEST_CASE("json_request: integers to the ends of 64 bits, and not beyond") {
    constexpr auto least = (std::numeric_limits<std::int64_t>::min)();
    constexpr auto most = (std::numeric_limits<std::int64_t>::max)();
    CHECK(good("9223372036854775807").root().integer(least, most).value() == most);
    CHECK(good("-9223372036854775808").root().integer(least, most).value() == least);
    CHECK(good("-0").root().integer(least, most).value() == 0);
    for (const auto text : {"9223372036854775808", "18446744073709551615", "18446744073709551616",
                            "-9223372036854775809", "1e2", "1.0", "0.0"}) {
        CHECK_FALSE(good(text).root().integer(least, most).has_value());
    }
}

TEST_CASE("json_request: names that begin with x- are nobody's, all others must be known") {
    const auto document = good(R"({"cmd":1,"x-":2,"x-a":{"b":[null]},"X-a":3})");
    CHECK(document.root().only({"cmd", "X-a"}).has_value());
    CHECK(document.root().only({"cmd"}).error().context == "X-a: is not known here (byte 41)");
}

TEST_CASE("json_request: bounds are met exactly") {
    json_bounds within;
    within.max_bytes = 10;
    CHECK(refusal_of("[1,2,3,45]", within) == "taken");
    CHECK(refusal_of("[1,2,3,456]", within) == "body: 11 bytes, at most 10");
    within = {};
    within.max_depth = 2;
    CHECK(refusal_of("[{}]", within) == "taken");
    CHECK(refusal_of("[{\"a\":[]}]", within) == "body: more than 2 levels deep (byte 6)");
    within = {};
    within.max_values = 3;
    CHECK(refusal_of("[1,2]", within) == "taken");
    CHECK(refusal_of("[1,2,3]", within) == "body: more than 3 values (byte 5)");
    within = {};
    within.max_members = 1;
    CHECK(refusal_of("[{\"a\":1},{\"b\":1}]", within) == "taken");
    CHECK(refusal_of("[{\"a\":1,\"b\":1}]", within) == "[0]: more than 1 members (byte 8)");
    within.max_depth = 0;
    CHECK(refusal_of("1", within) == "taken");
    CHECK(refusal_of("[]", within) == "body: more than 0 levels deep (byte 0)");
    CHECK(refusal_of(std::string(16, '[') + std::string(16, ']')) == "taken");
}

TEST_CASE("json_request: long names are cut between characters, in a path of a bounded length") {
    std::string name;
    while (name.size() < 200) name += "é";
    auto text = "{\"" + name + "\":1}";
    auto why = good(text).root().only({}).error().context;
    CHECK(why.substr(0, 66).find("éé") != std::string::npos);
    CHECK(nlohmann::json(why).dump().size() < 200);  // dump() throws where it is no UTF-8
    text = "1";
    for (int i = 0; i < 15; ++i) text = "{\"" + name + "\":" + text + "}";
    const auto document = good(text);
    auto at = document.root();
    while (at.what() == json_value::kind::object) at = *at.find(name);
    CHECK(at.path().size() <= 131);
    CHECK(at.path().ends_with("..."));
    CHECK(nlohmann::json(at.path()).dump().size() < 300);
}

// The shortest of three readings, and the most that was allocated at once.
struct cost {
    double seconds = 1e9;
    std::size_t largest = 0;
    bool taken = false;
};
cost cost_of(const std::string& text, const json_bounds& within) {
    cost least;
    for (int i = 0; i < 3; ++i) {
        const test::allocations before;
        const auto began = std::chrono::steady_clock::now();
        least.taken = json_document::parse(text, within).has_value();
        const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
        least.seconds = std::min(least.seconds, took.count());
        least.largest = before.largest();
    }
    return least;
}

TEST_CASE("json_request: a bomb costs time in proportion to its size, and no more memory than its size") {
    const auto filled = [](std::string_view open, std::string_view unit, std::string_view close) {
        return [=](std::size_t size) {
            std::string text(open);
            while (text.size() + unit.size() + close.size() < size) text += unit;
            return text += close;
        };
    };
    // As many values as there are, so that none is stopped early.
    json_bounds wide{.max_bytes = 64 * MiB, .max_depth = 16, .max_values = 64 * MiB, .max_members = 256};
    const struct {
        const char* name;
        std::function<std::string(std::size_t)> make;
    } bombs[] = {{"brackets", filled("", "[", "")},
                 {"digits", filled("", "9", "")},
                 {"digits behind a point", filled("0.", "9", "")},
                 {"an exponent", filled("1e", "9", "")},
                 {"one string", filled("\"", "x", "\"")},
                 {"escapes", filled("\"", "\\u00e9", "\"")},
                 {"elements", filled("[1", ",1", "]")},
                 {"empty lists", filled("[[]", ",[]", "]")},
                 {"small objects", filled("[{}", ",{\"a\":{}}", "]")},
                 {"blank", filled("", " ", "")},
                 {"a long name", filled("{\"", "x", "\":1}")}};
    for (const auto& bomb : bombs) {
        CAPTURE(bomb.name);
        const auto small = cost_of(bomb.make(16 * KiB), wide);
        const auto large = cost_of(bomb.make(1 * MiB), wide);
        // 64 times as much, and up to seven times more for a page of new memory than for one that is in the cache; it
        // would be 4096 times as long if it were quadratic. A floor keeps the clock's noise out.
        CHECK(large.seconds < 64 * 24 * std::max(small.seconds, 1e-4));
        CHECK(large.largest <= 64 * MiB);  // a value for every two bytes, and room to grow
        // With the bounds that are the default, a body of a MiB takes no more than twice its size at a time.
        CHECK(cost_of(bomb.make(1 * MiB), {}).largest <= 2 * MiB);
    }
    std::string million = "[0";
    while (million.size() < 2'000'000) million += ",0";
    million += ']';
    CHECK(refusal_of(million) == "body: 2000001 bytes, at most 1048576");
    CHECK(refusal_of(million, {.max_bytes = 4 * MiB}) == "body: more than 16384 values (byte 32767)");
    CHECK(refusal_of(std::string(1 * MiB, '[')) == "body: more than 16 levels deep (byte 16)");
}

TEST_CASE("json_request: whatever nlohmann-json refuses is refused, and what is taken says the same") {
    std::mt19937_64 random(3);
    const std::string_view pieces[] = {"{",     "}",           "[",       "]", ",",     ":",   "\"a\"",
                                       "\"b\"", "\"\\u00e9\"", "\"\\n\"", "1", "-2",    "3.5", "1e3",
                                       "true",  "false",       "null",    " ", "\"x-\""};
    int taken = 0;
    for (int round = 0; round < 200'000; ++round) {
        std::string text;
        for (auto count = 1 + random() % 9; count > 0; --count) text += pieces[random() % std::size(pieces)];
        const auto ours = json_document::parse(text);
        if (!ours) continue;
        ++taken;
        const auto theirs = nlohmann::json::parse(text, nullptr, false);
        CAPTURE(text);
        REQUIRE_FALSE(theirs.is_discarded());
        REQUIRE(ours->root().what() == (theirs.is_object()    ? json_value::kind::object
                                        : theirs.is_array()   ? json_value::kind::array
                                        : theirs.is_string()  ? json_value::kind::string
                                        : theirs.is_number()  ? json_value::kind::number
                                        : theirs.is_boolean() ? json_value::kind::boolean
                                                              : json_value::kind::null));
        if (theirs.is_array()) REQUIRE(ours->root().elements().value().size() == theirs.size());
    }
    CHECK(taken > 1000);
}

}  // namespace
