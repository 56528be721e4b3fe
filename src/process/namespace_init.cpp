#include "process/namespace_init.h"

#include <fcntl.h>
#include <sched.h>

#include <cerrno>
#include <csignal>
#include <utility>

#include "posix/pipe.h"
#include "posix/syscalls.h"
#include "process/clone_in_place.h"
#include "process/init_code.h"

namespace exec::inline v0::process {
namespace {

[[noreturn]] EXEC_CHILD_CODE void enter(const void* plan) noexcept { run_init(*static_cast<const init_plan*>(plan)); }

EXEC_CHILD_CODE long make_init(long number, long first, long second, long third, const init_plan& plan) noexcept {
    return clone_in_place(number, first, second, third, &enter, &plan);
}

// The init says one record, also when all is well; or it is killed before it can.
start_record first_word(int from, int pidfd) {
    for (;;) {
        start_record told;
        const ssize_t size = posix::retry_interrupted([&] { return posix::sys().read(from, &told, sizeof told); });
        if (size == static_cast<ssize_t>(sizeof told)) return told;
        const start_record killed{step::birth, 0, ESRCH};
        if (size >= 0 || errno != EAGAIN) return killed;
        pollfd watched[2] = {{from, POLLIN, 0}, {pidfd, POLLIN, 0}};
        posix::sys().ppoll(watched, 2, nullptr, nullptr);
        if (watched[0].revents == 0 && watched[1].revents != 0) return killed;
    }
}

}  // namespace

int signal_leader(int init_pidfd, int signal) noexcept {
    siginfo_t info{};
    info.si_signo = forwarding_signal;
    info.si_code = SI_QUEUE;
    info.si_value.sival_int = signal;
    return posix::sys().pidfd_send_signal(init_pidfd, forwarding_signal, &info, 0) == 0 ? 0 : errno;
}

std::optional<posix::child_end> look_leader(int leader) noexcept {
    leader_report report;
    const ssize_t size = posix::retry_interrupted([&] { return posix::sys().read(leader, &report, sizeof report); });
    if (size == static_cast<ssize_t>(sizeof report))
        return posix::child_end{posix::status_from_wait(report.word), report.used};
    if (size < 0 && errno == EAGAIN) return std::nullopt;
    return posix::child_end{};
}

birth be_born_in_namespace(child_plan& plan, const birth_options& options, bool by_clone3, posix::fd& leader) {
    birth made;
    auto pipe = posix::make_pipe(posix::our_end::read);
    if (!pipe) {
        made.error = pipe.error().code.value();
        made.lacks = "init pipe";
        return made;
    }
    plan.error_pipe = pipe->write.get();
    // The leader's parent is the init, whose end is everybody's; it is the init that hears of the host's.
    const int death_signal = std::exchange(plan.parent_death_signal, 0);
    const init_plan init{&plan, pipe->write.get(), death_signal, options.separate_memory};

    long answer;
    if (by_clone3) {
        clone_arguments how{};
        how.flags = CLONE_NEWPID | CLONE_PIDFD | clone_clear_handlers;
        how.pidfd = reinterpret_cast<std::uintptr_t>(&made.pidfd);
        how.exit_signal = SIGCHLD;
        long size = clone_arguments_before_cgroup;
        if (options.cgroup >= 0) {
            how.flags |= clone_into_cgroup;
            how.cgroup = static_cast<unsigned>(options.cgroup);
            size = sizeof how;
        }
        answer = make_init(SYS_clone3, raw_address(&how), size, 0, init);
    } else {
        answer = make_init(SYS_clone, CLONE_NEWPID | CLONE_PIDFD | SIGCHLD, 0, raw_address(&made.pidfd), init);
    }
    plan.error_pipe = -1;
    plan.parent_death_signal = death_signal;
    if (answer < 0) {
        made.error = static_cast<int>(-answer);
        return made;
    }
    made.pid = static_cast<pid_t>(answer);
    pipe->write.reset();
    made.told = first_word(pipe->read.get(), made.pidfd);
    leader = std::move(pipe->read);
    return made;
}

}  // namespace exec::inline v0::process
