#include "process/spawn.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>

#include "posix/signals.h"
#include "posix/syscalls.h"
#include "process/births.h"
#include "process/namespace_init.h"
#include "process/rung.h"

namespace exec::inline v0::process {
namespace {

constexpr int highest_signal = 64;
constexpr int first_realtime = 32;
constexpr std::uint64_t bit(int signal) noexcept { return std::uint64_t{1} << (signal - 1); }
constexpr std::uint64_t every_signal = ~(bit(SIGKILL) | bit(SIGSTOP));
constexpr std::uint64_t standard_signals = every_signal & (bit(first_realtime) - 1);

constexpr rungs the_rungs{&be_born_by_clone3, &be_born_by_clone, &be_born_by_posix_spawn, &be_born_by_fork};
constinit std::atomic<const rungs*> active{&the_rungs};

// The highest rung that the kernel has not refused yet. It only ever goes down: a filter is not taken back.
constinit std::atomic<rung> first_worth_trying{rung::clone3};

std::uint64_t word(const sigset_t& set) noexcept {
    std::uint64_t bits;
    std::memcpy(&bits, &set, sizeof bits);
    return bits;
}

// A thread that is cancelled inside would leave with its signals blocked.
class not_cancelled {
   public:
    not_cancelled() noexcept { ::pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before_); }
    ~not_cancelled() { ::pthread_setcancelstate(before_, nullptr); }
    not_cancelled(const not_cancelled&) = delete;
    not_cancelled& operator=(const not_cancelled&) = delete;

   private:
    int before_ = 0;
};

// Which of the signals from `first` on this process ignores.
std::uint64_t ignored_signals(int first) noexcept {
    std::uint64_t ignored = 0;
    for (int number = first; number <= highest_signal; ++number) {
        struct sigaction now {};
        if (posix::sys().disposition(number, &now) == 0 && (now.sa_flags & SA_SIGINFO) == 0 &&
            now.sa_handler == SIG_IGN) {
            ignored |= bit(number);
        }
    }
    return ignored;
}

// The same for the real-time signals, as it was at the first start: 0 = not looked yet, bit 0 = looked.
constinit std::atomic<std::uint64_t> ignored_realtime{0};

std::uint64_t ignored_realtime_signals() noexcept {
    std::uint64_t known = ignored_realtime.load(std::memory_order_relaxed);
    if (known == 0) {
        known = ignored_signals(first_realtime) | 1;
        ignored_realtime.store(known, std::memory_order_relaxed);
    }
    return known & ~std::uint64_t{1};
}

void forget_what_was_learned() noexcept {
    first_worth_trying.store(rung::clone3);
    ignored_realtime.store(0);
}

// Which dispositions the child sets to default, one system call each. An exec resets what has a handler and keeps what is
// ignored; so after clone3, which clears handlers, only the ignored ones are left. There is no cheap way to know them: to
// ask the kernel costs as much as to set them, and the answer may be old by then. So the standard signals, which hosts
// and their libraries ignore and restore at any time, are always set (4 us). Of the real-time ones (8 us more) only those
// are set that were ignored when this process started its first child.
std::uint64_t signals_to_reset(bool handlers_are_cleared, bool inherit) noexcept {
    if (handlers_are_cleared) return inherit ? 0 : standard_signals | ignored_realtime_signals();
    return inherit ? every_signal & ~ignored_signals(1) : every_signal;
}

// The request as the child reads it, with what has to be kept for it meanwhile.
class prepared {
   public:
    explicit prepared(const spawn_request& what) : plan{} {
        plan.candidates = what.candidates;
        plan.argv = what.argv;
        plan.envp = what.envp;
        plan.source[0] = what.in;
        plan.source[1] = what.out;
        plan.source[2] = what.err;
        plan.session = what.new_session;
        plan.group = what.new_group;
        plan.terminal = what.controlling_terminal;
        plan.cgroup = -1;
        plan.cwd = what.cwd;
        plan.set_umask = what.umask.has_value();
        plan.umask = what.umask.value_or(0);
        plan.limits = what.limits.data();
        plan.limit_count = what.limits.size();
        plan.set_uid = what.uid.has_value();
        plan.uid = what.uid.value_or(0);
        plan.set_gid = what.gid.has_value();
        plan.gid = what.gid.value_or(0);
        plan.set_groups = what.groups.has_value() || plan.set_uid || plan.set_gid;
        if (plan.set_groups) keep_groups(what.groups.value_or(std::span<const gid_t>{}));
        plan.no_new_privs = what.no_new_privs;
        plan.parent_death_signal = what.parent_death_signal;
        if (plan.parent_death_signal != 0) plan.parent = ::getpid();
        plan.error_pipe = -1;
    }

    child_plan plan;

   private:
    // Sorted as the kernel will sort them; the second half is room for reading them back.
    void keep_groups(std::span<const gid_t> groups) {
        groups_ = std::make_unique<gid_t[]>(2 * groups.size() + 1);
        std::copy(groups.begin(), groups.end(), groups_.get());
        std::sort(groups_.get(), groups_.get() + groups.size());
        plan.groups = groups_.get();
        plan.group_count = groups.size();
        plan.groups_read = groups_.get() + groups.size();
    }

    std::unique_ptr<gid_t[]> groups_{};
};

bool changes_user(const spawn_request& what) noexcept { return what.uid || what.gid || what.groups; }

bool suits_posix_spawn(const spawn_request& what) noexcept {
    return !what.controlling_terminal && !what.umask && what.limits.empty() && !changes_user(what) &&
           !what.no_new_privs && what.parent_death_signal == 0 && what.cgroup < 0 && !what.new_pid_namespace;
}

// Answers of a kernel or a filter that mean: not this way.
bool is_refusal(const birth& made) noexcept {
    if (made.pid > 0 || made.lacks != nullptr) return false;
    return made.error == ENOSYS || made.error == EPERM || made.error == EINVAL || made.error == E2BIG ||
           made.error == EOPNOTSUPP;
}

// One rung; ENOSYS where it cannot do what was asked.
birth be_born(const spawn_request& what, child_plan& plan, rung how, posix::fd& leader) {
    // A child that becomes somebody else must not do so in the host's memory: the kernel then marks that memory, and with
    // it the host, as not dumpable; and for some microseconds another user's process would hold the host's secrets.
    birth_options options;
    options.separate_memory = changes_user(what);
    options.cgroup = how == rung::clone3 ? what.cgroup : -1;
    plan.cgroup = how == rung::clone3 ? -1 : what.cgroup;
    plan.to_default = signals_to_reset(how == rung::clone3, what.inherit_dispositions);

    const rungs& table = rungs_in_use();
    birth unable;
    unable.error = ENOSYS;
    switch (how) {
        case rung::automatic: break;
        case rung::clone3:
            return what.new_pid_namespace ? be_born_in_namespace(plan, options, true, leader)
                                          : table.clone3(plan, options);
        case rung::clone:
            return what.new_pid_namespace ? be_born_in_namespace(plan, options, false, leader)
                                          : table.clone(plan, options);
        case rung::posix_spawn:
            if (suits_posix_spawn(what)) return table.posix_spawn(plan, options);
            break;
        case rung::fork:
            return what.new_pid_namespace ? be_born_in_namespace(plan, options, false, leader)
                                          : table.fork(plan, options);
    }
    return unable;
}

birth climb(const spawn_request& what, child_plan& plan, rung& how, posix::fd& leader) {
    if (how != rung::automatic) return be_born(what, plan, how, leader);
    how = first_worth_trying.load(std::memory_order_relaxed);
    // A cgroup or a namespace may be what was refused: that says nothing about the next request.
    const bool tells = what.cgroup < 0 && !what.new_pid_namespace;
    for (;;) {
        const birth made = be_born(what, plan, how, leader);
        if (how == rung::fork || !is_refusal(made)) return made;
        const bool suited = how != rung::posix_spawn || suits_posix_spawn(what);
        how = static_cast<rung>(static_cast<unsigned char>(how) + 1);
        if (tells && suited) first_worth_trying.store(how, std::memory_order_relaxed);
    }
}

// Ends and reaps what was made in vain; only this child, and only while it is ours.
void bury(const spawned& child) noexcept {
    if (child.pidfd) {
        if (child.leader) posix::send_signal(child.pidfd.get(), SIGKILL);
        posix::wait_for_end(child.pidfd.get());
    } else if (child.pid > 0) {
        siginfo_t info{};
        posix::sys().kill(child.pid, SIGKILL);
        posix::retry_interrupted([&] { return posix::sys().waitid(P_PID, child.pid, &info, WEXITED, nullptr); });
    }
}

// A pidfd for a child that was born without one, by posix_spawn or in an emulator. If somebody who waits for every child
// was quicker, the number may be anybody's; then a descriptor that is always readable stands for a child that has ended
// and whose status nobody can tell.
result<posix::fd> open_late(pid_t pid) {
    auto opened = posix::open_pidfd(pid);
    if (!opened && opened.error().code.value() != ESRCH) return opened;
    siginfo_t info{};
    constexpr int only_look = WEXITED | WNOHANG | WNOWAIT;
    if (opened && posix::sys().waitid(P_PIDFD, opened->get(), &info, only_look, nullptr) == 0) return opened;
    posix::fd ended(posix::sys().eventfd(1, EFD_CLOEXEC));
    if (!ended) return os_failure(errno, stage::descriptors, "eventfd");
    return ended;
}

struct explanation {
    stage at;
    std::string context;
};

std::string_view file_name(const char* path) noexcept {
    const std::string_view all(path);
    return all.substr(all.rfind('/') + 1);
}

// Says what an execve error was about. ENOENT is also the answer for a program whose interpreter is missing.
explanation explain_execute(const spawn_request& what, const start_record& told) {
    switch (told.error) {
        case EAGAIN:
        case ENOMEM:
        case EMFILE:
        case ENFILE: return {stage::process, what.candidates[told.index]};
        case ENOENT:
        case ENOTDIR:
        case ELOOP:
        case ELIBBAD:
            for (const char* const* one = what.candidates; *one != nullptr; ++one) {
                if (posix::sys().access_at(AT_FDCWD, *one, F_OK, 0) == 0) return {stage::interpreter, *one};
            }
            break;
        default: return {stage::program, what.candidates[told.index]};
    }
    if (what.candidates[0] == nullptr) return {stage::program, what.argv[0]};
    const bool searched = what.candidates[1] != nullptr;
    return {stage::program, std::string(searched ? file_name(what.candidates[0]) : what.candidates[0])};
}

std::string name_of_limit(int resource) {
    static constexpr const char* names[] = {"CPU",      "FSIZE",  "DATA",    "STACK", "CORE",  "RSS",
                                            "NPROC",    "NOFILE", "MEMLOCK", "AS",    "LOCKS", "SIGPENDING",
                                            "MSGQUEUE", "NICE",   "RTPRIO",  "RTTIME"};
    static_assert(RLIMIT_NOFILE == 7 && RLIMIT_RTTIME == 15, "in the order of the kernel's numbers");
    if (resource < 0 || resource >= static_cast<int>(std::size(names))) return "limit " + std::to_string(resource);
    return std::string("RLIMIT_") + names[resource];
}

explanation explain(const spawn_request& what, const start_record& told) {
    static constexpr const char* streams[] = {"standard input", "standard output", "standard error"};
    switch (told.at) {
        case step::none: break;
        case step::session: return {stage::containment, "session"};
        case step::cgroup: return {stage::containment, "cgroup"};
        case step::null_device: return {stage::descriptors, "/dev/null"};
        case step::arrange: return {stage::descriptors, streams[told.index]};
        case step::terminal: return {stage::descriptors, "controlling terminal"};
        case step::limit: return {stage::limits, name_of_limit(what.limits[told.index].resource)};
        case step::groups: return {stage::credentials, "supplementary groups"};
        case step::gid: return {stage::credentials, "gid " + std::to_string(*what.gid)};
        case step::uid: return {stage::credentials, "uid " + std::to_string(*what.uid)};
        case step::directory: return {stage::cwd, {}};
        case step::privileges: return {stage::credentials, "no_new_privs"};
        case step::parent_death: return {stage::process, "parent-death signal"};
        case step::orphaned: return {stage::process, "the starting process has ended"};
        case step::execute: return explain_execute(what, told);
        case step::birth: return {stage::process, "leader of the pid namespace"};
    }
    return {stage::process, {}};
}

failure why_not_made(const spawn_request& what, const birth& made, rung forced) {
    static constexpr const char* names[] = {"automatic", "clone3", "clone", "posix_spawn", "fork"};
    if (made.lacks != nullptr) return os_failure(made.error, stage::descriptors, made.lacks);
    if (what.new_pid_namespace && made.error == EPERM) return os_failure(EPERM, stage::containment, "pid namespace");
    if (forced != rung::automatic && is_refusal(made)) {
        return fail(errc::unsupported, names[static_cast<unsigned char>(forced)]);
    }
    if (what.cgroup >= 0 && made.error != EAGAIN && made.error != ENOMEM && made.error != EMFILE) {
        return os_failure(made.error, stage::containment, "cgroup");
    }
    const bool shortage = made.error == EMFILE || made.error == ENFILE;
    return os_failure(made.error, shortage ? stage::descriptors : stage::process, "clone");
}

}  // namespace

const rungs& rungs_in_use() noexcept { return *active.load(std::memory_order_acquire); }

replaced_rungs::replaced_rungs(const rungs& others) noexcept : before_(active.exchange(&others)) {
    forget_what_was_learned();
}
replaced_rungs::~replaced_rungs() {
    active.store(before_);
    forget_what_was_learned();
}

result<spawned> spawn(const spawn_request& what, rung forced) {
    if (what.controlling_terminal && (!what.new_session || what.in < 0)) {
        return fail(errc::invalid_argument, "a controlling terminal needs a session and an input");
    }
    if (what.new_pid_namespace && !what.new_session) {
        return fail(errc::invalid_argument, "a pid namespace needs a session of its own");
    }
    prepared request(what);
    rung used = forced;
    birth made;
    spawned child;
    {
        const birth_in_progress newborn;
        const not_cancelled steady;
        const posix::signals_blocked quiet;
        if (what.inherit_mask) request.plan.mask = word(quiet.before());
        made = climb(what, request.plan, used, child.leader);
    }
    child.pid = made.pid;
    child.pidfd = posix::fd(made.pidfd);
    child.used = used;
    if (made.told.at != step::none) {
        bury(child);
        auto [at, context] = explain(what, made.told);
        return os_failure(made.told.error, at, std::move(context));
    }
    if (made.pid < 0) return why_not_made(what, made, forced);
    if (!child.pidfd) {
        auto opened = open_late(made.pid);
        if (!opened) {
            bury(child);
            return std::move(opened).error();
        }
        child.pidfd = std::move(*opened);
    }
    return child;
}

}  // namespace exec::inline v0::process
