// socket_pair: two connected stream sockets of this process, one of which is given away as the way to a server.
// Threads: any.
#pragma once

#include "exec/result.h"

#include "posix/fd.h"

namespace exec::inline v0::ssh {

// Close-on-exec, non-blocking.
struct socket_pair {
    posix::fd ours{};
    posix::fd theirs{};
};
// Fails with: what the kernel says, at stage::connect.
result<socket_pair> make_socket_pair();

}  // namespace exec::inline v0::ssh
