// The init of a pid namespace: process 1, which belongs to the library and not to the command.
//
// It starts the command ("the leader") in a session of its own, forwards signals to the leader's group, reaps orphans,
// says how the leader ended, and ends when the last process of the namespace has. Killing it takes everything with it.
// Without it a command would be process 1 itself, and the kernel keeps from a process 1 every signal that it has no
// handler for, TERM first of all.
#pragma once

#include <optional>

#include "exec/result.h"
#include "posix/pidfd.h"
#include "process/rung.h"

namespace exec::inline v0::process {

// Asks the init to send `signal` to the leader's process group. 0 or an errno value; ESRCH if the init has ended.
// SIGKILL works too but reaches the group only: to end everything, kill the init by its pidfd.
int signal_leader(int init_pidfd, int signal) noexcept;

// How the leader ended, or nothing while it runs; `leader` is spawned::leader, readable when there is something to know.
// The answer is given once. A pipe that closed without a word (the init was killed) is an `unknown` status.
std::optional<posix::child_end> look_leader(int leader) noexcept;

// Makes the init and waits until the leader has executed; `leader` becomes the reading end of the init's pipe. The pid
// and the pidfd of the birth are the init's.
birth be_born_in_namespace(child_plan& plan, const birth_options& options, bool by_clone3, posix::fd& leader);

}  // namespace exec::inline v0::process
