#include <exec/command.h>

#include <string>
#include <utility>

#include <doctest/doctest.h>

namespace {

using exec::command;
using exec::input;
using exec::terminal_size;

static_assert(terminal_size{} == terminal_size{80, 24});
static_assert(terminal_size{80, 25} != terminal_size{});

}  // namespace

TEST_CASE("command: the default runs nothing, reads nothing and shares nothing") {
    const command nothing;
    CHECK(nothing.program_and_args.blank());
    CHECK(nothing.env.empty());
    CHECK(nothing.env.has_base());
    CHECK(nothing.cwd.empty());
    CHECK(nothing.in.what() == input::kind::none);
    CHECK_FALSE(nothing.terminal);
    CHECK_FALSE(nothing.merge_err_into_out);
}

TEST_CASE("command: can be written as one initializer, in the order in which it is thought of") {
    const command listing{.program_and_args = exec::argv("ls", "-la"), .cwd = "/"};
    CHECK(listing.program_and_args.size() == 2);
    CHECK(listing.cwd == "/");
    CHECK(listing.env.has_base());
}

TEST_CASE("input: no bytes at all is not the same as no input") {
    CHECK(input().what() == input::kind::none);
    CHECK(input::none().what() == input::kind::none);
    CHECK(input::bytes("").what() == input::kind::bytes);
    CHECK(input::streamed().what() == input::kind::streamed);
    CHECK(input::streamed().data().empty());
}

TEST_CASE("input: carries every byte, NUL included, through copies and moves") {
    std::string all;
    for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
    auto given = input::bytes(all);
    const auto copied = given;
    const auto moved = std::move(given);
    CHECK(copied.data() == all);
    CHECK(moved.data() == all);
}
