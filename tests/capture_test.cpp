#include <exec/capture.h>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <new>
#include <optional>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "allocations.h"

namespace {

using namespace exec;

constexpr keep every_keep[] = {keep::head, keep::tail, keep::head_and_tail, keep::nothing};
constexpr std::size_t no_cap = std::numeric_limits<std::size_t>::max();

// Remembers the whole stream and applies the policy to it at the end.
class naive_capture {
   public:
    explicit naive_capture(const capture_policy& policy) : policy_(policy) {}

    void append(bytes_view data) { stream_.insert(stream_.end(), data.begin(), data.end()); }
    void skip(std::size_t n) { stream_.insert(stream_.end(), n, std::nullopt); }

    // Two pieces of the stream are kept: [0, head) and [tail, total).
    struct pieces {
        std::size_t head, tail, total;
    };
    pieces kept() const {
        const auto total = stream_.size();
        const auto first_unseen =
            static_cast<std::size_t>(std::find(stream_.begin(), stream_.end(), std::nullopt) - stream_.begin());
        const auto seen_at_end =
            static_cast<std::size_t>(std::find(stream_.rbegin(), stream_.rend(), std::nullopt) - stream_.rbegin());
        const bool all_seen = first_unseen == total;
        const auto cap = policy_.cap;
        if (policy_.kept == keep::nothing) return {0, total, total};
        if (all_seen && total <= cap) return {total, total, total};
        std::size_t head = 0, tail = 0;
        if (policy_.kept == keep::head) head = std::min(cap, first_unseen);
        if (policy_.kept == keep::head_and_tail) head = std::min(cap / 2, first_unseen);
        if (policy_.kept != keep::head) tail = std::min(cap - head, seen_at_end);
        return {head, total - tail, total};
    }

    captured take(bool complete) const {
        const auto [head, tail, total] = kept();
        captured all;
        for (std::size_t i = 0; i < head; ++i) all.bytes += stream_[i].value();
        for (std::size_t i = tail; i < total; ++i) all.bytes += stream_[i].value();
        all.gap_at = head;
        all.total = total;
        all.truncated = head + (total - tail) != total;
        all.complete = complete;
        return all;
    }

    // Whether a byte that came now would be kept.
    bool wants_more() const {
        auto longer = *this;
        longer.append("x");
        const auto [head, tail, total] = longer.kept();
        return head == total || tail < total;
    }

   private:
    capture_policy policy_;
    std::vector<std::optional<char>> stream_;
};

// Byte `at` of a test stream; neighbours differ, and so do bytes that lie a power of two apart.
char byte_at(std::size_t at) { return static_cast<char>(at % 251); }

std::string stream_of(std::size_t size) {
    std::string all(size, '\0');
    for (std::size_t i = 0; i < size; ++i) all[i] = byte_at(i);
    return all;
}

enum class how : std::uint8_t { append, skip, window };

// Gives `data` to `to` in the named way. A window takes what it can hold and append() the rest, as a reader does.
void give(capture& to, bytes_view data, how by) {
    if (by == how::skip) return to.skip(data.size());
    if (by == how::append) return to.append(data);
    while (!data.empty()) {
        const auto window = to.window();
        if (window.empty()) return to.append(data);
        const auto n = data.copy(window.data(), window.size());
        to.wrote(n);
        data.remove_prefix(n);
    }
}

// Cuts a stream: after byte i where bit i of `cuts` is set.
template <class EachPiece>
void for_each_piece(bytes_view stream, std::uint64_t cuts, EachPiece each) {
    std::size_t begin = 0;
    for (std::size_t end = 1; end <= stream.size(); ++end) {
        if (end != stream.size() && ((cuts >> (end - 1)) & 1) == 0) continue;
        each(stream.substr(begin, end - begin));
        begin = end;
    }
}

captured kept_of(const capture_policy& policy, bytes_view stream) {
    capture all(policy);
    all.append(stream);
    return std::move(all).take(true);
}

}  // namespace

TEST_CASE("capture: every way to cut a short stream keeps what the policy says, for every cap") {
    std::size_t wrong = 0;
    for (std::size_t size = 0; size <= 12; ++size) {
        const auto stream = stream_of(size);
        for (const auto kept : every_keep) {
            for (std::size_t cap = 0; cap <= size + 2; ++cap) {
                const capture_policy policy{.cap = cap, .kept = kept};
                naive_capture model(policy);
                model.append(stream);
                const auto expected = model.take(true);
                for (std::uint64_t cuts = 0; cuts < (std::uint64_t{1} << (size > 0 ? size - 1 : 0)); ++cuts) {
                    capture real(policy);
                    for_each_piece(stream, cuts, [&](bytes_view piece) { real.append(piece); });
                    if (std::move(real).take(true) != expected) ++wrong;
                }
            }
        }
    }
    CHECK(wrong == 0);
}

TEST_CASE("capture: every mixture of append, skip and window, cut in every way, agrees with the model") {
    std::size_t wrong = 0, wrong_wish = 0, wrong_count = 0, runs = 0;
    for (std::size_t size = 1; size <= 6; ++size) {
        const auto stream = stream_of(size);
        for (std::uint64_t cuts = 0; cuts < (std::uint64_t{1} << (size - 1)); ++cuts) {
            std::size_t pieces = 0, mixtures = 1;
            for_each_piece(stream, cuts, [&](bytes_view) { ++pieces, mixtures *= 3; });
            for (std::size_t mixture = 0; mixture < mixtures; ++mixture) {
                for (const auto kept : every_keep) {
                    for (std::size_t cap = 0; cap <= size + 1; ++cap) {
                        const capture_policy policy{.cap = cap, .kept = kept};
                        capture real(policy);
                        naive_capture model(policy);
                        std::size_t ways = mixture, seen = 0;
                        for_each_piece(stream, cuts, [&](bytes_view piece) {
                            const auto by = static_cast<how>(ways % 3);
                            ways /= 3;
                            give(real, piece, by);
                            by == how::skip ? model.skip(piece.size()) : model.append(piece);
                            seen += piece.size();
                            if (real.total() != seen || real.over() != (seen > cap)) ++wrong_count;
                            if (real.wants_more() != model.wants_more()) ++wrong_wish;
                        });
                        if (std::move(real).take(false) != model.take(false)) ++wrong;
                        ++runs;
                    }
                }
            }
        }
    }
    CHECK(runs > 100'000);
    CHECK(wrong == 0);
    CHECK(wrong_wish == 0);
    CHECK(wrong_count == 0);
}

TEST_CASE("capture: long streams in thousands of random cuts agree with the model") {
    std::mt19937_64 random(20240229);
    const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
    const auto stream = stream_of(200'000);
    std::size_t wrong = 0;
    for (int round = 0; round < 5000; ++round) {
        // Mostly small, so that thousands are quick; each 100th is long enough for a rotation by blocks.
        const bool large = round % 100 == 0;
        const auto size = below(large ? stream.size() : 3000);
        const capture_policy policy{.cap = below(large ? 100'000 : 1500), .kept = every_keep[below(4)]};
        const auto longest_piece = 1 + below(large ? 70'000 : 400);
        const bool with_skips = below(3) == 0;
        capture real(policy);
        naive_capture model(policy);
        for (std::size_t at = 0; at < size;) {
            const auto piece = bytes_view(stream).substr(at, std::min(1 + below(longest_piece), size - at));
            const auto by = with_skips && below(8) == 0 ? how::skip : below(2) == 0 ? how::window : how::append;
            give(real, piece, by);
            by == how::skip ? model.skip(piece.size()) : model.append(piece);
            at += piece.size();
        }
        const bool complete = below(2) == 0;
        if (std::move(real).take(complete) != model.take(complete)) ++wrong;
    }
    CHECK(wrong == 0);
}

TEST_CASE("captured: head and tail are the stream's own bytes at the offsets that it tells") {
    const auto stream = stream_of(1000);
    for (const auto kept : every_keep) {
        for (const std::size_t cap : {0U, 1U, 2U, 7U, 500U, 999U, 1000U, 1001U}) {
            CAPTURE(static_cast<int>(kept));
            CAPTURE(cap);
            const auto out = kept_of({.cap = cap, .kept = kept}, stream);
            CHECK(out.total == 1000);
            CHECK(out.complete);
            CHECK(out.head() == stream.substr(0, out.gap_at));
            CHECK(out.tail() == stream.substr(out.tail_at()));
            CHECK(out.bytes.size() + out.gap_size() == out.total);
            CHECK(out.truncated == (out.gap_size() != 0));
            CHECK(out.bytes.size() == (kept == keep::nothing ? 0 : std::min<std::size_t>(cap, 1000)));
        }
    }
}

TEST_CASE("captured: the table of its header, spelled out") {
    const auto is = [](const captured& out, bytes_view head, bytes_view tail, std::uint64_t gap_at, bool truncated) {
        return out.head() == head && out.tail() == tail && out.gap_at == gap_at && out.truncated == truncated;
    };
    CHECK(is(kept_of({.cap = 5, .kept = keep::head}, "12345"), "12345", "", 5, false));
    CHECK(is(kept_of({.cap = 5, .kept = keep::tail}, "12345"), "12345", "", 5, false));
    CHECK(is(kept_of({.cap = 5, .kept = keep::head_and_tail}, "12345"), "12345", "", 5, false));
    CHECK(is(kept_of({.cap = 5, .kept = keep::nothing}, "12345"), "", "", 0, true));
    CHECK(is(kept_of({.cap = 5, .kept = keep::head}, "1234567"), "12345", "", 5, true));
    CHECK(is(kept_of({.cap = 5, .kept = keep::tail}, "1234567"), "", "34567", 0, true));
    CHECK(is(kept_of({.cap = 5, .kept = keep::head_and_tail}, "1234567"), "12", "567", 2, true));
    CHECK(is(kept_of({.cap = 1, .kept = keep::head_and_tail}, "1234567"), "", "7", 0, true));
    CHECK(is(kept_of({.cap = 5, .kept = keep::nothing}, "1234567"), "", "", 0, true));
    CHECK(is(kept_of({.cap = 5, .kept = keep::nothing}, ""), "", "", 0, false));
    CHECK(is(captured{}, "", "", 0, false));
}

TEST_CASE("captured: nothing is written into the data where something was left out") {
    const auto out = kept_of({.cap = 4}, std::string(1000, '\0'));
    CHECK(out.bytes == std::string(4, '\0'));
}

TEST_CASE("capture: after a skip the head grows no more, and the tail has the room that the head left") {
    capture both({.cap = 10});
    both.append("ab");
    both.skip(100);
    both.append("0123456789");
    CHECK(both.wants_more());
    const auto out = std::move(both).take(true);
    CHECK(out.head() == "ab");
    CHECK(out.gap_at == 2);
    CHECK(out.tail() == "23456789");
    CHECK(out.tail_at() == 104);
    CHECK(out.total == 112);

    capture head({.cap = 10, .kept = keep::head});
    head.append("ab");
    CHECK(head.wants_more());
    head.skip(1);
    CHECK_FALSE(head.wants_more());
    head.append("cd");
    CHECK(std::move(head).take(true).bytes == "ab");
}

TEST_CASE("capture: skipping nothing changes nothing") {
    for (const auto kept : every_keep) {
        capture out({.cap = 10, .kept = kept});
        out.append("abc");
        out.skip(0);
        out.append("def");
        CHECK(std::move(out).take(true).bytes == (kept == keep::nothing ? "" : "abcdef"));
    }
}

TEST_CASE("capture: wants_more ends exactly where bytes may be spliced away unseen") {
    capture head({.cap = 3, .kept = keep::head});
    head.append("ab");
    CHECK(head.wants_more());
    head.append("c");
    CHECK_FALSE(head.wants_more());
    CHECK_FALSE(head.over());
    head.skip(1);
    CHECK(head.over());
    const auto out = std::move(head).take(true);
    CHECK(out.bytes == "abc");
    CHECK(out.total == 4);

    CHECK_FALSE(capture({.cap = 3, .kept = keep::nothing}).wants_more());
    for (const auto kept : every_keep) CHECK_FALSE(capture({.cap = 0, .kept = kept}).wants_more());

    capture tail({.cap = 3, .kept = keep::tail});
    tail.append("abcdef");
    CHECK(tail.wants_more());
}

TEST_CASE("capture: over() is true from the first byte beyond the cap, whatever is kept") {
    for (const auto kept : every_keep) {
        for (const std::size_t cap : {0U, 1U, 5U}) {
            capture out({.cap = cap, .kept = kept, .then = at_cap::stop});
            CHECK_FALSE(out.over());
            out.append(std::string(cap, 'x'));
            CHECK_FALSE(out.over());
            out.append("x");
            CHECK(out.over());
        }
    }
}

TEST_CASE("capture: the total saturates, and the last bytes are still the last bytes") {
    for (const auto kept : every_keep) {
        capture out({.cap = 8, .kept = kept});
        out.append("first");
        out.skip(unlimited_bytes - 7);
        CHECK(out.total() == unlimited_bytes - 2);
        out.append("at the end");
        CHECK(out.total() == unlimited_bytes);
        out.skip(unlimited_bytes);
        out.append("very end");
        CHECK(out.total() == unlimited_bytes);
        CHECK(out.over());
        const auto all = std::move(out).take(true);
        CHECK(all.truncated);
        CHECK(all.total == unlimited_bytes);
        CHECK(all.gap_size() == unlimited_bytes - all.bytes.size());
        CHECK(all.tail() == (kept == keep::tail ? "very end" : kept == keep::head_and_tail ? " end" : ""));
        if (kept == keep::head_and_tail) CHECK(all.head() == "firs");
    }
}

TEST_CASE("capture: a cap of SIZE_MAX takes memory for what came, not for what may come") {
    for (const auto kept : every_keep) {
        const test::allocations made;
        capture out({.cap = no_cap, .kept = kept});
        CHECK(made.count() == 0);
        for (int i = 0; i < 100; ++i) out.append(std::string_view("0123456789"));
        CHECK(made.largest() <= 4 * KiB);
        CHECK_FALSE(out.over());
        const auto all = std::move(out).take(true);
        CHECK(all.bytes.size() == (kept == keep::nothing ? 0 : 1000));
        CHECK(all.truncated == (kept == keep::nothing));
    }
}

TEST_CASE("capture: an output up to 1 KiB costs one allocation however it is cut, and the end of it none") {
    for (const auto kept : every_keep) {
        const auto stream = stream_of(1 * KiB);
        for (std::size_t piece = 1; piece <= stream.size(); piece *= 2) {
            const test::allocations made;
            capture out({.kept = kept});
            for (std::size_t at = 0; at < stream.size(); at += piece) out.append(bytes_view(stream).substr(at, piece));
            const auto all = std::move(out).take(true);
            CHECK(made.count() == (kept == keep::nothing ? 0 : 1));
        }
    }
    const test::allocations made;
    capture out;
    out.append("tiny");
    CHECK(std::move(out).take(true).bytes == "tiny");
    CHECK(made.count() == 0);
}

TEST_CASE("capture: memory doubles up to the cap, never beyond it, and a full one allocates nothing") {
    const auto stream = stream_of(1500);
    for (const std::size_t cap : {std::size_t{1000}, 100 * KiB, 100 * KiB + 1, 1 * MiB}) {
        for (const auto kept : {keep::head, keep::tail, keep::head_and_tail}) {
            CAPTURE(cap);
            const test::allocations growing;
            capture out({.cap = cap, .kept = kept});
            while (out.total() < cap) out.append(stream);
            CHECK(growing.count() <= 11);
            CHECK(growing.largest() <= cap + 1);  // std::string's NUL
            const test::allocations full;
            for (int i = 0; i < 100; ++i) out.append(stream);
            const auto all = std::move(out).take(true);
            CHECK(full.count() == 0);
            CHECK(all.bytes.capacity() <= cap);
        }
    }
}

TEST_CASE("capture: one large piece is one allocation of its size") {
    const auto stream = stream_of(100'000);
    const test::allocations made;
    capture out;
    out.append(stream);
    CHECK(made.count() == 1);
    CHECK(made.largest() == stream.size() + 1);
}

TEST_CASE("capture: one that gets no memory is as it was before") {
    const auto stream = stream_of(5000);
    capture out({.cap = 4000, .kept = keep::head});
    out.append(bytes_view(stream).substr(0, 900));
    {
        const test::no_memory full;
        CHECK_THROWS_AS(out.append(bytes_view(stream).substr(900)), std::bad_alloc);
    }
    CHECK(out.total() == 900);
    out.append(bytes_view(stream).substr(900));
    CHECK(std::move(out).take(true).bytes == stream.substr(0, 4000));
}

TEST_CASE("capture: a window is a part of the ring and of nothing else") {
    CHECK(capture({.cap = 4}).window().empty());
    CHECK(capture({.cap = 0}).window().empty());

    capture head({.cap = 4, .kept = keep::head});
    head.append("abcdef");
    CHECK(head.window().empty());

    capture both({.cap = 6});
    both.append("abcde");
    CHECK(both.window().empty());
    both.append("fgh");  // the ring holds g h f: f is the oldest
    const auto window = both.window();
    REQUIRE(window.size() == 1);
    window[0] = 'i';
    both.wrote(1);
    CHECK(both.window().size() == 3);
    both.wrote(0);
    const auto out = std::move(both).take(true);
    CHECK(out.head() == "abc");
    CHECK(out.tail() == "ghi");
    CHECK(out.total == 9);
}

TEST_CASE("rotate_bytes: does what std::rotate does, at every size of its blocks") {
    const auto agrees = [](const std::string& bytes, std::size_t middle) {
        auto ours = bytes, theirs = bytes;
        detail::rotate_bytes(ours.data(), ours.data() + middle, ours.data() + ours.size());
        std::rotate(theirs.begin(), theirs.begin() + static_cast<std::ptrdiff_t>(middle), theirs.end());
        return ours == theirs;
    };
    std::size_t wrong = 0;
    for (std::size_t size = 0; size <= 40; ++size) {
        for (std::size_t middle = 0; middle <= size; ++middle) wrong += agrees(stream_of(size), middle) ? 0U : 1U;
    }
    for (const std::size_t size : {8191U, 8192U, 8193U, 8194U, 12'289U, 65'536U, 99'991U}) {
        const auto bytes = stream_of(size);
        for (const std::size_t middle : {std::size_t{1}, std::size_t{4095}, std::size_t{4096}, std::size_t{4097},
                                         size / 3, size / 2, size / 2 + 1, size - 4097, size - 4096, size - 1, size}) {
            wrong += agrees(bytes, middle) ? 0U : 1U;
        }
        for (std::size_t middle = 0; middle <= size; middle += 1 + size / 50) wrong += agrees(bytes, middle) ? 0U : 1U;
    }
    CHECK(wrong == 0);
}
