// alarm: one deadline, without an allocation of its own. Set it as often as wanted: the kernel's timer is moved only when
// the earliest deadline of the whole loop has come nearer, once a turn at most.
// Threads: everything in the thread that drives the loop.
#pragma once

#include <cstddef>

#include "exec/export.h"
#include "exec/time.h"

namespace exec::inline v0::detail {

class loop_core;

class alarm {
   public:
    alarm() noexcept = default;
    alarm(const alarm&) = delete;
    alarm& operator=(const alarm&) = delete;

    // Not before `when` by the loop's clock. Replaces the deadline before, if one is set; `never` clears. A moment in the past
    // is due in the next turn if this is a due() call, else in this one. O(log n).
    EXEC_API void set(loop_core& in, time_point when);
    EXEC_API void clear() noexcept;
    bool is_set() const noexcept { return core_ != nullptr; }

    // The deadline has passed; it is not set any more. May set, clear or destroy any alarm, this one included.
    virtual void due() noexcept = 0;
    // The loop ends, and it was still set; it is not any more.
    virtual void loop_gone() noexcept {}

   protected:
    ~alarm() { clear(); }

   private:
    friend class alarm_heap;
    friend class loop_core;

    loop_core* core_ = nullptr;
    std::size_t place_ = 0;  // in the heap
};

// An alarm that calls a member function: alarm_member<run, &run::time_is_up> alarm_{*this};
template <class Owner, void (Owner::*Due)() noexcept>
class alarm_member final : public alarm {
   public:
    explicit alarm_member(Owner& owner) noexcept : owner_(owner) {}
    void due() noexcept override { (owner_.*Due)(); }

   private:
    Owner& owner_;
};

}  // namespace exec::inline v0::detail
