// What process 1 of a namespace does; it runs in a copy of the host and never executes anything.
#pragma once

#include <sys/resource.h>

#include <cstdint>

#include "process/child_code.h"

namespace exec::inline v0::process {

struct init_plan {
    const child_plan* leader;  // its error pipe is `tell`
    int tell;                  // first a start_record, then a leader_report
    int death_signal;          // when the host's thread ends: KILL ends everything, another goes to the leader's group
    bool separate_memory;      // of the leader from the init's
};

struct leader_report {
    int word;  // as wait4 gives it
    rusage used;
};

[[noreturn]] void run_init(const init_plan& plan) noexcept;

// The signal that asks for another: its value is the number to send to the leader's group.
constexpr int forwarding_signal = 64;

}  // namespace exec::inline v0::process
