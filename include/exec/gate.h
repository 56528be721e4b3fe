// gate: may this caller do that to this target? Asked in one place, for every verb. Implemented by hosts.
//
// Threads: check() is called from any thread, by many at once, and must not block: what takes time answers later. A late
// answer (past the call's start budget) is dropped and counts as a refusal.
#pragma once

#include <cstdint>
#include <string_view>

#include "exec/call.h"
#include "exec/directory.h"
#include "exec/reply.h"

namespace exec::inline v0 {

enum class verb : std::uint8_t {
    run,        // a command in the foreground
    start_job,  // a background job
    list,       // its jobs
    watch,      // attach to a job and read its output
    interact,   // attach to a job, and write its input, resize its terminal, signal it
    signal,     // a signal to a job, which is also how to end it
    forget,     // remove an ended job and what was kept of it
};
constexpr std::string_view to_string(verb what) noexcept {
    switch (what) {
        case verb::run: return "run";
        case verb::start_job: return "start_job";
        case verb::list: return "list";
        case verb::watch: return "watch";
        case verb::interact: return "interact";
        case verb::signal: return "signal";
        case verb::forget: return "forget";
    }
    return "invalid";
}

class gate {
   public:
    virtual ~gate() = default;

    // Success lets the call through; any failure ends it before anything ran. Asked again for a call that waited long in
    // a queue, and for every later verb on the same job: a permission is never remembered. The references are valid during
    // the call. May answer at once or later, on any thread.
    // Fails with: errc::denied; the context is a sentence that the caller may read.
    virtual void check(const caller& who, verb what, const target_id& target, const route& way, reply<void> answer) = 0;
};

}  // namespace exec::inline v0
