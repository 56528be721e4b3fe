// Who writes a trail, and whether it still lives.
//
// A writer lives for as long as it holds a lock on one byte of the trail's lock file, at an offset of its own choosing: the
// kernel gives it back when the process ends, however it ends. A recycled pid cannot be taken for it, nor one of another
// namespace. A child that was forked without exec holds the lock of its parent as well.
// Threads: const members on any.
#pragma once

#include <cstdint>
#include <string>

#include "exec/result.h"
#include "posix/fd.h"

namespace exec::inline v0::audit {

// Told in a trail for people. The instance alone decides.
struct writer_id {
    std::uint64_t instance = 0;    // random, 62 bits, not 0
    std::string boot{};            // of the machine
    std::int64_t pid = 0;          // in the writer's own namespace
    std::uint64_t start_time = 0;  // of the process, in clock ticks since the boot
};

// This process. Fails with: what getrandom answers.
result<writer_id> new_writer();

std::string instance_text(std::uint64_t instance);  // 16 hexadecimal digits

class lock_file {
   public:
    // Makes it, with mode 0600, if it is missing. Follows no symbolic link.
    static result<lock_file> open(int directory, const std::string& name);

    // Holds the right to change which files there are, until the guard ends. Waits for another holder, or says that
    // there is one.
    class guard {
       public:
        explicit guard(int descriptor) noexcept : descriptor_(descriptor) {}
        guard(guard&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
        guard& operator=(guard&&) = delete;
        ~guard();

       private:
        int descriptor_;
    };
    result<guard> wait() const;
    // Fails with: EAGAIN while there is another holder.
    result<guard> attempt() const;

    // From now to the end of this object, `instance` lives.
    result<void> live_as(std::uint64_t instance) const;
    // REQUIRES: not asked of the instance that this object lives as.
    result<bool> lives(std::uint64_t instance) const;

   private:
    explicit lock_file(posix::fd file) noexcept : file_(std::move(file)) {}

    posix::fd file_;
};

}  // namespace exec::inline v0::audit
