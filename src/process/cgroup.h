// cgroup: one cgroup v2 for one command.
//
// Found by mountinfo, made beneath a directory that the host named, ended by cgroup.kill (Linux 5.14; before that by
// killing what cgroup.procs lists until it is empty), removed when it is empty.
// Threads: one at a time.
#pragma once

#include <string>

#include "exec/result.h"

#include "posix/fd.h"

namespace exec::inline v0::process {

class cgroup {
   public:
    cgroup() noexcept = default;
    cgroup(cgroup&& other) noexcept;
    cgroup& operator=(cgroup&& other) noexcept;
    // Removes it if it is empty, and leaves it to its members if it is not.
    ~cgroup();

    // Makes a new one beneath `parent`, an open directory.
    // Fails with: system errors of mkdirat, at stage::containment.
    static result<cgroup> make(int parent, const std::string& name);

    explicit operator bool() const noexcept { return static_cast<bool>(own_); }
    int fd() const noexcept { return own_.get(); }
    // KILL to every member, those being born included.
    void kill() noexcept;
    bool populated() const noexcept;

   private:
    void remove() noexcept;
    bool kill_listed() noexcept;

    int parent_ = -1;
    std::string name_{};
    posix::fd own_{};
};

// Opens a directory and makes sure that it is on a cgroup v2 file system.
// Fails with: errc::invalid_argument (it is not), system errors.
result<posix::fd> open_cgroup(const std::string& path);

}  // namespace exec::inline v0::process
