#include <exec/wire/frames.h>

#include <doctest/doctest.h>

#include <cstddef>
#include <random>
#include <string>
#include <string_view>
#include <type_traits>

#include "allocations.h"
#include "wire/decoded.h"

namespace {

using namespace exec;
using namespace exec::wire;
using namespace std::string_view_literals;

// The whole body of one stream that came in these pieces.
std::string body_of(std::initializer_list<std::string_view> pieces, const frame_options& options = {}) {
    std::string out;
    frame_writer frames(options);
    std::uint64_t at = 0;
    for (const auto piece : pieces) {
        frames.output(stream::out, at, piece, out);
        at += piece.size();
    }
    std::move(frames).end(out, [](std::string& to) { to += R"("end":true)"; });
    return out;
}

TEST_CASE("frames: text as text, with its offset, and the terminal line last") {
    CHECK(body_of({"hello\n", "\"world\"\x1b"}) ==
          "{\"stream\":\"stdout\",\"offset\":0,\"data\":\"hello\\n\",\"truncated\":false}\n"
          "{\"stream\":\"stdout\",\"offset\":6,\"data\":\"\\\"world\\\"\\u001b\",\"truncated\":false}\n"
          "{\"end\":true}\n");
    CHECK(body_of({}) == "{\"end\":true}\n");
    CHECK(body_of({"", ""}) == "{\"end\":true}\n");
}

TEST_CASE("frames: what is no text is base64, whole") {
    CHECK(body_of({"ok\xff"}) ==
          "{\"stream\":\"stdout\",\"offset\":0,\"data\":\"b2v/\",\"encoding\":\"base64\",\"truncated\":false}\n"
          "{\"end\":true}\n");
}

TEST_CASE("frames: a character that comes in pieces stays in one") {
    const auto cut = test::decode(body_of({"a\xE6", "\xBC", "\xA2", "b\xF0\x9F", "\x98\x80"}));
    CHECK(cut.out.bytes == "a漢b😀");
    CHECK(cut.out.texts_only);
    CHECK(cut.out.frames == 4);  // "a", "漢", "b", the face: the character is told when it is whole
    CHECK(cut.lines[1].at("offset") == 1);
}

TEST_CASE("frames: the beginning of a character that never ends comes at the end of the stream, as base64") {
    const auto cut = test::decode(body_of({"a\xE6\xBC"}));
    CHECK(cut.out.bytes == "a\xE6\xBC");
    CHECK(cut.lines[0].at("data") == "a");
    CHECK(cut.lines[1].at("data") == "5rw=");
    CHECK(cut.lines[1].at("offset") == 1);
    const auto broken = test::decode(body_of({"a\xE6\xBC", "b"}));
    CHECK(broken.out.bytes ==
          "a\xE6\xBC"
          "b");
}

TEST_CASE("frames: a piece is as long as the bound, and text is not cut inside a character") {
    std::string text;
    while (text.size() < 3 * 64 * KiB) text += "漢字😀é";
    const auto whole = test::decode(body_of({text}));
    CHECK(whole.out.bytes == text);
    CHECK(whole.out.texts_only);
    CHECK(whole.out.largest <= 64 * KiB);
    CHECK(whole.out.largest > 64 * KiB - 4);
    CHECK(whole.out.frames == 4);
    const auto small = test::decode(body_of({text.substr(0, 999)}, {.max_raw = 0}));
    CHECK(small.out.bytes == text.substr(0, 999));
    CHECK(small.out.largest <= 8);
    // Nothing but control characters: the longest line that there is.
    const auto longest = body_of({std::string(64 * KiB, '\x01')});
    CHECK(longest.find('\n') < 384 * KiB + 100);
}

TEST_CASE("frames: the two streams have offsets, held characters and gaps of their own") {
    std::string out;
    frame_writer frames;
    frames.output(stream::out, 0, "a\xC3", out);
    frames.output(stream::err, 0, "b\xE6", out);
    frames.gap(stream::err, 2, 5);
    frames.output(stream::out, 2, "\xA9", out);
    frames.output(stream::err, 7, "c", out);
    CHECK(frames.total(stream::out) == 3);
    CHECK(frames.total(stream::err) == 8);
    std::move(frames).end(out, [](std::string&) {});
    const auto got = test::decode(out);
    CHECK(got.out.bytes == "aé");
    CHECK(got.err.bytes ==
          "b\xE6"
          "c");
    REQUIRE(got.err.gaps.size() == 1);
    CHECK(got.err.gaps[0] == std::pair<std::uint64_t, std::uint64_t>(2, 5));
    CHECK_FALSE(got.err.truncated);
}

TEST_CASE("frames: a gap is told before what follows, and what it has torn is not taken for text") {
    std::string out;
    frame_writer frames;
    frames.output(stream::out, 0, "abc", out);
    frames.gap(stream::out, 3, 10);
    frames.gap(stream::out, 13, 2);
    CHECK(test::decode(out).out.gaps.empty());
    frames.output(stream::out, 15, "\xBC\xA2 text", out);
    // Bytes left out without a word are a gap too.
    frames.output(stream::out, 30, "later", out);
    std::move(frames).end(out, [](std::string&) {});
    const auto got = test::decode(out);
    CHECK(got.out.bytes == "abc\xBC\xA2 textlater");
    REQUIRE(got.out.gaps.size() == 2);
    CHECK(got.out.gaps[0] == std::pair<std::uint64_t, std::uint64_t>(3, 12));
    CHECK(got.out.gaps[1] == std::pair<std::uint64_t, std::uint64_t>(22, 8));
    CHECK(got.lines[3].at("data") == " text");
    CHECK_FALSE(got.out.truncated);
}

TEST_CASE("frames: missing ends are told by truncated and total on the stream's last frame") {
    std::string out;
    frame_writer frames;
    frames.output(stream::out, 0, "abc\xE6", out);
    frames.gap(stream::out, 4, 96);
    frames.output(stream::err, 0, "x", out);
    std::move(frames).end(out, [](std::string& to) { to += R"("end":1)"; });
    CHECK(out ==
          "{\"stream\":\"stdout\",\"offset\":0,\"data\":\"abc\",\"truncated\":false}\n"
          "{\"stream\":\"stderr\",\"offset\":0,\"data\":\"x\",\"truncated\":false}\n"
          "{\"stream\":\"stdout\",\"offset\":3,\"data\":\"5g==\",\"encoding\":\"base64\",\"truncated\":true,\"total\":"
          "100}\n"
          "{\"end\":1}\n");
    const auto got = test::decode(out);
    CHECK(got.out.truncated);
    CHECK(got.out.total == 100);
    CHECK_FALSE(got.err.truncated);
}

TEST_CASE("frames: the classic marker is data for those who look at nothing else") {
    std::string out;
    frame_writer frames({.classic_marker = true});
    frames.output(stream::out, 0, "abc\xE6", out);
    frames.gap(stream::out, 4, 96);
    std::move(frames).end(out, [](std::string&) {});
    CHECK(out ==
          "{\"stream\":\"stdout\",\"offset\":0,\"data\":\"abc\",\"truncated\":false}\n"
          "{\"stream\":\"stdout\",\"offset\":3,\"data\":\"5g==\",\"encoding\":\"base64\",\"truncated\":false}\n"
          "{\"stream\":\"stdout\",\"offset\":4,\"data\":\"[output truncated at 4 "
          "bytes]\",\"truncated\":true,\"total\":100}\n"
          "{}\n");
}

TEST_CASE("frames: a gap without an end saturates") {
    std::string out;
    frame_writer frames;
    frames.output(stream::out, 0, "abc", out);
    frames.gap(stream::out, 3, unlimited_bytes);
    CHECK(frames.total(stream::out) == unlimited_bytes);
    std::move(frames).end(out, [](std::string&) {});
    CHECK(test::decode(out).out.total == unlimited_bytes);
}

TEST_CASE("frames: the end takes the writer away") {
    static_assert(!std::is_copy_constructible_v<frame_writer>);
    static_assert(!std::is_move_constructible_v<frame_writer>);
    using members = void (*)(std::string&);
    static_assert(requires(frame_writer && w, std::string & out, members m) { std::move(w).end(out, m); });
    static_assert(![](auto* w) {
        return requires(std::string & out, members m) { w->end(out, m); };
    }(static_cast<frame_writer*>(nullptr)));
}

// Characters of all lengths, broken ones, and plain runs; cut anywhere, with gaps anywhere.
TEST_CASE("frames: any bytes in any pieces come back, and what is text stays text however it was cut") {
    std::mt19937_64 random(5);
    const std::string_view texts[] = {"a",      "\n",  "plain text of some length ", "é", "漢", "😀", "\"", "\x1b[0m",
                                      "\u2028", "\0"sv};
    const std::string_view broken[] = {"\xff", "\xC3", "\xE6\xBC", "\xF0\x9F\x98", "\x80", "\xED\xA0\x80", "\xC0\xAF"};
    for (int round = 0; round < 4000; ++round) {
        const bool text_only = round % 2 == 0;
        const bool with_gaps = round % 3 == 0;
        std::string bytes;
        for (auto count = random() % 60; count > 0; --count) {
            bytes += !text_only && random() % 4 == 0 ? broken[random() % std::size(broken)]
                                                     : texts[random() % std::size(texts)];
        }
        std::string out, seen;
        frame_writer frames({.max_raw = 1 + random() % 40});
        std::uint64_t told = 0;  // the end of the last bytes that were fed
        for (std::size_t at = 0; at < bytes.size();) {
            const auto size = std::min<std::size_t>(1 + random() % 9, bytes.size() - at);
            if (with_gaps && random() % 4 == 0) {
                if (random() % 2 == 0) frames.gap(stream::err, at, size);
            } else {
                frames.output(stream::err, at, std::string_view(bytes).substr(at, size), out);
                seen += bytes.substr(at, size);
                told = at + size;
            }
            at += size;
        }
        const auto total = frames.total(stream::err);
        std::move(frames).end(out, [](std::string& to) { to += R"("end":true)"; });
        const auto got = test::decode(out);
        REQUIRE(got.err.bytes == seen);
        REQUIRE(got.last().at("end") == true);
        REQUIRE(got.err.truncated == (total > told));
        if (got.err.truncated) REQUIRE(got.err.total == total);
        if (text_only && !with_gaps) REQUIRE(got.err.texts_only);
        REQUIRE(got.err.largest <= 43);
    }
}

TEST_CASE("frames: nothing is allocated where the string has room") {
    std::string out;
    out.reserve(1 * MiB);
    frame_writer frames;
    const std::string text(100 * KiB, 'x');
    const std::string binary(100 * KiB, '\xff');
    const test::allocations before;
    frames.output(stream::out, 0, text, out);
    frames.output(stream::err, 0, binary, out);
    frames.output(stream::out, text.size(), "\xE6\xBC", out);
    frames.gap(stream::err, binary.size(), 7);
    std::move(frames).end(out, [](std::string&) {});
    CHECK(before.count() == 0);
}

}  // namespace
