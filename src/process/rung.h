// The four ways to make a process, behind one signature.
//
// Each takes a finished plan, makes a child run it, and returns when the child has executed or has told why not. None of
// them decides anything about the request; that is spawn.cpp's.
#pragma once

#include <sys/types.h>

#include "process/child_code.h"

namespace exec::inline v0::process {

struct birth {
    pid_t pid = -1;               // a process was made
    int pidfd = -1;               // of it
    int error = 0;                // none was made, and this is the errno; ENOSYS: this rung is not available here
    const char* lacks = nullptr;  // what could not be had before; nullptr: it was the birth itself that failed
    start_record told{};          // one was made, and this is what it said
};

struct birth_options {
    int cgroup = -1;               // to be born in, for rungs that can; else the child enters it by a write
    bool separate_memory = false;  // the child may not share the host's memory, not even for microseconds
};

using rung_function = birth (*)(child_plan& plan, const birth_options& options);

struct rungs {
    rung_function clone3;
    rung_function clone;
    rung_function posix_spawn;
    rung_function fork;
};

birth be_born_by_clone3(child_plan& plan, const birth_options& options);
birth be_born_by_clone(child_plan& plan, const birth_options& options);
birth be_born_by_posix_spawn(child_plan& plan, const birth_options& options);
birth be_born_by_fork(child_plan& plan, const birth_options& options);

// The rungs in use, and others in their place for as long as it lives; for tests. What was learned (refused rungs, ignored
// real-time signals) is forgotten when it begins and when it ends.
const rungs& rungs_in_use() noexcept;
class replaced_rungs {
   public:
    explicit replaced_rungs(const rungs& others) noexcept;
    ~replaced_rungs();
    replaced_rungs(const replaced_rungs&) = delete;
    replaced_rungs& operator=(const replaced_rungs&) = delete;

   private:
    const rungs* before_;
};

}  // namespace exec::inline v0::process
