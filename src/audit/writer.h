// Who writes a trail, and whether it still lives.
//
// A writer lives for as long as it holds a lock on one byte of the trail's lock file, at an offset of its own choosing. The
// kernel takes the lock back when the process ends, however it ends, and keeps two writers of one process apart; nothing is
// left to clean up. A child that the host forked without exec shares the lock, so the process is looked for as well, where
// that can be done: on the same boot, in the same pid namespace, by pid and start time. A recycled pid is nobody's.
// To end what dead writers left exactly once, hold the guard, or a transaction of the trail's own, from the question to
// the last record that follows from it; whoever comes next finds nothing open.
// Threads: const members on any.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "exec/export.h"
#include "exec/result.h"
#include "posix/fd.h"

namespace exec::inline v0::audit {

struct writer_id {
    std::uint64_t instance = 0;       // random, 62 bits, not 0: an offset into a file
    std::string boot{};               // of the machine; "" = unknown
    std::uint64_t pid_namespace = 0;  // its number while it exists; 0 = unknown
    std::int64_t pid = 0;             // in that namespace
    std::uint64_t start_time = 0;     // of the process, in clock ticks since the boot

    // One line without blanks, to be kept in a trail: instance/boot/namespace/pid/start.
    EXEC_API std::string text() const;
    // The inverse of text(). Fails with: errc::invalid_argument.
    EXEC_API static result<writer_id> parse(std::string_view text);
    bool operator==(const writer_id&) const = default;
};

// A new writer in this process. What /proc does not tell stays unknown.
// Fails with: what getrandom answers.
EXEC_API result<writer_id> new_writer();

EXEC_API std::string instance_text(std::uint64_t instance);  // 16 hexadecimal digits

// The lock file of one trail. Its name must stay for as long as anybody writes: who makes a second one sees no writer of
// the first.
class lock_file {
   public:
    // Makes it, with mode 0600, if it is missing. Follows no symbolic link.
    // Fails with: what open answers, as an OS error.
    EXEC_API static result<lock_file> open(int directory, const std::string& name);

    // Held by one at a time. Ends with the guard, or with the process.
    class guard {
       public:
        explicit guard(int descriptor) noexcept : descriptor_(descriptor) {}
        guard(guard&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
        guard& operator=(guard&&) = delete;
        EXEC_API ~guard();

       private:
        int descriptor_;
    };
    // Blocks until the other holder is done, without a bound.
    // Fails with: what fcntl answers, as an OS error (ENOLCK: a file system without locks).
    EXEC_API result<guard> wait() const;
    // The same, with EAGAIN while there is another holder.
    EXEC_API result<guard> attempt() const;

    // From now to the end of this object, `instance` lives.
    // Fails with: EAGAIN, if somebody else lives as it; ENOLCK.
    EXEC_API result<void> live_as(std::uint64_t instance);

    // Whether its lock is held, by its process or by a child that was forked from it.
    EXEC_API result<bool> lives(std::uint64_t instance) const;
    // Whether its lock is held and, as far as that can be seen from here, its process is there.
    EXEC_API result<bool> lives(const writer_id& who) const;

   private:
    explicit lock_file(posix::fd file) noexcept : file_(std::move(file)) {}

    posix::fd file_;
    std::uint64_t own_ = 0;  // to its own locks an open file answers that they are free
};

}  // namespace exec::inline v0::audit
