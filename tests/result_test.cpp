#include <exec/result.h>

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>

#include "misuse.h"

namespace {

using namespace exec;

static_assert(std::is_same_v<result<int>::value_type, int> && std::is_same_v<result<int>::error_type, failure>);
static_assert(!std::is_default_constructible_v<result<int>>);
static_assert(std::is_nothrow_default_constructible_v<result<void>>);
static_assert(std::is_nothrow_move_constructible_v<result<std::string>>);
static_assert(std::is_copy_constructible_v<result<std::string>>);
static_assert(!std::is_copy_constructible_v<result<std::unique_ptr<int>>>);
static_assert(std::is_move_constructible_v<result<std::unique_ptr<int>>>);
static_assert(!std::is_convertible_v<result<int>, bool>);
static_assert(std::is_same_v<decltype(*std::declval<result<int>&&>()), int&&>);
static_assert(std::is_same_v<decltype(std::declval<result<int>&&>().value()), int&&>);
static_assert(std::is_same_v<decltype(std::declval<const result<int>&>().value()), const int&>);
static_assert(std::is_same_v<decltype(std::declval<result<int>&&>().error()), failure&&>);

result<std::string> read(bool works) {
    if (works) return std::string("text");
    return fail(errc::wrong_state, "closed");
}

}  // namespace

TEST_CASE("result: holds the value or the failure, and says which") {
    auto good = read(true);
    CHECK(good.has_value());
    CHECK(good);
    CHECK(*good == "text");
    CHECK(good->size() == 4);
    CHECK(good.value() == "text");
    *good += "!";
    CHECK(std::as_const(good).value() == "text!");
    CHECK(std::as_const(good)->size() == 5);

    auto bad = read(false);
    CHECK_FALSE(bad.has_value());
    CHECK_FALSE(bad);
    CHECK(bad.error().kind() == errc::wrong_state);
    CHECK(std::as_const(bad).error().context == "closed");
}

TEST_CASE("result: is copied and assigned as a whole, between values and failures") {
    auto one = read(true);
    const auto copy = one;
    one = read(false);
    CHECK(*copy == "text");
    CHECK(one.error().context == "closed");
    one = copy;
    CHECK(*one == "text");
    one = fail(errc::denied);
    CHECK(one.error().kind() == errc::denied);
    one = std::string("again");
    CHECK(*one == "again");
}

TEST_CASE("result: a value that cannot be copied is moved in and out") {
    result<std::unique_ptr<int>> owned = std::make_unique<int>(5);
    auto moved = std::move(owned);
    const auto taken = *std::move(moved);
    CHECK(*taken == 5);
    result<std::unique_ptr<int>> second = std::make_unique<int>(6);
    CHECK(*std::move(second).value() == 6);
}

TEST_CASE("result: a failure is moved in and out without a copy of its context") {
    auto why_not = fail(errc::denied, std::string(1000, 'c'));
    const auto* const text = why_not.context.data();
    result<int> bad = std::move(why_not);
    const failure why = std::move(bad).error();
    CHECK(why.context.data() == text);
}

TEST_CASE("result: value_or gives the value where there is one and moves it out of a temporary") {
    CHECK(read(true).value_or("else") == "text");
    CHECK(read(false).value_or("else") == "else");
    const auto good = read(true);
    CHECK(good.value_or("else") == "text");
    CHECK(*good == "text");
    CHECK(*result<std::unique_ptr<int>>(std::make_unique<int>(1)).value_or(nullptr) == 1);
}

TEST_CASE("result: value() of a failure throws bad_result, which is a system_error with its code and its sentence") {
    auto bad = read(false);
    bool thrown = false;
    try {
        static_cast<void>(bad.value());
    } catch (const bad_result& caught) {
        thrown = true;
        CHECK(caught.why().context == "closed");
        CHECK(caught.code() == errc::wrong_state);
        CHECK(std::string(caught.what()).find(caught.why().message()) == 0);
    }
    CHECK(thrown);
    CHECK_THROWS_AS(static_cast<void>(std::as_const(bad).value()), std::system_error);
    CHECK_THROWS_AS(static_cast<void>(std::move(bad).value()), bad_result);
    CHECK_THROWS_AS(result<void>(fail(errc::denied)).value(), bad_result);
}

TEST_CASE("result: taking the wrong side without asking is misuse, never an invented value") {
    const test::misuse_throws guard;
    auto good = read(true);
    auto bad = read(false);
    CHECK_THROWS_AS(static_cast<void>(*bad), test::misuse);
    CHECK_THROWS_AS(static_cast<void>(*std::as_const(bad)), test::misuse);
    CHECK_THROWS_AS(static_cast<void>(*std::move(bad)), test::misuse);
    CHECK_THROWS_AS(static_cast<void>(bad->size()), test::misuse);
    CHECK_THROWS_AS(static_cast<void>(good.error()), test::misuse);
    CHECK_THROWS_AS(static_cast<void>(std::as_const(good).error()), test::misuse);
    CHECK_THROWS_AS(static_cast<void>(std::move(good).error()), test::misuse);
    CHECK_THROWS_AS(static_cast<void>(result<void>().error()), test::misuse);
}

TEST_CASE("result<void>: is success unless it is given a failure") {
    result<void> done;
    CHECK(done);
    CHECK(done.has_value());
    done.value();
    done = fail(errc::too_busy, "queue");
    CHECK_FALSE(done);
    CHECK(done.error().context == "queue");
    const failure why = std::move(done).error();
    CHECK(why.kind() == errc::too_busy);
    done = {};
    CHECK(done);
}
