#include <exec/environment.h>

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "misuse.h"

namespace {

using exec::environment;
using origin = environment::origin;

// "A=1 B< C-": what stands in it, in order.
std::string text_of(const environment& env) {
    std::string text;
    for (const auto entry : env) {
        if (!text.empty()) text += ' ';
        text += entry.name;
        text += static_cast<char>(entry.from);
        text += entry.value;
    }
    return text;
}

bool refused(const exec::result<void>& how) { return !how && how.error().code == exec::errc::invalid_argument; }

}  // namespace

TEST_CASE("environment: begins with the base and nothing else, and without_base() takes that away as well") {
    environment env;
    CHECK(env.empty());
    CHECK(env.has_base());
    CHECK(env.begin() == env.end());
    CHECK(env.without_base().empty());
    CHECK_FALSE(env.has_base());
}

TEST_CASE("environment: a value comes back as it was given, empty ones and '=' in them included") {
    const environment env{{"A", ""}, {"B", "x=y=z"}, {"C", " spaces\nand \xff bytes"}};
    std::vector<std::string> texts;
    for (const auto entry : env) {
        CHECK(entry.from == origin::given);
        texts.emplace_back(entry.text);
    }
    CHECK(texts == std::vector<std::string>{"A=", "B=x=y=z", "C= spaces\nand \xff bytes"});
    CHECK(text_of(env) == "A= B=x=y=z C= spaces\nand \xff bytes");
    CHECK(env.bytes() == std::string("=A= =B=x=y=z =C= spaces\nand \xff bytes ").size());
}

TEST_CASE("environment: add refuses a name that stands there already, set replaces it") {
    environment env;
    REQUIRE(env.add("A", "1"));
    REQUIRE(env.add("AB", "2"));
    const auto twice = env.add("A", "secret");
    CHECK(refused(twice));
    CHECK(twice.error().context.find("A") != std::string::npos);
    CHECK(twice.error().context.find("secret") == std::string::npos);
    CHECK(text_of(env) == "A=1 AB=2");
    REQUIRE(env.set("A", "3"));
    CHECK(text_of(env) == "AB=2 A=3");
}

TEST_CASE("environment: a name has one meaning, the last one said") {
    environment env;
    REQUIRE(env.inherit("A"));
    CHECK(text_of(env) == "A<");
    CHECK(std::string_view((*env.begin()).text) == "A");
    REQUIRE(env.unset("A"));
    CHECK(text_of(env) == "A-");
    CHECK(refused(env.add("A", "1")));
    REQUIRE(env.set("A", "1"));
    CHECK(text_of(env) == "A=1");
    REQUIRE(env.inherit("A"));
    CHECK(text_of(env) == "A<");
}

TEST_CASE("environment: names that a process cannot have are refused, and the refusal never quotes a value") {
    using namespace std::string_view_literals;
    environment env;
    for (const auto name : {""sv, "="sv, "A=B"sv, "A\0B"sv, "\0"sv}) {
        CAPTURE(std::string(name));
        CHECK(refused(env.add(name, "v")));
        CHECK(refused(env.set(name, "v")));
        CHECK(refused(env.inherit(name)));
        CHECK(refused(env.unset(name)));
    }
    const auto nul = env.set("A", "secret\0tail"sv);
    CHECK(refused(nul));
    CHECK(nul.error().context == "environment: NUL in the value of A");
    CHECK(env.empty());
}

TEST_CASE("environment: names that look like other names' beginnings, ends or marks are told apart") {
    environment env{{"PATH", "1"}, {"PATH2", "2"}, {"XPATH", "3"}, {"<PATH", "4"}, {"-", "5"}};
    REQUIRE(env.set("PATH", "6"));
    REQUIRE(env.unset("-"));
    CHECK(text_of(env) == "PATH2=2 XPATH=3 <PATH=4 PATH=6 --");
}

TEST_CASE("environment: what it hands out may be handed back to it") {
    environment env{{"A", "1"}, {"B", "a value that is long enough to move the block when it comes a second time"}};
    for (int round = 0; round < 10; ++round) {
        const auto first = *env.begin();
        REQUIRE(env.set(first.name, first.value));
    }
    CHECK(text_of(env) == "A=1 B=a value that is long enough to move the block when it comes a second time");
    REQUIRE(env.set("C", (*++env.begin()).value));
    REQUIRE(env.unset((*env.begin()).name));
    CHECK(text_of(env) ==
          "B=a value that is long enough to move the block when it comes a second time "
          "C=a value that is long enough to move the block when it comes a second time A-");
}

TEST_CASE("environment: after any sequence of changes it says the same as a map does") {
    environment env;
    std::map<std::string, std::pair<origin, std::string>> model;
    unsigned seed = 1;
    const auto random = [&seed](unsigned below) {
        seed = seed * 1664525U + 1013904223U;
        return (seed >> 16U) % below;
    };
    for (int step = 0; step < 5000; ++step) {
        const std::string name(1 + random(3), static_cast<char>('A' + static_cast<char>(random(5))));
        const std::string value(random(40), static_cast<char>('!' + static_cast<char>(random(90))));
        switch (random(4)) {
            case 0:
                CHECK(env.add(name, value).has_value() == model.try_emplace(name, origin::given, value).second);
                break;
            case 1:
                REQUIRE(env.set(name, value));
                model[name] = {origin::given, value};
                break;
            case 2:
                REQUIRE(env.inherit(name));
                model[name] = {origin::inherited, ""};
                break;
            default:
                REQUIRE(env.unset(name));
                model[name] = {origin::absent, ""};
                break;
        }
        std::map<std::string, std::pair<origin, std::string>> seen;
        for (const auto entry : env) {
            const bool first = seen.try_emplace(std::string(entry.name), entry.from, std::string(entry.value)).second;
            REQUIRE(first);
        }
        REQUIRE(seen == model);
    }
}

TEST_CASE("environment: a list that was written wrongly is misuse") {
    const test::misuse_throws guard;
    CHECK_THROWS_AS((environment{{"A", "1"}, {"A", "2"}}), test::misuse);
    CHECK_THROWS_AS((environment{{"", "1"}}), test::misuse);
    CHECK_THROWS_AS((environment{{"A=B", "1"}}), test::misuse);
}
