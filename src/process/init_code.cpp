#include "process/init_code.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/rseq.h>
#include <sys/wait.h>

#include <cerrno>
#include <csignal>

#include "process/clone_in_place.h"
#include "process/raw_syscall.h"

// serve() alone lies in this section, and the linker says where it begins and ends.
extern "C" {
extern const char __start_exec_init[] __attribute__((visibility("hidden")));
extern const char __stop_exec_init[] __attribute__((visibility("hidden")));
}

namespace exec::inline v0::process {
namespace {

constexpr std::uint64_t bit(int signal) noexcept { return std::uint64_t{1} << (signal - 1); }
constexpr std::uint64_t all_signals = ~std::uint64_t{0};

// Memory that serve() still needs, as page addresses; everything else is the host's and is let go.
struct kept_memory {
    std::uintptr_t code;
    std::uintptr_t code_end;
    std::uintptr_t stack;
    std::uintptr_t stack_end;
};

// Unmaps what lies between two addresses. The end of the address space differs between machines, and a length beyond it
// is refused.
EXEC_UNINSTRUMENTED __attribute__((always_inline)) inline void let_go(std::uintptr_t from, std::uintptr_t to) noexcept {
    raw_syscall(SYS_munmap, static_cast<long>(from), static_cast<long>(to - from));
}
EXEC_UNINSTRUMENTED __attribute__((always_inline)) inline void let_go_of_the_rest(std::uintptr_t from) noexcept {
    for (int bits = 56; bits >= 36; --bits) {
        const std::uintptr_t end = (std::uintptr_t{1} << bits) - 65536;
        if (end > from && raw_syscall(SYS_munmap, static_cast<long>(from), static_cast<long>(end - from)) == 0) return;
    }
}

// The rest of the init's life. It keeps no page of the host but the one it runs on and a piece of its stack: a copy of a
// large host that lives as long as a command would make the host pay for every page that it changes. So this function
// calls nothing that lies elsewhere, and reads no constant that the compiler would place elsewhere.
[[noreturn]] EXEC_CHILD_CODE __attribute__((section("exec_init"))) void serve(long leader, long tell,
                                                                              std::uint64_t awaited,
                                                                              const kept_memory* keep) noexcept {
    if (keep != nullptr) {
        const std::uintptr_t code = keep->code;
        const std::uintptr_t code_end = keep->code_end;
        const std::uintptr_t stack = keep->stack;
        const std::uintptr_t stack_end = keep->stack_end;
        const bool code_first = code < stack;
        let_go(4096 * 16, code_first ? code : stack);
        let_go(code_first ? code_end : stack_end, code_first ? stack : code);
        let_go_of_the_rest(code_first ? stack_end : code_end);
    }
    for (;;) {
        leader_report report;
        int word = 0;
        long ended;
        while ((ended = raw_syscall(SYS_wait4, -1, raw_address(&word), WNOHANG | __WALL, raw_address(&report.used))) >
               0) {
            if (ended != leader) continue;
            report.word = word;
            raw_syscall(SYS_write, tell, raw_address(&report), sizeof report);
            tell = -1;
        }
        if (ended == -ECHILD) break;
        siginfo_t info;
        const long got = raw_syscall(SYS_rt_sigtimedwait, raw_address(&awaited), raw_address(&info), 0, sizeof awaited);
        if (got == SIGCHLD || got < 0) continue;
        const long number = got == forwarding_signal ? info.si_value.sival_int : got;
        if (number >= 1 && number <= 64) raw_syscall(SYS_kill, -leader, number);
    }
    for (;;) raw_syscall(SYS_exit_group, 0);
}

// The kernel writes to the area that libc registered for restartable sequences whenever it has rescheduled us, and would
// kill us once that area is gone. True when nothing is registered any more.
EXEC_CHILD_CODE bool forget_restartable_sequences() noexcept {
    constexpr long unregister = 1;
    constexpr long signature = RSEQ_SIG;
    if (__rseq_size != 0) {
        const long area = raw_address(static_cast<const char*>(__builtin_thread_pointer()) + __rseq_offset);
        if (raw_syscall(SYS_rseq, area, 32, unregister, signature) != 0) {
            raw_syscall(SYS_rseq, area, static_cast<long>(__rseq_size), unregister, signature);
        }
    }
    // Somebody other than libc may have registered one: then this is refused.
    alignas(32) char probe[32];
    for (unsigned i = 0; i < sizeof probe; ++i) static_cast<volatile char*>(probe)[i] = 0;
    const long registered = raw_syscall(SYS_rseq, raw_address(&probe[0]), sizeof probe, 0, signature);
    if (registered == 0) raw_syscall(SYS_rseq, raw_address(&probe[0]), sizeof probe, unregister, signature);
    return registered == 0 || registered == -ENOSYS;
}

[[noreturn]] EXEC_CHILD_CODE void enter_leader(const void* plan) noexcept {
    run_child(*static_cast<const child_plan*>(plan));
}

EXEC_CHILD_CODE long start_leader(const init_plan& plan) noexcept {
    const long flags = CLONE_VFORK | SIGCHLD | (plan.separate_memory ? 0 : CLONE_VM);
    return clone_in_place(SYS_clone, flags, 0, 0, &enter_leader, plan.leader);
}

EXEC_CHILD_CODE void say(int tell, step at, long answer) noexcept {
    start_record record;
    record.at = at;
    record.index = 0;
    record.error = static_cast<std::int32_t>(-answer);
    raw_syscall(SYS_write, tell, raw_address(&record), sizeof record);
}

[[noreturn]] EXEC_CHILD_CODE void give_up(int tell, step at, long answer) noexcept {
    say(tell, at, answer);
    for (;;) raw_syscall(SYS_exit_group, 127);
}

// The host may have ended before the kernel was told to tell us. It is not in our namespace, so there is no pid to ask
// for; but nobody else reads from the pipe.
EXEC_CHILD_CODE void tie_to_host(const init_plan& plan) noexcept {
    const long done = raw_syscall(SYS_prctl, PR_SET_PDEATHSIG, plan.death_signal);
    if (done < 0) give_up(plan.tell, step::parent_death, done);
    pollfd pipe;
    pipe.fd = plan.tell;
    pipe.events = 0;
    pipe.revents = 0;
    timespec at_once;
    at_once.tv_sec = 0;
    at_once.tv_nsec = 0;
    raw_syscall(SYS_ppoll, raw_address(&pipe), 1, raw_address(&at_once), 0, 0);
    if ((pipe.revents & POLLERR) != 0) give_up(plan.tell, step::orphaned, -ESRCH);
}

}  // namespace

[[noreturn]] EXEC_CHILD_CODE void run_init(const init_plan& plan) noexcept {
    std::uint64_t blocked = all_signals;
    raw_syscall(SYS_rt_sigprocmask, SIG_SETMASK, raw_address(&blocked), 0, sizeof blocked);
    // What the leader needs, and nothing of the host's: a leader that stalls in its exec holds up the init, too.
    const int kept[6] = {plan.tell,           plan.leader->source[0], plan.leader->source[1], plan.leader->source[2],
                         plan.leader->cgroup, plan.leader->cwd};
    close_all_but(&kept[0], 6, 3);
    raw_syscall(SYS_setsid);
    const int death = plan.death_signal;
    if (death != 0) tie_to_host(plan);
    reset_dispositions(bit(SIGCHLD));  // ignored, it would take the leader's status away

    const long leader = start_leader(plan);
    if (leader < 0) give_up(plan.tell, step::birth, leader);
    say(plan.tell, step::none, 0);

    // From here on it keeps one descriptor, no directory and its own name.
    raw_syscall(SYS_dup3, plan.tell, 0, O_CLOEXEC);
    close_all_but(nullptr, 0, 1);
    raw_syscall(SYS_chdir, raw_address("/"));
    raw_syscall(SYS_prctl, PR_SET_NAME, raw_address("exec-init"));
    const std::uint64_t awaited = bit(SIGCHLD) | bit(forwarding_signal) | (death != 0 ? bit(death) : 0);

    constexpr std::uintptr_t page = 65536;  // the largest of any machine
    const auto here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)) & ~(page - 1);
    kept_memory keep;
    keep.code = reinterpret_cast<std::uintptr_t>(&__start_exec_init[0]) & ~(page - 1);
    keep.code_end = (reinterpret_cast<std::uintptr_t>(&__stop_exec_init[0]) + page - 1) & ~(page - 1);
    keep.stack = here - page;
    keep.stack_end = here + page;
    serve(leader, 0, awaited, forget_restartable_sequences() ? &keep : nullptr);
}

}  // namespace exec::inline v0::process
