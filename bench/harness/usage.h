// usage: what a process has used so far.
#pragma once

#include <sys/resource.h>

#include <cstdint>
#include <fstream>
#include <string>

namespace bench {

// Seconds of CPU of this process, all threads, and of every child that it has waited for.
inline double cpu_seconds() noexcept {
    double sum = 0;
    for (const int whose : {RUSAGE_SELF, RUSAGE_CHILDREN}) {
        rusage use{};
        ::getrusage(whose, &use);
        for (const auto& part : {use.ru_utime, use.ru_stime}) {
            sum += static_cast<double>(part.tv_sec) + static_cast<double>(part.tv_usec) / 1e6;
        }
    }
    return sum;
}

// Bytes of memory that are resident. From smaps_rollup: the counters of statm lag behind by some pages a CPU.
inline double resident_bytes() {
    std::ifstream file("/proc/self/smaps_rollup");
    for (std::string line; std::getline(file, line);) {
        if (line.starts_with("Rss:")) return std::stod(line.substr(4)) * 1024;
    }
    return 0;
}

inline double threads() {
    std::ifstream file("/proc/self/status");
    for (std::string line; std::getline(file, line);) {
        if (line.starts_with("Threads:")) return std::stod(line.substr(8));
    }
    return 0;
}

// How often malloc and its relatives were called in this process, by whomever (allocations.cpp).
std::uint64_t allocations() noexcept;

}  // namespace bench
