// watch: interest in one descriptor, without an allocation of its own.
//
// Prefer EPOLLET. An edge-triggered watch may pause by not reading, may be retired without a system call when its
// descriptor has said its last word, and cannot spin on a hang-up that nobody reads. The duty that comes with it: read (or
// write) until the kernel gave less than was asked for and EPOLLHUP was not among the events, or until EAGAIN; or call
// loop_core::again() when stopping short.
// Threads: everything in the thread that drives the loop.
#pragma once

#include <cstdint>

#include "exec/export.h"

namespace exec::inline v0::detail {

class loop_core;

class watch {
   public:
    watch() noexcept = default;
    watch(const watch&) = delete;
    watch& operator=(const watch&) = delete;

    // `events` are epoll bits: what the kernel said and what again() was given. At most once a turn. May be spurious: between
    // the report and the call another callback may have read everything. May remove, retire or destroy any watch,
    // this one included.
    virtual void ready(std::uint32_t events) noexcept = 0;

    bool watching() const noexcept { return core_ != nullptr; }
    // -1 while not watching.
    int fd() const noexcept { return core_ != nullptr ? fd_ : -1; }

   protected:
    // Removes itself: declare a watch after the descriptor that it watches, so that it goes first.
    EXEC_API ~watch();

   private:
    friend class watch_table;
    friend class loop_core;

    loop_core* core_ = nullptr;
    int fd_ = -1;
    std::uint32_t slot_ = 0;
};

// A watch that calls a member function: watch_member<run, &run::out_ready> out_{*this};
template <class Owner, void (Owner::*Ready)(std::uint32_t) noexcept>
class watch_member final : public watch {
   public:
    explicit watch_member(Owner& owner) noexcept : owner_(owner) {}
    void ready(std::uint32_t events) noexcept override { (owner_.*Ready)(events); }

   private:
    Owner& owner_;
};

}  // namespace exec::inline v0::detail
