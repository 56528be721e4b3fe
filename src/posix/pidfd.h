// Children by descriptor: watching, signalling and waiting for one without ever meeting a recycled pid.
//
// Nothing here waits for a process that is not named by its pidfd, so a host's own children are never touched. A host
// that ignores SIGCHLD or waits for every child takes the status away; then the kernel is asked for it again
// (PIDFD_GET_INFO, since 6.15), and if it cannot tell, the status is `unknown`, never 0.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <optional>

#include "exec/result.h"
#include "posix/fd.h"

namespace exec::inline v0::posix {

struct child_status {
    enum class kind : unsigned char { exited, signaled, unknown };
    kind how = kind::unknown;
    int number = 0;     // the exit code, or the signal
    bool core = false;  // signaled, and a core was dumped
};

// The status words of waitid (si_code, si_status) as one of ours.
child_status status_from_siginfo(int code, int status) noexcept;
// The status word of wait4 and of the kernel's exit_code as one of ours.
child_status status_from_wait(int word) noexcept;

struct child_end {
    child_status status{};
    rusage used{};       // of the child and what it waited for; zeros where the status was taken from us
    bool taken = false;  // somebody else reaped it: its pid and group id may be anybody's by now
};

// REQUIRES: `pid` is a child of ours that has not been reaped.
// Fails with: EMFILE (stage::descriptors), ENOSYS or EPERM where the call is filtered (stage::process).
result<fd> open_pidfd(pid_t pid);

// 0 or an errno value; ESRCH if it has ended. Never reaches another process.
int send_signal(int pidfd, int signal) noexcept;
// The same to the whole process group that `pidfd` leads (since 6.9): EINVAL where the kernel cannot.
int send_signal_to_group(int pidfd, int signal) noexcept;

enum class reap : unsigned char {
    no,   // look only: the child stays a zombie, so its pid and group id stay ours
    yes,  // take the status; the pid is anybody's from then on
};

// How the child ended, or nothing while it runs. Never blocks. A pidfd may be readable while there is nothing to wait
// for (a traced child): the caller must not spin on it.
std::optional<child_end> look(int pidfd, reap how) noexcept;

// Waits until the child has ended and reaps it. For children that are certainly about to end.
child_end wait_for_end(int pidfd) noexcept;

}  // namespace exec::inline v0::posix
