// The files of a trail: the one that is written, and the older ones beside it.
//
// Threads: one at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "exec/json_lines_audit.h"
#include "exec/result.h"
#include "posix/fd.h"

namespace exec::inline v0::audit {

class trail_file {
   public:
    // Opens or makes the file and takes hold of its directory.
    static result<trail_file> open(const json_lines_options& options);

    // One write. A line that was not taken whole is ended, as well as that goes, and is a failure: readers skip it.
    // Fails with: ENOSPC and the like.
    result<void> append(std::string_view line);
    // What was appended since the last time, also to a file that has been left.
    result<void> sync();

    // Opens the path anew.
    result<void> reopen();
    // To be asked about once a second: another process may have begun a new file, or somebody moved this one away.
    void follow();
    // Whether so many bytes more would be too many for this file.
    bool is_full(std::size_t more) const noexcept { return size_ > 0 && size_ + more > max_bytes_; }
    // Begins a new file, or follows whoever just did. On failure the old file grows on, and the next try is a second
    // later. REQUIRES: the guard of the lock file is held.
    void rotate(std::size_t more);

    // Every line of every file, oldest first, without its newline. Ends a last line that has none.
    result<void> read_all(const std::function<void(std::string_view)>& line);

    int directory() const noexcept { return directory_.get(); }
    const std::string& name() const noexcept { return name_; }

   private:
    trail_file() = default;

    result<posix::fd> open_current() const;
    result<void> take(posix::fd file);
    bool is_current() const;
    bool move_back() const;
    std::string older(unsigned number) const { return name_ + "." + std::to_string(number); }

    posix::fd directory_{};
    std::string name_{};
    posix::fd file_{};
    std::uint64_t size_ = 0;  // as far as this process knows
    std::uint64_t max_bytes_ = 0;
    unsigned kept_ = 0;
    bool syncs_ = false;
    bool unsynced_ = false;
    bool torn_ = false;           // the last byte of the file is no newline, and that is our doing
    result<void> left_behind_{};  // how the sync of a file went that has been left
};

}  // namespace exec::inline v0::audit
