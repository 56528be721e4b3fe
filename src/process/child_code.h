// What a child does between its birth and its exec.
//
// One straight line of system calls, in an order that matters: descriptors before the limits that would forbid them,
// limits before the credentials that would forbid them, the directory as the new user, the parent-death signal after
// the credentials that would clear it, the empty mask last. No allocation, no libc, no return.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>

#include "process/spawn.h"

namespace exec::inline v0::process {

// Where a child failed. `index` of the record says which one, where there are several.
enum class step : std::uint8_t {
    none,          // it did not, or not yet
    session,       // setsid, setpgid
    cgroup,        // cgroup.procs
    null_device,   // /dev/null
    arrange,       // dup3; index = the standard stream
    terminal,      // TIOCSCTTY
    limit,         // prlimit64; index = the setting
    groups,        // setgroups, or it did not read back
    gid,           // setresgid, or it did not read back
    uid,           // setresuid, or it did not read back
    directory,     // fchdir
    privileges,    // PR_SET_NO_NEW_PRIVS
    parent_death,  // PR_SET_PDEATHSIG
    orphaned,      // the host has gone in the meantime
    execute,       // execve; index = the candidate
    birth,         // pid namespace: the init could not make the leader, or was killed first
};

struct start_record {
    step at = step::none;
    std::uint32_t index = 0;
    std::int32_t error = 0;
};

// A request, flattened: plain words that code without instrumentation can read.
struct child_plan {
    const char* const* candidates;
    char* const* argv;
    char* const* envp;

    int source[3];
    bool session;
    bool group;
    bool terminal;
    int cgroup;  // to enter by a write; -1 = none, or born in it
    int cwd;

    bool set_umask;
    mode_t umask;
    const limit_setting* limits;
    std::size_t limit_count;

    bool set_groups;
    const gid_t* groups;
    std::size_t group_count;
    gid_t* groups_read;  // room for group_count + 1
    bool set_gid;
    gid_t gid;
    bool set_uid;
    uid_t uid;

    bool no_new_privs;
    int parent_death_signal;
    pid_t parent;  // whose death is meant

    std::uint64_t to_default;  // the signals whose disposition is reset: bit n-1 is signal n
    std::uint64_t mask;        // what the program starts with

    start_record* record;  // in memory shared with the parent, or nullptr
    int error_pipe;        // where a failure is written instead, or -1
};

// For children that do not execute: process 1 of a namespace.
void reset_dispositions(std::uint64_t signals) noexcept;
// Closes every descriptor from `first` on except `kept`, where -1 stands for none.
void close_all_but(const int* kept, std::uint32_t count, int first) noexcept;

// Runs in the child. Ends in the program or, after a failure was told, in _exit.
[[noreturn]] void run_child(const child_plan& plan) noexcept;

}  // namespace exec::inline v0::process
