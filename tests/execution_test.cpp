#include <exec/execution.h>

#include <string>
#include <type_traits>
#include <utility>

#include <doctest/doctest.h>

namespace {

using namespace exec;

static_assert(sizeof(execution) == sizeof(void*));
static_assert(std::is_nothrow_move_constructible_v<execution> && std::is_nothrow_move_assignable_v<execution>);
static_assert(!std::is_copy_constructible_v<execution> && !std::is_copy_assignable_v<execution>);
static_assert(!std::is_convertible_v<execution::control*, execution>);  // a claim is not taken over by accident

// Writes down what the handle asks of it.
struct notebook final : execution::control {
    std::string said{};

    std::size_t write_in(bytes_view bytes) override {
        said += "write:" + std::string(bytes) + ' ';
        return bytes.size() / 2;
    }
    void close_in() override { said += "close "; }
    void resume() override { said += "resume "; }
    result<void> signal(int number) override {
        said += "signal:" + std::to_string(number) + ' ';
        return fail(errc::denied);
    }
    result<void> resize(terminal_size size) override {
        said += "resize:" + std::to_string(size.columns) + 'x' + std::to_string(size.rows) + ' ';
        return {};
    }
    void stop(milliseconds grace) override {
        said += grace == unlimited ? "stop " : "stop:" + std::to_string(grace.count()) + ' ';
    }
    std::uint64_t id() const override { return 17; }
    void detach() override { said += "detach"; }
    void let_go() override { said += "let_go"; }
};

}  // namespace

TEST_CASE("execution: every verb reaches the control unchanged, and its answer comes back") {
    notebook control;
    {
        execution handle(&control);
        CHECK(handle);
        CHECK(handle.write_in("abcd") == 2);
        handle.close_in();
        handle.resume();
        CHECK(handle.signal(10).error().code == errc::denied);
        CHECK(handle.resize({100, 50}));
        handle.stop();
        handle.stop(milliseconds(5));
        CHECK(handle.id() == 17);
    }
    CHECK(control.said == "write:abcd close resume signal:10 resize:100x50 stop stop:5 let_go");
}

TEST_CASE("execution: an inert one takes every call and does nothing") {
    execution inert;
    CHECK_FALSE(inert);
    CHECK(inert.write_in("abc") == 0);
    inert.close_in();
    inert.resume();
    CHECK(inert.signal(15).error().code == errc::wrong_state);
    CHECK(inert.resize({80, 24}).error().code == errc::wrong_state);
    inert.stop();
    inert.detach();
    CHECK(inert.id() == 0);
}

TEST_CASE("execution: the claim is given up exactly once, by whoever holds it last") {
    SUBCASE("a move hands it on") {
        notebook control;
        {
            execution first(&control);
            execution second(std::move(first));
            CHECK_FALSE(first);
            CHECK(second);
            first.stop();
            CHECK(control.said.empty());
        }
        CHECK(control.said == "let_go");
    }
    SUBCASE("assignment drops what was held before") {
        notebook one;
        notebook two;
        execution handle(&one);
        handle = execution(&two);
        CHECK(one.said == "let_go");
        CHECK(two.said.empty());
        handle = {};
        CHECK(two.said == "let_go");
        CHECK_FALSE(handle);
    }
    SUBCASE("assignment to itself keeps it") {
        notebook control;
        execution handle(&control);
        auto& same = handle;
        handle = std::move(same);
        CHECK(handle);
        CHECK(control.said.empty());
    }
    SUBCASE("detach is the last call") {
        notebook control;
        {
            execution handle(&control);
            handle.detach();
            CHECK_FALSE(handle);
            handle.detach();
            handle.stop();
        }
        CHECK(control.said == "detach");
    }
}

namespace {

// Gives the handle away again from inside the call that ends its claim.
struct reentrant final : execution::control {
    execution* handle = nullptr;
    int calls = 0;

    std::size_t write_in(bytes_view) override { return 0; }
    void close_in() override {}
    void resume() override {}
    result<void> signal(int) override { return {}; }
    result<void> resize(terminal_size) override { return {}; }
    void stop(milliseconds) override {}
    std::uint64_t id() const override { return 1; }
    void detach() override { again(); }
    void let_go() override { again(); }
    void again() {
        ++calls;
        handle->detach();
        *handle = {};
    }
};

}  // namespace

TEST_CASE("execution: a control that touches its handle while letting go is not called twice") {
    reentrant control;
    execution handle(&control);
    control.handle = &handle;
    SUBCASE("detach") { handle.detach(); }
    SUBCASE("assignment") { handle = {}; }
    CHECK(control.calls == 1);
}
