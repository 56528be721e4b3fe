// How fast does output come through one channel?
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "harness/report.h"
#include "harness/rounds.h"
#include "harness/usage.h"
#include "servers/fault_proxy.h"
#include "ssh/far_end.h"
#include "ssh/openssh_client.h"
#include "ssh/pooled.h"
#include "ssh/raw_libssh.h"

namespace {

constexpr double MiB = 1 << 20;
enum figure { rate, cpu };
enum who { floor_, ours, client };

// The words of a command that writes so many MiB.
struct writer {
    explicit writer(std::size_t size) : bytes(size << 20), count(std::to_string(bytes)) {}
    const std::size_t bytes;
    const std::string count;
    std::string line() const { return "head -c " + count + " /dev/zero"; }
    exec::command command() const {
        const char* const words[] = {"head", "-c", count.c_str(), "/dev/zero", nullptr};
        return bench::command_of(words);
    }
};

// MiB a second, and CPU seconds on this side for a GiB.
template <class Once>
std::vector<double> moved(std::size_t bytes, Once&& once) {
    const auto before = bench::cpu_seconds();
    const auto began = bench::now();
    if (once() != bytes) {
        std::fprintf(stderr, "not all of the output came\n");
        std::_Exit(2);
    }
    const auto size = static_cast<double>(bytes) / MiB;
    return {size / (bench::now() - began), (bench::cpu_seconds() - before) / size * 1024};
}

bench::turn by_raw(const test::ssh_login& to, const writer& big, const writer& small) {
    return [&, to, session = std::shared_ptr<bench::raw_session>()](bool counts) mutable {
        if (!session) session = std::make_shared<bench::raw_session>(to);
        const auto& what = counts ? big : small;
        return moved(what.bytes, [&] { return session->run(what.line()).out; });
    };
}

// 1 MiB of it is kept, as always.
bench::turn by_pool(exec::ssh::endpoint to, const writer& big, const writer& small) {
    return [&, to, side = std::shared_ptr<bench::pooled>()](bool counts) mutable {
        if (!side) side = std::make_shared<bench::pooled>(to);
        const auto& what = counts ? big : small;
        return moved(what.bytes, [&] { return side->run_one(what.command()).out.total; });
    };
}

bench::turn by_client(const bench::master_client& kept, const writer& big, const writer& small) {
    return [&](bool counts) {
        const auto& what = counts ? big : small;
        return moved(what.bytes, [&] { return bench::must_run(kept.client(what.line())); });
    };
}

}  // namespace

int main(int argc, char** argv) {
    bench::report report("ssh_bulk", "output through one channel, aes128-gcm, login shell dash", argc, argv);
    test::openssh_options options;
    options.ciphers = "aes128-gcm@openssh.com";
    const bench::far_end there(report, options);
    options.rekey_limit = "16M";
    const bench::far_end rekeying(report, options);
    // A full window may be on its way without being held anywhere: only what the client says is late.
    test::fault_proxy line(there.port());

    report.column("MiB/s", 1);
    report.column("to libssh", 2);
    report.column("CPU s/GiB", 2);
    const auto compare = [&](const std::string& where, const bench::far_end& at, int port, std::size_t size) {
        const writer big(size);
        const writer small(4);
        const bench::master_client kept(at.login(port));
        const auto got = bench::in_turns(
            report.rounds(3),
            {by_raw(at.login(port), big, small), by_pool(at.endpoint(port), big, small), by_client(kept, big, small)});
        const auto row = [&](who side, const char* name, bench::kind is) {
            report.row(where + name, is,
                       {bench::median(got[side][rate]), bench::ratio(got[side][rate], got[floor_][rate]),
                        side == client ? std::nullopt : std::optional(bench::median(got[side][cpu]))});
        };
        row(floor_, "libssh, blocking", bench::kind::floor);
        row(ours, "exec", bench::kind::ours);
        row(client, "ssh, ControlMaster", bench::kind::peer);
        return got;
    };
    const auto near = compare("", there, 0, 192);
    report.at_least("bytes/s to libssh", bench::ratio(near[ours][rate], near[floor_][rate]), 0.95);
    const auto renewed = compare("new keys each 16 MiB: ", rekeying, 0, 96);
    report.at_least("new keys each 16 MiB: bytes/s to libssh", bench::ratio(renewed[ours][rate], renewed[floor_][rate]),
                    0.95);
    line.delay(test::fault_proxy::direction::to_server, std::chrono::milliseconds(100));
    const auto far = compare("100 ms: ", there, line.port(), 48);
    report.at_least("100 ms: bytes/s to ssh", bench::ratio(far[ours][rate], far[client][rate]), 1.5);
    return report.finish();
}
