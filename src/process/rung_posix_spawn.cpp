// The third rung: posix_spawn, for plain requests where a filter allows libc what it refuses us.
//
// libc does not say which of its steps failed, and ENOENT may be any of three. So everything that can fail apart from
// the exec is tried here before: /dev/null is opened, sources are moved out of the way, the directory is asked. The
// pidfd can only be opened afterwards. One is opened for this process first, so that what refuses it refuses it before
// anything runs; and a host whose children vanish when they end (SIGCHLD ignored) is sent to the next rung, because there
// the number may be another's by then.
#include <fcntl.h>
#include <spawn.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "posix/syscalls.h"
#include "process/rung.h"

namespace exec::inline v0::process {
namespace {

birth refused(int error, const char* lacks = nullptr) {
    birth made;
    made.error = error;
    made.lacks = lacks;
    return made;
}

birth told(step at, int error, std::uint32_t index) {
    birth made;
    made.told = {at, index, error};
    return made;
}

class recipe {
   public:
    recipe() noexcept {
        ::posix_spawn_file_actions_init(&actions_);
        ::posix_spawnattr_init(&attributes_);
    }
    ~recipe() {
        ::posix_spawn_file_actions_destroy(&actions_);
        ::posix_spawnattr_destroy(&attributes_);
    }
    recipe(const recipe&) = delete;
    recipe& operator=(const recipe&) = delete;

    // 0 or an errno value: only memory can be missing.
    int write(const child_plan& plan, const int (&source)[3]) noexcept {
        sigset_t mask;
        sigset_t defaults;
        sigemptyset(&mask);
        sigemptyset(&defaults);
        for (int number = 1; number <= 64; ++number) {
            const std::uint64_t bit = std::uint64_t{1} << (number - 1);
            if ((plan.mask & bit) != 0) sigaddset(&mask, number);
            if ((plan.to_default & bit) != 0) sigaddset(&defaults, number);
        }
        const int flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | (plan.session ? POSIX_SPAWN_SETSID : 0) |
                          (plan.group ? POSIX_SPAWN_SETPGROUP : 0);
        int error = ::posix_spawnattr_setflags(&attributes_, static_cast<short>(flags));
        if (error == 0) error = ::posix_spawnattr_setsigmask(&attributes_, &mask);
        if (error == 0) error = ::posix_spawnattr_setsigdefault(&attributes_, &defaults);
        for (int i = 0; i < 3 && error == 0; ++i) error = ::posix_spawn_file_actions_adddup2(&actions_, source[i], i);
        if (error == 0 && plan.cwd >= 0) error = ::posix_spawn_file_actions_addfchdir_np(&actions_, plan.cwd);
        if (error == 0) error = ::posix_spawn_file_actions_addclosefrom_np(&actions_, 3);
        return error;
    }

    int run(const char* path, const child_plan& plan, pid_t& pid) const noexcept {
        return ::posix_spawn(&pid, path, &actions_, &attributes_, plan.argv, plan.envp);
    }

   private:
    posix_spawn_file_actions_t actions_;
    posix_spawnattr_t attributes_;
};

bool children_vanish() noexcept {
    struct sigaction now {};
    if (posix::sys().disposition(SIGCHLD, &now) != 0) return true;
    return (now.sa_flags & SA_NOCLDWAIT) != 0 || ((now.sa_flags & SA_SIGINFO) == 0 && now.sa_handler == SIG_IGN);
}

bool goes_on(int error) noexcept {
    return error == ENOENT || error == ENOTDIR || error == EACCES || error == ENODEV || error == ESTALE ||
           error == ETIMEDOUT;
}

}  // namespace

birth be_born_by_posix_spawn(child_plan& plan, const birth_options&) {
    if (children_vanish()) return refused(ENOSYS);
    // Declared first, so that they outlive the child's birth.
    posix::fd null_device;
    posix::fd moved[3];
    int source[3];
    for (std::uint32_t i = 0; i < 3; ++i) {
        source[i] = plan.source[i];
        if (source[i] < 0) {
            if (!null_device) null_device.reset(posix::sys().open_at(AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC, 0));
            if (!null_device) return told(step::null_device, errno, i);
            source[i] = null_device.get();
        }
        if (source[i] < 3 && source[i] != static_cast<int>(i)) {
            moved[i].reset(posix::sys().fcntl(source[i], F_DUPFD_CLOEXEC, 3));
            if (!moved[i]) return told(step::arrange, errno, i);
            source[i] = moved[i].get();
        }
    }
    if (plan.cwd >= 0 && posix::sys().access_at(plan.cwd, ".", X_OK, AT_EACCESS) != 0) {
        return told(step::directory, errno, 0);
    }
    recipe steps;
    if (const int error = steps.write(plan, source); error != 0) return refused(error, "memory");
    posix::fd reserved(posix::sys().pidfd_open(::getpid(), 0));
    if (!reserved) return refused(errno, errno == EMFILE || errno == ENFILE ? "pidfd" : nullptr);

    birth made;
    std::uint32_t reported = 0;
    int error = ENOENT;
    for (std::uint32_t i = 0; plan.candidates[i] != nullptr; ++i) {
        const int why = steps.run(plan.candidates[i], plan, made.pid);
        if (why == 0) {
            reserved.reset();
            made.pidfd = posix::sys().pidfd_open(made.pid, 0);
            return made;
        }
        made.pid = -1;
        if (why == ENOSYS || why == EPERM) {
            // A filter may have refused libc's clone; the next rung will tell, or meet the same at its exec.
            return refused(why);
        }
        if (!goes_on(why)) return told(step::execute, why, i);
        if (error != EACCES) {
            error = why;
            reported = i;
        }
    }
    return told(step::execute, error, reported);
}

}  // namespace exec::inline v0::process
