// What is kept of one output stream: a policy, the value that reports it, and the buffer between the two.
//
// A command may say any number of bytes. `capture` holds at most `cap` of them, knows exactly how many went
// by, and hands back a `captured` that tells where the bytes that it left out would have been. Nothing is
// ever written into the data to mark the place. Memory grows with what is kept, not with what is said.
// Threads: values; one capture belongs to one thread at a time. Nothing here blocks.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "exec/bytes.h"

namespace exec::inline v0 {

// Which bytes stay when there are more than `cap`. Up to `cap`, every policy but `nothing` keeps them all.
enum class keep : std::uint8_t {
    head,           // the first `cap`
    tail,           // the last `cap`
    head_and_tail,  // the first cap / 2 and the last cap - cap / 2: the odd byte goes to the end
    nothing,        // none; they are counted all the same
};

// What happens to the command when more than `cap` bytes were seen.
enum class at_cap : std::uint8_t {
    discard,  // nothing: its output is read on, counted and dropped, and it never learns of it
    stop,     // it is ended by the stop policy; the outcome says output_limit
};

// How one stream is kept and shown. The default keeps both ends: a reader looks for the first error and for
// the last line.
struct capture_policy {
    // Bytes kept for the outcome. Memory is taken as output comes, so a large cap costs nothing in advance.
    // With keep::nothing it is only the number that at_cap::stop compares with.
    std::size_t cap = 1 * MiB;
    keep kept = keep::head_and_tail;
    at_cap then = at_cap::discard;
    // Bytes shown to an observer. The rest is drained, counted and told to it as one gap; what is kept for
    // the outcome does not change.
    std::uint64_t show = unlimited_bytes;

    bool operator==(const capture_policy&) const = default;
};

// What was kept of a stream: two pieces of it, [0, gap_at) and [tail_at(), total). When nothing was left out
// the first piece is everything and the second is empty. A reader needs no knowledge of the policy:
//
//     keep             head()           tail()     when something was left out
//     head             the beginning    empty
//     tail             empty            the end
//     head_and_tail    the beginning    the end
//     nothing          empty            empty
//
// The cut falls between bytes, not between characters: utf8.h trims both pieces for display.
struct captured {
    // The kept bytes, unaltered: head() directly followed by tail().
    std::string bytes{};
    // Where the left-out bytes begin: an offset in the stream, and the same offset in `bytes`.
    std::uint64_t gap_at = 0;
    // Bytes of the stream that came, kept or not.
    std::uint64_t total = 0;
    // Bytes that came are not here: gap_size() != 0.
    bool truncated = false;
    // False: the stream was cut before its end (drain, lost link, consumer), and more than `total` may have
    // been said.
    bool complete = true;

    std::uint64_t gap_size() const noexcept { return total - bytes.size(); }
    // Offset in the stream of the first byte of tail().
    std::uint64_t tail_at() const noexcept { return gap_at + gap_size(); }
    std::string_view head() const noexcept { return bytes_view(bytes).substr(0, static_cast<std::size_t>(gap_at)); }
    std::string_view tail() const noexcept { return bytes_view(bytes).substr(head().size()); }

    bool operator==(const captured&) const = default;
};

namespace detail {

// std::rotate for bytes, 5 to 50 times as fast where the compiler does not vectorise that one (g++ -O2: 0.6
// ms for 1 MiB, longer than a pipe takes to deliver it), because it moves blocks.
inline void rotate_bytes(char* first, char* middle, char* last) noexcept {
    char spare[4 * KiB];
    for (;;) {
        const auto left = static_cast<std::size_t>(middle - first);
        const auto right = static_cast<std::size_t>(last - middle);
        if (left <= sizeof spare) {
            std::memcpy(spare, first, left);
            std::memmove(first, middle, right);
            std::memcpy(first + right, spare, left);
            return;
        }
        if (right <= sizeof spare) {
            std::memcpy(spare, middle, right);
            std::memmove(first + right, first, left);
            std::memcpy(first, spare, right);
            return;
        }
        // The first bytes of the right side go where they belong; what stood there is still to be rotated.
        const auto shorter = (std::min)(left, right);
        for (std::size_t done = 0; done < shorter;) {
            const auto n = (std::min)(sizeof spare, shorter - done);
            std::memcpy(spare, first + done, n);
            std::memcpy(first + done, middle + done, n);
            std::memcpy(middle + done, spare, n);
            done += n;
        }
        first += shorter;
        if (left == shorter) middle += shorter;
    }
}

}  // namespace detail

// Keeps one stream under a policy while it is being read.
//
// One buffer: [0, head) is filled once, [head, cap) is a ring. Up to `cap` bytes it is an ordinary growing
// string; from then on a byte costs one copy and nothing moves. The allocation doubles up to the cap and is
// never larger; while it grows, the old and the new one together have no more than `cap` bytes in use.
class capture {
   public:
    explicit capture(const capture_policy& policy = {}) noexcept
        : cap_(policy.cap),
          limit_(policy.kept == keep::nothing ? 0 : policy.cap),
          head_(policy.kept == keep::head            ? limit_
                : policy.kept == keep::head_and_tail ? limit_ / 2
                                                     : 0),
          next_(head_),
          head_only_(policy.kept == keep::head) {}

    // The next bytes of the stream.
    // Throws std::bad_alloc; the capture is then as it was before the call.
    void append(bytes_view data) {
        const auto came = data.size();
        if (const auto room = (std::min)(came, limit_ - bytes_.size()); room != 0) {
            grow_to(bytes_.size() + room);
            bytes_.append(data.data(), room);
            data.remove_prefix(room);
        }
        if (!data.empty() && head_ != limit_) overwrite(data);
        count(came);
    }

    // The next `n` bytes of the stream went by unseen: spliced away, or lost by a link. What is kept stays
    // two pieces, so the head ends here at the latest and a tail that was collected before is dropped.
    void skip(std::uint64_t n) noexcept {
        if (n == 0) return;
        head_ = (std::min)(head_, bytes_.size());
        if (head_only_) limit_ = head_;
        bytes_.resize(head_);
        next_ = head_;
        count(n);
    }

    // Where the next bytes of the stream may be read to directly, followed by wrote(), instead of append():
    // saves the copy. A part of the ring, so it is empty until `cap` bytes came and where no tail is kept,
    // and short before the ring's end: take it when it is at least as long as the read that is planned.
    std::span<char> window() noexcept {
        if (bytes_.size() != limit_) return {};
        return {bytes_.data() + next_, limit_ - next_};
    }
    // The first `n` bytes of window() are the next bytes of the stream. The others must be unchanged.
    // REQUIRES: n <= window().size().
    void wrote(std::size_t n) noexcept {
        advance(n);
        count(n);
    }

    // Bytes that came or were skipped. Saturates.
    std::uint64_t total() const noexcept { return total_; }
    // False when nothing that comes can be kept any more: whoever reads may then discard bytes in the kernel
    // and tell skip() how many.
    bool wants_more() const noexcept { return bytes_.size() != limit_ || head_ != limit_; }
    // More than the policy's cap came: the moment of at_cap::stop.
    bool over() const noexcept { return total_ > cap_; }

    // What was kept, put in order in place; no allocation. `complete`: the end of the stream was seen.
    captured take(bool complete) && {
        if (next_ != head_) {
            detail::rotate_bytes(bytes_.data() + head_, bytes_.data() + next_, bytes_.data() + limit_);
        }
        const bool truncated = total_ != bytes_.size();
        const auto gap_at = truncated ? head_ : bytes_.size();
        return {std::move(bytes_), gap_at, total_, truncated, complete};
    }

   private:
    // A first allocation that holds the whole output of most commands.
    static constexpr std::size_t first_step = 1 * KiB;

    void count(std::uint64_t n) noexcept { total_ += (std::min)(n, unlimited_bytes - total_); }

    // Doubles. The step to the limit is taken from half of it or less: so its copy has at most the limit in use, and
    // reserve(), which rounds up to twice the old capacity, does not go beyond.
    void grow_to(std::size_t size) {
        if (size <= bytes_.capacity()) return;
        const auto wanted = (std::max)({size, 2 * bytes_.capacity(), first_step});
        bytes_.reserve(wanted > limit_ / 2 ? limit_ : wanted);
    }

    // REQUIRES: the buffer is full and has a ring.
    void overwrite(bytes_view data) noexcept {
        const auto ring = limit_ - head_;
        if (data.size() >= ring) {
            data.copy(bytes_.data() + head_, ring, data.size() - ring);
            next_ = head_;
            return;
        }
        const auto before_end = (std::min)(data.size(), limit_ - next_);
        std::memcpy(bytes_.data() + next_, data.data(), before_end);
        advance(before_end);
        if (before_end == data.size()) return;
        std::memcpy(bytes_.data() + next_, data.data() + before_end, data.size() - before_end);
        advance(data.size() - before_end);
    }

    void advance(std::size_t n) noexcept {
        next_ += n;
        if (next_ == limit_) next_ = head_;
    }

    std::string bytes_{};
    std::uint64_t total_ = 0;
    std::uint64_t cap_;
    std::size_t limit_;  // bytes that may be held: cap, or 0, or what a skip left of the head
    std::size_t head_;   // where the ring begins; == limit_ where there is none
    std::size_t next_;   // in the full ring: the oldest byte, overwritten next
    bool head_only_;
};

}  // namespace exec::inline v0
