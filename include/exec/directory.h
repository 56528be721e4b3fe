// directory: finds the way to a target, as seen by its caller. Implemented by hosts.
//
// Threads: find() is called from any thread, by many at once, and must not block: what takes time answers later. A late
// answer (past the call's start budget) is dropped.
// Never: tells a caller that a target of another tenant exists.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "exec/call.h"
#include "exec/job_registry.h"
#include "exec/reply.h"
#include "exec/runner.h"

namespace exec::inline v0 {

// The way to one target. The gate decides about the very object that the command then takes: a directory that changes its
// mind in between changes nothing for a call that is on its way.
struct route {
    std::shared_ptr<runner> run{};         // empty: no commands in the foreground
    std::shared_ptr<job_registry> jobs{};  // empty: no background jobs
    // What sort of target it is ("capsule", "build host"): one of a few fixed words, since it is the one thing about a
    // target that becomes a metrics label.
    std::string kind{};
    // Facts about the target, for the gate to decide by and the audit trail to keep. No secrets.
    std::vector<std::pair<std::string, std::string>> labels{};
};

class directory {
   public:
    virtual ~directory() = default;

    // `who` and `target` are valid during the call. May answer at once or later, on any thread.
    // Fails with: errc::target_not_found (no such target, or not one of this tenant), errc::target_unassigned (nobody
    // serves it now), errc::target_not_ready (it is starting), errc::wrong_state (it is stopped); retry_after where known.
    virtual void find(const caller& who, const target_id& target, reply<route> answer) = 0;
};

}  // namespace exec::inline v0
