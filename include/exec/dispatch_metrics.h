// The families of time series that a dispatcher records: what an operator draws and alarms on (doc/operations.md).
//
// A label's value is one of a few fixed words: a verb, a route's kind, how it ended, a stream.
// Threads: constants.
#pragma once

#include <array>

#include "exec/metrics.h"

namespace exec::inline v0::dispatch_metrics {

// Of a queue on a healthy host up to a call that used its whole ceiling.
inline constexpr std::array seconds{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,   0.25,  0.5,
                                    1.0,   2.5,    5.0,   10.0, 30.0,  60.0, 300.0, 3600.0};

// Labels: verb; result, which is a word of audit_status, or "invalid" (it failed validation), "busy" (no place), "not_found",
// "joined" (it got the answer of an earlier call with its key).
inline constexpr metric calls{"exec_calls_total", "Calls, by how they ended.", metric::kind::counter, {}};
inline constexpr metric running{"exec_running", "Commands that run now.", metric::kind::gauge, {}};
inline constexpr metric waiting{"exec_waiting", "Calls that wait for a place.", metric::kind::gauge, {}};
inline constexpr metric held_bytes{
    "exec_held_bytes", "Bytes that are promised to calls in flight.", metric::kind::gauge, {}};
// Label: kind, of the route.
inline constexpr metric queue_wait{"exec_queue_wait_seconds", "From the call to its place among the running.",
                                   metric::kind::histogram, seconds};
inline constexpr metric duration{"exec_duration_seconds", "From a command's start to its exit.",
                                 metric::kind::histogram, seconds};
// Label: stream.
inline constexpr metric output_bytes{
    "exec_output_bytes_total", "Bytes that commands have said, kept or not.", metric::kind::counter, {}};
inline constexpr metric truncated{
    "exec_output_truncated_total", "Outputs of which less was kept than was said.", metric::kind::counter, {}};
// Labels: step ("begin", "finish", "note"), result ("ok", "error").
inline constexpr metric audit_writes{
    "exec_audit_writes_total", "Writes to the audit trail.", metric::kind::counter, {}};

}  // namespace exec::inline v0::dispatch_metrics
