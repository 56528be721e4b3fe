#include "process/child_code.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <cerrno>
#include <csignal>

#include "process/raw_syscall.h"

namespace exec::inline v0::process {
namespace {

// The kernel's struct sigaction, all zero: SIG_DFL.
struct kernel_action {
    void* handler;
    unsigned long flags;
    void* restorer;
    std::uint64_t mask;
};
constexpr kernel_action default_action{};

constexpr int lowest_foreign = 3;

[[noreturn]] EXEC_CHILD_CODE void give_up(const child_plan& plan, step at, long answer, std::uint32_t index) noexcept {
    start_record told;
    told.at = at;
    told.index = index;
    told.error = static_cast<std::int32_t>(-answer);
    if (plan.record != nullptr) {
        plan.record->index = told.index;
        plan.record->error = told.error;
        plan.record->at = told.at;
    }
    if (plan.error_pipe >= 0) raw_syscall(SYS_write, plan.error_pipe, raw_address(&told), sizeof told);
    for (;;) raw_syscall(SYS_exit_group, 127);
}

EXEC_CHILD_CODE void enter_cgroup(const child_plan& plan) noexcept {
    const long procs = raw_syscall(SYS_openat, plan.cgroup, raw_address("cgroup.procs"), O_WRONLY | O_CLOEXEC);
    if (procs < 0) give_up(plan, step::cgroup, procs, 0);
    const long written = raw_syscall(SYS_write, procs, raw_address("0"), 1);
    if (written < 0) give_up(plan, step::cgroup, written, 0);
    raw_syscall(SYS_close, procs);
}

// Puts three sources on 0, 1 and 2. A source that is itself one of those numbers, but not its own target, is moved out
// of the way first, so that no order of targets can overwrite it.
EXEC_CHILD_CODE void arrange_streams(const child_plan& plan) noexcept {
    long source[3];
    long null_device = -1;
    for (std::uint32_t i = 0; i < 3; ++i) {
        source[i] = plan.source[i];
        if (source[i] < 0) {
            if (null_device < 0) {
                null_device = raw_syscall(SYS_openat, AT_FDCWD, raw_address("/dev/null"), O_RDWR | O_CLOEXEC);
                if (null_device < 0) give_up(plan, step::null_device, null_device, i);
            }
            source[i] = null_device;
        }
    }
    for (std::uint32_t i = 0; i < 3; ++i) {
        if (source[i] < lowest_foreign && source[i] != static_cast<long>(i)) {
            source[i] = raw_syscall(SYS_fcntl, source[i], F_DUPFD_CLOEXEC, lowest_foreign);
            if (source[i] < 0) give_up(plan, step::arrange, source[i], i);
        }
    }
    for (std::uint32_t i = 0; i < 3; ++i) {
        const long done = source[i] == static_cast<long>(i) ? raw_syscall(SYS_fcntl, i, F_SETFD, 0)
                                                            : raw_syscall(SYS_dup3, source[i], i, 0);
        if (done < 0) give_up(plan, step::arrange, done, i);
    }
}

// The descriptors that a child still needs.
struct kept_descriptors {
    const int* numbers;  // -1 = none
    std::uint32_t count;
};

EXEC_CHILD_CODE bool is_kept(long number, const kept_descriptors& kept) noexcept {
    for (std::uint32_t i = 0; i < kept.count; ++i) {
        if (kept.numbers[i] == number) return true;
    }
    return false;
}

EXEC_CHILD_CODE void close_listed(long first, const kept_descriptors& kept, long directory) noexcept {
    struct entry {  // the kernel's linux_dirent64
        std::uint64_t inode;
        std::int64_t next;
        std::uint16_t size;
        unsigned char type;
        char name[1];
    };
    alignas(entry) char buffer[2048];
    for (;;) {
        const long size = raw_syscall(SYS_getdents64, directory, raw_address(&buffer[0]), sizeof buffer);
        if (size <= 0) return;
        for (long at = 0; at < size;) {
            const entry* one = reinterpret_cast<const entry*>(&buffer[at]);
            at += one->size;
            const char* digit = one->name;
            long number = 0;
            for (; *digit >= '0' && *digit <= '9'; ++digit) number = number * 10 + (*digit - '0');
            const bool is_number = digit != one->name && *digit == '\0';
            if (is_number && number >= first && number != directory && !is_kept(number, kept)) {
                raw_syscall(SYS_close, number);
            }
        }
    }
}

// The ranges between those that are kept.
EXEC_CHILD_CODE bool close_ranges(long first, const kept_descriptors& kept) noexcept {
    for (;;) {
        long next = -1;
        for (std::uint32_t i = 0; i < kept.count; ++i) {
            const long number = kept.numbers[i];
            if (number >= first && (next < 0 || number < next)) next = number;
        }
        const long last = next < 0 ? static_cast<long>(~0u) : next - 1;
        if (last >= first && raw_syscall(SYS_close_range, first, last, 0) != 0) return false;
        if (next < 0) return true;
        first = next + 1;
    }
}

// A refusal of any kind means the next way: close_range is there since 5.9 and is filtered in some containers.
EXEC_CHILD_CODE void close_others(long first, const kept_descriptors& kept) noexcept {
    if (close_ranges(first, kept)) return;
    const long directory =
        raw_syscall(SYS_openat, AT_FDCWD, raw_address("/proc/self/fd"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory >= 0) {
        close_listed(first, kept, directory);
        raw_syscall(SYS_close, directory);
        return;
    }
    constexpr std::uint64_t bound = 1u << 16;  // 10 ms; a limit of 2^30 would take minutes
    std::uint64_t limit[2] = {bound, bound};
    raw_syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, raw_address(&limit[0]));
    const long end = static_cast<long>(limit[0] < bound ? limit[0] : bound);
    for (long number = first; number < end; ++number) {
        if (!is_kept(number, kept)) raw_syscall(SYS_close, number);
    }
}

EXEC_CHILD_CODE void apply_limits(const child_plan& plan) noexcept {
    for (std::size_t i = 0; i < plan.limit_count; ++i) {
        std::uint64_t values[2];
        values[0] = plan.limits[i].soft;
        values[1] = plan.limits[i].hard;
        const long done = raw_syscall(SYS_prlimit64, 0, plan.limits[i].resource, raw_address(&values[0]), 0);
        if (done < 0) give_up(plan, step::limit, done, static_cast<std::uint32_t>(i));
    }
}

EXEC_CHILD_CODE bool groups_are(const child_plan& plan, std::size_t count) noexcept {
    if (count != plan.group_count) return false;
    for (std::size_t i = 0; i < count; ++i) {
        std::size_t j = i;  // the kernel sorts them, so most lists agree at once
        if (plan.groups_read[j] != plan.groups[i]) {
            for (j = 0; j < count && plan.groups_read[j] != plan.groups[i];) ++j;
            if (j == count) return false;
        }
    }
    return true;
}

// Groups, then gid, then uid: the other order loses the right to set what is left. By raw calls, because libc's
// wrappers change every thread of what they believe to be this process. Each is read back.
EXEC_CHILD_CODE void change_credentials(const child_plan& plan) noexcept {
    if (plan.set_groups) {
        const long done = raw_syscall(SYS_setgroups, static_cast<long>(plan.group_count), raw_address(plan.groups));
        if (done < 0) give_up(plan, step::groups, done, 0);
        const long count =
            raw_syscall(SYS_getgroups, static_cast<long>(plan.group_count + 1), raw_address(plan.groups_read));
        if (count < 0) give_up(plan, step::groups, count, 0);
        if (!groups_are(plan, static_cast<std::size_t>(count))) give_up(plan, step::groups, -EPERM, 0);
    }
    unsigned read[3];
    if (plan.set_gid) {
        const long done = raw_syscall(SYS_setresgid, plan.gid, plan.gid, plan.gid);
        if (done < 0) give_up(plan, step::gid, done, 0);
        raw_syscall(SYS_getresgid, raw_address(&read[0]), raw_address(&read[1]), raw_address(&read[2]));
        if (read[0] != plan.gid || read[1] != plan.gid || read[2] != plan.gid) give_up(plan, step::gid, -EPERM, 0);
    }
    if (plan.set_uid) {
        const long done = raw_syscall(SYS_setresuid, plan.uid, plan.uid, plan.uid);
        if (done < 0) give_up(plan, step::uid, done, 0);
        raw_syscall(SYS_getresuid, raw_address(&read[0]), raw_address(&read[1]), raw_address(&read[2]));
        if (read[0] != plan.uid || read[1] != plan.uid || read[2] != plan.uid) give_up(plan, step::uid, -EPERM, 0);
    }
}

EXEC_CHILD_CODE void tie_to_parent(const child_plan& plan) noexcept {
    const long done = raw_syscall(SYS_prctl, PR_SET_PDEATHSIG, plan.parent_death_signal);
    if (done < 0) give_up(plan, step::parent_death, done, 0);
    if (raw_syscall(SYS_getppid) != plan.parent) give_up(plan, step::orphaned, -ESRCH, 0);
}

// Tries one candidate after the other. What is reported in the end is a refusal met on the way, or else the last answer.
[[noreturn]] EXEC_CHILD_CODE void execute(const child_plan& plan) noexcept {
    std::uint32_t reported = 0;
    long answer = -ENOENT;
    for (std::uint32_t i = 0; plan.candidates[i] != nullptr; ++i) {
        const long why =
            raw_syscall(SYS_execve, raw_address(plan.candidates[i]), raw_address(plan.argv), raw_address(plan.envp));
        const bool next = why == -ENOENT || why == -ENOTDIR || why == -EACCES || why == -ENODEV || why == -ESTALE ||
                          why == -ETIMEDOUT;
        if (!next) give_up(plan, step::execute, why, i);
        if (answer != -EACCES) {
            answer = why;
            reported = i;
        }
    }
    give_up(plan, step::execute, answer, reported);
}

}  // namespace

EXEC_CHILD_CODE void reset_dispositions(std::uint64_t signals) noexcept {
    for (long number = 1; number <= 64; ++number) {
        if ((signals >> (number - 1) & 1) != 0) {
            raw_syscall(SYS_rt_sigaction, number, raw_address(&default_action), 0, sizeof(std::uint64_t));
        }
    }
}

EXEC_CHILD_CODE void close_all_but(const int* kept, std::uint32_t count, int first) noexcept {
    close_others(first, {kept, count});
}

[[noreturn]] EXEC_CHILD_CODE void run_child(const child_plan& plan) noexcept {
    reset_dispositions(plan.to_default);
    if (plan.session) {
        const long done = raw_syscall(SYS_setsid);
        if (done < 0) give_up(plan, step::session, done, 0);
    } else if (plan.group) {
        const long done = raw_syscall(SYS_setpgid, 0, 0);
        if (done < 0) give_up(plan, step::session, done, 0);
    }
    if (plan.cgroup >= 0) enter_cgroup(plan);
    arrange_streams(plan);
    // Descriptors of the host are not ours to hand on. They are closed here and not by the exec, because that may stall,
    // on a dead mount, and would then hold the pipes of every command that runs beside this one.
    const int kept[2] = {plan.cwd, plan.error_pipe};
    close_all_but(&kept[0], 2, lowest_foreign);
    if (plan.terminal) {
        const long done = raw_syscall(SYS_ioctl, 0, TIOCSCTTY, 0);
        if (done < 0) give_up(plan, step::terminal, done, 0);
    }
    if (plan.set_umask) raw_syscall(SYS_umask, plan.umask);
    apply_limits(plan);
    change_credentials(plan);
    if (plan.cwd >= 0) {
        const long done = raw_syscall(SYS_fchdir, plan.cwd);
        if (done < 0) give_up(plan, step::directory, done, 0);
    }
    if (plan.no_new_privs) {
        const long done = raw_syscall(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1);
        if (done < 0) give_up(plan, step::privileges, done, 0);
    }
    if (plan.parent_death_signal != 0) tie_to_parent(plan);
    raw_syscall(SYS_rt_sigprocmask, SIG_SETMASK, raw_address(&plan.mask), 0, sizeof plan.mask);
    execute(plan);
}

}  // namespace exec::inline v0::process
