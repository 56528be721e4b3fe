// How often does a command wait for the line?
#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "harness/report.h"
#include "harness/rounds.h"
#include "servers/fault_proxy.h"
#include "ssh/far_end.h"
#include "ssh/pooled.h"
#include "ssh/raw_libssh.h"

namespace {

constexpr std::chrono::milliseconds one_way{40};  // longer than a busy server needs to answer
const char* const quiet[] = {"/bin/true", nullptr};

struct measured {
    double trips = 0;
    double length = 0;  // in round trips of the line
};

template <class Once>
measured measure(const test::fault_proxy& line, std::size_t rounds, Once&& once) {
    bench::samples trips;
    bench::samples took;
    for (std::size_t round = 0; round < rounds + 2; ++round) {  // the first ones connect, and make the way for orders
        const auto before = line.round_trips();
        const auto began = bench::now();
        once();
        if (round < 2) continue;
        took.push_back((bench::now() - began) / bench::seconds(2 * one_way).count());
        trips.push_back(static_cast<double>(line.round_trips() - before));
    }
    return {bench::median(trips), bench::median(took)};
}

}  // namespace

int main(int argc, char** argv) {
    bench::report report("ssh_round_trips", "a warm exec of /bin/true over a line of 80 ms", argc, argv);
    const bench::far_end there(report);
    test::fault_proxy line(there.port());
    line.delay(one_way);
    const auto rounds = report.rounds(5);
    report.column("round trips", 0);
    report.column("time / round trip", 2);
    const auto show = [&](const std::string& name, bench::kind is, const measured& got) {
        report.row(name, is, {got.trips, got.length});
    };

    {
        bench::raw_session session(there.login(line.port()));
        show("libssh, blocking", bench::kind::floor,
             measure(line, rounds, [&] { session.run(bench::plain_line(quiet)); }));
    }
    const auto plain = bench::command_of(quiet);
    auto elsewhere = plain;
    elsewhere.cwd = "/usr";
    auto equipped = plain;
    static_cast<void>(equipped.env.set("WORD", "a word"));
    struct variant {
        const char* name;
        exec::command what;
        bool confirm_end;
        exec::ssh::wrapper with;
    };
    using exec::ssh::wrapper;
    for (const auto& [name, what, confirm_end, with] : {
             variant{"exec", plain, true, wrapper::on},
             variant{"exec, confirm_end off", plain, false, wrapper::on},
             variant{"exec, confirm_end off, a directory", elsewhere, false, wrapper::on},
             variant{"exec, confirm_end off, a variable", equipped, false, wrapper::on},
             variant{"exec, wrapper off", plain, true, wrapper::off},
         }) {
        exec::ssh::runner_options how;
        how.confirm_end = confirm_end;
        how.with = with;
        bench::pooled side(there.endpoint(line.port()), {}, how);
        const auto got = measure(line, rounds, [&, &again = what] { side.run_one(again); });
        show(name, bench::kind::ours, got);
        report.at_most(std::string(name) + ": round trips", got.trips, 2);
    }
    return report.finish();
}
