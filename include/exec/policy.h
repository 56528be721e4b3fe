// policy: what callers may ask for, as data, and the pure function that holds a request to it.
//
// Amounts (times, sizes) outside floors and ceilings are clamped, or refused where the host prefers; kinds (a variable's
// name, a command that outlives its call) are refused, never changed. What a call then runs within is in outcome::within.
// Threads: values and pure functions. No I/O, no clock.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "exec/argv.h"
#include "exec/bytes.h"
#include "exec/capabilities.h"
#include "exec/command.h"
#include "exec/error.h"
#include "exec/limits.h"
#include "exec/result.h"
#include "exec/time.h"

namespace exec::inline v0 {

// Less than this is raised to it. Members as in `limits`.
struct limit_floors {
    milliseconds run_timeout{1};
    milliseconds start_timeout{1};
    milliseconds idle_timeout{1};
    milliseconds heartbeat{100};  // ten lines a second are enough to show life
    milliseconds consumer_timeout{1};
    milliseconds grace{0};
    milliseconds drain_idle{1};
    milliseconds drain_max{1};
    std::size_t out_cap = 0;
    std::size_t err_cap = 0;
    std::size_t in_queue = 4 * KiB;              // one page: less makes a system call of every few bytes
    containment contain = containment::session;  // the weakest that is accepted
};

// More than this is lowered to it; `unlimited` is more than anything. Members as in `limits`.
struct limit_ceilings {
    milliseconds run_timeout{3'600'000};     // an hour; what takes longer is a job
    milliseconds start_timeout{60'000};      // a connection that was not made in a minute will not be made
    milliseconds idle_timeout = unlimited;   // bounded by run_timeout
    milliseconds heartbeat = unlimited;      // set: every command shows life so often
    milliseconds consumer_timeout{300'000};  // how long a stalled reader may hold a command's output
    milliseconds grace{30'000};              // how long a stopped command may go on; what Kubernetes grants
    milliseconds drain_idle{10'000};
    milliseconds drain_max{10'000};
    std::size_t out_cap =
        8 * MiB;  // kept for one outcome: 16 commands that keep all they may fill concurrency_limits::bytes
    std::size_t err_cap = 8 * MiB;
    std::size_t in_queue = 1 * MiB;  // the largest pipe of an unprivileged user

    // For background jobs: no run timeout, the rest as above.
    static limit_ceilings for_job() {
        limit_ceilings job;
        job.run_timeout = unlimited;
        return job;
    }
};

enum class beyond : std::uint8_t {
    clamp,   // an amount outside floors and ceilings becomes the nearest that is inside
    refuse,  // it fails with errc::invalid_argument
};

// Which environment variables a caller may set, and which it may have from the host.
struct variable_filter {
    // Refused by name; a '*' at the end stands for any rest. By default what makes loaders and shells run somebody else's
    // code before the program's own.
    std::vector<std::string> refused{"LD_*", "BASH_ENV",       "ENV",           "IFS", "SHELLOPTS",
                                     "PS4",  "PROMPT_COMMAND", "GLIBC_TUNABLES"};
    // environment::inherit is refused for all but these names: a caller who may inherit anything can read the host's
    // secrets.
    std::vector<std::string> inheritable{};

    bool refuses(std::string_view name) const noexcept {
        return std::any_of(refused.begin(), refused.end(), [name](std::string_view pattern) {
            if (pattern.empty() || pattern.back() != '*') return name == pattern;
            pattern.remove_suffix(1);
            return name.substr(0, pattern.size()) == pattern;
        });
    }
    bool lets_inherit(std::string_view name) const noexcept {
        return std::find(inheritable.begin(), inheritable.end(), name) != inheritable.end();
    }
};

// How many commands a dispatcher runs at once, and how many may wait. A call beyond these is errc::too_busy.
struct concurrency_limits {
    std::size_t running = 256;  // in all
    std::size_t running_per_target = 64;
    std::size_t running_per_caller = 64;  // by caller::subject
    std::size_t waiting = 1024;           // in all; callers are served in turn, whoever has queued how much
    std::size_t waiting_per_caller = 64;
    // The budget for captures, rings, frames, stored answers and queues of the whole dispatcher.
    std::size_t bytes = 256 * MiB;
    milliseconds retry_after{1'000};  // what a refused caller is told to wait
};

struct policy {
    // What a host starts the limits of a call from, before it writes in what the caller asked for. apply() cannot tell an
    // amount that was asked for from one that was not, and does not read these.
    limits defaults{};
    limits job_defaults = limits::for_job();

    // Amounts.
    limit_floors floors{};
    limit_ceilings ceilings{};
    limit_ceilings job_ceilings = limit_ceilings::for_job();
    beyond out_of_range = beyond::clamp;

    // Counts.
    argv_bounds words{.max_words = 256};  // a longer list belongs into the input or a file
    std::size_t max_variables = 256;
    std::size_t max_variable_bytes = 128 * KiB;  // names and values together; what one argument may hold
    std::size_t max_cwd_bytes = 4'095;           // PATH_MAX without its NUL
    std::size_t max_input_bytes = 1 * MiB;       // input::bytes; more is streamed

    // Kinds.
    variable_filter variables{};
    bool survivors_may_stay = false;  // survivors::leave
    bool orphans_may_run_on = false;  // orphan::run_on
    // The signals that signal_job and an interacting watcher may send: HUP INT QUIT KILL USR1 USR2 TERM CONT STOP TSTP WINCH.
    std::vector<int> signals{1, 2, 3, 9, 10, 12, 15, 18, 19, 20, 28};

    concurrency_limits concurrency{};
};

// What a call asks for: the two differ in their ceilings.
enum class work : std::uint8_t { command, job };

namespace detail {

// Holds amounts to a policy, one after the other; the first that must be refused is kept.
class amounts {
   public:
    explicit amounts(beyond out_of_range) noexcept : out_of_range_(out_of_range) {}

    void hold(milliseconds& value, milliseconds floor, milliseconds ceiling, const char* name) {
        const auto inside = clamped(value, floor, ceiling);
        if (inside != value) outside(name, std::to_string(inside.count()) + " ms", inside < value);
        value = inside;
    }
    void hold(std::size_t& value, std::size_t floor, std::size_t ceiling, const char* name) {
        const auto inside = clamped(value, floor, ceiling);
        if (inside != value) outside(name, std::to_string(inside) + " bytes", inside < value);
        value = inside;
    }
    result<void> verdict() && { return std::move(verdict_); }

   private:
    // The ceiling wins where a policy has them crossed.
    template <class T>
    static T clamped(T value, T floor, T ceiling) noexcept {
        return (std::min)((std::max)(value, floor), ceiling);
    }
    void outside(const char* name, const std::string& bound, bool above) {
        if (out_of_range_ == beyond::clamp || !verdict_) return;
        verdict_ = fail(errc::invalid_argument,
                        std::string("limits: ") + name + " must be " + (above ? "at most " : "at least ") + bound);
    }

    beyond out_of_range_;
    result<void> verdict_{};
};

inline result<void> check_variables(const policy& by, const environment& env) {
    std::size_t count = 0;
    std::size_t bytes = 0;
    for (const auto entry : env) {
        ++count;
        bytes += entry.name.size() + entry.value.size();
        if (entry.from == environment::origin::absent) continue;
        if (by.variables.refuses(entry.name)) {
            return fail(errc::invalid_argument, "environment: may not be set: " + std::string(entry.name));
        }
        if (entry.from == environment::origin::inherited && !by.variables.lets_inherit(entry.name)) {
            return fail(errc::invalid_argument, "environment: may not be inherited: " + std::string(entry.name));
        }
    }
    if (count > by.max_variables) {
        return fail(errc::invalid_argument, "environment: " + std::to_string(count) + " variables, at most " +
                                                std::to_string(by.max_variables));
    }
    if (bytes > by.max_variable_bytes) {
        return fail(errc::invalid_argument, "environment: " + std::to_string(bytes) + " bytes, at most " +
                                                std::to_string(by.max_variable_bytes));
    }
    return {};
}

inline result<void> check_command(const policy& by, const command& what) {
    if (auto bad = what.program_and_args.check(by.words); !bad) return bad;
    if (auto bad = check_variables(by, what.env); !bad) return bad;
    if (what.cwd.size() > by.max_cwd_bytes) {
        return fail(errc::invalid_argument, "cwd: longer than " + std::to_string(by.max_cwd_bytes) + " bytes");
    }
    if (what.cwd.find('\0') != std::string::npos) return fail(errc::invalid_argument, "cwd: NUL");
    if (what.in.data().size() > by.max_input_bytes) {
        return fail(errc::invalid_argument, "input: longer than " + std::to_string(by.max_input_bytes) + " bytes");
    }
    return {};
}

inline result<void> check_kinds(const policy& by, const limits& within) {
    if (within.stop.after_exit == survivors::leave && !by.survivors_may_stay) {
        return fail(errc::invalid_argument, "limits: nothing may outlive its command here");
    }
    if (within.if_orphaned == orphan::run_on && !by.orphans_may_run_on) {
        return fail(errc::invalid_argument, "limits: nothing may outlive its link here");
    }
    return {};
}

}  // namespace detail

// Holds a request to the policy and returns the limits that it may have. Checks the words first, then variables, directory
// and input, then the limits; containment is raised to the policy's weakest.
// Fails with: errc::invalid_argument, naming the part; it quotes names of variables, and no other text of the caller's.
inline result<limits> apply(const policy& by, const command& what, limits within, work as = work::command) {
    if (auto bad = detail::check_command(by, what); !bad) return std::move(bad).error();
    if (auto bad = detail::check_times(within); !bad) return std::move(bad).error();
    if (auto bad = detail::check_kinds(by, within); !bad) return std::move(bad).error();

    const auto& floors = by.floors;
    const auto& ceilings = as == work::job ? by.job_ceilings : by.ceilings;
    detail::amounts each(by.out_of_range);
    each.hold(within.run_timeout, floors.run_timeout, ceilings.run_timeout, "run_timeout");
    each.hold(within.start_timeout, floors.start_timeout, ceilings.start_timeout, "start_timeout");
    each.hold(within.idle_timeout, floors.idle_timeout, ceilings.idle_timeout, "idle_timeout");
    each.hold(within.heartbeat, floors.heartbeat, ceilings.heartbeat, "heartbeat");
    each.hold(within.consumer_timeout, floors.consumer_timeout, ceilings.consumer_timeout, "consumer_timeout");
    each.hold(within.stop.grace, floors.grace, ceilings.grace, "stop.grace");
    each.hold(within.drain_idle, floors.drain_idle, ceilings.drain_idle, "drain_idle");
    each.hold(within.drain_max, floors.drain_max, ceilings.drain_max, "drain_max");
    each.hold(within.out.cap, floors.out_cap, ceilings.out_cap, "out.cap");
    each.hold(within.err.cap, floors.err_cap, ceilings.err_cap, "err.cap");
    each.hold(within.in_queue, floors.in_queue, ceilings.in_queue, "in_queue");
    within.contain = (std::max)(within.contain, floors.contain);
    if (auto bad = std::move(each).verdict(); !bad) return std::move(bad).error();
    return within;
}

// Whether the policy lets a caller send this signal to a job.
// Fails with: errc::invalid_argument.
inline result<void> check_signal(const policy& by, int number) {
    if (std::find(by.signals.begin(), by.signals.end(), number) != by.signals.end()) return {};
    return fail(errc::invalid_argument, "signal: " + std::to_string(number) + " may not be sent here");
}

}  // namespace exec::inline v0
