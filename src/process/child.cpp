#include "process/child.h"

#include <charconv>
#include <string>
#include <string_view>
#include <utility>

#include "posix/read_file.h"
#include "posix/syscalls.h"
#include "process/namespace_init.h"
#include "process/terminal.h"
#include "process/unreaped.h"

#include <cerrno>

#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>

namespace exec::inline v0::process {
namespace {

exit_status public_status(const posix::child_status& raw) noexcept {
    switch (raw.how) {
        case posix::child_status::kind::exited: return exit_status::exited(raw.number);
        case posix::child_status::kind::signaled: return exit_status::signaled(raw.number, raw.core);
        case posix::child_status::kind::unknown: break;
    }
    return {};
}

nanoseconds from_timeval(const timeval& value) noexcept {
    return std::chrono::seconds(value.tv_sec) + std::chrono::microseconds(value.tv_usec);
}

resource_use public_use(const rusage& raw) noexcept {
    resource_use use;
    use.user = from_timeval(raw.ru_utime);
    use.system = from_timeval(raw.ru_stime);
    use.max_rss = static_cast<std::uint64_t>(raw.ru_maxrss) * KiB;
    use.major_faults = static_cast<std::uint64_t>(raw.ru_majflt);
    use.minor_faults = static_cast<std::uint64_t>(raw.ru_minflt);
    use.voluntary_switches = static_cast<std::uint64_t>(raw.ru_nvcsw);
    use.involuntary_switches = static_cast<std::uint64_t>(raw.ru_nivcsw);
    return use;
}

// proc(5): "pid (name) state ppid pgrp ..."; the name may hold anything, so the last parenthesis counts.
bool lives_in_group(std::string_view stat, pid_t group) noexcept {
    const auto name_end = stat.rfind(") ");
    if (name_end == std::string_view::npos || stat.size() < name_end + 4) return false;
    const char state = stat[name_end + 2];
    if (state == 'Z' || state == 'X') return false;
    stat.remove_prefix(name_end + 4);
    stat.remove_prefix(stat.find(' ') + 1);  // ppid
    pid_t of = -1;
    std::from_chars(stat.data(), stat.data() + stat.size(), of);
    return of == group;
}

bool any_lives_in_group(pid_t group) {
    DIR* all = ::opendir("/proc");
    if (all == nullptr) return true;
    bool found = false;
    while (const auto* entry = ::readdir(all)) {
        if (entry->d_name[0] < '0' || entry->d_name[0] > '9') continue;
        const auto stat = posix::read_file_at(::dirfd(all), (std::string(entry->d_name) + "/stat").c_str());
        if (lives_in_group(stat, group)) {
            found = true;
            break;
        }
    }
    ::closedir(all);
    return found;
}

// A namespace is ended by its init's death, which leaves nobody to say how the leader ended. So the init is asked to kill the
// leader first, and only if it does not obey is it killed itself.
constexpr int kills_by_the_init = 10;

}  // namespace

void child::close() {
    const std::lock_guard hold(guard_);
    if (pid_ > 0 && !reaped_) leave_unreaped(std::move(pidfd_));
    closed_ = true;
    pidfd_.reset();
    status_.reset();
    terminal_.reset();
    cgroup_ = {};
}

void child::adopt(spawned of, containment kind, cgroup own, posix::fd terminal) {
    const std::lock_guard hold(guard_);
    pid_ = of.pid;
    pidfd_ = std::move(of.pidfd);
    status_ = std::move(of.leader);
    kind_ = kind;
    cgroup_ = std::move(own);
    terminal_ = std::move(terminal);
}

std::optional<exit_status> child::look() {
    const auto end = status_ ? look_leader(status_.get()) : posix::look(pidfd_.get(), posix::reap::no);
    if (!end) return std::nullopt;
    const std::lock_guard hold(guard_);
    ended_ = public_status(end->status);
    if (!status_ && end->taken) reaped_ = true;
    return ended_;
}

bool child::wait_for_exit(milliseconds at_most) const noexcept {
    pollfd look{exit_fd(), POLLIN, 0};
    const timespec timeout{at_most.count() / 1000, static_cast<long>(at_most.count() % 1000) * 1'000'000};
    return posix::sys().ppoll(&look, 1, &timeout, nullptr) == 1;
}

result<void> child::signal(int number) {
    const std::lock_guard hold(guard_);
    if (pid_ <= 0) return fail(errc::wrong_state, "signal: not started yet");
    if (closed_ || reaped_ || ended_) return fail(errc::wrong_state, "signal: it has ended");
    if (number < 1 || number > SIGRTMAX) return fail(errc::invalid_argument, "signal: no such number");
    return send(number);
}

result<void> child::resize(terminal_size size) {
    const std::lock_guard hold(guard_);
    if (pid_ > 0 && !closed_ && !terminal_) return fail(errc::unsupported, "resize: no terminal");
    if (pid_ <= 0 || closed_ || reaped_ || ended_) return fail(errc::wrong_state, "resize: not running");
    return resize_terminal(terminal_.get(), size);
}

result<void> child::send(int number) {
    // A shell with job control puts its foreground command into a group of its own. That one first: the terminal forgets
    // who was in front when the leader of its session has died.
    if (pid_t front = 0;
        terminal_ && posix::sys().ioctl(terminal_.get(), TIOCGPGRP, &front) == 0 && front > 1 && front != pid_) {
        static_cast<void>(posix::sys().kill(-front, number));
    }
    int wrong = 0;
    if (status_) {
        wrong = signal_leader(pidfd_.get(), number);
    } else if (posix::sys().kill(-pid_, number) != 0) {
        wrong = errno;
    }
    if (wrong != 0) return os_failure(wrong, stage::none, "signal");
    return {};
}

void child::ask(const stop_policy& how) {
    const std::lock_guard hold(guard_);
    if (reaped_) return;
    static_cast<void>(send(how.polite));
    if (how.and_continue) static_cast<void>(send(SIGCONT));
}

void child::kill() {
    const std::lock_guard hold(guard_);
    if (kind_ == containment::cgroup) cgroup_.kill();
    // The cgroup may be left by a privileged member, the group by any: both.
    if (status_ && (ended_ || leader_kills_++ >= kills_by_the_init)) {
        end_namespace();
    } else if (!reaped_) {
        static_cast<void>(send(SIGKILL));
    } else if (!status_) {
        // The leader was reaped by somebody else: its descriptor still names the group, its number does not.
        static_cast<void>(posix::send_signal_to_group(pidfd_.get(), SIGKILL));
    }
}

void child::close_down(survivors rest) {
    if (rest == survivors::kill) {
        kill();
        killed_rest_ = true;
    }
    // The init of a namespace ends when its last member has: probe() reaps it.
    if (status_) return;
    const std::lock_guard hold(guard_);
    if (reaped_) return;
    if (const auto end = posix::look(pidfd_.get(), posix::reap::yes)) used_ = public_use(end->used);
    reaped_ = true;
}

void child::give_up() {
    const std::lock_guard hold(guard_);
    gave_up_ = true;
    if (status_) end_namespace();
}

void child::end_namespace() noexcept {
    if (!reaped_) static_cast<void>(posix::send_signal(pidfd_.get(), SIGKILL));
}

std::optional<tree_state> child::probe(bool each) {
    if (gave_up_) return tree_state::may_survive;
    switch (kind_) {
        case containment::pid_namespace: {
            const std::lock_guard hold(guard_);
            const auto end = posix::look(pidfd_.get(), posix::reap::yes);
            if (end) {
                used_ = public_use(end->used);
                reaped_ = true;
                return tree_state::gone;
            }
            return killed_rest_ ? std::nullopt : std::optional(tree_state::may_survive);
        }
        case containment::cgroup:
            if (!cgroup_.populated()) return tree_state::gone;
            return killed_rest_ ? std::nullopt : std::optional(tree_state::may_survive);
        case containment::session: break;
    }
    // Signal 0 reaches nobody. The number stays reserved while the group has a member, so ESRCH is a fact; a
    // newer group that got it since could only make us say less than is true.
    if (posix::sys().kill(-pid_, 0) != 0 && errno == ESRCH) return tree_state::group_gone;
    if ((each || !killed_rest_) && !any_lives_in_group(pid_)) return tree_state::group_gone;
    return killed_rest_ ? std::nullopt : std::optional(tree_state::may_survive);
}

}  // namespace exec::inline v0::process
