// The last rung: a fork, with its copy of the page tables, for where nothing is to be shared.
//
// By the raw call and not by libc's fork(), because the child does nothing that the handlers of pthread_atfork would
// have to prepare, and those are the host's. The parent still sleeps until the child has executed.
#include <sched.h>

#include <cerrno>
#include <csignal>

#include "process/error_pipe.h"
#include "process/raw_syscall.h"
#include "process/rung.h"

namespace exec::inline v0::process {
namespace {

EXEC_CHILD_CODE long fork_with_pidfd(int& pidfd, const child_plan& plan) noexcept {
    constexpr long flags = CLONE_VFORK | CLONE_PIDFD | SIGCHLD;
    long answer = raw_syscall(SYS_clone, flags, 0, raw_address(&pidfd));
    // User-mode emulators know a plain fork only; spawn() opens the pidfd then, and the error pipe tells of the exec.
    if (answer == -EINVAL) answer = raw_syscall(SYS_clone, SIGCHLD, 0, 0);
    if (answer == 0) run_child(plan);
    return answer;
}

}  // namespace

birth be_born_by_fork(child_plan& plan, const birth_options&) {
    birth made;
    posix::pipe_ends ends;
    if (!open_error_pipe(ends, plan, made)) return made;

    const long answer = fork_with_pidfd(made.pidfd, plan);
    if (answer < 0) {
        made.error = static_cast<int>(-answer);
        plan.error_pipe = -1;
        return made;
    }
    made.pid = static_cast<pid_t>(answer);
    made.told = read_error_pipe(ends, plan, made);
    return made;
}

}  // namespace exec::inline v0::process
