// pool: SSH sessions that are opened once and used by many commands.
//
// A session is connected, checked and logged in at its first command and kept for the next ones. Commands lease a channel, not a
// session: several run on one session at the same time. When all sessions of a target are full another one is opened, up to a
// bound; beyond it commands wait in the order in which they came, each no longer than its start budget. A session is closed when it
// was idle for long, when it is old, when its credential ends, or when it stopped answering; what runs on it then ends as
// `lost`, with what it had said so far. A channel that the server refuses closes nothing.
// Threads: every member may be called from any thread. All work is done in the thread that drives the loop.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "exec/executor.h"
#include "exec/export.h"
#include "exec/loop.h"
#include "exec/result.h"
#include "exec/time.h"

#include "exec/ssh/connector.h"
#include "exec/ssh/endpoint.h"

namespace exec::inline v0::ssh {

struct pool_options {
    // Behaviour.
    std::shared_ptr<connector> via{};  // for endpoints without one; empty: TCP, with names looked up on `blocking`
    // Where names are looked up. Without it they are refused.
    executor* blocking = nullptr;
    // From the first byte to the end of the login, within the command's start budget; several commands may wait for one login.
    // Shorter than limits::start_timeout, so that the step that hangs is named.
    milliseconds handshake_timeout{8'000};
    // A session that was silent for so long is asked whether it lives. After the first question without an answer it
    // gets no new command, after so many it is closed. Any byte that it sends counts. At least 2.
    milliseconds keepalive{15'000};
    unsigned keepalive_misses = 3;
    milliseconds idle_timeout{60'000};  // unused for so long, it is closed
    milliseconds max_age{50 * 60'000};  // no new command on an older one; some tunnels are cut after an hour
    // A credential that is about to end is as good as ended: a command begun now may still need its session for its end.
    milliseconds credential_margin{5'000};
    // Off: a session takes no new command past its credential's not_after. On: it does, for grants that cover only the login.
    bool reuse_past_credential = false;

    // Cost.
    // Commands on one session at a time. sshd allows 10 channels by default (MaxSessions) and counts those that it has closed for
    // a moment longer: with every one replaced at once and one kept for ending commands, 4 never meet that bound.
    std::size_t channels_per_session = 4;
    std::size_t sessions_per_target = 4;
    std::size_t sessions = 256;             // of all targets
    std::size_t handshakes_per_target = 4;  // sshd drops logins at random beyond 10 at once (MaxStartups)
    std::size_t waiting_per_target = 1024;  // commands that wait for a channel; more are too_busy
    // Bytes that servers may send ahead, beyond 1.2 MiB a command. On a long way one command's output is as fast as so much a round
    // trip: a window that is used up within one is doubled, up to 10 MiB, 16 MiB more on a session, and so many more
    // in all. An observer who pauses may make that much be held for him. 0: none is.
    std::size_t windows = std::size_t{64} * 1024 * 1024;
};

// Figures of one moment.
struct pool_stats {
    std::size_t connecting = 0;  // sessions by state
    std::size_t ready = 0;
    std::size_t suspect = 0;   // a question is unanswered
    std::size_t draining = 0;  // old, replaced or past its credential: no new command
    std::size_t channels = 0;  // open on all sessions, those included that only wait for the server's close
    std::size_t zombies = 0;   // those
    std::size_t waiting = 0;   // commands without a channel
    // Counted from the start.
    std::uint64_t connects = 0;
    std::uint64_t connect_failures = 0;
    std::uint64_t lost_sessions = 0;  // closed by the far end, an error or silence
    std::uint64_t refusals = 0;       // channels that a server would not open
    std::uint64_t commands = 0;       // exec requests handed over
};

class pool_core;

class pool {
   public:
    // Ends every command as `shutting_down` or lost, closes every session without waiting for the servers, and tells before
    // it returns. REQUIRES: it is called in the thread that drives the loop, or nobody drives the loop meanwhile.
    EXEC_API ~pool();
    pool(const pool&) = delete;
    pool& operator=(const pool&) = delete;

    // The sessions of this target (whatever their epoch) get no new command, and are closed when they are empty, but at the
    // latest after `within`; what still runs on them then is lost.
    EXEC_API void retire(const endpoint& target, milliseconds within = unlimited);
    // As of the last turn of the loop.
    EXEC_API pool_stats stats() const;

    const std::shared_ptr<pool_core>& core() const noexcept { return core_; }

   private:
    friend EXEC_API result<std::unique_ptr<pool>> make_pool(loop& on, pool_options options);
    explicit pool(std::shared_ptr<pool_core> core) noexcept : core_(std::move(core)) {}

    std::shared_ptr<pool_core> core_;
};

// A pool whose sessions and commands live on `on`, which outlives it.
// Fails with: errc::invalid_argument (an option).
EXEC_API result<std::unique_ptr<pool>> make_pool(loop& on, pool_options options = {});

// The way through another machine: a connection that `jump` makes to the host (as it knows that name) and port, on a session of
// the pool's, which its commands and other connections share. What goes through it is encrypted to its end: the jump host
// sees neither the key that is trusted there nor the login. A connection takes the place of a command, and is lost with its
// session. It may outlive the pool, and then makes no connection any more. Its user's loop may be another one.
// Fails with: errc::invalid_argument (as make_runner). Its connections: what happened to the session or why `jump` refused,
// always at stage::connect, the step in the context; ETIMEDOUT at `by`; errc::shutting_down.
EXEC_API result<std::shared_ptr<connector>> make_jump(pool& through, endpoint jump);

}  // namespace exec::inline v0::ssh
