// client: what runs on a loop and must have an end before the loop has one.
// Threads: everything in the thread that drives the loop.
#pragma once

#include <cstddef>

#include "exec/export.h"
#include "exec/time.h"

namespace exec::inline v0::detail {

class client_list;

class client {
   public:
    client() noexcept = default;
    client(const client&) = delete;
    client& operator=(const client&) = delete;

    // The loop is shutting down: begin to end, within so much if possible, and leave() when done. Once. May leave at
    // once, and may destroy any client, this one included.
    virtual void shut_down(milliseconds within) noexcept = 0;
    // The time is over: end now, without waiting for anything, and leave(). May come without shut_down before. One
    // that has not left when this returns is dropped from the list.
    virtual void abandon() noexcept = 0;

    bool enrolled() const noexcept { return list_ != nullptr; }
    // No effect if it is not enrolled.
    EXEC_API void leave() noexcept;

   protected:
    ~client() { leave(); }

   private:
    friend class client_list;

    client_list* list_ = nullptr;
    client* before_ = nullptr;
    client* after_ = nullptr;
};

class client_list {
   public:
    client_list() noexcept = default;
    client_list(const client_list&) = delete;
    client_list& operator=(const client_list&) = delete;

    void add(client& last) noexcept;
    client* front() const noexcept { return first_; }
    std::size_t size() const noexcept { return size_; }

   private:
    friend class client;

    client* first_ = nullptr;
    client* last_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace exec::inline v0::detail
