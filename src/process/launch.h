// launch: from a command to a child that runs, with our ends of its descriptors.
//
// Everything that may fail before there is a child fails here, typed, with nothing left behind.
// Threads: any; blocks for as long as the kernel holds the caller until exec, and for the opening of the directory.
#pragma once

#include <string>

#include "exec/command.h"
#include "exec/limits.h"
#include "exec/local_runner.h"
#include "exec/result.h"

#include "posix/fd.h"
#include "process/cgroup.h"
#include "process/host_environment.h"
#include "process/spawn.h"

namespace exec::inline v0::process {

// What is the same for all commands of a runner.
struct local_setup {
    local_options options{};
    host_environment host{};
    posix::fd cgroup_parent{};
    posix::fd root{};  // cwd_root
};

// Fails with: what the options name and cannot be opened.
result<local_setup> make_setup(local_options options);

struct launched {
    spawned process{};
    cgroup own_cgroup{};
    posix::fd out{};
    posix::fd err{};       // empty: merged, or on a terminal
    posix::fd in{};        // empty: /dev/null, or nothing will be typed
    posix::fd terminal{};  // for resizing
};

// `thread_stays`: the calling thread outlives the child, so that the kernel may be told to end one with the other.
// Fails with: system errors with their stage, errc::invalid_argument.
result<launched> launch(const command& what, const limits& within, const local_setup& setup, bool thread_stays);

}  // namespace exec::inline v0::process
