#include "posix/pidfd.h"

#include <sys/ioctl.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstdint>

#include "posix/syscalls.h"

namespace exec::inline v0::posix {
namespace {

// From <linux/pidfd.h> of 6.15; Debian 12 has none of it.
constexpr unsigned signal_process_group = 1u << 2;
constexpr std::uint64_t info_exit = 1u << 3;
struct pidfd_info {
    std::uint64_t mask;
    std::uint64_t cgroup;
    std::uint32_t ids[11];
    std::int32_t exit_code;
};
static_assert(sizeof(pidfd_info) == 64, "the kernel calls this size PIDFD_INFO_SIZE_VER0");

int wait_for(int pidfd, siginfo_t& info, int options, rusage& used) noexcept {
    info.si_pid = 0;
    return retry_interrupted([&] { return sys().waitid(P_PIDFD, pidfd, &info, options, &used); });
}

bool has_ended(int pidfd) noexcept {
    pollfd watched{pidfd, POLLIN, 0};
    constexpr timespec at_once{0, 0};
    return retry_interrupted([&] { return sys().ppoll(&watched, 1, &at_once, nullptr); }) == 1;
}

// Somebody else took the status, or nobody was to keep it.
child_end stolen(int pidfd) noexcept {
    pidfd_info info{};
    info.mask = info_exit;
    const int answer = sys().ioctl(pidfd, _IOWR(0xFF, 11, pidfd_info), &info);
    if (answer != 0 || (info.mask & info_exit) == 0) return {{}, {}, true};
    return {status_from_wait(info.exit_code), {}, true};
}

}  // namespace

child_status status_from_siginfo(int code, int status) noexcept {
    switch (code) {
        case CLD_EXITED: return {child_status::kind::exited, status, false};
        case CLD_KILLED: return {child_status::kind::signaled, status, false};
        case CLD_DUMPED: return {child_status::kind::signaled, status, true};
        default: return {};
    }
}

child_status status_from_wait(int word) noexcept {
    if (WIFEXITED(word)) return {child_status::kind::exited, WEXITSTATUS(word), false};
    if (WIFSIGNALED(word)) return {child_status::kind::signaled, WTERMSIG(word), WCOREDUMP(word) != 0};
    return {};
}

result<fd> open_pidfd(pid_t pid) {
    const int number = sys().pidfd_open(pid, 0);
    if (number >= 0) return fd(number);
    const bool shortage = errno == EMFILE || errno == ENFILE;
    return os_failure(errno, shortage ? stage::descriptors : stage::process, "pidfd_open");
}

int send_signal(int pidfd, int signal) noexcept {
    return sys().pidfd_send_signal(pidfd, signal, nullptr, 0) == 0 ? 0 : errno;
}

int send_signal_to_group(int pidfd, int signal) noexcept {
    return sys().pidfd_send_signal(pidfd, signal, nullptr, signal_process_group) == 0 ? 0 : errno;
}

std::optional<child_end> look(int pidfd, reap how) noexcept {
    siginfo_t info;
    child_end end;
    const int options = WEXITED | WNOHANG | (how == reap::no ? WNOWAIT : 0);
    if (wait_for(pidfd, info, options, end.used) != 0) {
        // ECHILD is also what a process that is not our child gives, in a copy of the host made by fork.
        return has_ended(pidfd) ? std::optional(stolen(pidfd)) : std::nullopt;
    }
    if (info.si_pid == 0) return std::nullopt;
    end.status = status_from_siginfo(info.si_code, info.si_status);
    return end;
}

child_end wait_for_end(int pidfd) noexcept {
    siginfo_t info;
    child_end end;
    if (wait_for(pidfd, info, WEXITED, end.used) != 0) return stolen(pidfd);
    end.status = status_from_siginfo(info.si_code, info.si_status);
    return end;
}

}  // namespace exec::inline v0::posix
