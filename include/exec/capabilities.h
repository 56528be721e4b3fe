// What a runner can do, and the one check that all runners share.
//
// can() is a hint for menus; start() decides. Both go through check(), so that every runner refuses alike, before
// anything ran, and never leaves an option out.
// Threads: values and a pure function.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "exec/command.h"
#include "exec/error.h"
#include "exec/limits.h"
#include "exec/result.h"

namespace exec::inline v0 {

struct capabilities {
    bool input_bytes = false;
    bool input_streamed = false;
    bool terminal = false;     // and resize
    bool merge = false;        // one shared pipe for both streams
    bool environment = false;  // variables beyond the base
    bool cwd = false;
    bool signals = false;      // any signal, to the group
    bool kills_group = false;  // the stop policy reaches the whole group
    bool cgroup = false;
    bool pid_namespace = false;
    bool stops_orphans = false;     // orphan::stop holds when the host or the link dies
    bool leaves_orphans = false;    // orphan::run_on holds
    bool leaves_survivors = false;  // survivors::leave holds
    bool resource_use = false;      // outcome::used is filled
    bool pauses = false;            // flow::pause holds the child back

    std::size_t max_words = SIZE_MAX;       // of argv
    std::size_t max_word_bytes = SIZE_MAX;  // of one argument or "NAME=value", without its NUL
    std::size_t max_bytes = SIZE_MAX;       // argv and environment together
};

namespace detail {

inline failure not_supported(std::string_view option) { return fail(errc::unsupported, std::string(option)); }

inline bool spans_time(milliseconds value) noexcept { return value > milliseconds::zero(); }

inline result<void> check_times(const limits& within) {
    struct named {
        milliseconds value;
        const char* name;
    };
    for (const auto& each : {named{within.run_timeout, "run_timeout"}, named{within.start_timeout, "start_timeout"},
                             named{within.idle_timeout, "idle_timeout"}, named{within.heartbeat, "heartbeat"},
                             named{within.consumer_timeout, "consumer_timeout"}, named{within.drain_idle, "drain_idle"},
                             named{within.drain_max, "drain_max"}}) {
        if (!spans_time(each.value)) {
            return fail(errc::invalid_argument, std::string("limits: ") + each.name + " must be positive");
        }
    }
    if (within.stop.grace < milliseconds::zero()) return fail(errc::invalid_argument, "limits: stop.grace is negative");
    if (within.stop.polite < 1 || within.stop.polite > 64) {
        return fail(errc::invalid_argument, "limits: stop.polite is no signal number");
    }
    return {};
}

inline result<void> check_words(const command& what, const capabilities& can) {
    if (what.program_and_args.blank()) return fail(errc::invalid_argument, "argv: no program");
    if (what.program_and_args.size() > can.max_words) return fail(errc::invalid_argument, "argv: too many arguments");
    std::size_t total = 0;
    std::size_t index = 0;
    for (const auto word : what.program_and_args) {
        if (word.size() > can.max_word_bytes) {
            return fail(errc::invalid_argument, "argv[" + std::to_string(index) + "]: longer than " +
                                                    std::to_string(can.max_word_bytes) + " bytes; send it as input");
        }
        total += word.size() + 1;
        ++index;
    }
    for (const auto entry : what.env) {
        if (entry.name.size() + 1 + entry.value.size() > can.max_word_bytes) {
            return fail(errc::invalid_argument, "environment: too long: " + std::string(entry.name));
        }
        total += entry.name.size() + entry.value.size() + 2;
    }
    if (total > can.max_bytes) {
        return fail(errc::invalid_argument, "argv and environment: " + std::to_string(total) + " bytes, at most " +
                                                std::to_string(can.max_bytes));
    }
    return {};
}

}  // namespace detail

// Whether a runner with these capabilities takes the command within these limits.
// Fails with: errc::invalid_argument (the request is wrong for everybody), errc::unsupported (for this runner); the
// context names the option.
inline result<void> check(const command& what, const limits& within, const capabilities& can) {
    if (auto bad = detail::check_words(what, can); !bad) return bad;
    if (what.cwd.find('\0') != std::string::npos) return fail(errc::invalid_argument, "cwd: NUL");
    if (auto bad = detail::check_times(within); !bad) return bad;
    if (what.terminal && (what.terminal->columns == 0 || what.terminal->rows == 0)) {
        return fail(errc::invalid_argument, "terminal: no size");
    }
    if (within.in_queue == 0 && what.in.what() == input::kind::streamed) {
        return fail(errc::invalid_argument, "limits: in_queue is 0");
    }

    struct need {
        bool asked;
        bool offered;
        std::string_view option;
    };
    for (const auto& each : {
             need{what.in.what() == input::kind::bytes, can.input_bytes, "input: bytes"},
             need{what.in.what() == input::kind::streamed, can.input_streamed, "input: streamed"},
             need{what.terminal.has_value(), can.terminal, "terminal"},
             need{what.merge_err_into_out, can.merge || (what.terminal && can.terminal), "merge_err_into_out"},
             need{!what.env.empty() || !what.env.has_base(), can.environment, "environment"},
             need{!what.cwd.empty(), can.cwd, "cwd"},
             need{within.contain == containment::cgroup, can.cgroup, "containment: cgroup"},
             need{within.contain == containment::pid_namespace, can.pid_namespace, "containment: pid_namespace"},
             need{within.stop.after_exit == survivors::leave, can.leaves_survivors, "survivors: leave"},
             need{within.if_orphaned == orphan::run_on, can.leaves_orphans, "orphan: run_on"},
         }) {
        if (each.asked && !each.offered) return detail::not_supported(each.option);
    }
    return {};
}

}  // namespace exec::inline v0
