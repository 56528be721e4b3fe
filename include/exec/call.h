// call: who asks for what, where, within which limits. What a host hands to a dispatcher.
//
// A value of strings and numbers, so that it can cross a message bus. The host has authenticated the caller; the library
// compares these strings byte by byte and never looks into them.
// Threads: values.
#pragma once

#include <compare>
#include <cstddef>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "exec/command.h"
#include "exec/limits.h"

namespace exec::inline v0 {

// Who asks, and in which request. Every member is written to the audit trail: no tokens, no session secrets.
struct caller {
    std::string subject{};  // "user:ada", "org-token:1f2e": stable over requests; concurrency is counted by it
    std::string tenant{};   // whose targets it may see; a directory is asked on its behalf
    std::vector<std::string> roles{};  // for the gate
    std::string request_id{};          // the host's own, to find the audit record of a request again
    std::string trace_parent{};        // W3C traceparent, passed on unread; "" = none

    bool operator==(const caller&) const = default;
};

// What a command is run on, by the name that the host's directory knows. Opaque: never used as a path, a pattern, a host
// name or a metrics label.
class target_id {
   public:
    target_id() = default;  // names no target
    explicit target_id(std::string name) noexcept : name_(std::move(name)) {}

    const std::string& name() const noexcept { return name_; }
    bool empty() const noexcept { return name_.empty(); }
    auto operator<=>(const target_id&) const = default;

   private:
    std::string name_{};
};

struct call {
    caller who{};
    target_id target{};
    command what{};
    // Start from policy::defaults (policy::job_defaults for a job) and change what the caller asked for.
    // What the loss of the caller means is said here and by the host: if the link or this process goes, if_orphaned
    // decides; if a request is given up, the host drops the execution (stop) or detaches it (let run).
    limits within{};
    // "" = none. With one, a second call of the same subject, target and verb joins the first and gets its answer; with
    // another request behind the same key it fails with errc::invalid_argument.
    std::string idempotency_key{};
};

}  // namespace exec::inline v0

template <>
struct std::hash<exec::target_id> {
    std::size_t operator()(const exec::target_id& target) const noexcept {
        return std::hash<std::string>{}(target.name());
    }
};
