// How fast are commands that go one after the other over a session that is there?
#include <cstdlib>
#include <memory>
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
enum figure { rate, cpu };
enum who { bare_floor, contract_floor, ours, unconfirmed, unwrapped, master };

// Commands a second, and microseconds of CPU on this side for each.
template <class Once>
std::vector<double> paced(bool counts, double slice, Once&& once, const bench::master_client* helper = nullptr) {
    const auto used = [&] { return bench::cpu_seconds() + (helper ? helper->cpu_seconds() : 0); };
    const auto before = used();
    const auto began = bench::now();
    const auto runs = static_cast<double>(bench::repeat_for(bench::seconds(counts ? slice : 0), once));
    return {runs / (bench::now() - began), (used() - before) / runs * 1e6};
}

void must_end(const bench::heard& how) {
    if (!how.ended) std::_Exit(2);
}

bench::turn by_raw(const bench::far_end& there, std::string (*line_of)(bench::words)) {
    return [&there, line_of, session = std::shared_ptr<bench::raw_session>()](bool counts) mutable {
        if (!session) session = std::make_shared<bench::raw_session>(there.login());
        return paced(counts, 0.06, [&] { must_end(session->run(line_of(quiet))); });
    };
}

bench::turn by_pool(const bench::far_end& there, exec::ssh::runner_options how) {
    return [&there, how, side = std::shared_ptr<bench::pooled>()](bool counts) mutable {
        if (!side) side = std::make_shared<bench::pooled>(there.endpoint(), exec::ssh::pool_options{}, how);
        return paced(counts, 0.06, [&] { must_end(bench::run_in(*side, quiet)); });
    };
}

}  // namespace

int main(int argc, char** argv) {
    bench::report report("ssh_warm", "/bin/true over a session that is there, one at a time, login shell dash", argc,
                         argv);
    const bench::far_end there(report);
    const bench::master_client kept(there.login());

    exec::ssh::runner_options no_question;
    no_question.confirm_end = false;
    exec::ssh::runner_options no_wrapper;
    no_wrapper.with = exec::ssh::wrapper::off;
    std::vector<bench::turn> turns;
    turns.push_back(by_raw(there, bench::plain_line));
    turns.push_back(by_raw(there, bench::wrapped_line));
    turns.push_back(by_pool(there, {}));
    turns.push_back(by_pool(there, no_question));
    turns.push_back(by_pool(there, no_wrapper));
    turns.emplace_back([&](bool counts) {
        return paced(
            counts, 0.06, [&] { bench::must_run(kept.client(bench::plain_line(quiet))); }, &kept);
    });
    const auto got = bench::in_turns(report.rounds(31), turns);

    report.column("execs/s", 0);
    report.column("to bare", 2);
    report.column("to contract", 2);
    report.column("CPU us", 0);
    report.column("CPU to bare", 2);
    const auto row = [&](who side, const char* name, bench::kind is) {
        report.row(name, is,
                   {bench::median(got[side][rate]), bench::ratio(got[side][rate], got[bare_floor][rate]),
                    bench::ratio(got[side][rate], got[contract_floor][rate]), bench::median(got[side][cpu]),
                    bench::ratio(got[side][cpu], got[bare_floor][cpu])});
    };
    row(bare_floor, "libssh, blocking", bench::kind::floor);
    row(contract_floor, "libssh, blocking, with our script", bench::kind::floor);
    row(ours, "exec", bench::kind::ours);
    row(unconfirmed, "exec, confirm_end off", bench::kind::ours);
    row(unwrapped, "exec, wrapper off", bench::kind::ours);
    row(master, "ssh, ControlMaster", bench::kind::peer);
    report.at_least("execs/s to libssh", bench::ratio(got[ours][rate], got[bare_floor][rate]), 1.0);
    report.at_least("execs/s to libssh with our script", bench::ratio(got[ours][rate], got[contract_floor][rate]), 1.0);
    report.at_least("execs/s to ControlMaster", bench::ratio(got[ours][rate], got[master][rate]), 4);
    report.at_most("CPU of this side to libssh", bench::ratio(got[ours][cpu], got[bare_floor][cpu]), 1.15);
    return report.finish();
}
