// The workspace surface: POST /workspaces/{id}/exec, one command on one machine, its output as it comes.
//
// The codec of it, for a server to put between its sockets and a dispatcher: body to request, request to command and
// limits, and what an observer is told to the bytes of the response. doc/wire.md shows the bodies.
// Threads: values; one workspace_stream belongs to one thread at a time. No sockets, no clock, nothing blocks.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "exec/argv.h"
#include "exec/assert.h"
#include "exec/bytes.h"
#include "exec/command.h"
#include "exec/display.h"
#include "exec/limits.h"
#include "exec/outcome.h"
#include "exec/policy.h"
#include "exec/quote.h"
#include "exec/result.h"
#include "exec/time.h"
#include "exec/wire/frames.h"
#include "exec/wire/json_request.h"
#include "exec/wire/status.h"

namespace exec::inline v0::wire {

struct workspace_options {
    json_bounds body{};
    std::size_t max_words = 256;
    std::chrono::seconds default_timeout{30};  // where timeout_s is absent or not positive
    std::chrono::seconds max_timeout{120};     // more is lowered to it
    std::uint64_t show = 1 * MiB;              // of each stream; the rest is counted
    bool classic_marker = false;               // frame_options::classic_marker
};

struct workspace_request {
    argv words{};
    std::chrono::seconds timeout{30};  // for queue, connect and run together
};

namespace detail {

// "cmd[3]: ..." for "argv[3]: ...".
inline failure about_cmd(failure why) {
    constexpr std::string_view known = "argv";
    if (std::string_view(why.context).starts_with(known)) why.context.replace(0, known.size(), "cmd");
    return why;
}

}  // namespace detail

// {"cmd": [words], "timeout_s": seconds}
// Fails with: errc::invalid_argument, for the first of these that is wrong: the body and timeout_s, cmd as an array of
// strings, its being empty, its length, the words themselves.
inline result<workspace_request> read_workspace_request(bytes_view body, const workspace_options& options = {}) {
    const auto document = json_document::parse(body, options.body);
    if (!document) return document.error();
    const auto root = document->root();
    if (auto unknown = root.only({"cmd", "timeout_s"}); !unknown) return std::move(unknown).error();

    workspace_request wanted{{}, options.default_timeout};
    if (const auto asked = root.find("timeout_s")) {
        const auto count =
            asked->integer((std::numeric_limits<std::int64_t>::min)(), (std::numeric_limits<std::int64_t>::max)());
        if (!count) return count.error();
        if (*count > 0) wanted.timeout = std::chrono::seconds{(std::min)(*count, options.max_timeout.count())};
    }

    const auto cmd = root.find("cmd");
    if (!cmd) return root.wrong("cmd is missing: an array of strings, the program first");
    if (cmd->what() == json_value::kind::string) {
        return cmd->wrong("must be an array of strings: argv only, a command line is not taken apart");
    }
    const auto words = cmd->strings();
    if (!words) return words.error();
    if (words->empty()) return cmd->wrong("must not be empty");
    if (words->size() > options.max_words) {
        return cmd->wrong(std::to_string(words->size()) + " elements, at most " + std::to_string(options.max_words));
    }
    auto made = argv::make(*words, {.max_words = options.max_words});
    if (!made) return detail::about_cmd(std::move(made).error());
    wanted.words = *std::move(made);
    return wanted;
}

inline command command_of(const workspace_request& wanted) { return {.program_and_args = wanted.words}; }

// The policy's defaults, within the request's timeout, counted from `now`. Nothing is kept for the outcome: it is streamed.
inline limits limits_of(const workspace_request& wanted, const policy& by, time_point now,
                        const workspace_options& options = {}) {
    auto within = by.defaults;
    within.run_timeout = wanted.timeout;
    within.start_timeout = wanted.timeout;
    within.deadline = saturating_add(now, milliseconds(wanted.timeout));
    within.out = {.cap = 0, .kept = keep::nothing, .show = options.show};
    within.err = within.out;
    return within;
}

// What the audit trail says of a command in one line: at most 200 bytes, cut between characters. REQUIRES: redacted words.
template <class Words>
std::string workspace_summary(const Words& redacted) {
    exec::detail::bounded_text shown(200);
    bool first = true;
    for (const auto& word : redacted) {
        if (!std::exchange(first, false)) shown.piece(" ");
        exec::detail::show_word(shown, std::string_view(word));
        if (shown.full()) break;
    }
    return shown.take();
}

// A failure as this surface tells it: a workspace that nobody serves is the caller's mistake, the gate's only question is
// the tier, and there is one word for every deadline.
inline problem workspace_problem(const failure& why) {
    auto found = problem_of(why);
    if (why.code == errc::target_unassigned) {
        found.is = {400, "no_machine", found.is.sentence, {}};
    } else if (why.code == errc::denied) {
        found.is.code = "exec_tier_forbidden";
    } else if (found.is.http == 504) {
        found.is.code = status_of(ended::timed_out).code;
    }
    return found;
}

// {"error":"sentence","code":"..."}
inline std::string workspace_error(const problem& what) {
    std::string body = "{";
    append_members(body, what, "error");
    return body += '}';
}

// What a status line and its headers are made of.
struct response_head {
    int http = 200;
    std::string_view content_type = "application/json";
    std::chrono::seconds retry_after{};  // 0 = no header

    bool operator==(const response_head&) const = default;
};

// The response of one command. Tell it what the observer is told; send head() once it is there, then what take() returns,
// until over(). The head is held back until the first byte of output, or the end: only then is it known whether this is a
// 200, which ends in a terminal frame whatever comes, or an error with a status of its own.
class workspace_stream {
   public:
    explicit workspace_stream(std::chrono::seconds timeout, const workspace_options& options = {})
        : timeout_(timeout), frames_(frame_options{.classic_marker = options.classic_marker}) {}

    void output(stream from, std::uint64_t at, bytes_view bytes) {
        if (!bytes.empty()) begin_frames();
        frames_.output(from, at, bytes, body_);
    }
    void gap(stream from, std::uint64_t at, std::uint64_t missing) { frames_.gap(from, at, missing); }

    // Once, last.
    void done(const result<outcome>& how) {
        EXEC_ASSERT(!over_, "workspace_stream: a second end");
        over_ = true;
        const bool ran_to_its_end = how && status_of(*how).http == 200;
        if (ran_to_its_end) begin_frames();
        if (head_) {
            std::move(frames_).end(body_, [&](std::string& out) { append_end(out, how); });
            return;
        }
        const auto what = how ? problem_of(*how) : workspace_problem(how.error());
        head_ = response_head{what.is.http, "application/json", what.is.retry_after};
        body_ += '{';
        append_end(body_, how);
        body_ += '}';
    }

    // Empty as long as the status line has to wait.
    const std::optional<response_head>& head() const noexcept { return head_; }
    // What was written since the last call. In NDJSON, whole lines.
    std::string take() noexcept { return std::exchange(body_, {}); }
    // How much that is: who sees too much of it pauses the command (flow::pause).
    std::size_t pending() const noexcept { return body_.size(); }
    // Nothing comes behind what take() returns.
    bool over() const noexcept { return over_; }

   private:
    void begin_frames() {
        if (!head_) head_ = response_head{200, "application/x-ndjson", {}};
    }
    void append_end(std::string& out, const result<outcome>& how) const {
        if (!how) {
            const auto what = workspace_problem(how.error());
            append_members(out, what, "error");
            if (what.is.http == 504) append_count(out, "timeout_s", timeout_.count());
            return;
        }
        if (status_of(*how).http == 200) {
            out += "\"exit_code\":";
            append_json_number(out, *how->exit.as_shells_do());  // known, else it had ended as lost
            if (how->exit.what == exit_status::kind::signaled) {
                out += ",\"signal\":";
                append_json_string(out, signal_name(how->exit.number));
            }
        } else {
            append_members(out, problem_of(*how), "error");
        }
        append_count(out, "duration_ms", std::chrono::floor<milliseconds>(how->took.total).count());
        append_count(out, "stdout_bytes", how->out.total);
        append_count(out, "stderr_bytes", how->err.total);
        append_count(out, "timeout_s", timeout_.count());
        if (!how->out.complete || !how->err.complete) out += ",\"complete\":false";
    }
    template <class Number>
    static void append_count(std::string& out, std::string_view name, Number value) {
        out += ",\"";
        out += name;
        out += "\":";
        append_json_number(out, value);
    }

    std::chrono::seconds timeout_;
    frame_writer frames_;
    std::optional<response_head> head_{};
    std::string body_{};
    bool over_ = false;
};

}  // namespace exec::inline v0::wire
