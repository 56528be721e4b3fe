// How long and how much.
//
// Every budget is separate: start, run, idle, grace, drain. Zero and negative durations are refused, `unlimited` is the
// only way to say "no limit". What a policy or a runner changes is reported in outcome::within.
// Threads: a value.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "exec/bytes.h"
#include "exec/capture.h"
#include "exec/time.h"

namespace exec::inline v0 {

// What becomes of processes of the command that are still there when its leader has ended and the drain is over.
enum class survivors : std::uint8_t {
    kill,   // nothing outlives the command
    leave,  // they stay; outcome::tree says so
};

// How a running command is ended: the polite signal to the whole group, the grace, then KILL to the group. Data, so that
// the same policy crosses a link.
struct stop_policy {
    int polite = 15;  // SIGTERM
    // A stopped process does not see TERM before it is continued; s6 and systemd send CONT as well.
    bool and_continue = true;
    milliseconds grace{2000};  // 0 = KILL at once
    survivors after_exit = survivors::kill;
};

enum class containment : std::uint8_t {
    session,        // own session and group; a descendant that calls setsid escapes
    cgroup,         // a cgroup v2 of its own, ended by cgroup.kill: nothing escapes
    pid_namespace,  // a pid namespace of its own: nothing escapes
};

// The host process or the link dies while the command runs.
enum class orphan : std::uint8_t {
    stop,    // it is ended, as far as the runner can promise (capabilities::stops_orphans)
    run_on,  // it goes on
};

struct limits {
    // Behaviour: time.
    milliseconds run_timeout{30'000};       // from its start to the polite signal
    milliseconds start_timeout{10'000};     // queue, look-ups, connect and spawn together, apart from the run
    milliseconds idle_timeout = unlimited;  // no output for so long; stands still while the observer holds the output
    milliseconds heartbeat = unlimited;     // how often observer::on_heartbeat is called while it runs
    // For the whole call. Whatever is going on then is cut short: start, run, grace, drain, in the order in which a call
    // goes through them. A command that still runs is killed without grace, with stop_reason::deadline.
    std::optional<time_point> deadline{};
    // An observer that holds the output longer than this is given up: a command that still runs is stopped, one that
    // has ended loses what was not read (complete = false, the rest told by on_gap).
    milliseconds consumer_timeout{30'000};
    stop_policy stop{};
    // After the leader's exit, while somebody else holds its pipes: read on while bytes arrive. The idle bound re-arms
    // with each chunk, so that a hook that still writes is not cut; the second bounds the whole.
    milliseconds drain_idle{100};
    milliseconds drain_max{1000};

    // Behaviour: amount.
    capture_policy out{};
    capture_policy err{};
    std::size_t in_queue = 64 * KiB;  // streamed input that waits for the child; the size of a default pipe

    // Behaviour: reach.
    containment contain = containment::session;
    orphan if_orphaned = orphan::stop;

    // For a background job: no run timeout, and nothing kept, because the registry's rings keep.
    static limits for_job() {
        limits job;
        job.run_timeout = unlimited;
        job.out.cap = 0;
        job.out.kept = keep::nothing;
        job.err = job.out;
        return job;
    }
};

}  // namespace exec::inline v0
