// Runs commands on another machine, over the sessions of a pool.
//
// The command is quoted for whatever login shell the account has, and runs behind a small /bin/sh script that reports its
// process group, sets directory and environment without showing them to others, and tells a program that is not there from
// one that ended. The outcome says what the server said: an exit status, a signal, or `unknown`; a connection that ended
// is never an exit code. A command is handed over once: from then on there is an outcome, and nothing is run again.
// Threads: as runner.h.
#pragma once

#include <memory>
#include <string>

#include "exec/export.h"
#include "exec/result.h"
#include "exec/runner.h"

#include "exec/ssh/endpoint.h"
#include "exec/ssh/pool.h"

namespace exec::inline v0::ssh {

enum class wrapper : std::uint8_t {
    on,  // the script described above; needs a POSIX /bin/sh there
    off,  // for restricted accounts: the bare command line. No directory, no environment, no process group: the outcome says
          // unknown where nobody can tell
};

struct runner_options {
    wrapper with = wrapper::on;
    std::string terminal_type = "xterm-256color";  // TERM of commands on a terminal
    std::string where{};                           // outcome::where; empty: endpoint::text()
    // A command's end waits for word that nobody of its group is left: one round trip. Off: what it left is killed all the same,
    // if that is the policy, but the answer does not wait for it, and outcome::tree is unknown.
    bool confirm_end = true;
};

// The pool outlives the runner's commands. Settles nothing with the machine: the first command connects.
// Fails with: errc::invalid_argument (the endpoint lacks a user, a login or a trust).
EXEC_API result<std::shared_ptr<runner>> make_runner(pool& of, endpoint target, runner_options options = {});

}  // namespace exec::inline v0::ssh
