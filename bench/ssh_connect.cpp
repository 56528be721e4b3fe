// How long does it take from nothing to the end of a first command?
#include <cstdlib>
#include <memory>
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
enum figure { took, cpu };

// Milliseconds and CPU milliseconds of the median one.
template <class Once>
bench::turn repeated(Once once) {
    return [once](bool counts) -> std::vector<double> {
        bench::samples each;
        const auto before = bench::cpu_seconds();
        const auto runs = bench::repeat_for(bench::seconds(counts ? 0.5 : 0), [&] {
            const auto began = bench::now();
            once();
            each.push_back((bench::now() - began) * 1e3);
        });
        return {bench::median(each), (bench::cpu_seconds() - before) / static_cast<double>(runs) * 1e3};
    };
}

void must_end(const bench::heard& how) {
    if (!how.ended) std::_Exit(2);
}

}  // namespace

int main(int argc, char** argv) {
    bench::report report("ssh_connect", "connect, login, /bin/true, from nothing; login shell dash", argc, argv);
    const bench::far_end there(report);
    const auto login = there.login();

    const std::vector<bench::turn> turns{
        repeated([&] { must_end(bench::raw_session(login, bench::tuning::none).run(bench::plain_line(quiet))); }),
        repeated([&] { must_end(bench::raw_session(login).run(bench::plain_line(quiet))); }),
        repeated([&] {
            bench::pooled side(there.endpoint());
            must_end(bench::run_in(side, quiet));
        }),
        repeated([&] { bench::must_run(bench::cold_client(login, bench::plain_line(quiet))); }),
    };
    const auto got = bench::in_turns(report.rounds(5), turns);

    report.column("ms, p50", 1);
    report.column("to plain libssh", 2);
    report.column("CPU ms", 1);
    const auto row = [&](std::size_t side, const char* name, bench::kind is) {
        report.row(name, is,
                   {bench::median(got[side][took]), bench::ratio(got[side][took], got[0][took]),
                    bench::median(got[side][cpu])});
    };
    row(0, "libssh, as it comes", bench::kind::peer);
    row(1, "libssh, TCP_NODELAY", bench::kind::peer);
    row(2, "exec", bench::kind::ours);
    row(3, "ssh", bench::kind::peer);
    report.at_most("time to plain libssh", bench::ratio(got[2][took], got[0][took]), 0.5);
    return report.finish();
}
