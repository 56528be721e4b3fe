// Pipes: close-on-exec from birth, both ends numbered 3 or higher, never blocking on our side.
//
// A pipe and not a socket pair, because a child may open /dev/stdin or /proc/self/fd/0 again, which a socket refuses.
#pragma once

#include <cstddef>

#include "posix/fd.h"

namespace exec::inline v0::posix {

struct pipe_ends {
    fd read{};
    fd write{};
};

// Which end stays with us and is therefore made non-blocking. The other end goes to a child, whose programs take EAGAIN
// for a failure.
enum class our_end : unsigned char { none, read, write };

// `capacity` in bytes is best effort (0 = the kernel's 64 KiB): an unprivileged user is refused beyond a quota of pages,
// and a pipe that stays small still works.
// Fails with: EMFILE, ENFILE, at stage::descriptors; nothing is left open then.
result<pipe_ends> make_pipe(our_end ours, std::size_t capacity = 0);

}  // namespace exec::inline v0::posix
