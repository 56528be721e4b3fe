// How a command ended, what it said, and whether that is all of it.
//
// It ran, or may have run: an outcome is never a reason to run it again unasked. Facts stand side by side and are never
// folded into one number: a command may exit 0 *after* our TERM, and both are told.
// Threads: a value.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "exec/capture.h"
#include "exec/limits.h"
#include "exec/time.h"

namespace exec::inline v0 {

// What the kernel or the peer said. Nobody said anything = unknown, which is not success.
struct exit_status {
    enum class kind : std::uint8_t { unknown, exited, signaled };
    kind what = kind::unknown;
    int number = 0;     // the exit code, or the signal's number
    bool core = false;  // signaled, and a core was written

    static constexpr exit_status exited(int code) noexcept { return {kind::exited, code, false}; }
    static constexpr exit_status signaled(int signal_number, bool with_core = false) noexcept {
        return {kind::signaled, signal_number, with_core};
    }
    // 128 + n for a signal, as shells flatten it; empty if unknown. For peers that can hold nothing but an int.
    constexpr std::optional<int> as_shells_do() const noexcept {
        if (what == kind::unknown) return std::nullopt;
        return what == kind::exited ? number : 128 + number;
    }
    bool operator==(const exit_status&) const = default;
};

// What we did to it, recorded by whoever did it, at the moment of doing it.
enum class stop_reason : std::uint8_t {
    nobody,
    start_timeout,  // it may have begun, nobody confirmed in time
    run_timeout,
    idle_timeout,
    deadline,
    cancelled,        // execution::stop, flow::stop, a stop token, a dropped handle
    output_limit,     // at_cap::stop
    consumer,         // the observer held its output longer than limits::consumer_timeout
    observer_failed,  // a callback threw
    shutdown,         // the loop, runner or pool went away
};
std::string_view to_string(stop_reason why) noexcept;

enum class started : std::uint8_t {
    yes,
    unknown,  // handed over, never confirmed
};

// What is left of everything that it started. The strongest word that was seen to be true.
enum class tree_state : std::uint8_t {
    unknown,
    may_survive,  // a member of the group, or a holder of its pipes, was seen alive at the end
    group_gone,   // the group was seen empty; a descendant that left it is possible
    gone,         // the cgroup was seen empty, or the pid namespace ended
};
std::string_view to_string(tree_state what) noexcept;

struct timings {
    nanoseconds queue{};    // waiting for a slot, a thread or the loop
    nanoseconds connect{};  // making the way to the target; 0 on this host
    nanoseconds run{};      // from its start to its exit
    nanoseconds drain{};    // from its exit to the last byte
    nanoseconds total{};    // from the call to the answer
};

// What the kernel charged to the command and to the descendants that it waited for. Zero where nobody tells.
struct resource_use {
    nanoseconds user{};
    nanoseconds system{};
    std::uint64_t max_rss = 0;  // bytes
    std::uint64_t major_faults = 0;
    std::uint64_t minor_faults = 0;
    std::uint64_t voluntary_switches = 0;
    std::uint64_t involuntary_switches = 0;
};

// One word for a switch. The first that fits, top to bottom.
enum class ended : std::uint8_t {
    lost,       // the link or agent broke, or nobody knows how it ended
    timed_out,  // start, run, idle or call deadline
    output_limit,
    cancelled,  // by its caller, its observer or a shutdown
    signaled,
    exited,
};
std::string_view to_string(ended how) noexcept;

struct outcome {
    exit_status exit{};
    stop_reason stopped_by = stop_reason::nobody;
    std::error_code broke{};  // the link or agent went before we knew
    started began = started::yes;
    captured out{};
    captured err{};
    std::uint64_t in_taken = 0;  // input bytes that the child's pipe accepted
    tree_state tree = tree_state::unknown;
    limits within{};      // the effective ones
    std::string where{};  // "host", "build-7:22", "bwrap on host"
    std::vector<std::string> artifacts{};
    timings took{};
    resource_use used{};

    // exited(0), stopped by nobody, nothing broke.
    bool ok() const noexcept {
        return exit == exit_status::exited(0) && stopped_by == stop_reason::nobody && !broke && began == started::yes;
    }
    ended how() const noexcept {
        switch (stopped_by) {
            case stop_reason::start_timeout:
            case stop_reason::run_timeout:
            case stop_reason::idle_timeout:
            case stop_reason::deadline: return broke ? ended::lost : ended::timed_out;
            case stop_reason::output_limit: return broke ? ended::lost : ended::output_limit;
            case stop_reason::cancelled:
            case stop_reason::consumer:
            case stop_reason::observer_failed:
            case stop_reason::shutdown: return broke ? ended::lost : ended::cancelled;
            case stop_reason::nobody: break;
        }
        if (broke || exit.what == exit_status::kind::unknown) return ended::lost;
        return exit.what == exit_status::kind::exited ? ended::exited : ended::signaled;
    }
};

inline std::string_view to_string(stop_reason why) noexcept {
    switch (why) {
        case stop_reason::nobody: return "nobody";
        case stop_reason::start_timeout: return "start_timeout";
        case stop_reason::run_timeout: return "run_timeout";
        case stop_reason::idle_timeout: return "idle_timeout";
        case stop_reason::deadline: return "deadline";
        case stop_reason::cancelled: return "cancelled";
        case stop_reason::output_limit: return "output_limit";
        case stop_reason::consumer: return "consumer";
        case stop_reason::observer_failed: return "observer_failed";
        case stop_reason::shutdown: return "shutdown";
    }
    return "invalid";
}

inline std::string_view to_string(tree_state what) noexcept {
    switch (what) {
        case tree_state::unknown: return "unknown";
        case tree_state::may_survive: return "may_survive";
        case tree_state::group_gone: return "group_gone";
        case tree_state::gone: return "gone";
    }
    return "invalid";
}

inline std::string_view to_string(ended how) noexcept {
    switch (how) {
        case ended::lost: return "lost";
        case ended::timed_out: return "timed_out";
        case ended::output_limit: return "output_limit";
        case ended::cancelled: return "cancelled";
        case ended::signaled: return "signaled";
        case ended::exited: return "exited";
    }
    return "invalid";
}

}  // namespace exec::inline v0
