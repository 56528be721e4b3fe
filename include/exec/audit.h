// audit_sink: one record of each call, begun before anything runs and finished after. Implemented by hosts.
//
// A record holds who asked for what, where, within which limits, how it ended and how much was said; never a byte of
// output or input, never an environment value, never a token. Text of the caller's is bytes: a sink writes valid UTF-8
// whatever they are. A sink stamps its records with the time of day, which the library itself never reads.
// Threads: members are called from any thread, several at once, and must not block: a sink that syncs a file answers when
// that is done, on an executor of its host's. A late answer (past the call's start budget) is dropped, and counts as
// a failure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "exec/call.h"
#include "exec/error.h"
#include "exec/gate.h"
#include "exec/id.h"
#include "exec/job_registry.h"
#include "exec/limits.h"
#include "exec/outcome.h"
#include "exec/reply.h"
#include "exec/result.h"

namespace exec::inline v0 {

using audit_id = unique_id<struct audit_record>;

// A call, as far as a trail may know it.
struct audit_record {
    audit_id id{};
    verb what = verb::run;
    caller who{};
    target_id target{};
    std::vector<std::pair<std::string, std::string>> labels{};  // of the route; empty if none was found
    std::vector<std::string> redacted_argv{};                   // run and start_job
    std::vector<std::string> env_names{};                       // run and start_job; names only
    std::string cwd{};
    limits within{};                     // the effective ones, as far as they are known before it runs
    std::optional<job_selector> job{};   // watch, interact, signal, forget
    std::string tag{};                   // start_job
    std::optional<int> signal_number{};  // signal
    std::string idempotency_key{};       // "" = none
    std::string request_digest{};        // of the request behind that key
    std::uint64_t stands_for = 1;        // more than 1: a summary of so many refusals of one caller
};

// The one word for a report.
enum class audit_status : std::uint8_t {
    ok,           // exited with 0, stopped by nobody
    error,        // anything that is none of the others
    timeout,      // start, run, idle or call deadline
    cancelled,    // by its caller, its observer or a shutdown, before or after it began
    lost,         // the link or agent went, or nobody knows how it ended
    denied,       // the gate said no
    interrupted,  // the writer died between begin and finish: it may have begun. Written by the trail's next owner
};
constexpr std::string_view to_string(audit_status how) noexcept {
    switch (how) {
        case audit_status::ok: return "ok";
        case audit_status::error: return "error";
        case audit_status::timeout: return "timeout";
        case audit_status::cancelled: return "cancelled";
        case audit_status::lost: return "lost";
        case audit_status::denied: return "denied";
        case audit_status::interrupted: return "interrupted";
    }
    return "invalid";
}

// How a call ended. Facts beside the word that sums them up.
struct audit_end {
    audit_status status = audit_status::error;
    bool ran = false;  // it ran, or may have
    started began{};   // of one that ran
    exit_status exit{};
    stop_reason stopped_by = stop_reason::nobody;
    std::error_code code{};  // why it never ran, or what broke
    std::string context{};   // of the failure; shown through display() alone
    std::string where{};
    tree_state tree = tree_state::unknown;
    std::uint64_t in_bytes = 0;
    std::uint64_t out_bytes = 0;  // all that it said, kept or not
    std::uint64_t err_bytes = 0;
    bool truncated = false;  // less was kept than was said, of either stream
    bool complete = false;   // the end of both streams was seen
    timings took{};
    resource_use used{};
    std::optional<job_id> job{};  // start_job: what it started
};

namespace detail {

inline audit_status status_of(const outcome& how) noexcept {
    if (how.ok()) return audit_status::ok;
    switch (how.how()) {
        case ended::lost: return audit_status::lost;
        case ended::timed_out: return audit_status::timeout;
        case ended::cancelled: return audit_status::cancelled;
        case ended::output_limit:
        case ended::signaled: return audit_status::error;
        case ended::exited: break;
    }
    return how.began == started::unknown ? audit_status::lost : audit_status::error;
}

inline audit_status status_of(const failure& why) noexcept {
    if (why.code == errc::denied) return audit_status::denied;
    if (why.code == errc::start_timeout) return audit_status::timeout;
    if (why.code == errc::cancelled || why.code == errc::shutting_down) return audit_status::cancelled;
    return audit_status::error;
}

}  // namespace detail

// What a trail says of an answer. From the recorded cause alone, never from a text or an exit code.
inline audit_end audit_end_of(const result<outcome>& answer) {
    audit_end end;
    if (!answer) {
        end.status = detail::status_of(answer.error());
        end.code = answer.error().code;
        end.context = answer.error().context;
        return end;
    }
    const outcome& how = *answer;
    end.status = detail::status_of(how);
    end.ran = true;
    end.began = how.began;
    end.exit = how.exit;
    end.stopped_by = how.stopped_by;
    end.code = how.broke;
    end.where = how.where;
    end.tree = how.tree;
    end.in_bytes = how.in_taken;
    end.out_bytes = how.out.total;
    end.err_bytes = how.err.total;
    end.truncated = how.out.truncated || how.err.truncated;
    end.complete = how.out.complete && how.err.complete;
    end.took = how.took;
    end.used = how.used;
    return end;
}

// What a trail knows of an idempotency key.
struct audit_seen {
    audit_id id{};
    std::string request_digest{};
    std::optional<audit_end> how{};  // empty: begun, and never finished
};

class audit_sink {
   public:
    virtual ~audit_sink() = default;

    // Writes that the call is about to run, and answers once that would survive the death of this process. A failure means
    // that nothing runs: the caller is told errc::audit_unavailable. `what` is valid during the call.
    virtual void begin(const audit_record& what, reply<void> answer) = 0;

    // Writes how the call of that record ended. Called exactly once after each successful begin. What has run cannot be
    // undone: a failure is the host's to see (log, metrics), and the sink's to make up for.
    virtual void finish(const audit_id& of, const audit_end& how, reply<void> answer) = 0;

    // Writes a call that ended before it began: a refusal, or a summary of many. This one writes it in two steps; a sink
    // that can write one whole row overrides it.
    virtual void note(const audit_record& what, const audit_end& how, reply<void> answer) {
        begin(what, [this, id = what.id, how, answer = std::move(answer)](result<void> begun) mutable {
            if (!begun) return answer(std::move(begun));
            finish(id, how, std::move(answer));
        });
    }

    // The newest record of this subject, tenant, target, verb and key, also one that an earlier process has written; empty
    // if there is none. Asked for a key to which the dispatcher holds no answer: what was begun then is never run again.
    // Fails with: errc::unsupported, if the trail cannot be read back: a call with a key is then refused rather than
    // perhaps run twice.
    virtual void find(const audit_record& /*with_key*/, reply<std::optional<audit_seen>> answer) {
        answer(fail(errc::unsupported, "idempotency key: this audit trail cannot be searched"));
    }
};

// A trail that keeps nothing, for a host that has none and says so.
class no_audit final : public audit_sink {
   public:
    void begin(const audit_record& /*what*/, reply<void> answer) override { answer({}); }
    void finish(const audit_id& /*of*/, const audit_end& /*how*/, reply<void> answer) override { answer({}); }
};

}  // namespace exec::inline v0
