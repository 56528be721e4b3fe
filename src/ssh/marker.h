// marker_filter: cuts what the wrapper says about itself out of a stream of the command's channel.
//
// A marker is one line: byte 0x1E, the nonce of this command, a blank, words, a newline (with a CR before it where a
// terminal made one). The words:
//
//   pid <pid> <leader|shared>       the wrapper runs; it reads the preamble and enters the directory
//   ready <pid> <leader|shared>     the same on a terminal, which is silent and raw now: the preamble may be sent
//   go                              what comes next is the command's own
//   go <pid> <leader|shared>        both in one
//   fail <program|cwd|terminal|environment> <none|denied|notdir>    the command certainly did not run
//
// <pid> is the process that becomes the command. `leader`: it leads a process group of its own, which may be signalled as
// a whole; `shared`: the group is somebody else's too.
// Before `go` everything else is noise of the login (profiles, banners, a shell that traces itself): never output, never
// counted. After `go` every byte is output, whatever it is: a later marker is the command's own joke.
// Threads: a value. Never blocks; allocates for noise only.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "exec/bytes.h"
#include "exec/result.h"

namespace exec::inline v0::ssh {

// 128 random bits in hex, new for every command: nothing that was printed before can pretend to be a marker.
using nonce = std::array<char, 32>;
// Fails with: errc::too_busy (the kernel has no randomness yet).
result<nonce> make_nonce();

// What the wrapper could not do.
enum class refusal : std::uint8_t {
    program,      // not there, or not executable
    cwd,          // could not be entered
    terminal,     // no stty that silences it, and the preamble must not be echoed
    environment,  // a variable that the target's /bin/sh keeps to itself, as UID in bash
};

struct report {
    enum class kind : std::uint8_t {
        pid,
        ready,
        go,
        refused,
        lost,  // too much noise without `go`: nobody there speaks this protocol
    };
    kind what = kind::lost;
    std::int64_t pid = 0;  // > 1 where it was said with this marker, else 0
    bool leads = false;
    refusal at = refusal::program;  // of `refused`
    int os_error = 0;               // of `refused`: ENOENT, EACCES or ENOTDIR

    bool operator==(const report&) const = default;
};

class marker_filter {
   public:
    static constexpr std::size_t max_noise = 1 * MiB;
    static constexpr std::size_t max_last_words = 4 * KiB;

    explicit marker_filter(const nonce& mark) noexcept;

    // Feeds the next bytes of the stream. Calls on_report(const report&) for each marker and on_bytes(bytes_view), at
    // most once, for what of the chunk is output; in the order of the stream. The view is part of `chunk`: nothing is
    // copied. Neither may destroy the filter or feed it.
    template <class OnReport, class OnBytes>
    void feed(bytes_view chunk, OnReport&& on_report, OnBytes&& on_bytes) {
        while (state_ == state::closed && !chunk.empty()) {
            if (const auto said = cut(chunk)) on_report(*said);
        }
        if (state_ == state::open && !chunk.empty()) on_bytes(chunk);
    }

    bool is_open() const noexcept { return state_ == state::open; }
    // The end of the noise, for people: what the login or its shell said instead of a marker. Raw bytes from outside, so
    // show them through display() only. Empty once the stream is open.
    std::string_view last_words() const noexcept;

   private:
    enum class state : std::uint8_t {
        closed,  // waiting for `go`
        open,
        over,  // refused or lost: whatever follows is noise
    };
    static constexpr std::size_t prefix_bytes = 1 + std::tuple_size_v<nonce> + 1;
    static constexpr std::size_t max_words = 64;

    // Takes bytes off `rest` up to the end of a marker, or all of them.
    std::optional<report> cut(bytes_view& rest);
    std::optional<report> end_of_line();
    void not_a_marker();
    void noise(bytes_view bytes);

    std::array<char, prefix_bytes> prefix_{};
    std::array<char, prefix_bytes + max_words> held_{};  // a line that may become a marker
    std::size_t held_bytes_ = 0;
    std::size_t noise_bytes_ = 0;
    std::string last_words_{};
    state state_ = state::closed;
};

}  // namespace exec::inline v0::ssh
