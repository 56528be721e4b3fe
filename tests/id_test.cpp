#include <doctest/doctest.h>

#include <exec/id.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <unordered_set>

namespace {

using ship_id = exec::unique_id<struct ship>;
using crew_id = exec::unique_id<struct crew>;

static_assert(!std::is_convertible_v<ship_id, crew_id> && !std::is_constructible_v<ship_id, crew_id>);
static_assert(!ship_id{});
static_assert(sizeof(ship_id) == 16);

// Sixteen bytes, of which each differs from its neighbours.
ship_id numbered(unsigned number) {
    ship_id::bits bits{};
    for (std::size_t at = 0; at < bits.size(); ++at) bits[at] = static_cast<std::uint8_t>(at * 16 + number * 7 + 1);
    return ship_id(bits);
}

}  // namespace

TEST_CASE("id: text is 32 lower-case digits in the order of the bytes, and parse() takes exactly that back") {
    const ship_id id({0x00, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x10, 0x32, 0x54, 0x76, 0x98, 0xba, 0xff});
    CHECK(id.text() == "000123456789abcdef1032547698baff");
    for (unsigned number = 0; number < 64; ++number) {
        const auto each = numbered(number);
        const auto back = ship_id::parse(each.text());
        REQUIRE(back.has_value());
        CHECK(*back == each);
    }
}

TEST_CASE("id: no second spelling of an id is taken") {
    const auto good = numbered(3).text();
    REQUIRE(ship_id::parse(good).has_value());
    const auto refused = [](const std::string& text) {
        const auto parsed = ship_id::parse(text);
        return !parsed && parsed.error().code == exec::errc::invalid_argument;
    };
    CHECK(refused(""));
    CHECK(refused(good.substr(1)));
    CHECK(refused(good + "0"));
    CHECK(refused(good + "\n"));
    CHECK(refused("0x" + good.substr(2)));
    CHECK(refused(" " + good.substr(1)));
    for (std::size_t at = 0; at < good.size(); ++at) {
        for (const char other : {'A', 'F', 'g', '/', ':', '@', '`', '-', '\0'}) {
            auto text = good;
            text[at] = other;
            CHECK_MESSAGE(refused(text), text);
        }
    }
}

TEST_CASE("id: the default one names nothing, differs from every other, and ids can be kept in sets") {
    std::unordered_set<ship_id> seen{ship_id{}};
    for (unsigned number = 0; number < 30; ++number) {
        CHECK(static_cast<bool>(numbered(number)));
        CHECK(seen.insert(numbered(number)).second);
    }
    CHECK(seen.count(numbered(7)) == 1);
    CHECK(ship_id{} < numbered(1));
}
