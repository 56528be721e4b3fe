// The one table of system calls.
//
// Every call that the library makes in its own process goes through it, so that a test can make any of them fail, at
// any time, with any errno. Entries follow the convention of libc: -1 and errno, or the result. What runs in a child
// between its birth and its exec does not use it (process/raw_syscall.h).
// Threads: sys() is safe on any thread; replacing the table is for tests, which do it while nothing else runs.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

#include <cerrno>
#include <cstddef>

#include "exec/export.h"

namespace exec::inline v0::posix {

struct syscalls {
    // Descriptors
    int (*open_at)(int directory, const char* path, int flags, unsigned mode);
    int (*open_beneath)(int directory, const char* path, int flags);  // openat2 with RESOLVE_BENEATH | NO_MAGICLINKS
    int (*close)(int descriptor);
    ssize_t (*read)(int descriptor, void* into, std::size_t size);
    ssize_t (*write)(int descriptor, const void* from, std::size_t size);
    ssize_t (*read_vector)(int descriptor, const iovec* parts, int count, int flags);   // preadv2 at the file's offset
    ssize_t (*write_vector)(int descriptor, const iovec* parts, int count, int flags);  // pwritev2, the same
    ssize_t (*splice)(int from, int to, std::size_t size, unsigned flags);
    int (*pipe2)(int ends[2], int flags);
    int (*dup3)(int from, int to, int flags);
    int (*fcntl)(int descriptor, int command, long argument);
    int (*ioctl)(int descriptor, unsigned long request, void* argument);
    int (*access_at)(int directory, const char* path, int mode, int flags);
    ssize_t (*read_link_at)(int directory, const char* path, char* into, std::size_t size);
    int (*make_node_at)(int directory, const char* path, unsigned mode, dev_t device);
    int (*unlink_at)(int directory, const char* path, int flags);
    int (*make_directory_at)(int directory, const char* path, unsigned mode);
    int (*rename_at)(int from_directory, const char* from, int to_directory, const char* to);
    int (*status)(int descriptor, struct stat* into);  // fstat
    int (*status_at)(int directory, const char* path, struct stat* into, int flags);
    int (*sync)(int descriptor);       // fsync
    int (*sync_data)(int descriptor);  // fdatasync

    // Sockets
    int (*socket)(int family, int type, int protocol);
    int (*socket_pair)(int family, int type, int protocol, int ends[2]);
    int (*connect)(int descriptor, const sockaddr* to, socklen_t size);
    int (*own_name)(int descriptor, sockaddr* into, socklen_t* size);   // getsockname
    int (*peer_name)(int descriptor, sockaddr* into, socklen_t* size);  // getpeername
    int (*get_option)(int descriptor, int level, int name, void* into, socklen_t* size);
    int (*set_option)(int descriptor, int level, int name, const void* value, socklen_t size);
    ssize_t (*send)(int descriptor, const void* from, std::size_t size, int flags);

    // Children
    int (*waitid)(int kind, int id, siginfo_t* info, int options,
                  rusage* used);  // the raw call: it has a fifth argument
    int (*pidfd_open)(pid_t pid, unsigned flags);
    int (*pidfd_send_signal)(int pidfd, int signal, siginfo_t* info, unsigned flags);
    int (*kill)(pid_t pid, int signal);

    // Waiting
    int (*epoll_create)(int flags);
    int (*epoll_ctl)(int epoll, int operation, int descriptor, epoll_event* event);
    int (*epoll_wait)(int epoll, epoll_event* events, int count, int timeout_ms);
    int (*timerfd_create)(int clock, int flags);
    int (*timerfd_settime)(int timer, int flags, const itimerspec* when, itimerspec* before);
    int (*eventfd)(unsigned count, int flags);
    int (*ppoll)(pollfd* descriptors, std::size_t count, const timespec* timeout, const sigset_t* mask);

    // Signals of this thread; thread_mask follows pthread_sigmask, but answers -1 and errno
    int (*thread_mask)(int how, const sigset_t* set, sigset_t* before);
    int (*pending_signals)(sigset_t* set);
    int (*take_signal)(const sigset_t* set, siginfo_t* info, const timespec* timeout);
    int (*disposition)(int signal, struct sigaction* now);  // looks only; nothing here can change one

    // Memory and chance
    void* (*map)(std::size_t size, int protection, int flags);
    int (*unmap)(void* at, std::size_t size);
    ssize_t (*random)(void* into, std::size_t size, unsigned flags);
};

// The table in use.
EXEC_API const syscalls& sys() noexcept;
// The kernel's own, to copy and change.
const syscalls& kernel_syscalls() noexcept;

// Puts `table` in use for as long as it lives; for tests.
class replaced_syscalls {
   public:
    explicit replaced_syscalls(const syscalls& table) noexcept;
    ~replaced_syscalls();
    replaced_syscalls(const replaced_syscalls&) = delete;
    replaced_syscalls& operator=(const replaced_syscalls&) = delete;

   private:
    const syscalls* before_;
};

// Repeats `call` while it is interrupted. Never for close, whose descriptor is gone even then.
template <class Call>
auto retry_interrupted(Call&& call) {
    for (;;) {
        const auto answer = call();
        if (answer != -1 || errno != EINTR) return answer;
    }
}

}  // namespace exec::inline v0::posix
