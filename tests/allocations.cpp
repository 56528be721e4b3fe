#include "allocations.h"

#include <algorithm>
#include <cstdlib>
#include <new>

namespace {

struct heap_use {
    std::size_t count = 0;
    std::size_t largest = 0;
    bool refused = false;
};
thread_local heap_use mine;

}  // namespace

namespace test {

allocations::allocations() noexcept : count_before_(mine.count) { mine.largest = 0; }
std::size_t allocations::count() const noexcept { return mine.count - count_before_; }
std::size_t allocations::largest() const noexcept { return mine.largest; }

no_memory::no_memory() noexcept { mine.refused = true; }
no_memory::~no_memory() { mine.refused = false; }

}  // namespace test

// The standard library's array and nothrow forms come here as well.
void* operator new(std::size_t size) {
    if (mine.refused) throw std::bad_alloc();
    ++mine.count;
    mine.largest = std::max(mine.largest, size);
    if (void* memory = std::malloc(std::max(size, std::size_t{1}))) return memory;
    throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
