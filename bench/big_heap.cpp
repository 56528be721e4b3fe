// What does a run cost in a host with a large heap? Whoever forks copies its page tables each time.
#include <sys/mman.h>

#include <cstddef>

#include "harness/large_host.h"

int main(int argc, char** argv) {
    bench::report report("big_heap", "runs in a host with 2 GiB of touched memory in 4 KiB pages", argc, argv);
    // Before the sides begin, so that they all inherit it, and without huge pages, as a heap that grew bit by bit.
    constexpr std::size_t size = std::size_t{2} << 30;
    constexpr std::size_t page = 4096;
    void* const heap =
        ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (heap == MAP_FAILED) report.skip("2 GiB of memory are not to be had");
    ::madvise(heap, size, MADV_NOHUGEPAGE);
    for (std::size_t at = 0; at < size; at += page) static_cast<volatile char*>(heap)[at] = 1;

    const char* const tiny[] = {EXEC_BENCH_TINY, nullptr};
    return bench::report_large_host(report, tiny, bench::seconds(0.04), report.rounds(5), 1.1);
}
