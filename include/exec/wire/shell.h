// The shell surface: the capability "shell.exec" of an agent, one JSON request a line in, frames out.
//
// {"id":"7","capability":"shell.exec","parameters":{"command":"make","timeout_ms":60000},"context":{"cwd":"/srv/app"}}
// A context that asks for what this codec's runner does not enforce (limits, scope, credentials, a session, a sandbox, a
// network namespace) is refused by name, never run without it. doc/wire.md shows the frames.
// Threads: values; one shell_frames belongs to one thread at a time. No descriptors, no clock, nothing blocks.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "exec/assert.h"
#include "exec/bytes.h"
#include "exec/command.h"
#include "exec/display.h"
#include "exec/limits.h"
#include "exec/lines.h"
#include "exec/outcome.h"
#include "exec/policy.h"
#include "exec/result.h"
#include "exec/shell.h"
#include "exec/time.h"
#include "exec/version.h"
#include "exec/wire/frames.h"
#include "exec/wire/json_request.h"
#include "exec/wire/status.h"

namespace exec::inline v0::wire {

inline constexpr std::string_view shell_capability = "shell.exec";

struct shell_options {
    json_bounds body{};
    milliseconds default_timeout{30'000};
    milliseconds max_timeout{3'600'000};  // more is lowered to it
    milliseconds heartbeat{5'000};
    // The host's variables that the shell inherits.
    std::vector<std::string> inherited{"PATH", "HOME", "LANG"};
    // The variable that holds context.trace_id; "" = none.
    std::string trace_variable = "TRACE_ID";
    bool stderr_as_warn = false;  // each line of stderr once more, as a log frame of level warn
};

struct shell_parameters {
    std::string text{};  // for bash -lc
    milliseconds timeout{30'000};
};

struct shell_request {
    shell_parameters parameters{};
    std::string cwd{};       // "" = the runner's default
    std::string trace_id{};  // "" = none
};

// A line, read as far as that went: the answer to a bad request needs its id too.
struct shell_line {
    std::string id{};  // "" where none could be read
    result<shell_request> request;
};

// The runner and its version, so that an agent can say what has answered: "exec-shell/0.1.0".
inline std::string shell_digest() {
    return "exec-shell/" + std::to_string(EXEC_VERSION_MAJOR) + '.' + std::to_string(EXEC_VERSION_MINOR) + '.' +
           std::to_string(EXEC_VERSION_PATCH);
}

namespace detail {

inline bool is_blank(std::string_view text) noexcept { return text.find_first_not_of(" \t\n\v\f\r") == text.npos; }

inline result<std::string> short_text(const json_value& from, std::size_t most) {
    const auto text = from.string();
    if (!text) return text.error();
    if (text->size() > most) return from.wrong("must be at most " + std::to_string(most) + " bytes");
    return std::string(*text);
}

inline result<shell_parameters> shell_parameters_of(const json_value& from, const shell_options& options) {
    if (auto unknown = from.only({"command", "timeout_ms"}); !unknown) return std::move(unknown).error();
    const auto command = from.find("command");
    if (!command) return from.wrong("command is missing");
    const auto text = command->string();
    if (!text) return text.error();
    if (is_blank(*text)) return command->wrong("must not be blank");
    shell_parameters wanted{std::string(*text), options.default_timeout};
    if (const auto timeout = from.find("timeout_ms")) {
        const auto count = timeout->integer(0, (std::numeric_limits<std::int64_t>::max)());
        if (!count) return count.error();
        wanted.timeout = milliseconds{std::clamp<std::int64_t>(*count, 1, options.max_timeout.count())};
    }
    return wanted;
}

inline result<shell_request> shell_request_of(const json_value& root, const shell_options& options) {
    if (auto unknown = root.only({"id", "capability", "parameters", "context"}); !unknown) {
        return std::move(unknown).error();
    }
    if (!root.find("id")) return root.wrong("id is missing");
    const auto capability = root.find("capability");
    if (!capability) return root.wrong("capability is missing");
    const auto name = capability->string();
    if (!name) return name.error();
    if (*name != shell_capability) return fail(errc::unsupported, "capability: only shell.exec is served here");
    const auto parameters = root.find("parameters");
    if (!parameters) return root.wrong("parameters are missing");
    auto read = shell_parameters_of(*parameters, options);
    if (!read) return std::move(read).error();
    shell_request wanted{*std::move(read), {}, {}};
    const auto context = root.find("context");
    if (!context) return wanted;

    constexpr std::array<std::string_view, 6> not_enforced{"limits",  "scope",   "credentials",
                                                           "session", "sandbox", "network_namespace"};
    for (const auto member : not_enforced) {
        const auto asked = context->find(member);
        if (asked) return fail(errc::unsupported, asked->path() + ": not enforced by this runner, so refused");
    }
    if (auto unknown = context->only({"cwd", "trace_id"}); !unknown) return std::move(unknown).error();
    if (const auto cwd = context->find("cwd")) {
        auto text = short_text(*cwd, 4'095);
        if (!text) return std::move(text).error();
        wanted.cwd = *std::move(text);
    }
    if (const auto trace = context->find("trace_id")) {
        auto text = short_text(*trace, 256);
        if (!text) return std::move(text).error();
        wanted.trace_id = *std::move(text);
    }
    return wanted;
}

}  // namespace detail

// Whether these parameters, a JSON text of their own, would be taken. The capability's validate().
// Fails with: errc::invalid_argument.
inline result<void> validate_shell(bytes_view parameters, const shell_options& options = {}) {
    const auto document = json_document::parse(parameters, options.body);
    if (!document) return document.error();
    auto read = detail::shell_parameters_of(document->root(), options);
    if (!read) return std::move(read).error();
    return {};
}

// The request fails with: errc::invalid_argument, errc::unsupported for another capability and for a context that is not
// enforced.
inline shell_line read_shell_line(bytes_view line, const shell_options& options = {}) {
    const auto document = json_document::parse(line, options.body);
    if (!document) return {{}, document.error()};
    std::string known;
    if (const auto id = document->root().find("id")) {
        auto text = detail::short_text(*id, 128);
        if (!text) return {{}, std::move(text).error()};
        if (text->empty()) return {{}, id->wrong("must not be empty")};
        known = *std::move(text);
    }
    auto request = detail::shell_request_of(document->root(), options);
    return {std::move(known), std::move(request)};
}

// Fails with: errc::invalid_argument, if the text is blank or too long for one word, or a name of the options is none.
inline result<command> command_of(const shell_request& wanted, const shell_options& options = {}) {
    if (detail::is_blank(wanted.parameters.text)) return fail(errc::invalid_argument, "command: must not be blank");
    auto words = shell_script(shell::bash_login, wanted.parameters.text);
    if (!words) return std::move(words).error();
    command what{.program_and_args = *std::move(words), .cwd = wanted.cwd};
    for (const auto& name : options.inherited) {
        if (auto bad = what.env.inherit(name); !bad) return std::move(bad).error();
    }
    if (!options.trace_variable.empty() && !wanted.trace_id.empty()) {
        if (auto bad = what.env.set(options.trace_variable, wanted.trace_id); !bad) return std::move(bad).error();
    }
    return what;
}

// The policy's defaults, with the request's timeout and a heartbeat. Nothing is kept for the outcome: it is streamed.
inline limits limits_of(const shell_request& wanted, const policy& by, const shell_options& options = {}) {
    auto within = by.defaults;
    within.run_timeout = wanted.parameters.timeout;
    within.heartbeat = options.heartbeat;
    within.out = {.cap = 0, .kept = keep::nothing};
    within.err = within.out;
    return within;
}

// The frames of one command, a JSON line each: stdout, stderr, log, heartbeat, and one result at the end. Tell it what the
// observer is told, and write out what take() returns.
class shell_frames {
    auto warn() {
        return [this](const line& one) { log("warn", {}, one.text); };
    }

   public:
    explicit shell_frames(std::string_view id, const shell_options& options = {})
        : lead_(lead_of(id)), frames_(frame_options{.lead = lead_}), warns_(options.stderr_as_warn) {}

    // REQUIRES: `redacted` is what the redactor has left of the command.
    void started(std::string_view redacted) { log("info", "Executing shell command: ", redacted); }
    void output(stream from, std::uint64_t at, bytes_view bytes) {
        frames_.output(from, at, bytes, lines_);
        if (warns_ && from == stream::err) warnings_.feed(bytes, warn());
    }
    void gap(stream from, std::uint64_t at, std::uint64_t missing) {
        frames_.gap(from, at, missing);
        if (warns_ && from == stream::err) warnings_.gap(missing, warn());
    }
    void heartbeat(milliseconds running) {
        EXEC_ASSERT(!over_, "shell_frames: a heartbeat after the end");
        open("heartbeat");
        lines_ += ",\"running_ms\":";
        append_json_number(lines_, running.count());
        lines_ += "}\n";
    }
    // Once, last.
    void done(const result<outcome>& how) {
        EXEC_ASSERT(!over_, "shell_frames: a second end");
        if (warns_) warnings_.finish(warn());
        const bool late = how ? how->how() == ended::timed_out : how.error().kind() == errc::start_timeout;
        if (late) log("error", "Shell command timed out", {});
        over_ = true;
        std::move(frames_).end(lines_, [&](std::string& out) {
            out.append(lead_, 1);  // without its brace
            out += R"("result","status":")";
            out += late ? "timeout" : how && how->ok() ? "ok" : "error";
            out += '"';
            if (how) {
                append_outcome(out, *how);
            } else {
                out += R"(,"exit_code":null,"artifacts":[],)";
                append_members(out, problem_of(how.error()));
            }
        });
    }

    // What was written since the last call: whole lines.
    std::string take() noexcept { return std::exchange(lines_, {}); }
    std::size_t pending() const noexcept { return lines_.size(); }
    bool over() const noexcept { return over_; }

   private:
    static std::string lead_of(std::string_view id) {
        std::string lead = R"({"id":)";
        append_json_shown(lead, id);
        return lead += R"(,"frame":)";
    }
    void open(std::string_view frame) {
        lines_ += lead_;
        append_json_string(lines_, frame);
    }
    void log(std::string_view level, std::string_view what, std::string_view about) {
        EXEC_ASSERT(!over_, "shell_frames: a log line after the end");
        open("log");
        lines_ += ",\"level\":";
        append_json_string(lines_, level);
        lines_ += ",\"message\":\"";
        exec::detail::append_json_text(lines_, what);
        exec::detail::append_json_text(lines_, display(about, 4 * KiB));
        lines_ += "\"}\n";
    }
    static void append_outcome(std::string& out, const outcome& how) {
        out += ",\"exit_code\":";
        if (how.exit.what == exit_status::kind::exited) {
            append_json_number(out, how.exit.number);
        } else {
            out += "null";
        }
        if (how.exit.what == exit_status::kind::signaled) {
            out += ",\"signal\":";
            append_json_string(out, signal_name(how.exit.number));
        }
        if (status_of(how).http != 200) {
            out += ',';
            append_members(out, problem_of(how));
        }
        out += ",\"artifacts\":[";
        for (const auto& name : how.artifacts) {
            if (out.back() != '[') out += ',';
            append_json_shown(out, name);
        }
        out += "],\"duration_ms\":";
        append_json_number(out, std::chrono::floor<milliseconds>(how.took.total).count());
        out += ",\"stdout_bytes\":";
        append_json_number(out, how.out.total);
        out += ",\"stderr_bytes\":";
        append_json_number(out, how.err.total);
        out += ",\"where\":";
        append_json_shown(out, how.where);
    }

    std::string lead_;
    frame_writer frames_;
    line_splitter warnings_{{.max_line = 4 * KiB, .strip_cr = true}};
    std::string lines_{};
    bool warns_;
    bool over_ = false;
};

}  // namespace exec::inline v0::wire
