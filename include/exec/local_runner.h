// Runs commands on this host.
//
// Every child gets its own session, descriptors 0, 1 and 2 and nothing else, default signal dispositions, an empty mask
// and a clean environment, unless local_options says otherwise. The host keeps its signal handlers, its SIGCHLD and its
// waitpid: children are watched by pidfd and waited for by name. No thread is started.
// Threads: run() works in the thread that calls it and needs no loop; start() works on the loop.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "exec/capabilities.h"
#include "exec/command.h"
#include "exec/executor.h"
#include "exec/export.h"
#include "exec/limits.h"
#include "exec/loop.h"
#include "exec/observer.h"
#include "exec/outcome.h"
#include "exec/result.h"
#include "exec/runner.h"

namespace exec::inline v0 {

// Whom the child runs as. Set by raw system calls in the order groups, gid, uid, each checked and read back; what is not
// permitted is a start failure, never a run as the host.
struct identity {
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
    std::vector<std::uint32_t> groups{};  // supplementary; empty = none, not the host's
};

// One resource limit of the child, as setrlimit(2) knows it.
struct resource_limit {
    int resource = 0;  // RLIMIT_NOFILE, RLIMIT_CORE, ...
    std::uint64_t soft = 0;
    std::uint64_t hard = 0;
};

// How a child is made. Each kind can do everything, except posix_spawn: no cwd, credentials, limits, umask, cgroup or namespace.
enum class spawn_kind : std::uint8_t {
    automatic,  // the first of the following that this kernel and its filters allow, found once and remembered
    clone3,     // shares memory until exec: no page tables are copied, however large the host
    clone,      // the same through glibc
    posix_spawn,
    fork,  // copies page tables; works everywhere
};

struct local_options {
    // Behaviour.
    std::optional<environment> base{};  // instead of PATH HOME USER LANG taken from the host
    std::string cwd{};                  // where commands without one run; "" = the host's
    std::string cwd_root{};             // commands' directories must lie beneath it, symlinks resolved; "" = anywhere
    std::optional<identity> as{};       // "" = the host's
    std::optional<std::uint32_t> umask{};
    std::vector<resource_limit> resources{};
    bool no_new_privs = false;     // set-uid programs get no privilege
    bool inherit_signals = false;  // keep the host's ignored signals and the calling thread's mask (nohup-like use)
    // A directory of a cgroup v2 in which containment::cgroup makes one cgroup a command; "" = not offered. own_cgroup()
    // finds the host's own.
    std::string cgroup{};
    bool pid_namespace = false;  // offer containment::pid_namespace (needs CAP_SYS_ADMIN)
    // The kernel ends a child when the *thread* that spawned it ends (PR_SET_PDEATHSIG). Blocking runs use it always, since
    // their thread outlives the child. Set this when the thread that drives the loop (or the executor's) lives as
    // long as the process; orphan::stop then holds for started commands as well.
    bool spawning_thread_stays = false;
    std::string where = "host";  // outcome::where

    // Cost.
    // Who is held while the kernel waits for exec (20 to 60 us; without bound on a dead mount): the loop's thread, or one
    // of this executor, which must outlive the runner's commands.
    executor* spawn_on = nullptr;
    spawn_kind spawn = spawn_kind::automatic;
    std::size_t pipe_bytes = 0;  // F_SETPIPE_SZ of output pipes, best effort; 0 = the kernel's default (64 KiB)
};

// A runner whose start() delivers on `on`, which must outlive it. Reads the host's environment once, here.
// Fails with: errc::invalid_argument (an option), system errors of the cgroup or the directories named.
EXEC_API result<std::shared_ptr<runner>> make_local_runner(loop& on, local_options options = {});

// Here, now, in this thread: no loop, no thread, no runner. Blocks as runner::run does. Reads the host's environment at each
// call, as getenv does: in a host whose threads change it (setenv), make a runner.
EXEC_API result<outcome> run(command what, limits within, observer& tell, std::stop_token stop = {});
EXEC_API result<outcome> run(command what, limits within = {}, std::stop_token stop = {});

// The cgroup v2 directory that this process lives in, by mountinfo, for local_options::cgroup.
// Fails with: errc::unsupported (no cgroup v2 is mounted), system errors.
EXEC_API result<std::string> own_cgroup();

}  // namespace exec::inline v0
