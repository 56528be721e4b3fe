// Counts the heap allocations of this program and of every library in it, by standing in front of malloc.
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "harness/usage.h"

extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* old, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);
}

namespace {
constinit std::atomic<std::uint64_t> counted{0};
void count() noexcept { counted.fetch_add(1, std::memory_order_relaxed); }
}  // namespace

std::uint64_t bench::allocations() noexcept { return counted.load(std::memory_order_relaxed); }

extern "C" {

void* malloc(std::size_t size) {
    count();
    return __libc_malloc(size);
}
void* calloc(std::size_t each, std::size_t size) {
    count();
    return __libc_calloc(each, size);
}
void* realloc(void* old, std::size_t size) {
    count();
    return __libc_realloc(old, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) {
    count();
    return __libc_memalign(alignment, size);
}
int posix_memalign(void** made, std::size_t alignment, std::size_t size) {
    count();
    *made = __libc_memalign(alignment, size);
    return *made == nullptr ? ENOMEM : 0;
}
}
