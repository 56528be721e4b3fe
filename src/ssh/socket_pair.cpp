#include "ssh/socket_pair.h"

#include <cerrno>
#include <utility>

#include "posix/syscalls.h"

#include <sys/socket.h>

namespace exec::inline v0::ssh {

result<socket_pair> make_socket_pair() {
    int ends[2];
    if (posix::sys().socket_pair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
        return os_failure(errno, stage::connect, "socketpair");
    }
    posix::fd second(ends[1]);
    auto ours = posix::above_stdio(posix::fd(ends[0]));
    if (!ours) return std::move(ours).error();
    auto theirs = posix::above_stdio(std::move(second));
    if (!theirs) return std::move(theirs).error();
    return socket_pair{*std::move(ours), *std::move(theirs)};
}

}  // namespace exec::inline v0::ssh
