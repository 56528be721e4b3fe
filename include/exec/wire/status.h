// What an HTTP client is told when a call did not go well: status, word, sentence, Retry-After.
//
// One table for every server. The word is for programs and stable; the sentence is for people, and may change. What a
// message says of a failure's context went through display(): one line of valid UTF-8, bounded, with nothing in it that a
// terminal obeys. Nothing is decided by a text.
// Threads: values and pure functions. No sockets, no I/O.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "exec/display.h"
#include "exec/error.h"
#include "exec/json_text.h"
#include "exec/outcome.h"
#include "exec/time.h"

namespace exec::inline v0::wire {

// What a server refuses by itself, before there is a call.
enum class refusal : std::uint8_t {
    unauthenticated,     // the host adds WWW-Authenticate
    no_such_route,       // no such path or action
    method_not_allowed,  // the host adds Allow
    body_too_large,
};

// Why there is no plain success, whoever found out.
class cause {
   public:
    constexpr cause(errc code) noexcept : of_(kind::failure), number_(static_cast<std::uint8_t>(code)) {}     // NOLINT
    constexpr cause(ended how) noexcept : of_(kind::outcome), number_(static_cast<std::uint8_t>(how)) {}      // NOLINT
    constexpr cause(refusal what) noexcept : of_(kind::refusal), number_(static_cast<std::uint8_t>(what)) {}  // NOLINT
    bool operator==(const cause&) const = default;

   private:
    enum class kind : std::uint8_t { failure, outcome, refusal };
    kind of_;
    std::uint8_t number_;
};

struct status {
    int http = 500;
    std::string_view code = "internal_error";
    std::string_view sentence = "The server could not answer";
    std::chrono::seconds retry_after{};  // 0 = no header

    bool operator==(const status&) const = default;
};

struct status_row {
    cause why;
    status is;
};

// 4xx: the same request fails again. 502: the far side. 503: later, here. 504: no time was left. A 422 is about the words of
// a request that is well formed: there is no such program.
inline constexpr std::array<status_row, 28> status_table{{
    {errc::invalid_argument, {400, "invalid_argument", "The request is wrong", {}}},
    {errc::unsupported, {422, "unsupported", "The target cannot do what was asked", {}}},
    {errc::target_not_found, {404, "target_not_found", "There is no such target", {}}},
    {errc::target_unassigned, {503, "target_unassigned", "Nobody serves this target now", std::chrono::seconds{5}}},
    {errc::target_not_ready, {503, "target_not_ready", "The target is starting", std::chrono::seconds{2}}},
    {errc::wrong_state, {409, "wrong_state", "Not possible in this state", {}}},
    {errc::denied, {403, "denied", "Not allowed", {}}},
    {errc::too_busy, {503, "too_busy", "Too much is running already", std::chrono::seconds{1}}},
    {errc::start_failed, {422, "start_failed", "The command could not be started", {}}},
    {errc::start_timeout, {504, "start_timeout", "The command did not start in time", {}}},
    {errc::cancelled, {409, "cancelled", "The command was cancelled before it began", {}}},
    {errc::host_key_mismatch, {502, "host_key_mismatch", "The target is not who it should be", {}}},
    {errc::auth_failed, {502, "auth_failed", "The target refused the credential", {}}},
    {errc::connect_failed, {502, "connect_failed", "The target could not be reached", {}}},
    {errc::audit_unavailable,
     {503, "audit_unavailable", "Nothing is run while no record can be written", std::chrono::seconds{5}}},
    {errc::shutting_down, {503, "shutting_down", "The server is shutting down", std::chrono::seconds{5}}},
    {errc::caller_too_busy, {429, "caller_too_busy", "You have too much running already", std::chrono::seconds{1}}},
    {errc::broken_reply, {500, "internal_error", "The server lost the answer", {}}},

    {ended::exited, {200, "exited", "The command exited", {}}},
    {ended::signaled, {200, "signaled", "The command was ended by a signal", {}}},
    {ended::timed_out, {504, "exec_timeout", "The command ran out of time", {}}},
    {ended::output_limit, {422, "exec_output_limit", "The command said more than it may", {}}},
    {ended::cancelled, {409, "exec_cancelled", "The command was stopped", {}}},
    {ended::lost, {502, "exec_lost", "Nobody knows how the command ended", {}}},

    {refusal::unauthenticated, {401, "unauthenticated", "Credentials are missing or wrong", {}}},
    {refusal::no_such_route, {404, "not_found", "There is nothing at this path", {}}},
    {refusal::method_not_allowed, {405, "method_not_allowed", "The path does not know this method", {}}},
    {refusal::body_too_large, {413, "body_too_large", "The body is too large", {}}},
}};

// A cause that is not in the table, as a code from a newer peer, is a 500.
constexpr status status_of(cause why) noexcept {
    for (const auto& row : status_table) {
        if (row.why == why) return row.is;
    }
    return {};
}

// As the table says, with two facts of this one: a start for which something was short may succeed later, so it is a 503,
// and the failure's own retry_after goes before the table's.
inline status status_of(const failure& why) noexcept {
    auto is = status_of(why.kind());
    if (why.kind() == errc::start_failed && why.advise() == advice::retry_later) {
        is.http = 503;
        is.retry_after = std::chrono::seconds{1};
    }
    if (why.retry_after > milliseconds::zero() && why.retry_after != unlimited) {
        is.retry_after = std::chrono::ceil<std::chrono::seconds>(why.retry_after);
    }
    return is;
}

// 200 only for a command that came to its own end. A command that a shutdown has stopped is a 503 without Retry-After: it
// ran.
inline status status_of(const outcome& how) noexcept {
    auto is = status_of(how.how());
    if (how.how() == ended::cancelled && how.stopped_by == stop_reason::shutdown) is.http = 503;
    return is;
}

// An error as it goes into a body.
struct problem {
    status is{};
    std::string message{};           // for people: the sentence and what it is about
    std::string_view at{};           // stage of a start or connection; "" = none
    std::optional<started> began{};  // set where the command ran or may have; nothing else may be tried again
};

inline problem problem_of(cause why) {
    const auto is = status_of(why);
    return {is, std::string(is.sentence), {}, {}};
}
inline problem problem_of(const failure& why) {
    problem found{status_of(why), {}, {}, {}};
    found.message = found.is.sentence;
    if (why.at != stage::none) found.at = to_string(why.at);
    if (why.code.category() != exec_category()) {
        found.message += ": " + display(why.message(), 600);  // context and number, each bounded
    } else if (!why.context.empty()) {
        found.message += ": " + display(why.context);
    }
    return found;
}
inline problem problem_of(const outcome& how) {
    problem found{status_of(how), {}, {}, how.began};
    found.message = found.is.sentence;
    if (how.broke) found.message += ": " + display(how.broke.message());
    return found;
}

constexpr std::string_view word_of(started began) noexcept { return began == started::yes ? "yes" : "unknown"; }

// Appends the members of a problem, without braces: "code":"...","message":"..." and, where known, stage and started.
inline void append_members(std::string& out, const problem& what, std::string_view message_name = "message") {
    out += "\"code\":";
    append_json_string(out, what.is.code);
    out += ",\"";
    out += message_name;
    out += "\":";
    append_json_shown(out, what.message);
    if (!what.at.empty()) {
        out += ",\"stage\":";
        append_json_string(out, what.at);
    }
    if (what.began) {
        out += ",\"started\":";
        append_json_string(out, word_of(*what.began));
    }
}

// {"error":{"code":"...","message":"..."}}
inline std::string error_body(const problem& what) {
    std::string body = R"({"error":{)";
    append_members(body, what);
    return body += "}}";
}

// "SIGKILL"; "SIGRTMIN+3"; "" for what is no signal. Names and numbers are those of Linux on x86-64 and arm64.
inline std::string signal_name(int number) {
    constexpr std::array<std::string_view, 32> names{
        "",     "HUP",  "INT",  "QUIT", "ILL",    "TRAP",   "ABRT",  "BUS",  "FPE",  "KILL", "USR1",
        "SEGV", "USR2", "PIPE", "ALRM", "TERM",   "STKFLT", "CHLD",  "CONT", "STOP", "TSTP", "TTIN",
        "TTOU", "URG",  "XCPU", "XFSZ", "VTALRM", "PROF",   "WINCH", "IO",   "PWR",  "SYS"};
    constexpr int first_real_time = 34;  // SIGRTMIN of glibc
    constexpr int last = 64;
    if (number >= first_real_time && number <= last) return "SIGRTMIN+" + std::to_string(number - first_real_time);
    if (number <= 0 || number >= static_cast<int>(names.size())) return {};
    return "SIG" + std::string(names[static_cast<std::size_t>(number)]);
}

}  // namespace exec::inline v0::wire
