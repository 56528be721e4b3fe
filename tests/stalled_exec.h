// A thread whose children stall in execve, for as long as somebody else wants: as on a dead mount, but to order.
//
// The kernel holds such a call (seccomp user notification) until the other side answers. It cannot be undone in that
// thread, so the thread is made for it.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace test {

// The other side.
class held_execs {
   public:
    held_execs() = default;
    ~held_execs() {
        if (listener_ >= 0) ::close(listener_);  // whatever is still held fails then
    }
    held_execs(const held_execs&) = delete;
    held_execs& operator=(const held_execs&) = delete;

    // In the thread whose children are to stall. False where the kernel does not offer it.
    bool hold_this_thread() {
        sock_filter steps[] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(SYS_execve), 0, 1),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        const sock_fprog filter{4, steps};
        if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return false;
        listener_ = static_cast<int>(
            ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &filter));
        return listener_ >= 0;
    }

    // Waits until a child is held, and returns its pid; 0 if none came.
    int wait_for_one(int timeout_ms = 20'000) {
        pollfd come{listener_, POLLIN, 0};
        if (::poll(&come, 1, timeout_ms) != 1) return 0;
        held_ = {};
        if (::ioctl(listener_, SECCOMP_IOCTL_NOTIF_RECV, &held_) != 0) return 0;
        return static_cast<int>(held_.pid);
    }
    // Lets the one that wait_for_one() returned go on with its call.
    bool release() {
        seccomp_notif_resp answer{};
        answer.id = held_.id;
        answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
        return ::ioctl(listener_, SECCOMP_IOCTL_NOTIF_SEND, &answer) == 0;
    }

   private:
    int listener_ = -1;
    seccomp_notif held_{};
};

}  // namespace test
