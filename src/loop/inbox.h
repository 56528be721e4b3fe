// How other threads reach a loop: a note is marked as pending and the driving thread is told, without an allocation and
// without a lock.
#pragma once

#include <atomic>

namespace exec::inline v0::detail {

// Something that can be told "look at yourself", from any thread, any number of times.
class note {
   public:
    note() noexcept = default;
    note(const note&) = delete;
    note& operator=(const note&) = delete;

    // In the driving thread. Whatever was written before a notify() that this call answers is visible. May destroy the note's
    // owner only through release().
    virtual void notified() noexcept = 0;
    // A pending note is kept alive: retain() comes inside notify(), in the notifying thread, release() after notified(),
    // in the driving one. release() may destroy the note.
    virtual void retain() noexcept = 0;
    virtual void release() noexcept = 0;

   protected:
    ~note() = default;

   private:
    friend class inbox;

    std::atomic<bool> pending_{false};
    note* next_ = nullptr;
};

// The notes that are pending. Any number of threads push, one takes.
class inbox {
   public:
    enum class pushed { first_time, already_pending, closed };

    // Retains the note if it says first_time. closed: nothing happened and nothing will.
    pushed push(note& what) noexcept;
    bool empty() const noexcept;

    // Everything that is pending now, oldest first. The taker calls open() on each, then notified(), then release().
    note* take() noexcept { return reverse(head_.exchange(nullptr, std::memory_order_seq_cst)); }
    // The same for the last time: later pushes answer closed.
    note* close() noexcept;
    // From here on it may be pushed again. Returns the note after it in what was taken.
    static note* open(note& what) noexcept;

   private:
    static note* reverse(note* newest) noexcept;
    // What the head points to when nothing is taken any more. Only compared.
    note* closed_mark() const noexcept { return reinterpret_cast<note*>(const_cast<inbox*>(this)); }

    std::atomic<note*> head_{nullptr};
};

}  // namespace exec::inline v0::detail
