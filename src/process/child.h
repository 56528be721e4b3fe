// child: one living command of this host, and everything that it started.
//
// Its number is ours for as long as the leader has not been reaped: it is looked at without reaping, its group is
// signalled, and only then it is reaped. After that nothing is ever sent to the number again.
// Threads: signal() from any; the rest from the one that drives the run.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>

#include "exec/command.h"
#include "exec/limits.h"
#include "exec/outcome.h"
#include "exec/result.h"

#include "posix/fd.h"
#include "posix/pidfd.h"
#include "process/cgroup.h"
#include "process/spawn.h"

namespace exec::inline v0::process {

class child {
   public:
    child() noexcept = default;
    ~child() { close(); }
    child(const child&) = delete;
    child& operator=(const child&) = delete;

    // `terminal`: a descriptor of the master of its PTY, or empty.
    void adopt(spawned of, containment kind, cgroup own, posix::fd terminal);

    explicit operator bool() const noexcept { return pid_ > 0; }
    std::int64_t pid() const noexcept { return pid_; }
    // Readable when the leader has ended.
    int exit_fd() const noexcept { return status_ ? status_.get() : pidfd_.get(); }

    // How the leader ended, without reaping it; empty while it runs (also where its descriptor says it ended: a tracer may
    // still hold its status).
    std::optional<exit_status> look();

    // Whether its descriptor is readable, whatever look() says.
    bool says_it_ended() const noexcept { return wait_for_exit(milliseconds::zero()); }
    // Waits for that; blocks for at most so long.
    bool wait_for_exit(milliseconds at_most) const noexcept;

    // To the whole group.
    // Fails with: errc::wrong_state (it has ended), the kernel's answer.
    result<void> signal(int number);
    // Fails with: errc::wrong_state, errc::unsupported (no terminal).
    result<void> resize(terminal_size size);
    // The polite signal, and CONT if the policy says so.
    void ask(const stop_policy& how);
    // KILL to all that the containment reaches.
    void kill();

    // The leader has ended, its output is done: ends the rest, if nothing may survive, and reaps the leader.
    void close_down(survivors rest);
    // The leader was killed and does not go.
    void give_up();
    // What is left, after close_down. Empty: members are there that may be about to go; ask again. `each`: look at every
    // process of the host, to tell members that live from zombies that their new parent is slow to reap (the init of
    // many a container).
    std::optional<tree_state> probe(bool each);
    // Gives back every descriptor. What has not been reaped by then is reaped later (unreaped.h).
    void close();

    const resource_use& used() const noexcept { return used_; }

   private:
    result<void> send(int number);
    // With all that is in it.
    void end_namespace() noexcept;

    std::mutex guard_{};  // of pid_ against its reaping
    pid_t pid_ = -1;      // of the leader, or of the init of its namespace
    bool reaped_ = false;
    bool gave_up_ = false;
    bool closed_ = false;
    bool killed_rest_ = false;
    int leader_kills_ = 0;  // asked of the init
    containment kind_ = containment::session;
    posix::fd terminal_{};
    posix::fd pidfd_{};
    posix::fd status_{};  // pid namespace: where its init reports
    std::optional<exit_status> ended_{};
    cgroup cgroup_{};
    resource_use used_{};
};

}  // namespace exec::inline v0::process
