// What does a run cost in a host with many open descriptors? A child begins with a copy of the table and closes it.
#include <fcntl.h>
#include <sys/resource.h>

#include <algorithm>
#include <string>

#include "harness/large_host.h"

int main(int argc, char** argv) {
    constexpr rlim_t wanted = 10'000;
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
    const auto count = (std::min)(wanted, limit.rlim_cur - 256);

    bench::report report("many_descriptors", "runs in a host with " + std::to_string(count) + " open descriptors", argc,
                         argv);
    if (count < wanted) report.note("RLIMIT_NOFILE allows no more than " + std::to_string(limit.rlim_cur));
    for (rlim_t i = 0; i < count; ++i) {
        if (::open("/dev/null", O_RDONLY | O_CLOEXEC) < 0) report.skip("descriptors are not to be had");
    }
    const char* const tiny[] = {EXEC_BENCH_TINY, nullptr};
    return bench::report_large_host(report, tiny, bench::seconds(0.06), report.rounds(9), 1.1);
}
