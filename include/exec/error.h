// Why a command never ran.
//
// A `failure` is a promise: the command certainly did not run, so asking again is always safe. Whatever happened after
// the command may have begun is an `outcome` (outcome.h), never a failure. The code keeps the true number: OS errors in
// std::system_category, ours in exec_category. No decision should ever be taken from the text of `context`.
// Threads: plain values; the category may be used from any thread at any time.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>

#include "exec/export.h"
#include "exec/time.h"

namespace exec::inline v0 {

// Codes of exec_category. Stable: a number is never given a second meaning.
enum class errc : std::uint8_t {
    invalid_argument = 1,    // the request itself is wrong; the context names the part
    unsupported = 2,         // this runner cannot do what was asked, and says so instead of leaving it out
    target_not_found = 3,    // no such target, or it belongs to somebody else
    target_unassigned = 4,   // the target exists, nobody serves it now
    target_not_ready = 5,    // the target is starting
    wrong_state = 6,         // the verb does not fit the state, as a signal to a command that has ended
    denied = 7,              // the gate said no
    too_busy = 8,            // a bound on concurrency or bytes would be exceeded
    start_failed = 9,        // the operating system refused to start it; failure::at names the step
    start_timeout = 10,      // limits::start_timeout passed before it began
    cancelled = 11,          // stopped by its caller before it began
    host_key_mismatch = 12,  // the far end is not who it should be
    auth_failed = 13,        // the far end refused the credential
    connect_failed = 14,     // no connection
    audit_unavailable = 15,  // no record could be begun, so nothing was run
    shutting_down = 16,      // the loop, pool or dispatcher is going away
    broken_reply = 17,       // whoever owed an answer dropped it
    caller_too_busy = 18,    // this caller's own share of a bound is used up; others may go on
};

EXEC_API const std::error_category& exec_category() noexcept;
inline std::error_code make_error_code(errc code) noexcept { return {static_cast<int>(code), exec_category()}; }

// The step that failed, of a start or of a connection. Told apart because the kernel answers ENOENT to a missing program, a
// missing interpreter and a missing directory alike, and ETIMEDOUT to a dial, a silent server and a slow login.
enum class stage : std::uint8_t {
    none,  // none of these
    // Of a start:
    program,      // the program was not found, or is not executable
    interpreter,  // the program exists; the interpreter in its first line, or its dynamic loader, does not
    cwd,          // the directory could not be opened or entered
    credentials,  // groups, gid or uid could not be set, or did not read back
    descriptors,  // pipes, /dev/null, the terminal, or their arrangement on 0, 1 and 2
    limits,       // a resource limit could not be set
    process,      // no process could be made: EAGAIN, ENOMEM
    containment,  // the session, cgroup or namespace could not be made
    // Of a connection, in the order in which it goes through them:
    queue,         // waiting for a place on a session
    resolve,       // the name of the host
    connect,       // the byte stream: TCP, a proxy command, a jump host
    banner,        // the first line of the protocol
    key_exchange,  // no algorithm in common, or it was not finished
    host_key,      // who it is that answered
    grant,         // the credential was not given in time
    login,         // the credential was not taken
    channel,       // a channel was not opened
    request,       // the command was refused, or not confirmed
};
// Whether it is one of a connection.
constexpr bool is_of_connection(stage step) noexcept { return step >= stage::queue; }
EXEC_API std::string_view to_string(stage step) noexcept;

// What the receiver of a failure should do about it.
enum class advice : std::uint8_t {
    fix_request,   // the same request fails again: change it
    retry_later,   // a resource is short or something is starting; see failure::retry_after
    reconnect,     // the way to the target broke; another attempt may find a new one
    ask_operator,  // permission, trust or configuration: a person has to look
    give_up,       // nothing that can be done here
};
EXEC_API std::string_view to_string(advice what) noexcept;

struct failure {
    std::error_code code{};
    std::string context{};  // the object that it is about ("cwd /srv/app"); never a secret, never an environment value
    milliseconds retry_after{};  // 0 = nothing known
    stage at = stage::none;

    // The code as one of ours: an OS error of a start is start_failed, any other foreign error connect_failed if it is
    // about a connection and start_failed otherwise. The one place where foreign numbers become ours.
    EXEC_API errc kind() const noexcept;
    EXEC_API advice advise() const noexcept;
    // "cwd: No such file or directory: /srv/none", for people. The context is escaped (display.h).
    EXEC_API std::string message() const;
};

inline failure fail(errc code, std::string context = {}) {
    return failure{make_error_code(code), std::move(context), {}, stage::none};
}
// REQUIRES: `number` is an errno value.
inline failure os_failure(int number, stage at, std::string context = {}) {
    return failure{std::error_code(number, std::system_category()), std::move(context), {}, at};
}

}  // namespace exec::inline v0

template <>
struct std::is_error_code_enum<exec::errc> : std::true_type {};
