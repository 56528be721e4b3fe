// Starting one process: the only place where a child of this library is born.
//
// spawn() blocks until the child has executed its program, or has told why it could not: a failure means that nothing
// of the program ran. Everything the child needs is prepared by the caller; between its birth and its exec the child
// makes system calls only, in one straight line (child_code.h). How it is born is a ladder of four rungs, from the one
// that shares the most to the one that demands the least; the first that the kernel allows is remembered.
// Threads: any thread, several at once, no lock. All signals are blocked in the calling thread meanwhile.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <span>

#include "exec/result.h"
#include "posix/fd.h"
#include "posix/pidfd.h"

namespace exec::inline v0::process {

enum class rung : unsigned char {
    automatic,    // the first that works
    clone3,       // asm; memory shared until exec, errors come back through it; pidfd and handlers reset at birth
    clone,        // glibc's clone(); memory shared until exec, errors come back through a pipe
    posix_spawn,  // plain requests only: see plain() in rung.h
    fork,         // copies the page tables: for everything, everywhere, slowly where the host is large
};

struct limit_setting {
    int resource = 0;  // RLIMIT_…
    std::uint64_t soft = 0;
    std::uint64_t hard = 0;  // RLIM_INFINITY = unlimited, for both
};

// What to start. Everything is borrowed for the length of the call.
struct spawn_request {
    // Paths to execute, in order, ended by nullptr (resolve.h makes the list). ENOENT, ENOTDIR, EACCES, ENODEV, ESTALE
    // and ETIMEDOUT go on to the next; an EACCES met on the way is what is reported in the end.
    const char* const* candidates = nullptr;
    char* const* argv = nullptr;  // ended by nullptr, like envp
    char* const* envp = nullptr;

    // Become 0, 1 and 2. -1 = /dev/null. Equal numbers share one open file. Any of them may be 0, 1 or 2.
    int in = -1;
    int out = -1;
    int err = -1;

    int cwd = -1;                       // a directory (O_PATH will do), entered as the new user; -1 = the host's
    bool new_session = true;            // leads a session and a process group of its own
    bool new_group = false;             // without new_session: at least a process group of its own
    bool controlling_terminal = false;  // `in` becomes the session's terminal; needs new_session

    std::optional<mode_t> umask{};
    std::span<const limit_setting> limits{};

    // Set in the order groups, gid, uid, then read back. A uid or gid without groups means no supplementary group.
    std::optional<uid_t> uid{};
    std::optional<gid_t> gid{};
    std::optional<std::span<const gid_t>> groups{};

    bool no_new_privs = false;
    // Sent by the kernel when the *thread* that called spawn() ends, not the process; 0 = none. A program that gains
    // privileges by its exec loses it.
    int parent_death_signal = 0;

    int cgroup = -1;                 // a directory of cgroup v2 to be born in
    bool new_pid_namespace = false;  // see namespace_init.h; needs CAP_SYS_ADMIN and new_session

    bool inherit_mask = false;          // else empty
    bool inherit_dispositions = false;  // what the host ignores stays ignored; else everything is default
};

struct spawned {
    pid_t pid = -1;     // of the child; with a pid namespace, of its init
    posix::fd pidfd{};  // of the same process
    rung used = rung::automatic;
    posix::fd leader{};  // pid namespace only: how the leader ends is read from here (namespace_init.h), non-blocking
};

// Blocks until the child has executed; without bound where the program lies on a dead mount.
// `forced` other than automatic tries that rung alone.
// Fails with: os_failure(errno, stage, what it was about), errc::unsupported for a forced rung that cannot do what was
// asked or is not allowed here, errc::invalid_argument for a request that contradicts itself.
// EAGAIN (the process limit) is answered at once: a caller that may wait has a clock, and the thread may be a loop's.
result<spawned> spawn(const spawn_request& what, rung forced = rung::automatic);

}  // namespace exec::inline v0::process
