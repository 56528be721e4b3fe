#include "process/cgroup.h"

#include <algorithm>
#include <charconv>
#include <string_view>
#include <utility>

#include "exec/local_runner.h"

#include "posix/read_file.h"
#include "posix/syscalls.h"

#include <cerrno>

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

namespace exec::inline v0::process {
namespace {

failure refused(const std::string& what) { return os_failure(errno, stage::containment, "cgroup " + what); }

// A member may fork faster than we list; each round kills whole families, so few are needed.
constexpr int kill_rounds = 64;

}  // namespace

cgroup::cgroup(cgroup&& other) noexcept
    : parent_(std::exchange(other.parent_, -1)), name_(std::exchange(other.name_, {})), own_(std::move(other.own_)) {}

cgroup& cgroup::operator=(cgroup&& other) noexcept {
    if (this != &other) {
        remove();
        parent_ = std::exchange(other.parent_, -1);
        name_ = std::exchange(other.name_, {});
        own_ = std::move(other.own_);
    }
    return *this;
}

cgroup::~cgroup() { remove(); }

result<cgroup> cgroup::make(int parent, const std::string& name) {
    const auto& sys = posix::sys();
    if (sys.make_directory_at(parent, name.c_str(), 0755) != 0) return refused(name);
    cgroup made;
    made.parent_ = parent;
    made.name_ = name;
    made.own_ = posix::fd(sys.open_at(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0));
    if (made.own_) {
        if (auto raised = posix::above_stdio(std::move(made.own_))) made.own_ = *std::move(raised);
    }
    if (!made.own_) {
        auto why = refused(name);
        static_cast<void>(sys.unlink_at(parent, name.c_str(), AT_REMOVEDIR));
        made.parent_ = -1;
        return why;
    }
    return made;
}

void cgroup::remove() noexcept {
    own_.reset();
    // EBUSY: somebody lives in it, and keeps it.
    if (parent_ >= 0) static_cast<void>(posix::sys().unlink_at(parent_, name_.c_str(), AT_REMOVEDIR));
    parent_ = -1;
}

void cgroup::kill() noexcept {
    const auto& sys = posix::sys();
    if (const posix::fd file(sys.open_at(own_.get(), "cgroup.kill", O_WRONLY | O_CLOEXEC, 0)); file) {
        if (sys.write(file.get(), "1", 1) == 1) return;
    }
    for (int round = 0; round < kill_rounds && kill_listed(); ++round) {
    }
}

bool cgroup::kill_listed() noexcept {
    const auto listed = posix::read_file_at(own_.get(), "cgroup.procs");
    bool any = false;
    for (std::string_view rest(listed); !rest.empty();) {
        pid_t member = 0;
        const auto [end, wrong] = std::from_chars(rest.data(), rest.data() + rest.size(), member);
        if (wrong != std::errc{}) break;
        // 0: a member outside our own pid namespace, which we cannot name.
        if (member > 0 && posix::sys().kill(member, SIGKILL) == 0) any = true;
        rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
        if (!rest.empty()) rest.remove_prefix(1);
    }
    return any;
}

bool cgroup::populated() const noexcept {
    const auto events = posix::read_file_at(own_.get(), "cgroup.events");
    return events.find("populated 0") == std::string::npos;
}

result<posix::fd> open_cgroup(const std::string& path) {
    const auto& sys = posix::sys();
    posix::fd opened(sys.open_at(AT_FDCWD, path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0));
    if (!opened) return refused(path);
    // A file that version 1 does not have.
    if (sys.access_at(opened.get(), "cgroup.controllers", F_OK, 0) != 0) {
        return fail(errc::invalid_argument, "cgroup: not in a cgroup v2: " + path);
    }
    return posix::above_stdio(std::move(opened));
}

}  // namespace exec::inline v0::process

namespace exec::inline v0 {
namespace {

// The nth field, from 1, of a line whose fields are separated by single blanks.
std::string_view field(std::string_view line, int n) {
    for (; n > 1; --n) line.remove_prefix((std::min)(line.size(), line.find(' ') + 1));
    return line.substr(0, line.find(' '));
}

template <class F>
void each_line(std::string_view text, F&& call) {
    while (!text.empty()) {
        const auto end = text.find('\n');
        call(text.substr(0, end));
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    }
}

}  // namespace

// proc(5): "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw": the mounted root and the mount point are
// fields 4 and 5, the type follows the lone hyphen. In /proc/self/cgroup our path of version 2 is the line "0::/...".
result<std::string> own_cgroup() {
    const auto groups = posix::read_file_at(AT_FDCWD, "/proc/self/cgroup");
    const auto mounts = posix::read_file_at(AT_FDCWD, "/proc/self/mountinfo");
    std::string_view own;
    each_line(groups, [&](std::string_view line) {
        if (line.starts_with("0::")) own = line.substr(3);
    });
    std::string found;
    each_line(mounts, [&](std::string_view line) {
        const auto hyphen = line.find(" - ");
        if (hyphen == std::string_view::npos || field(line.substr(hyphen + 3), 1) != "cgroup2") return;
        const auto root = field(line, 4);
        auto beneath = own;
        if (root != "/") {
            if (!own.starts_with(root)) return;  // our cgroup is not in what this mount shows
            beneath.remove_prefix(root.size());
        }
        found = field(line, 5);
        if (beneath != "/") found += beneath;
    });
    if (own.empty() || found.empty()) return fail(errc::unsupported, "cgroup: no cgroup v2 is mounted here");
    return found;
}

}  // namespace exec::inline v0
