#include "posix/syscalls.h"

#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <linux/openat2.h>

#include <atomic>

namespace exec::inline v0::posix {
namespace {

constexpr syscalls kernel{
    .open_at = [](int directory, const char* path, int flags,
                  unsigned mode) { return ::openat(directory, path, flags, mode); },
    .open_beneath =
        [](int directory, const char* path, int flags) {
            open_how how{};
            how.flags = static_cast<unsigned>(flags);
            how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
            return static_cast<int>(::syscall(SYS_openat2, directory, path, &how, sizeof how));
        },
    .close = ::close,
    .read = ::read,
    .write = ::write,
    .read_vector = [](int descriptor, const iovec* parts, int count,
                      int flags) { return ::preadv2(descriptor, parts, count, -1, flags); },
    .write_vector = [](int descriptor, const iovec* parts, int count,
                       int flags) { return ::pwritev2(descriptor, parts, count, -1, flags); },
    .splice = [](int from, int to, std::size_t size,
                 unsigned flags) { return ::splice(from, nullptr, to, nullptr, size, flags); },
    .pipe2 = ::pipe2,
    .dup3 = ::dup3,
    .fcntl = [](int descriptor, int command, long argument) { return ::fcntl(descriptor, command, argument); },
    .ioctl = [](int descriptor, unsigned long request,
                void* argument) { return ::ioctl(descriptor, request, argument); },
    .access_at = ::faccessat,
    .read_link_at = ::readlinkat,
    .make_node_at = ::mknodat,
    .unlink_at = ::unlinkat,
    .make_directory_at = ::mkdirat,
    .rename_at = ::renameat,
    .status = ::fstat,
    .status_at = ::fstatat,
    .sync = ::fsync,
    .sync_data = ::fdatasync,

    .socket = ::socket,
    .socket_pair = ::socketpair,
    .connect = [](int descriptor, const sockaddr* to, socklen_t size) { return ::connect(descriptor, to, size); },
    .own_name = [](int descriptor, sockaddr* into, socklen_t* size) { return ::getsockname(descriptor, into, size); },
    .peer_name = [](int descriptor, sockaddr* into, socklen_t* size) { return ::getpeername(descriptor, into, size); },
    .get_option = ::getsockopt,
    .set_option = ::setsockopt,
    .send = ::send,

    .waitid = [](int kind, int id, siginfo_t* info, int options,
                 rusage* used) { return static_cast<int>(::syscall(SYS_waitid, kind, id, info, options, used)); },
    .pidfd_open = [](pid_t pid, unsigned flags) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, flags)); },
    .pidfd_send_signal =
        [](int pidfd, int signal, siginfo_t* info, unsigned flags) {
            return static_cast<int>(::syscall(SYS_pidfd_send_signal, pidfd, signal, info, flags));
        },
    .kill = ::kill,

    .epoll_create = ::epoll_create1,
    .epoll_ctl = ::epoll_ctl,
    .epoll_wait = ::epoll_wait,
    .timerfd_create = ::timerfd_create,
    .timerfd_settime = ::timerfd_settime,
    .eventfd = ::eventfd,
    .ppoll = [](pollfd* descriptors, std::size_t count, const timespec* timeout,
                const sigset_t* mask) { return ::ppoll(descriptors, count, timeout, mask); },

    .thread_mask =
        [](int how, const sigset_t* set, sigset_t* before) {
            const int error = ::pthread_sigmask(how, set, before);
            if (error == 0) return 0;
            errno = error;
            return -1;
        },
    .pending_signals = ::sigpending,
    .take_signal = ::sigtimedwait,
    .disposition = [](int signal, struct sigaction* now) { return ::sigaction(signal, nullptr, now); },

    .map = [](std::size_t size, int protection, int flags) { return ::mmap(nullptr, size, protection, flags, -1, 0); },
    .unmap = ::munmap,
    .random = ::getrandom,
};

constinit std::atomic<const syscalls*> active{&kernel};

}  // namespace

const syscalls& sys() noexcept { return *active.load(std::memory_order_acquire); }
const syscalls& kernel_syscalls() noexcept { return kernel; }

replaced_syscalls::replaced_syscalls(const syscalls& table) noexcept
    : before_(active.exchange(&table, std::memory_order_acq_rel)) {}
replaced_syscalls::~replaced_syscalls() { active.store(before_, std::memory_order_release); }

}  // namespace exec::inline v0::posix
