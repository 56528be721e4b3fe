// input_queue: streamed input between whoever writes it and whoever hands it on to the command.
//
// Bounded: what does not fit is not taken, and the writer is owed one word of it when there is room again. Once closed it takes
// everything and drops it, so that no writer waits for a command that has stopped reading.
// Threads: push and finish from any; the rest from the one that drives the run. What front() returned is read outside the lock.
#pragma once

#include <algorithm>
#include <cstddef>
#include <mutex>
#include <string>
#include <utility>

#include "exec/bytes.h"

namespace exec::inline v0::detail {

class input_queue {
   public:
    // Takes bytes from now on, at most `bound` at a time. Once, before any push: until then none are taken.
    void open(std::size_t bound) {
        open_ = true;
        bound_ = bound;
    }
    bool is_open() const noexcept { return open_; }

    // How many bytes were taken.
    std::size_t push(bytes_view bytes) {
        const std::lock_guard hold(guard_);
        if (!open_) return 0;
        if (closed_ || finished_) return bytes.size();
        const auto held = waiting_.size() + unread_;
        const auto take = (std::min)(bytes.size(), bound_ - (std::min)(bound_, held));
        waiting_.append(bytes.substr(0, take));
        if (take < bytes.size()) owes_room_ = true;
        return take;
    }
    // Nothing follows what was pushed.
    void finish() {
        const std::lock_guard hold(guard_);
        finished_ = true;
    }

    // What comes next, as it lies; valid until pop() or close(). Empty: nothing is here yet, or at_end().
    bytes_view front() {
        if (read_ == reading_.size()) {
            const std::lock_guard hold(guard_);
            reading_.clear();
            read_ = 0;
            std::swap(reading_, waiting_);
            unread_ = reading_.size();
        }
        return bytes_view(reading_).substr(read_);
    }
    void pop(std::size_t bytes) {
        const std::lock_guard hold(guard_);
        read_ += bytes;
        unread_ = reading_.size() - read_;
    }
    bool at_end() {
        const std::lock_guard hold(guard_);
        return finished_ && unread_ == 0 && waiting_.empty();
    }
    // True once after each short push, as soon as there is room.
    bool room() {
        const std::lock_guard hold(guard_);
        if (!owes_room_ || (!closed_ && waiting_.size() + unread_ >= bound_)) return false;
        return std::exchange(owes_room_, false);
    }
    void close() noexcept {
        const std::lock_guard hold(guard_);
        closed_ = true;
        waiting_ = {};
        reading_ = {};
        read_ = unread_ = 0;
    }

   private:
    std::string reading_{};  // the driver's
    std::size_t read_ = 0;   // of it

    std::mutex guard_{};  // of what follows
    std::string waiting_{};
    std::size_t unread_ = 0;  // of reading_
    std::size_t bound_ = 0;
    bool open_ = false;
    bool finished_ = false;
    bool closed_ = false;
    bool owes_room_ = false;
};

}  // namespace exec::inline v0::detail
