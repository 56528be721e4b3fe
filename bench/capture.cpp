// What does it cost to keep the last MiB of a stream?
#include "exec/capture.h"

#include <cstring>
#include <string>
#include <utility>

#include "harness/report.h"
#include "harness/rounds.h"

namespace {

constexpr std::size_t cap = 1 << 20;
constexpr std::size_t chunks[] = {100, 4096, 65536};

// GB/s of `append`, over and over with the same chunk.
template <class Append>
bench::turn appending(std::size_t chunk, Append append) {
    return [chunk, append](bool) mutable -> std::vector<double> {
        const std::string bytes(chunk, 'x');
        const std::size_t at_once = (std::max)(std::size_t{1}, (std::size_t{1} << 18) / chunk);
        const auto began = bench::now();
        const auto rounds = bench::repeat_for(bench::seconds(0.02), [&] {
            for (std::size_t i = 0; i < at_once; ++i) append(bytes);
        });
        return {static_cast<double>(rounds * at_once * chunk) / (bench::now() - began) / 1e9};
    };
}

// A ring that is nothing but memcpy.
struct bare_ring {
    std::string ring = std::string(cap, '\0');
    std::size_t at = 0;
    void operator()(const std::string& bytes) {
        const auto before_end = (std::min)(bytes.size(), cap - at);
        std::memcpy(ring.data() + at, bytes.data(), before_end);
        std::memcpy(ring.data(), bytes.data() + before_end, bytes.size() - before_end);
        at = (at + bytes.size()) % cap;
    }
};

struct kept_tail {
    exec::capture tail{exec::capture_policy{.cap = cap, .kept = exec::keep::tail}};
    void operator()(const std::string& bytes) { tail.append(bytes); }
};

// What is met in the wild: append, then cut the front off.
struct trimmed_string {
    std::string tail{};
    void operator()(const std::string& bytes) {
        tail += bytes;
        if (tail.size() > cap) tail.erase(0, tail.size() - cap);
    }
};

}  // namespace

int main(int argc, char** argv) {
    bench::report report("capture", "appending to a full capture of 1 MiB that keeps the tail, GB/s", argc, argv);
    std::vector<bench::turn> turns;
    for (const auto chunk : chunks) {
        turns.push_back(appending(chunk, bare_ring()));
        turns.push_back(appending(chunk, kept_tail()));
        turns.push_back(appending(chunk, trimmed_string()));
    }
    const auto got = bench::in_turns(report.rounds(9), turns);

    report.column("100 B", 2);
    report.column("4 KiB", 2);
    report.column("64 KiB", 2);
    const std::pair<const char*, bench::kind> names[] = {{"memcpy into a ring", bench::kind::floor},
                                                         {"exec::capture", bench::kind::ours},
                                                         {"std::string, append and erase", bench::kind::peer}};
    for (std::size_t i = 0; i < 3; ++i) {
        std::vector<std::optional<double>> each;
        for (std::size_t size = 0; size < 3; ++size) each.emplace_back(bench::median(got[3 * size + i][0]));
        report.row(names[i].first, names[i].second, std::move(each));
    }
    const char* const sizes[] = {"100 B", "4 KiB", "64 KiB"};
    for (std::size_t size = 0; size < 3; ++size) {
        const auto to_memcpy = bench::ratio(got[3 * size + 1][0], got[3 * size][0]);
        report.at_least(std::string("to memcpy, chunks of ") + sizes[size], to_memcpy, 0.9);
    }
    return report.finish();
}
