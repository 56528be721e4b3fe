#include "process/launch.h"

#include <array>
#include <charconv>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "posix/pipe.h"
#include "posix/syscalls.h"
#include "process/pointer_list.h"
#include "process/resolve.h"
#include "process/terminal.h"
#include "process/unreaped.h"

#include <cerrno>

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

namespace exec::inline v0::process {
namespace {

// What the child will have as 0, 1 and 2; closed here once it runs.
struct child_ends {
    posix::fd in{};
    posix::fd out{};
    posix::fd err{};
};

result<void> make_pipes(const command& what, const local_options& options, launched& ours, child_ends& theirs) {
    if (what.in.what() != input::kind::none) {
        auto made = posix::make_pipe(posix::our_end::write);
        if (!made) return std::move(made).error();
        theirs.in = std::move(made->read);
        ours.in = std::move(made->write);
    }
    auto made = posix::make_pipe(posix::our_end::read, options.pipe_bytes);
    if (!made) return std::move(made).error();
    theirs.out = std::move(made->write);
    ours.out = std::move(made->read);
    if (what.merge_err_into_out) return {};
    made = posix::make_pipe(posix::our_end::read, options.pipe_bytes);
    if (!made) return std::move(made).error();
    theirs.err = std::move(made->write);
    ours.err = std::move(made->read);
    return {};
}

result<posix::fd> duplicate(const posix::fd& of) {
    posix::fd made(posix::sys().fcntl(of.get(), F_DUPFD_CLOEXEC, 3));
    if (!made) return os_failure(errno, stage::descriptors, "terminal");
    return made;
}

result<void> make_terminal(const command& what, launched& ours, child_ends& theirs) {
    auto made = open_terminal(*what.terminal);
    if (!made) return std::move(made).error();
    if (what.in.what() != input::kind::none) {
        auto typed = duplicate(made->master);
        if (!typed) return std::move(typed).error();
        ours.in = *std::move(typed);
    }
    auto sized = duplicate(made->master);
    if (!sized) return std::move(sized).error();
    ours.terminal = *std::move(sized);
    ours.out = std::move(made->master);
    theirs.in = std::move(made->slave);
    return {};
}

// The directory to enter; empty = the host's own. Opened here, entered by descriptor: a rename in between cannot redirect it.
result<posix::fd> open_directory(const std::string& asked, const local_setup& setup) {
    const auto& sys = posix::sys();
    if (!setup.root) {
        if (asked.empty()) return posix::fd();
        posix::fd opened(sys.open_at(AT_FDCWD, asked.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC, 0));
        if (!opened) return os_failure(errno, stage::cwd, asked);
        return posix::above_stdio(std::move(opened));
    }
    std::string_view beneath(asked);
    if (beneath.starts_with('/')) {
        std::string_view root(setup.options.cwd_root);
        while (root.ends_with('/')) root.remove_suffix(1);
        const bool inside = beneath.starts_with(root) && (beneath.size() == root.size() || beneath[root.size()] == '/');
        if (!inside) return os_failure(EXDEV, stage::cwd, asked);
        beneath.remove_prefix(root.size());
        while (beneath.starts_with('/')) beneath.remove_prefix(1);
    }
    const std::string path(beneath.empty() ? std::string_view(".") : beneath);
    posix::fd opened(sys.open_beneath(setup.root.get(), path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!opened) return os_failure(errno, stage::cwd, asked);
    return posix::above_stdio(std::move(opened));
}

// A name that no other run of this directory has: the pid tells hosts apart, the clock runs.
result<cgroup> make_cgroup(int parent) {
    std::uint64_t chance = 0;
    if (posix::sys().random(&chance, sizeof chance, 0) != static_cast<ssize_t>(sizeof chance)) {
        return os_failure(errno, stage::containment, "cgroup: no random name");
    }
    char digits[17];
    const auto end = std::to_chars(digits, digits + 16, chance, 16).ptr;
    return cgroup::make(parent, "exec-" + std::string(digits, end));
}

rung to_rung(spawn_kind kind) noexcept {
    switch (kind) {
        case spawn_kind::automatic: return rung::automatic;
        case spawn_kind::clone3: return rung::clone3;
        case spawn_kind::clone: return rung::clone;
        case spawn_kind::posix_spawn: return rung::posix_spawn;
        case spawn_kind::fork: return rung::fork;
    }
    return rung::automatic;
}

std::string_view path_of(pointer_list& environment) noexcept {
    for (const std::string_view entry : environment) {
        if (entry.starts_with("PATH=")) return entry.substr(5);
    }
    return default_path;
}

}  // namespace

result<local_setup> make_setup(local_options options) {
    local_setup setup;
    setup.host = host_environment::snapshot();
    if (!options.cgroup.empty()) {
        auto opened = open_cgroup(options.cgroup);
        if (!opened) return std::move(opened).error();
        setup.cgroup_parent = *std::move(opened);
    }
    if (!options.cwd_root.empty()) {
        posix::fd opened(posix::sys().open_at(AT_FDCWD, options.cwd_root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC, 0));
        if (!opened) return os_failure(errno, stage::cwd, options.cwd_root);
        auto raised = posix::above_stdio(std::move(opened));
        if (!raised) return std::move(raised).error();
        setup.root = *std::move(raised);
    }
    setup.options = std::move(options);
    return setup;
}

result<launched> launch(const command& what, const limits& within, const local_setup& setup, bool thread_stays) {
    reap_unreaped();
    const auto& options = setup.options;
    launched ours;
    child_ends theirs;
    const std::string& asked = what.cwd.empty() ? options.cwd : what.cwd;
    auto directory = open_directory(asked, setup);
    if (!directory) return std::move(directory).error();

    pointer_list environment;
    list_environment(what.env, {!options.as.has_value(), options.base ? &*options.base : nullptr}, setup.host,
                     environment);
    candidate_list candidates;
    const bool moves = static_cast<bool>(*directory);
    if (auto found = candidates.resolve(what.program_and_args.program(), path_of(environment), moves); !found) {
        return std::move(found).error();
    }
    pointer_list words;
    for (const auto word : what.program_and_args) words.push_back(word.data());

    if (within.contain == containment::cgroup) {
        auto made = make_cgroup(setup.cgroup_parent.get());
        if (!made) return std::move(made).error();
        ours.own_cgroup = *std::move(made);
    }
    if (auto made = what.terminal ? make_terminal(what, ours, theirs) : make_pipes(what, options, ours, theirs);
        !made) {
        return std::move(made).error();
    }

    std::vector<limit_setting> resources;
    for (const auto& limit : options.resources) resources.push_back({limit.resource, limit.soft, limit.hard});

    spawn_request request;
    request.candidates = candidates.get();
    request.argv = words.ended();
    request.envp = environment.ended();
    request.in = theirs.in.get();
    request.out = what.terminal ? theirs.in.get() : theirs.out.get();
    request.err = what.terminal ? theirs.in.get() : what.merge_err_into_out ? theirs.out.get() : theirs.err.get();
    request.cwd = directory->get();
    request.controlling_terminal = what.terminal.has_value();
    request.umask = options.umask;
    request.limits = resources;
    if (options.as) {
        request.uid = options.as->uid;
        request.gid = options.as->gid;
        request.groups = std::span<const gid_t>(options.as->groups);
    }
    request.no_new_privs = options.no_new_privs;
    const bool can_tie = thread_stays && options.spawn != spawn_kind::posix_spawn;
    request.parent_death_signal = can_tie && within.if_orphaned == orphan::stop ? SIGKILL : 0;
    request.cgroup = ours.own_cgroup ? ours.own_cgroup.fd() : -1;
    request.new_pid_namespace = within.contain == containment::pid_namespace;
    request.inherit_mask = options.inherit_signals;
    request.inherit_dispositions = options.inherit_signals;
    auto born = spawn(request, to_rung(options.spawn));
    if (!born) {
        auto why = std::move(born).error();
        if (why.at == stage::cwd) why.context = asked;  // spawn() knows it by descriptor only
        return why;
    }
    ours.process = *std::move(born);
    // Better a low number than no child, now that it runs.
    if (const int raised =
            ours.process.pidfd.get() < 3 ? posix::sys().fcntl(ours.process.pidfd.get(), F_DUPFD_CLOEXEC, 3) : -1;
        raised >= 0) {
        ours.process.pidfd.reset(raised);
    }
    return ours;
}

}  // namespace exec::inline v0::process
