// How fast is output read that is not kept, or only its two ends? One CPU for writer and reader, so that every side has
// the same: a pipe between two CPUs is half as fast.
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>

#include "exec/local_runner.h"
#include "harness/rounds.h"
#include "sides/raw_child.h"
#include "sides/side.h"

namespace {

constexpr double mebibytes = 256;
constexpr std::uint64_t all_bytes = std::uint64_t{256} << 20;
constexpr int large_pipe = 1 << 20;

using reader = std::function<std::uint64_t(bench::words)>;

struct way {
    std::string name;
    bench::kind is;
    reader read;
};

std::uint64_t read_loop(bench::words what) {
    static char buffer[128 * 1024];
    const auto child = bench::start_raw(what, bench::amount::bare);
    ::fcntl(child.out, F_SETPIPE_SZ, large_pipe);
    std::uint64_t all = 0;
    for (ssize_t got = 0; (got = ::read(child.out, buffer, sizeof buffer)) > 0;) all += static_cast<std::uint64_t>(got);
    bench::end_raw(child, bench::amount::bare);
    return all;
}

std::uint64_t splice_loop(bench::words what) {
    const auto child = bench::start_raw(what, bench::amount::bare);
    ::fcntl(child.out, F_SETPIPE_SZ, large_pipe);
    const int nowhere = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
    std::uint64_t all = 0;
    for (ssize_t got = 0; (got = ::splice(child.out, nullptr, nowhere, nullptr, large_pipe, 0)) > 0;) {
        all += static_cast<std::uint64_t>(got);
    }
    ::close(nowhere);
    bench::end_raw(child, bench::amount::bare);
    return all;
}

// A runner with large pipes. `show`: an observer is there that wants to see everything.
reader ours(exec::keep kept, bool show, std::size_t pipe_bytes) {
    return [=](bench::words what) -> std::uint64_t {
        static const auto loop = exec::make_loop().value();
        static const auto runner = exec::make_local_runner(*loop, {.pipe_bytes = pipe_bytes}).value();
        exec::limits within;
        within.out.kept = kept;
        if (!show) within.out.show = 0;
        const auto how = runner->run({.program_and_args = exec::argv(what[0], what[1], what[2])}, within);
        return how ? how->out.total : 0;
    };
}

std::uint64_t most_resident() {
    std::ifstream file("/proc/self/status");
    for (std::string line; std::getline(file, line);) {
        if (line.starts_with("VmHWM:")) return std::stoull(line.substr(6));
    }
    return 0;
}
void forget_most_resident() { std::ofstream("/proc/self/clear_refs") << "5"; }

}  // namespace

int main(int argc, char** argv) {
    bench::report report("drain", "256 MiB of output, 1 MiB kept, reader and writer on one CPU", argc, argv);
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(::sched_getcpu(), &one);
    ::sched_setaffinity(0, sizeof one, &one);

    const std::size_t mib = 1 << 20;
    std::vector<way> ways{
        {"read loop, 1 MiB pipe", bench::kind::floor, read_loop},
        {"splice loop, 1 MiB pipe", bench::kind::floor, splice_loop},
        {"exec, shown to an observer, both ends kept", bench::kind::ours, ours(exec::keep::head_and_tail, true, mib)},
        {"exec, nobody looks, both ends kept", bench::kind::ours, ours(exec::keep::head_and_tail, false, mib)},
        {"exec, nobody looks, the head kept", bench::kind::ours, ours(exec::keep::head, false, mib)},
        {"the same, pipes of 64 KiB", bench::kind::ours, ours(exec::keep::head, false, 0)},
    };
    for (const auto& side : bench::all_sides()) {
        if (side.is != bench::kind::peer || side.name == "GLib") continue;
        ways.push_back({side.name, side.is, [side](bench::words what) { return side.run(what).out; }});
    }
    const char* const flood[] = {EXEC_BENCH_TINY, "flood", "256", nullptr};
    std::vector<bench::turn> turns;
    for (const auto& one_way : ways) {
        turns.emplace_back([&](bool) -> std::vector<double> {
            forget_most_resident();
            const auto before = most_resident();
            const auto began = bench::now();
            if (one_way.read(flood) != all_bytes) std::_Exit(2);
            const auto took = bench::now() - began;
            return {mebibytes / took, static_cast<double>(most_resident() - before) / 1024};
        });
    }
    const auto got = bench::in_turns(report.rounds(5), turns);

    report.column("MiB/s", 0);
    report.column("to read loop", 2);
    report.column("memory MiB", 1);
    for (std::size_t i = 0; i < ways.size(); ++i) {
        report.row(ways[i].name, ways[i].is,
                   {bench::median(got[i][0]), bench::ratio(got[i][0], got[0][0]), bench::median(got[i][1])});
    }
    report.at_least("while keeping both ends", bench::ratio(got[2][0], got[0][0]), 0.95);
    report.at_least("past the cap, nobody looks, no tail", bench::ratio(got[4][0], got[0][0]), 1.3);
    report.at_most("memory in MiB while keeping", bench::median(got[2][1]), 4);
    report.note("GLib: g_spawn_sync and communicate keep everything in memory");
    return report.finish();
}
