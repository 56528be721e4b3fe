// The second rung: glibc's clone(), for kernels and filters that refuse clone3.
//
// Shares memory as the first does, but where an emulator or a sanitizer makes a plain fork of it what the child writes
// is not seen here. So the child tells its errors through a pipe.
#include <sched.h>

#include <cerrno>
#include <csignal>
#include <cstddef>

#include "process/error_pipe.h"
#include "process/raw_syscall.h"
#include "process/rung.h"

// ThreadSanitizer takes it for a fork and updates its own state in the memory that the child shares: clang's ends the
// program at once, g++'s at the next thread.
#if defined(__SANITIZE_THREAD__)
#define EXEC_CLONE_IS_INTERCEPTED
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define EXEC_CLONE_IS_INTERCEPTED
#endif
#endif

namespace exec::inline v0::process {

#if defined(EXEC_CLONE_IS_INTERCEPTED)

birth be_born_by_clone(child_plan&, const birth_options&) {
    birth made;
    made.error = ENOSYS;
    return made;
}

#else

namespace {

// What the child needs at most, with the buffer for /proc/self/fd, is 3 KiB.
constexpr std::size_t stack_size = 16 * 1024;

EXEC_CHILD_CODE int enter(void* plan) noexcept { run_child(*static_cast<const child_plan*>(plan)); }

}  // namespace

birth be_born_by_clone(child_plan& plan, const birth_options& options) {
    birth made;
    posix::pipe_ends ends;
    if (!open_error_pipe(ends, plan, made)) return made;

    alignas(16) std::byte stack[stack_size];
    const int flags = CLONE_VFORK | CLONE_PIDFD | SIGCHLD | (options.separate_memory ? 0 : CLONE_VM);
    made.pid = ::clone(&enter, stack + stack_size, flags, &plan, &made.pidfd);
    if (made.pid < 0) {
        made.error = errno;
        plan.error_pipe = -1;
        return made;
    }
    made.told = read_error_pipe(ends, plan, made);
    return made;
}

#endif

}  // namespace exec::inline v0::process
