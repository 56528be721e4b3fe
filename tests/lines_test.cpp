#include <exec/lines.h>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "allocations.h"

namespace {

using namespace exec;

struct piece {
    std::string text;
    std::uint64_t at;
    bool from_start;
    line_end ended_by;
    bool operator==(const piece&) const = default;
};

auto collect_into(std::vector<piece>& pieces) {
    return [&pieces](const line& l) { pieces.push_back({std::string(l.text), l.at, l.from_start, l.ended_by}); };
}

// A stretch of the stream that came without a gap, and the length of the gap behind it (0: the stream's end).
struct stretch {
    std::string bytes;
    std::uint64_t missing = 0;
};

// What the splitter must say, found by looking at whole stretches at once.
std::vector<piece> naive_split(const std::vector<stretch>& stream, const line_options& options) {
    std::vector<piece> pieces;
    std::uint64_t offset = 0;
    bool from_start = true;
    for (const auto& [bytes, missing] : stream) {
        for (std::size_t begin = 0; begin < bytes.size();) {
            const auto newline = bytes.find('\n', begin);
            const auto end = std::min(newline, bytes.size());
            auto at = begin;
            for (; end - at > options.max_line; at += options.max_line) {
                pieces.push_back({bytes.substr(at, options.max_line), offset + at, from_start, line_end::bound});
                from_start = false;
            }
            const auto ended_by = newline != std::string::npos ? line_end::newline
                                  : missing != 0               ? line_end::gap
                                                               : line_end::stream;
            auto text = bytes.substr(at, end - at);
            if (options.strip_cr && ended_by == line_end::newline && text.ends_with('\r')) text.pop_back();
            pieces.push_back({std::move(text), offset + at, from_start, ended_by});
            from_start = ended_by == line_end::newline;
            begin = end + 1;
        }
        if (missing != 0) from_start = false;
        offset += bytes.size() + missing;
    }
    return pieces;
}

// Feeds every stretch, cut after byte i where `cut_after(i)` says so (i counts the bytes fed).
std::vector<piece> split(const std::vector<stretch>& stream, const line_options& options,
                         const std::function<bool(std::size_t)>& cut_after) {
    std::vector<piece> pieces;
    const auto sink = collect_into(pieces);
    line_splitter splitter(options);
    std::size_t fed = 0;
    for (const auto& [bytes, missing] : stream) {
        std::size_t begin = 0;
        for (std::size_t end = 1; end <= bytes.size(); ++end, ++fed) {
            if (end != bytes.size() && !cut_after(fed)) continue;
            // A buffer of its own, gone afterwards: a view that outlives its feed is a use after free.
            const std::string now(bytes, begin, end - begin);
            splitter.feed(now, sink);
            begin = end;
        }
        if (missing != 0) splitter.gap(missing, sink);
    }
    splitter.finish(sink);
    return pieces;
}

std::string joined(const std::vector<piece>& pieces) {
    std::string all;
    for (const auto& each : pieces) {
        all += each.text;
        if (each.ended_by == line_end::newline) all += '\n';
    }
    return all;
}

std::vector<piece> split_at_once(bytes_view bytes, const line_options& options = {}) {
    return split({{std::string(bytes)}}, options, [](std::size_t) { return false; });
}

}  // namespace

TEST_CASE("lines: every text of up to 6 bytes, cut in every way, gives the same pieces and loses no byte") {
    std::size_t wrong = 0, lost = 0, runs = 0;
    for (std::size_t size = 0, texts = 1; size <= 6; ++size, texts *= 3) {
        for (std::size_t number = 0; number < texts; ++number) {
            std::string text;
            for (std::size_t rest = number; text.size() < size; rest /= 3) text += "a\n\r"[rest % 3];
            for (std::size_t max_line = 1; max_line <= 4; ++max_line) {
                for (const bool strip_cr : {false, true}) {
                    const line_options options{max_line, strip_cr};
                    const auto expected = naive_split({{text}}, options);
                    if (!strip_cr && joined(expected) != text) ++lost;
                    for (std::size_t cuts = 0; cuts < (std::size_t{1} << (size > 0 ? size - 1 : 0)); ++cuts) {
                        if (split({{text}}, options, [&](std::size_t i) { return (cuts >> i) % 2 == 1; }) != expected)
                            ++wrong;
                        ++runs;
                    }
                }
            }
        }
    }
    CHECK(runs > 200'000);
    CHECK(wrong == 0);
    CHECK(lost == 0);
}

TEST_CASE("lines: a gap at every place, cut in every way, ends what was begun and begins in mid-line") {
    std::size_t wrong = 0;
    for (std::size_t number = 0; number < 2 * 2 * 2 * 2 * 2; ++number) {
        std::string text;
        for (std::size_t rest = number; text.size() < 5; rest /= 2) text += "b\n"[rest % 2];
        for (std::size_t gap_at = 0; gap_at <= text.size(); ++gap_at) {
            const std::vector<stretch> stream{{text.substr(0, gap_at), 1000}, {text.substr(gap_at), 0}};
            for (std::size_t max_line = 1; max_line <= 4; ++max_line) {
                const auto expected = naive_split(stream, {.max_line = max_line});
                for (std::size_t cuts = 0; cuts < 32; ++cuts) {
                    const auto pieces =
                        split(stream, {.max_line = max_line}, [&](std::size_t i) { return (cuts >> i) % 2 == 1; });
                    if (pieces != expected || joined(pieces) != text) ++wrong;
                }
            }
        }
    }
    CHECK(wrong == 0);
}

TEST_CASE("lines: long texts of every byte value in thousands of random cuts come back byte for byte") {
    std::mt19937_64 random(19700101);
    const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
    std::size_t wrong = 0;
    for (int round = 0; round < 3000; ++round) {
        std::vector<stretch> stream(1 + below(3));
        const auto one_in = 2 + below(200);  // how rare a newline is
        std::string all;
        for (auto& [bytes, missing] : stream) {
            bytes.resize(below(2000));
            for (auto& byte : bytes) byte = below(one_in) == 0 ? '\n' : static_cast<char>(random());
            all += bytes;
            missing = &bytes == &stream.back().bytes ? 0 : 1 + below(5000);
        }
        const line_options options{.max_line = 1 + below(300)};
        const auto cut_one_in = 1 + below(400);
        const auto pieces = split(stream, options, [&](std::size_t) { return below(cut_one_in) == 0; });
        if (pieces != naive_split(stream, options) || joined(pieces) != all) ++wrong;
    }
    CHECK(wrong == 0);
}

TEST_CASE("lines: a line that lies inside the fed bytes is a view of them, and costs no allocation") {
    const std::string fed = std::string(100, 'a') + "\n\n" + std::string(200, 'b') + '\n';
    line_splitter splitter;
    const test::allocations made;
    std::size_t lines = 0;
    bool inside = true;
    splitter.feed(fed, [&](const line& l) {
        ++lines;
        inside = inside && l.text.data() >= fed.data() && l.text.data() + l.text.size() <= fed.data() + fed.size();
        inside = inside && l.text.data() == fed.data() + l.at;
    });
    CHECK(lines == 3);
    CHECK(inside);
    CHECK(made.count() == 0);
}

TEST_CASE("lines: a line of exactly the bound is whole, one byte more is two pieces") {
    const line_options options{.max_line = 4};
    CHECK(split_at_once("abcd\n", options) == std::vector<piece>{{"abcd", 0, true, line_end::newline}});
    CHECK(split_at_once("abcd", options) == std::vector<piece>{{"abcd", 0, true, line_end::stream}});
    CHECK(split_at_once("abcde\nf", options) == std::vector<piece>{{"abcd", 0, true, line_end::bound},
                                                                   {"e", 4, false, line_end::newline},
                                                                   {"f", 6, true, line_end::stream}});
    CHECK(split_at_once("abcdabcd\n", options) ==
          std::vector<piece>{{"abcd", 0, true, line_end::bound}, {"abcd", 4, false, line_end::newline}});
}

TEST_CASE("lines: an endless line is handed on in pieces while it comes, and never held beyond the bound") {
    line_splitter splitter({.max_line = 4 * KiB});
    const std::string some(1000, 'x');
    std::size_t whole_pieces = 0, bytes = 0;
    const auto sink = [&](const line& l) {
        bytes += l.text.size();
        if (l.text.size() == 4 * KiB && l.ended_by == line_end::bound) ++whole_pieces;
    };
    const test::allocations made;
    for (int i = 0; i < 10'000; ++i) {
        splitter.feed(some, sink);
        REQUIRE(static_cast<std::size_t>(i + 1) * some.size() - bytes <= 4 * KiB);
    }
    CHECK(whole_pieces == 10'000'000 / (4 * KiB));
    CHECK(made.largest() <= 2 * 4 * KiB + 1);  // a string that doubles
    CHECK(made.count() < 10);
    splitter.finish(sink);
    CHECK(bytes == 10'000'000);
}

TEST_CASE("lines: a bound of 0 is a bound of 1, and the largest bound is no bound") {
    CHECK(split_at_once("ab\n", {.max_line = 0}) ==
          std::vector<piece>{{"a", 0, true, line_end::bound}, {"b", 1, false, line_end::newline}});
    CHECK(split_at_once("ab\nc", {.max_line = static_cast<std::size_t>(-1)}) ==
          std::vector<piece>{{"ab", 0, true, line_end::newline}, {"c", 3, true, line_end::stream}});
}

TEST_CASE("lines: one carriage return is stripped, before a newline only, and only when asked for") {
    const auto texts = [](bytes_view bytes, bool strip_cr) {
        std::vector<std::string> all;
        for (const auto& each : split_at_once(bytes, {.strip_cr = strip_cr})) all.push_back(each.text);
        return all;
    };
    using strings = std::vector<std::string>;
    CHECK(texts("a\r\nb\r\r\n\r\nc\rd\ne\r", true) == strings{"a", "b\r", "", "c\rd", "e\r"});
    CHECK(texts("a\r\nb\r", false) == strings{"a\r", "b\r"});
}

TEST_CASE("lines: the newline after a gap ends a line whose beginning nobody knows") {
    std::vector<piece> pieces;
    const auto sink = collect_into(pieces);
    line_splitter splitter;
    splitter.feed("one\ntw", sink);
    splitter.gap(10, sink);
    splitter.gap(5, sink);
    splitter.feed("ee\nfour\n", sink);
    splitter.gap(0, sink);  // nothing is missing: not a gap
    splitter.feed("five\n", sink);
    CHECK(pieces == std::vector<piece>{{"one", 0, true, line_end::newline},
                                       {"tw", 4, true, line_end::gap},
                                       {"ee", 21, false, line_end::newline},
                                       {"four", 24, true, line_end::newline},
                                       {"five", 29, true, line_end::newline}});
}

TEST_CASE("lines: offsets saturate") {
    std::vector<piece> pieces;
    const auto sink = collect_into(pieces);
    line_splitter splitter;
    splitter.feed("a", sink);
    splitter.gap(unlimited_bytes, sink);
    splitter.finish(sink);
    CHECK(pieces == std::vector<piece>{{"a", 0, true, line_end::gap}});
    splitter.feed("b\n", sink);
    splitter.gap(unlimited_bytes, sink);
    splitter.gap(unlimited_bytes, sink);
    splitter.feed("c", sink);
    splitter.gap(1, sink);
    CHECK(pieces.back().at == unlimited_bytes);
}

TEST_CASE("lines: after finish the next stream begins at its own offset 0, at the start of a line") {
    std::vector<piece> pieces;
    const auto sink = collect_into(pieces);
    line_splitter splitter({.max_line = 3});
    splitter.feed("abcdef", sink);
    splitter.gap(7, sink);
    splitter.feed("gh", sink);
    splitter.finish(sink);
    splitter.finish(sink);  // nothing is left to tell
    pieces.clear();
    splitter.feed("new\n", sink);
    CHECK(pieces == std::vector<piece>{{"new", 0, true, line_end::newline}});
}

TEST_CASE("line: whole() is true for a line from its first byte to its last") {
    CHECK(line{"a", 0, true, line_end::newline}.whole());
    CHECK(line{"a", 0, true, line_end::stream}.whole());
    CHECK_FALSE(line{"a", 0, true, line_end::bound}.whole());
    CHECK_FALSE(line{"a", 0, true, line_end::gap}.whole());
    CHECK_FALSE(line{"a", 0, false, line_end::newline}.whole());
}
