// unreaped: children that were killed and did not go (uninterruptible sleep), and the namespaces' inits that were left behind.
//
// Each answer to its caller is bounded, so somebody has to reap them later: whoever starts or gives up a child next.
// Bounded; beyond it the oldest becomes a zombie for good, which costs a pid and nothing else.
// Threads: any.
#pragma once

#include "posix/fd.h"

namespace exec::inline v0::process {

void leave_unreaped(posix::fd pidfd) noexcept;
// Reaps those that have gone meanwhile. One atomic load where there are none.
void reap_unreaped() noexcept;

}  // namespace exec::inline v0::process
