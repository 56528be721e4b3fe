// blocking_run: one command from start to end in the calling thread, waiting with poll(2).
#pragma once

#include <stop_token>

#include "exec/command.h"
#include "exec/limits.h"
#include "exec/observer.h"
#include "exec/outcome.h"
#include "exec/result.h"

#include "process/launch.h"

namespace exec::inline v0::process {

// REQUIRES: checked (capabilities.h).
result<outcome> blocking_run(command what, limits within, const local_setup& setup, observer* tell,
                             std::stop_token stop);

}  // namespace exec::inline v0::process
