// Lines out of a stream of bytes, in bounded memory.
//
// Feed it what on_output delivers and it calls back once a line. A line that lies whole inside the fed bytes
// is a view of them, without a copy; only a line that is spread over several pieces is collected. A line
// longer than the bound is handed on in pieces, and a gap ends a line visibly: no byte is lost, and none is
// joined to one that it did not follow. Bytes, not text: NUL and broken UTF-8 pass unchanged.
// Threads: one splitter belongs to one stream and one thread at a time. Nothing here blocks.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "exec/bytes.h"

namespace exec::inline v0 {

// What came after a piece of a line.
enum class line_end : std::uint8_t {
    newline,  // '\n': the line is complete
    bound,    // more of the same line: it is longer than the bound
    gap,      // bytes that nobody saw
    stream,   // nothing: the stream ended without a newline
};

struct line {
    std::string_view text{};  // without the newline; valid during the call
    std::uint64_t at = 0;     // offset in the stream of its first byte
    bool from_start = true;   // the line begins here; false after line_end::bound and line_end::gap
    line_end ended_by = line_end::newline;

    // Nothing is missing: this is a line from its first byte to its last.
    bool whole() const noexcept {
        return from_start && (ended_by == line_end::newline || ended_by == line_end::stream);
    }
};

struct line_options {
    // Longest piece handed on, in bytes without the newline, at least 1; the splitter holds no more than
    // that. The default is what one read takes from a pipe.
    std::size_t max_line = 64 * KiB;
    // Drop one '\r' before each '\n': a terminal ends lines so. It counts for max_line all the same.
    bool strip_cr = false;
};

// Pieces do not depend on how the stream was cut into feeds.
//
// A sink is anything that can be called with `const line&`. It is called before feed(), gap() or finish()
// return, and must not call them. It cannot stop the splitter half-way: one feed hands on no more than what
// was fed, and an observer that has seen enough says so by the flow that it returns. One that throws makes
// the splitter unusable.
class line_splitter {
   public:
    explicit line_splitter(const line_options& options = {}) noexcept
        : max_(std::clamp(options.max_line, std::size_t{1}, held_.max_size())), strip_cr_(options.strip_cr) {}

    // The next bytes of the stream. May allocate, for the part of a line that is still to be continued.
    template <class Sink>
    void feed(bytes_view data, Sink&& sink) {
        while (!data.empty()) {
            const auto room = max_ - held_.size();
            const auto newline = data.substr(0, room + 1).find('\n');
            if (newline != bytes_view::npos) {
                hand_on(data.substr(0, newline), line_end::newline, sink);
                data.remove_prefix(newline + 1);
            } else if (data.size() > room) {
                hand_on(data.substr(0, room), line_end::bound, sink);
                data.remove_prefix(room);
            } else {
                held_.append(data);
                return;
            }
        }
    }

    // The next `missing` bytes of the stream will not be fed (observer::on_gap). What was begun is handed on,
    // and what follows counts as the middle of a line, because nobody knows whether it is.
    template <class Sink>
    void gap(std::uint64_t missing, Sink&& sink) {
        if (missing == 0) return;
        if (!held_.empty()) hand_on({}, line_end::gap, sink);
        at_ += (std::min)(missing, unlimited_bytes - at_);
        from_start_ = false;
    }

    // The stream ended. A last line without a newline is handed on; then the splitter is ready for another
    // stream.
    template <class Sink>
    void finish(Sink&& sink) {
        if (!held_.empty()) hand_on({}, line_end::stream, sink);
        at_ = 0;
        from_start_ = true;
    }

   private:
    // Hands on what is held, continued by `more`.
    template <class Sink>
    void hand_on(bytes_view more, line_end end, Sink& sink) {
        if (!held_.empty()) more = held_.append(more);
        auto text = more;
        if (strip_cr_ && end == line_end::newline && text.ends_with('\r')) text.remove_suffix(1);
        const line piece{text, at_, from_start_, end};
        at_ += more.size() + (end == line_end::newline ? 1 : 0);
        from_start_ = end == line_end::newline;
        sink(piece);
        held_.clear();
    }

    std::string held_{};    // the beginning of a piece, never longer than max_
    std::uint64_t at_ = 0;  // offset of the first byte of held_, or of the next byte if there is none
    std::size_t max_;
    bool strip_cr_;
    bool from_start_ = true;  // the next byte handed on begins a line
};

}  // namespace exec::inline v0
