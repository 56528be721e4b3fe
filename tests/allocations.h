// Counts what the calling thread takes from the heap, and can make the heap refuse.
//
// Linking allocations.cpp into a test binary replaces the global operator new.
#pragma once

#include <cstddef>

namespace test {

// What this thread allocated by operator new since the object was made.
class allocations {
   public:
    allocations() noexcept;
    std::size_t count() const noexcept;
    // Of the largest single one.
    std::size_t largest() const noexcept;

   private:
    std::size_t count_before_;
};

// While it lives, this thread's operator new throws std::bad_alloc.
class no_memory {
   public:
    no_memory() noexcept;
    ~no_memory();
    no_memory(const no_memory&) = delete;
    no_memory& operator=(const no_memory&) = delete;
};

}  // namespace test
