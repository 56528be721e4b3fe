// observer: is told what happens while it happens.
//
// The run owns it and destroys it after its last call, always on the loop. The order is: on_start, then output, gaps,
// room and heartbeats, then on_done once. A command that never ran is told by on_done alone.
// Threads: calls of one command are serial and come only from run_ready() of its loop (in runner::run: from the thread
// that called it). They never come inside start, write_in, resume, stop or a drop, so a host may hold its own lock
// across those. On a loop they must not block; every member of the library may be called from them.
// An exception that leaves one ends the command with stop_reason::observer_failed.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "exec/bytes.h"
#include "exec/limits.h"
#include "exec/outcome.h"
#include "exec/result.h"

namespace exec::inline v0 {

// What the observer wants next.
enum class flow : std::uint8_t {
    more,   // go on
    pause,  // hold this command's output, both streams, until execution::resume(); the child blocks as in a full pipe
    stop,   // not interested any more: the command is stopped as by execution::stop()
};

// Valid during on_start.
struct start_info {
    std::optional<std::int64_t> pid{};  // to show to people; it may be gone and reused at any moment
    std::string_view where{};
    const limits& within;  // the effective ones
};

class observer {
   public:
    virtual ~observer() = default;

    virtual void on_start(const start_info& /*what*/) {}
    // `at` is the offset of the first byte in its stream, counted from the start of the command. Nothing is skipped
    // without an on_gap, nothing comes twice.
    virtual flow on_output(stream /*from*/, std::uint64_t /*at*/, bytes_view /*bytes*/) { return flow::more; }
    // `missing` bytes from offset `at` on will not be shown: past capture_policy::show, or cut at the end.
    virtual void on_gap(stream /*from*/, std::uint64_t /*at*/, std::uint64_t /*missing*/) {}
    // There is room again after a write_in that took less than it was given. Once for each such write.
    virtual void on_room() {}
    // Every limits::heartbeat while it runs.
    virtual flow on_heartbeat(milliseconds /*running*/) { return flow::more; }
    // The last call.
    virtual void on_done(result<outcome> /*how*/) {}
};

}  // namespace exec::inline v0
