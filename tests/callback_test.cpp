#include <exec/callback.h>

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include "allocations.h"
#include "misuse.h"

namespace {

using exec::callback;

static_assert(std::is_nothrow_default_constructible_v<callback<void()>>);
static_assert(std::is_nothrow_move_constructible_v<callback<void()>>);
static_assert(std::is_nothrow_move_assignable_v<callback<void()>>);
static_assert(!std::is_copy_constructible_v<callback<void()>>);
static_assert(std::is_constructible_v<callback<int(int)>, int (*)(int)>);
static_assert(!std::is_constructible_v<callback<int(int)>, void (*)(int)>);
static_assert(!std::is_constructible_v<callback<int(int)>, int>);
static_assert(sizeof(callback<void()>) == 4 * sizeof(void*));

// Counts its living copies; `Bytes` decides where it lives.
template <std::size_t Bytes>
struct counted {
    explicit counted(int& alive) : alive_(&alive) { ++*alive_; }
    counted(counted&& other) noexcept : alive_(other.alive_) { ++*alive_; }
    counted(const counted&) = delete;
    ~counted() { --*alive_; }
    int operator()(int more) const { return *alive_ + more; }

    int* alive_;
    std::array<char, Bytes> ballast{};
};
using small = counted<2 * sizeof(void*)>;
using large = counted<2 * sizeof(void*) + 1>;
static_assert(sizeof(small) == 3 * sizeof(void*));

// Small, but a move may throw: inside the object it could not be moved without noexcept.
struct throwing_move {
    throwing_move() = default;
    throwing_move(throwing_move&&) noexcept(false) {}
    void operator()() const {}
};
// Small too, but the object is aligned for a pointer only.
struct alignas(2 * sizeof(void*)) wide {
    void operator()() const {}
};

template <class F>
std::size_t allocations_of(F&& f) {
    const test::allocations made;
    const callback<void()> held(std::forward<F>(f));
    return made.count();
}

}  // namespace

TEST_CASE_TEMPLATE("callback: what it holds is destroyed exactly once, wherever it lives", Held, small, large) {
    int alive = 0;
    {
        callback<int(int)> first{Held(alive)};
        CHECK(alive == 1);
        CHECK(first(10) == 11);
        callback<int(int)> second = std::move(first);
        CHECK(alive == 1);
        CHECK_FALSE(first);
        CHECK(second(20) == 21);

        first = std::move(second);
        CHECK(alive == 1);
        CHECK_FALSE(second);
        CHECK(first);

        second = callback<int(int)>(Held(alive));
        CHECK(alive == 2);
        second = std::move(first);  // what it held is destroyed, what it takes is moved
        CHECK(alive == 1);
        CHECK(second(0) == 1);

        auto& itself = second;
        second = std::move(itself);
        CHECK(alive == 1);
        CHECK(second(0) == 1);

        second.reset();
        CHECK(alive == 0);
        CHECK_FALSE(second);
        second.reset();
        second = callback<int(int)>(Held(alive));
        CHECK(alive == 1);
    }
    CHECK(alive == 0);
}

TEST_CASE("callback: three pointers of captures cost no allocation, more cost one, a move none") {
    int alive = 0;
    const test::allocations made;
    callback<int(int)> inside{small(alive)};
    auto moved_inside = std::move(inside);
    CHECK(made.count() == 0);
    callback<int(int)> outside{large(alive)};
    CHECK(made.count() == 1);
    auto moved_outside = std::move(outside);
    moved_inside = std::move(moved_outside);
    CHECK(made.count() == 1);
    CHECK(moved_inside(0) == 1);
}

TEST_CASE("callback: what could throw while it is moved, or is aligned more strictly, is kept outside") {
    CHECK(allocations_of([] {}) == 0);
    CHECK(allocations_of(throwing_move{}) == 1);
    CHECK(allocations_of(wide{}) == 1);
    callback<void()> aligned{wide{}};
    auto moved = std::move(aligned);
    moved();
}

TEST_CASE("callback: a constructor that throws leaves nothing behind") {
    struct throws_when_copied {
        throws_when_copied() = default;
        throws_when_copied(const throws_when_copied&) { throw std::runtime_error("copy"); }
        void operator()() const {}
    };
    const throws_when_copied source;
    CHECK_THROWS_AS(callback<void()>{source}, std::runtime_error);
}

TEST_CASE("callback: is empty by default, from nullptr and after a move, and calling an empty one is misuse") {
    const test::misuse_throws guard;
    callback<void()> by_default, from_null = nullptr, source = [] {};
    const auto target = std::move(source);
    CHECK_FALSE(by_default);
    CHECK_FALSE(from_null);
    CHECK_FALSE(source);
    CHECK(target);
    CHECK_THROWS_AS(by_default(), test::misuse);
    CHECK_THROWS_AS(from_null(), test::misuse);
    CHECK_THROWS_AS(source(), test::misuse);
}

TEST_CASE("callback: keeps its state between calls, and passes arguments and results by their own kind") {
    callback<int()> counting = [n = 0]() mutable { return ++n; };
    CHECK(counting() == 1);
    CHECK(counting() == 2);

    std::string text = "a";
    callback<std::string&(std::string&)> by_reference = [](std::string& s) -> std::string& { return s += "b"; };
    CHECK(&by_reference(text) == &text);
    CHECK(text == "ab");

    callback<std::unique_ptr<int>(std::unique_ptr<int>)> moving = [](std::unique_ptr<int> p) { return p; };
    CHECK(*moving(std::make_unique<int>(3)) == 3);

    callback<int(int)> from_function = +[](int n) { return n + 1; };
    CHECK(from_function(1) == 2);

    callback<long(short)> converting = [](int n) { return n * 2; };
    CHECK(converting(short{4}) == 8L);
}

TEST_CASE("callback: one that returns nothing takes a callable that returns something") {
    int called = 0;
    callback<void()> ignoring = [&called] { return ++called; };
    ignoring();
    std::array<char, 100> ballast{};
    callback<void()> ignoring_outside = [&called, ballast] { return called += 1 + ballast[0]; };
    ignoring_outside();
    CHECK(called == 2);
}

TEST_CASE("callback: what the callable throws comes out of the call, and it can be called again") {
    callback<void(bool)> maybe = [](bool throws) {
        if (throws) throw std::runtime_error("asked for");
    };
    CHECK_THROWS_AS(maybe(true), std::runtime_error);
    maybe(false);
}
