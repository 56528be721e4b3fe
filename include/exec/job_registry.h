// job_registry: remembers background commands: start, list, attach from an offset, signal, forget.
//
// A job belongs to its registry and to nobody's connection: it runs on when no one watches, and its exit status and the
// kept end of its output stay until they are forgotten or the registry's retention lets them go.
// Threads: every member of a registry may be called from any thread and never blocks. Observers are called on the
// registry's loop, as a runner's are; replies are answered there too, once, and never inside the call.
// Never: takes a process for a job because it has the pid that the job once had.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

#include "exec/assert.h"
#include "exec/bytes.h"
#include "exec/command.h"
#include "exec/error.h"
#include "exec/execution.h"
#include "exec/id.h"
#include "exec/limits.h"
#include "exec/observer.h"
#include "exec/outcome.h"
#include "exec/reply.h"
#include "exec/result.h"
#include "exec/time.h"

namespace exec::inline v0 {

using job_id = unique_id<class job_registry>;

namespace detail {

constexpr bool is_digit(char byte) noexcept { return byte >= '0' && byte <= '9'; }
constexpr bool is_alphanumeric(char byte) noexcept {
    return is_digit(byte) || (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
}
inline bool is_all_digits(std::string_view text) noexcept {
    return !text.empty() && std::all_of(text.begin(), text.end(), is_digit);
}

}  // namespace detail

// Whether a job may bear this tag: [A-Za-z0-9][A-Za-z0-9._-]{0,63}, and not digits alone, which are a pid. That it is
// unique among the living jobs of its target is for the registry to say.
// Fails with: errc::invalid_argument; the context quotes nothing of the tag.
inline result<void> check_tag(std::string_view tag) {
    constexpr std::size_t longest = 64;
    const auto allowed = [](char byte) {
        return detail::is_alphanumeric(byte) || byte == '.' || byte == '_' || byte == '-';
    };
    if (tag.empty()) return fail(errc::invalid_argument, "tag: empty");
    if (tag.size() > longest) return fail(errc::invalid_argument, "tag: longer than 64 bytes");
    if (!detail::is_alphanumeric(tag.front())) {
        return fail(errc::invalid_argument, "tag: must begin with a letter or digit");
    }
    if (const auto bad = std::find_if_not(tag.begin(), tag.end(), allowed); bad != tag.end()) {
        return fail(errc::invalid_argument,
                    "tag: byte " + std::to_string(bad - tag.begin()) + " is none of A-Z a-z 0-9 . _ -");
    }
    if (detail::is_all_digits(tag)) return fail(errc::invalid_argument, "tag: digits alone are a pid");
    return {};
}

// Which job is meant: by its id, its tag or its pid. Tags and pids are looked for among the living jobs first, then
// among the ended; where several ended jobs fit, that is errc::wrong_state and not a choice.
class job_selector {
   public:
    job_selector() = default;  // selects nothing
    explicit job_selector(job_id id) noexcept : by_(id) {}
    // For a tag that you wrote. REQUIRES: check_tag() takes it.
    static job_selector tagged(std::string tag) {
        EXEC_ASSERT(check_tag(tag).has_value(), "job_selector: no job can bear this tag");
        return job_selector(value(std::in_place_type<std::string>, std::move(tag)));
    }
    // REQUIRES: pid > 0.
    static job_selector with_pid(std::int64_t pid) {
        EXEC_ASSERT(pid > 0, "job_selector: no process has this pid");
        return job_selector(value(pid));
    }

    // For text that you were given. The three forms cannot be taken for one another:
    //     17             a pid: digits alone, no leading zero
    //     id:0f3a…       a job_id
    //     build-7        a tag
    // Fails with: errc::invalid_argument.
    static result<job_selector> parse(std::string_view text) {
        constexpr std::string_view prefix = "id:";
        if (text.substr(0, prefix.size()) == prefix) {
            auto id = job_id::parse(text.substr(prefix.size()));
            if (!id) return std::move(id).error();
            return job_selector(*id);
        }
        if (detail::is_all_digits(text)) {
            std::int64_t pid = 0;
            const auto read = std::from_chars(text.data(), text.data() + text.size(), pid);
            if (read.ec != std::errc{} || text.front() == '0') return fail(errc::invalid_argument, "selector: no pid");
            return with_pid(pid);
        }
        if (auto bad = check_tag(text); !bad) return std::move(bad).error();
        return tagged(std::string(text));
    }
    // The inverse of parse(); "" selects nothing.
    std::string text() const {
        if (const auto* tag = this->tag()) return *tag;
        if (const auto* pid = this->pid()) return std::to_string(*pid);
        if (const auto* id = this->id()) return "id:" + id->text();
        return {};
    }

    // Which of the three it is; the others are nullptr.
    const job_id* id() const noexcept { return std::get_if<job_id>(&by_); }
    const std::string* tag() const noexcept { return std::get_if<std::string>(&by_); }
    const std::int64_t* pid() const noexcept { return std::get_if<std::int64_t>(&by_); }

    bool operator==(const job_selector&) const = default;

   private:
    using value = std::variant<std::monostate, job_id, std::string, std::int64_t>;
    explicit job_selector(value by) noexcept : by_(std::move(by)) {}

    value by_{};
};

enum class job_state : std::uint8_t {
    starting,  // it has its id, and no pid yet
    running,
    ended,  // exit, stopped_by and broke tell how
    lost,   // its machine or its record went: it may have ended or not, and nobody will know how
};
constexpr std::string_view to_string(job_state what) noexcept {
    switch (what) {
        case job_state::starting: return "starting";
        case job_state::running: return "running";
        case job_state::ended: return "ended";
        case job_state::lost: return "lost";
    }
    return "invalid";
}

// One stream of a job: bytes [dropped, total) can still be read.
struct job_output {
    std::uint64_t total = 0;    // bytes that the command has said so far
    std::uint64_t dropped = 0;  // of these, how many of the oldest are gone
    bool operator==(const job_output&) const = default;
};

struct job_info {
    job_id id{};
    std::string tag{};
    std::optional<std::int64_t> pid{};         // on its own machine; to show to people
    std::string where{};                       // as outcome::where
    std::vector<std::string> redacted_argv{};  // as the redactor left it; empty while unknown
    job_state state = job_state::starting;
    milliseconds age{};  // since its start
    milliseconds ran{};  // since its start, until its end
    job_output out{};
    job_output err{};
    std::size_t watchers = 0;
    // Of an ended job.
    exit_status exit{};
    stop_reason stopped_by = stop_reason::nobody;
    std::error_code broke{};
};

// An offset of attach_at: not what was said before, only what comes.
inline constexpr std::uint64_t from_now = unlimited_bytes;

// Where a watcher begins, and what it may do.
struct attach_at {
    // The first byte wanted of each stream. Below job_output::dropped: the missing ones are told by on_gap. Above
    // job_output::total: errc::invalid_argument, since such an offset was read from another job.
    std::uint64_t out = 0;
    std::uint64_t err = 0;
    // May also write input, send signals and resize; without it the handle refuses them with errc::denied and takes no
    // input. Any number of watchers may interact: their input is one stream, in the order of their calls.
    bool interact = false;
};

class job_registry {
   public:
    virtual ~job_registry() = default;

    // Starts a job. Answers when it has begun and its pid, where it has one, is known. tag "" = the registry makes one:
    // "proc-" and 8 hexadecimal digits. Start `within` from limits::for_job().
    // Fails with: what a runner's start fails with; errc::invalid_argument (the tag), errc::wrong_state (a living job
    // bears it), errc::too_busy (the registry is full), errc::shutting_down.
    virtual void start(command what, limits within, std::string tag, reply<job_info> answer) = 0;

    // All that is remembered, in the order of their starts.
    virtual void list(reply<std::vector<job_info>> answer) = 0;

    // Watches a job: replays what is kept from the offsets on, tells what is missing, then follows it to its end; nothing
    // in between is lost, nothing comes twice. on_start comes first, also for a job that has ended; on_done brings the
    // job's outcome without captures. A watcher that pauses holds back nobody else: what its job drops meanwhile is an
    // on_gap. Drop, detach, stop and flow::stop all mean: stop watching; the job goes on. The latter two are answered by
    // on_done(errc::cancelled), which like every failure here is about the watching and not about the job.
    // Fails with (in on_done): errc::target_not_found (no such job), errc::wrong_state (several fit),
    // errc::invalid_argument (an offset), errc::unsupported (interact, on a job without input and terminal).
    virtual execution attach(job_selector which, attach_at from, std::unique_ptr<observer> tell) = 0;

    // Sends a signal to the whole group of a living job.
    // Fails with: errc::target_not_found (no such job, or it has ended), errc::wrong_state (several fit),
    // errc::unsupported (not a signal that this registry passes on), or the kernel's answer.
    virtual void signal(job_selector which, int number, reply<void> answer) = 0;

    // Lets an ended or lost job go, with all that was kept of it; its watchers are told what they are still owed.
    // Fails with: errc::target_not_found, errc::wrong_state (it is alive, or several fit).
    virtual void forget(job_selector which, reply<void> answer) = 0;
};

}  // namespace exec::inline v0
