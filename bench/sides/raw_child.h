// raw_child: the system calls that a run cannot do without, and nothing around them.
//
// Two amounts of them. bare: pipes, clone3, dup, exec, read, wait; what a program can get away with. contract: also what
// a library owes its host: signals blocked meanwhile, a session of its own, /dev/null as input, no other descriptor,
// the group looked at and ended.
#pragma once

#include <sys/types.h>

#include "sides/side.h"

namespace bench {

enum class amount { bare, contract };

struct raw_child {
    int out = -1;
    int err = -1;
    int pidfd = -1;
    pid_t pid = -1;
};

// Starts `what`; ends the program where that fails. clone3 with VM, VFORK and PIDFD: no page table is copied.
raw_child start_raw(words what, amount of_calls);
// Waits for it, when both streams have ended, and closes what is open. Whether it was there to be waited for.
bool end_raw(const raw_child& child, amount of_calls);

}  // namespace bench
