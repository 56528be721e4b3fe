// terminal: a PTY for one command.
// Threads: any.
#pragma once

#include "exec/command.h"
#include "exec/result.h"

#include "posix/fd.h"

namespace exec::inline v0::process {

struct terminal_pair {
    posix::fd master;  // ours, non-blocking
    posix::fd slave;   // the child's 0, 1 and 2
};

// Fails with: system errors at stage::descriptors.
result<terminal_pair> open_terminal(terminal_size size);
result<void> resize_terminal(int master, terminal_size size);

}  // namespace exec::inline v0::process
