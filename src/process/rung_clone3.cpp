// The first rung: clone3, entered in assembly.
//
// The child shares the host's memory until it executes, and this thread sleeps meanwhile; so nothing is copied, however
// large the host is, and an error comes back through that memory.
#include <sched.h>
#include <sys/mman.h>

#include <cerrno>
#include <csignal>
#include <new>

#include "posix/syscalls.h"
#include "process/clone_in_place.h"
#include "process/rung.h"

namespace exec::inline v0::process {
namespace {

[[noreturn]] EXEC_CHILD_CODE void enter(const void* plan) noexcept { run_child(*static_cast<const child_plan*>(plan)); }

EXEC_CHILD_CODE long clone3(const clone_arguments& how, long size, const child_plan& plan) noexcept {
    return clone_in_place(SYS_clone3, raw_address(&how), size, 0, &enter, &plan);
}

// Where the record of a child that does not share our memory lies.
class shared_page {
   public:
    shared_page() noexcept
        : at_(posix::sys().map(sizeof(start_record), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS)) {}
    ~shared_page() {
        if (at_ != MAP_FAILED) posix::sys().unmap(at_, sizeof(start_record));
    }
    shared_page(const shared_page&) = delete;
    shared_page& operator=(const shared_page&) = delete;

    start_record* record() const noexcept { return at_ != MAP_FAILED ? ::new (at_) start_record : nullptr; }

   private:
    void* at_;
};

birth be_born(child_plan& plan, const birth_options& options, start_record& record) noexcept {
    birth made;
    clone_arguments how{};
    how.flags = CLONE_VFORK | CLONE_PIDFD | clone_clear_handlers | (options.separate_memory ? 0 : CLONE_VM);
    how.pidfd = reinterpret_cast<std::uintptr_t>(&made.pidfd);
    how.exit_signal = SIGCHLD;
    long size = clone_arguments_before_cgroup;
    if (options.cgroup >= 0) {
        how.flags |= clone_into_cgroup;
        how.cgroup = static_cast<unsigned>(options.cgroup);
        size = sizeof how;
    }
    plan.record = &record;
    const long answer = clone3(how, size, plan);
    plan.record = nullptr;
    if (answer < 0) {
        made.error = static_cast<int>(-answer);
    } else {
        made.pid = static_cast<pid_t>(answer);
        made.told = record;
    }
    return made;
}

}  // namespace

birth be_born_by_clone3(child_plan& plan, const birth_options& options) {
    if (!options.separate_memory) {
        start_record here;
        return be_born(plan, options, here);
    }
    const shared_page page;
    if (start_record* there = page.record()) return be_born(plan, options, *there);
    birth made;
    made.error = errno;
    made.lacks = "shared page";
    return made;
}

}  // namespace exec::inline v0::process
