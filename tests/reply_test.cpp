#include <exec/reply.h>

#include <doctest/doctest.h>

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "misuse.h"

namespace {

using namespace exec;

static_assert(std::is_nothrow_move_constructible_v<reply<int>> && std::is_nothrow_move_assignable_v<reply<int>>);
static_assert(!std::is_copy_constructible_v<reply<int>>);
static_assert(!std::is_constructible_v<reply<int>, void (*)(std::string)>);

// What came back, in order.
struct asker {
    reply<int> ask() {
        return [this](result<int> answer) { answers.push_back(std::move(answer)); };
    }
    // Answered once, with errc::broken_reply.
    bool was_let_down() const {
        return answers.size() == 1 && !answers[0] && answers[0].error().code == errc::broken_reply;
    }

    std::vector<result<int>> answers;
};

}  // namespace

TEST_CASE("reply: the answer arrives once, a value or a failure, and dropping it afterwards says nothing more") {
    asker one, two;
    {
        auto owed = one.ask();
        CHECK(owed);
        owed(5);
        CHECK_FALSE(owed);
        two.ask()(fail(errc::denied));
    }
    REQUIRE(one.answers.size() == 1);
    CHECK(*one.answers[0] == 5);
    REQUIRE(two.answers.size() == 1);
    CHECK(two.answers[0].error().kind() == errc::denied);
}

TEST_CASE("reply: one that is dropped uncalled answers broken_reply") {
    asker one;
    { const auto owed = one.ask(); }
    CHECK(one.was_let_down());
}

TEST_CASE("reply: a move hands the debt on, and only the last owner's drop is told") {
    asker one;
    {
        auto owed = one.ask();
        auto moved = std::move(owed);
        CHECK_FALSE(owed);
        CHECK(moved);
        {
            auto again = std::move(moved);
            CHECK(one.answers.empty());
        }
        CHECK(one.was_let_down());
    }
    CHECK(one.answers.size() == 1);
}

TEST_CASE("reply: assigning over an owed one answers it, assigning it to itself does not") {
    asker one, two;
    auto owed = one.ask();
    owed = two.ask();
    CHECK(one.was_let_down());
    CHECK(two.answers.empty());
    auto& itself = owed;
    owed = std::move(itself);
    CHECK(two.answers.empty());
    owed = {};
    CHECK(two.was_let_down());
    CHECK_FALSE(owed);
}

TEST_CASE("reply: one captured by a function that is never called is still answered") {
    asker one;
    {
        const callback<void()> never_called = [owed = one.ask()]() mutable { owed(1); };
    }
    CHECK(one.was_let_down());
}

TEST_CASE("reply: answering twice, or one that was never owed, is misuse") {
    const test::misuse_throws guard;
    asker one;
    auto owed = one.ask();
    owed(1);
    CHECK_THROWS_WITH_AS(owed(2), "reply: it was answered before, or never owed", test::misuse);
    CHECK(one.answers.size() == 1);
    reply<int> nobody;
    CHECK_FALSE(nobody);
    CHECK_THROWS_WITH_AS(nobody(1), "reply: it was answered before, or never owed", test::misuse);
}

TEST_CASE("reply: a handler may drop or replace the reply that is calling it") {
    asker other;
    std::optional<reply<int>> owed;
    int answered = 0;
    owed.emplace([&, alive = std::make_shared<int>(7)](result<int> answer) {
        owed.reset();
        answered = *answer + *alive;  // what the handler holds is still there
    });
    (*owed)(1);
    CHECK(answered == 8);

    reply<int> replaced = [&](result<int>) { replaced = other.ask(); };
    replaced(1);
    CHECK(replaced);
    replaced(2);
    REQUIRE(other.answers.size() == 1);
    CHECK(*other.answers[0] == 2);
}

TEST_CASE("reply: what a handler throws comes out of an answer, but not out of a drop") {
    const auto throwing = [](result<int>) { throw std::runtime_error("handler"); };
    reply<int> answered = throwing;
    CHECK_THROWS_AS(answered(1), std::runtime_error);
    CHECK_FALSE(answered);
    { const reply<int> dropped = throwing; }
    reply<int> replaced = throwing;
    replaced = {};
}

TEST_CASE("reply<void>: success is an answer without a value") {
    std::vector<result<void>> answers;
    reply<void> owed = [&](result<void> answer) { answers.push_back(std::move(answer)); };
    owed({});
    REQUIRE(answers.size() == 1);
    CHECK(answers[0]);
}

TEST_CASE("reply: carries a value that cannot be copied") {
    std::unique_ptr<int> got;
    reply<std::unique_ptr<int>> owed = [&](result<std::unique_ptr<int>> answer) { got = *std::move(answer); };
    owed(std::make_unique<int>(9));
    REQUIRE(got);
    CHECK(*got == 9);
}
