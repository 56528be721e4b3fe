// frame_writer: output bytes in, complete NDJSON lines out.
//
//     {"stream":"stdout","offset":0,"data":"hello\n","truncated":false}
//     {"stream":"stdout","offset":6,"data":"/wA=","encoding":"base64","truncated":false}
//     {"stream":"stdout","offset":8,"gap":5,"data":"","truncated":true}
//
// The decoded `data` of a stream's frames, in order, are its bytes: text as a JSON string, anything else as base64, never a
// substitute. A character is never split between two frames of text; at most three bytes are held back for that. What the
// reader does not get is said by `gap`, and at the end by `truncated` and `total` on the stream's last frame.
// Threads: one writer belongs to one thread at a time. It allocates by growing the string that it appends to, and only so.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "exec/assert.h"
#include "exec/bytes.h"
#include "exec/json_text.h"
#include "exec/utf8.h"

namespace exec::inline v0::wire {

constexpr std::string_view name_of(stream which) noexcept { return which == stream::out ? "stdout" : "stderr"; }

struct frame_options {
    // Raw bytes in one frame, at least 8. A control character takes six bytes as JSON, so that the default bounds a line at
    // 384 KiB.
    std::size_t max_raw = 64 * KiB;
    // What each line begins with, up to the value that names the stream. Valid JSON once the rest follows.
    std::string lead = R"({"stream":)";
    // Says what is missing at the end of a stream once more, as text in the data: "[output truncated at N bytes]". For
    // clients that look at nothing else.
    bool classic_marker = false;
};

// Feed it what an observer is told, in that order, then end() it: that takes the writer away, so that there is one terminal
// line and nothing behind it.
class frame_writer {
   public:
    explicit frame_writer(frame_options options = {}) : options_(std::move(options)) {
        options_.max_raw = (std::max)(options_.max_raw, std::size_t{8});
    }
    frame_writer(const frame_writer&) = delete;
    frame_writer& operator=(const frame_writer&) = delete;
    ~frame_writer() = default;

    // observer::on_output. Appends whole lines, or none: what ends in the middle of a character waits for more. Bytes that
    // are missing in front of `at` count as a gap.
    // REQUIRES: `at` is not less than the end of what was told of this stream before.
    void output(stream from, std::uint64_t at, bytes_view bytes, std::string& out) {
        auto& to = begin(from, at);
        if (bytes.empty()) return;
        if (to.missing != 0) bytes = over_gap(from, to, bytes, out);

        character head = to.held;
        to.next += bytes.size();
        to.held = {};
        while (!head.empty() && !bytes.empty() && head.goes_on(bytes.front())) head.take(bytes);
        if (head.waits() && bytes.empty()) {
            to.held = head;
            return;
        }
        const auto whole = bytes.substr(0, utf8_complete_prefix(bytes));
        for (auto rest = bytes.substr(whole.size()); !rest.empty();) to.held.take(rest);
        frames(from, to.next - to.held.size - whole.size() - head.size, head.text(), whole, out);
    }

    // observer::on_gap. Appends nothing: where more follows, its frame comes after one that tells the gap; at the end of
    // the stream the last frame does.
    // REQUIRES: as for output().
    void gap(stream from, std::uint64_t at, std::uint64_t missing) {
        auto& to = begin(from, at);
        to.missing += (std::min)(missing, unlimited_bytes - to.next - to.missing);
    }

    // Bytes of the stream so far, shown or not.
    std::uint64_t total(stream of) const noexcept {
        const auto& one = progress_[static_cast<std::size_t>(of)];
        return one.next + one.missing;
    }

    // Appends what is still held back, what is still to be said about missing ends, and the terminal line:
    // `members(std::string&)` appends what stands between its braces.
    template <class Members>
    void end(std::string& out, Members&& members) && {
        EXEC_ASSERT(!ended_, "frame_writer: a second end");
        ended_ = true;
        for (const auto which : {stream::out, stream::err}) last_frame(which, out);
        out += '{';
        members(out);
        out += "}\n";
    }

   private:
    // The beginning of a character, or a whole one.
    struct character {
        std::array<char, 4> bytes{};
        std::size_t size = 0;

        bool empty() const noexcept { return size == 0; }
        bool waits() const noexcept { return size < exec::detail::utf8_lead_of(bytes[0]).length; }
        bool goes_on(char next) const noexcept {
            return waits() && exec::detail::utf8_continues(exec::detail::utf8_lead_of(bytes[0]), size, next);
        }
        void take(bytes_view& from) noexcept {
            bytes[size++] = from.front();
            from.remove_prefix(1);
        }
        bytes_view text() const noexcept { return {bytes.data(), size}; }
    };
    struct progress {
        std::uint64_t next = 0;     // offset behind all that came, what is held included
        std::uint64_t missing = 0;  // bytes from there on that did not come
        character held{};           // begun, and not complete
    };

    progress& begin(stream from, std::uint64_t at) {
        EXEC_ASSERT(!ended_, "frame_writer: something came after the end");
        auto& to = progress_[static_cast<std::size_t>(from)];
        EXEC_ASSERT(at >= to.next + to.missing, "frame_writer: an offset went back");
        to.missing = at - to.next;
        return to;
    }

    // Tells the gap, and what it has torn on both sides. Returns what is left of the bytes behind it.
    bytes_view over_gap(stream from, progress& to, bytes_view bytes, std::string& out) {
        if (!to.held.empty()) frames(from, to.next - to.held.size, {}, to.held.text(), out);
        to.held = {};
        open(from, to.next, out);
        out += ",\"gap\":";
        append_json_number(out, to.missing);
        out += R"(,"data":"","truncated":true})";
        out += '\n';
        to.next += std::exchange(to.missing, 0);
        const auto torn = utf8_torn_prefix(bytes);
        if (torn != 0) frames(from, to.next, {}, bytes.substr(0, torn), out);
        to.next += torn;
        return bytes.substr(torn);
    }

    void last_frame(stream which, std::string& out) {
        auto& of = progress_[static_cast<std::size_t>(which)];
        const auto at = of.next - of.held.size;
        if (of.missing == 0) return frames(which, at, {}, of.held.text(), out);
        if (!options_.classic_marker) {
            open(which, at, out);
            data({}, of.held.text(), out);
        } else {
            frames(which, at, {}, of.held.text(), out);
            open(which, of.next, out);
            out += R"(,"data":"[output truncated at )";
            append_json_number(out, of.next);
            out += R"( bytes]")";
        }
        out += R"(,"truncated":true,"total":)";
        append_json_number(out, of.next + of.missing);
        out += "}\n";
    }

    // One stretch of a stream, head and rest together, in as many frames as it takes.
    void frames(stream from, std::uint64_t at, bytes_view head, bytes_view rest, std::string& out) {
        while (!head.empty() || !rest.empty()) {
            const auto piece = rest.substr(0, utf8_cut(rest, options_.max_raw - head.size()));
            open(from, at, out);
            data(head, piece, out);
            out += R"(,"truncated":false})";
            out += '\n';
            at += head.size() + piece.size();
            head = {};
            rest.remove_prefix(piece.size());
        }
    }
    void open(stream from, std::uint64_t at, std::string& out) const {
        out += options_.lead;
        append_json_string(out, name_of(from));
        out += ",\"offset\":";
        append_json_number(out, at);
    }
    static void data(bytes_view head, bytes_view rest, std::string& out) {
        out += ",\"data\":\"";
        if (utf8_valid(head) && utf8_valid(rest)) {
            exec::detail::append_json_text(out, head);
            exec::detail::append_json_text(out, rest);
            out += '"';
            return;
        }
        // Three bytes become four digits, so that the two can be joined where both are a multiple of three.
        std::array<char, 6> first{};
        const auto wanted = (head.size() + 2) / 3 * 3 - head.size();
        auto size = head.copy(first.data(), head.size());
        size += rest.copy(first.data() + size, wanted);
        append_base64(out, {first.data(), size});
        append_base64(out, rest.substr((std::min)(wanted, rest.size())));
        out += R"(","encoding":"base64")";
    }

    frame_options options_;
    std::array<progress, 2> progress_{};
    bool ended_ = false;
};

}  // namespace exec::inline v0::wire
