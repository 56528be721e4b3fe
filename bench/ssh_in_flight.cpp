// How fast are commands when one thread has 8 or 64 of them in flight?
#include <cstdlib>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "harness/report.h"
#include "harness/rounds.h"
#include "harness/usage.h"
#include "ssh/far_end.h"
#include "ssh/openssh_client.h"
#include "ssh/pooled.h"
#include "ssh/raw_libssh.h"

namespace {

const char* const quiet[] = {"/bin/true", nullptr};
constexpr std::size_t share = 5;  // channels of one session, for both
enum figure { rate, cpu, refused };
enum who { bare_floor, contract_floor, ours, unconfirmed, master };

std::size_t sessions_for(std::size_t at_once) { return (at_once + share - 1) / share; }

// Commands a second, and microseconds of CPU on this side for each.
std::vector<double> flown(bench::flight& loop, bench::words what, std::size_t at_once, bool counts) {
    const auto before = bench::cpu_seconds();
    const auto began = bench::now();
    const std::size_t a_batch = 2 * at_once;
    bool good = true;
    const auto batches = bench::repeat_for(bench::seconds(counts ? 0.1 : 0), [&] {
        good = loop.run(what, a_batch, at_once, {0, 0, true}) && good;
    });
    if (!good) std::_Exit(2);
    const auto runs = static_cast<double>(batches * a_batch);
    return {runs / (bench::now() - began), (bench::cpu_seconds() - before) / runs * 1e6};
}

double sum(const bench::samples& of) { return std::accumulate(of.begin(), of.end(), 0.0); }

bench::turn by_raw(const bench::far_end& there, std::size_t at_once, std::string (*line_of)(bench::words)) {
    return [&there, at_once, line_of, side = std::shared_ptr<bench::raw_flight>()](bool counts) mutable {
        if (!side) {
            side = std::make_shared<bench::raw_flight>(there.login(), sessions_for(at_once), share, line_of);
        }
        const auto before = side->refused();
        auto figures = flown(*side, quiet, at_once, counts);
        figures.push_back(static_cast<double>(side->refused() - before));
        return figures;
    };
}

bench::turn by_pool(const bench::far_end& there, std::size_t at_once, bool confirm_end) {
    return [&there, at_once, confirm_end, side = std::shared_ptr<bench::pooled>()](bool counts) mutable {
        if (!side) {
            exec::ssh::pool_options pool;
            pool.channels_per_session = share;
            pool.sessions_per_target = sessions_for(at_once);
            exec::ssh::runner_options how;
            how.confirm_end = confirm_end;
            side = std::make_shared<bench::pooled>(there.endpoint(), pool, how);
        }
        const auto before = side->stats().refusals;
        auto figures = flown(*side, quiet, at_once, counts);
        figures.push_back(static_cast<double>(side->stats().refusals - before));
        return figures;
    };
}

// A process each, beside as many others; started and waited for by our own local runner.
bench::turn by_master(const bench::master_client& kept, std::size_t at_once) {
    return [&kept, at_once, side = std::shared_ptr<bench::flight>()](bool counts) mutable {
        if (!side) side = bench::ours_on_a_loop().fly();
        const auto words = kept.client(bench::plain_line(quiet));
        std::vector<const char*> pointers;
        for (const auto& word : words) pointers.push_back(word.c_str());
        pointers.push_back(nullptr);
        const auto before = kept.cpu_seconds();
        const auto began = bench::now();
        auto figures = flown(*side, pointers.data(), at_once, counts);
        figures[cpu] += (kept.cpu_seconds() - before) / (figures[rate] * (bench::now() - began)) * 1e6;
        figures.push_back(0);
        return figures;
    };
}

}  // namespace

int main(int argc, char** argv) {
    bench::report report(
        "ssh_in_flight",
        "/bin/true with 8 and 64 in flight, " + std::to_string(share) + " channels a session, login shell dash", argc,
        argv);
    test::openssh_options options;
    const bench::far_end there(report, options);
    // All on one connection, which is what it is for.
    options.max_sessions = 100;
    const bench::far_end roomy(report, options);
    const bench::master_client kept(roomy.login());

    for (const auto* heading : {"execs/s", "to bare", "to contract", "CPU us", "CPU to bare", "refused"}) {
        report.column(heading, std::string(heading).find("to ") != std::string::npos ? 2 : 0);
    }
    for (const std::size_t at_once : {std::size_t{8}, std::size_t{64}}) {
        std::vector<bench::turn> turns;
        turns.push_back(by_raw(there, at_once, bench::plain_line));
        turns.push_back(by_raw(there, at_once, bench::wrapped_line));
        turns.push_back(by_pool(there, at_once, true));
        turns.push_back(by_pool(there, at_once, false));
        turns.push_back(by_master(kept, at_once));
        const auto got = bench::in_turns(report.rounds(at_once > 8 ? 5 : 15), turns);

        const auto flying = std::to_string(at_once) + ": ";
        const auto row = [&](who side, const char* name, bench::kind is) {
            report.row(flying + name, is,
                       {bench::median(got[side][rate]), bench::ratio(got[side][rate], got[bare_floor][rate]),
                        bench::ratio(got[side][rate], got[contract_floor][rate]), bench::median(got[side][cpu]),
                        bench::ratio(got[side][cpu], got[bare_floor][cpu]), sum(got[side][refused])});
        };
        row(bare_floor, "libssh", bench::kind::floor);
        row(contract_floor, "libssh, with our script", bench::kind::floor);
        row(ours, "exec", bench::kind::ours);
        row(unconfirmed, "exec, confirm_end off", bench::kind::ours);
        row(master, "ssh, ControlMaster", bench::kind::peer);
        report.at_least(flying + "execs/s to libssh", bench::ratio(got[ours][rate], got[bare_floor][rate]), 0.97);
        report.at_least(flying + "execs/s to libssh with our script",
                        bench::ratio(got[ours][rate], got[contract_floor][rate]), 0.97);
        report.at_least(flying + "execs/s to ControlMaster", bench::ratio(got[ours][rate], got[master][rate]), 3.5);
        report.at_most(flying + "refused channels", sum(got[ours][refused]), 0);
    }
    return report.finish();
}
