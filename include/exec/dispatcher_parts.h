// make_dispatcher: puts a host's parts together.
//
//     auto front = exec::make_dispatcher({.loop = loop.get(), .directory = machines, .gate = roles, .audit = trail}).value();
//     auto running = front->submit(what, std::move(tell));
//
// Each call goes through them in one order, and the first that says no ends it: policy, directory, gate, a place among
// those that may run, the audit record, the runner, the end of the record, the answer. The gate decides about the very route
// that the runner gets.
// Threads: the dispatcher's state belongs to the loop's driving thread; whatever a part answers on another one is carried
// there. Parts are asked in the driving thread and must not block it: what may block answers later.
// Never: runs what no record was begun for (unless a host asks for that), or runs anything twice.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "exec/audit.h"
#include "exec/bytes.h"
#include "exec/directory.h"
#include "exec/dispatcher.h"
#include "exec/export.h"
#include "exec/gate.h"
#include "exec/log.h"
#include "exec/loop.h"
#include "exec/metrics.h"
#include "exec/policy.h"
#include "exec/redact.h"
#include "exec/result.h"
#include "exec/time.h"

namespace exec::inline v0 {

enum class unrecorded : std::uint8_t {
    refuse,      // what cannot be recorded does not run: errc::audit_unavailable
    run_anyway,  // it runs; the log and a counter are all that tells
};

// What is remembered of calls with an idempotency key. What is let go is looked for in the audit trail, which knows how a
// call ended and nothing of what it said.
struct key_bounds {
    std::size_t answers = 1024;
    std::size_t bytes = 16 * MiB;  // of their outputs; taken from concurrency_limits::bytes
    milliseconds age{600'000};     // since the answer: longer than a client that lost its connection goes on trying
    std::size_t max_key_bytes = 255;
};

// Refusals of the gate are records too, but a caller who is refused in a loop must not fill a disk: beyond so many in so
// long they are counted, and one record stands for all of them (audit_record::stands_for).
struct refusal_bounds {
    std::size_t records = 10;  // of one subject
    milliseconds window{60'000};
    std::size_t subjects = 1024;  // that are told apart at once; those beyond share one count
};

struct dispatcher_parts {
    // Where everything is delivered. Borrowed: it outlives the dispatcher.
    exec::loop* loop = nullptr;
    // Shared with the calls in flight, which may outlive the dispatcher.
    std::shared_ptr<exec::directory> directory{};
    std::shared_ptr<exec::gate> gate{};
    std::shared_ptr<audit_sink> audit{};
    exec::policy policy{};

    unrecorded without_audit = unrecorded::refuse;
    // How long a sink may take: for a begin (a command's start budget may end it earlier), and for a finish before the answer is given
    // without it. A disk that hangs must not hold every answer.
    milliseconds audit_timeout{5'000};
    // For each answer of directory and gate, for the verbs that have no start budget of their own.
    milliseconds look_up_timeout{10'000};
    // Who has waited longer than this for a place is asked for again at the gate: permissions change.
    milliseconds gate_again_after{1'000};

    // How argv looks in records. Null: make_redactor() with a random key, so that equal secrets look alike within the life
    // of this dispatcher.
    std::shared_ptr<const redactor> redact{};
    // Keys the digest that binds an idempotency key to its request, since that digest is stored and a request may hold
    // secrets that can be guessed. The same after a restart, or keys from before it match no request. "" = not keyed.
    std::string digest_key{};
    // The environment variable that hands caller::trace_parent to a command ("TRACEPARENT"); "" = none does.
    std::string trace_variable{};

    key_bounds keys{};
    refusal_bounds refusals{};
    std::shared_ptr<log_sink> log{};
    std::shared_ptr<metrics_sink> metrics{};
};

// The dispatcher may be destroyed in any thread, with calls in flight: those that wait end with errc::shutting_down, what runs
// goes on to its end and into the audit trail, and handles stay good. loop::shutdown() ends those too.
// Fails with: errc::invalid_argument (a part is missing, a bound is zero), errc::shutting_down.
EXEC_API result<std::shared_ptr<dispatcher>> make_dispatcher(dispatcher_parts parts);

}  // namespace exec::inline v0
