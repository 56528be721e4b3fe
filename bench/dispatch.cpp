// What does a dispatcher add to a command? The command is played by a runner that ends it at once: with it alone, and through
// policy, directory, gate, admission and an audit trail that keeps nothing.
#include <exec/dispatcher_parts.h>
#include <exec/loop.h>

#include <memory>
#include <utility>

#include "harness/report.h"
#include "harness/rounds.h"
#include "harness/usage.h"

namespace {

using namespace exec;

struct instant final : runner {
    explicit instant(loop& of) : on(of) {}
    execution start(command, limits within, std::unique_ptr<observer> tell) override {
        on.post([within = std::move(within), tell = std::move(tell)] {
            outcome how;
            how.exit = exit_status::exited(0);
            tell->on_start({std::nullopt, "here", within});
            tell->on_done(std::move(how));
        });
        return {};
    }
    capabilities can() const override { return {}; }
    loop& on;
};
struct one_machine final : directory {
    explicit one_machine(std::shared_ptr<runner> of) { way.run = std::move(of); }
    void find(const caller&, const target_id&, reply<route> answer) override { answer(way); }
    route way{};
};
struct open_gate final : gate {
    void check(const caller&, verb, const target_id&, const route&, reply<void> answer) override { answer({}); }
};
struct counting final : observer {
    explicit counting(std::size_t& of) : count(of) {}
    void on_done(result<outcome> how) override { count += how && how->ok() ? 1 : 0; }
    std::size_t& count;
};

enum figure { microseconds, heap };

std::vector<double> turn(bool dispatched) {
    const auto on = make_loop().value();
    const auto played = std::make_shared<instant>(*on);
    const auto front = make_dispatcher({.loop = on.get(),
                                        .directory = std::make_shared<one_machine>(played),
                                        .gate = std::make_shared<open_gate>(),
                                        .audit = std::make_shared<no_audit>()})
                           .value();
    const command what{.program_and_args = exec::argv("uname", "-a")};
    const call whole{.who = {.subject = "user:ada", .tenant = "acme"}, .target = target_id("build-7"), .what = what};
    std::size_t ended = 0;
    const auto before = bench::allocations();
    const auto began = bench::now();
    const auto times = bench::repeat_for(bench::seconds(0.1), [&] {
        auto tell = std::make_unique<counting>(ended);
        const auto running =
            dispatched ? front->submit(whole, std::move(tell)) : played->start(what, {}, std::move(tell));
        while (on->run_ready() != 0) {
        }
    });
    const auto took = bench::now() - began;
    if (ended != times) return {0, 0};  // not every call was answered
    const auto calls = static_cast<double>(times);
    return {took / calls * 1e6, static_cast<double>(bench::allocations() - before) / calls};
}

}  // namespace

int main(int argc, char** argv) {
    bench::report report("dispatch", "one call, its command played by a runner that ends it at once", argc, argv);
    const auto got =
        bench::in_turns(report.rounds(9), {[](bool) { return turn(false); }, [](bool) { return turn(true); }});
    report.column("us", 2);
    report.column("allocations", 1);
    report.row("the runner alone", bench::kind::floor,
               {bench::median(got[0][microseconds]), bench::median(got[0][heap])});
    report.row("through a dispatcher", bench::kind::ours,
               {bench::median(got[1][microseconds]), bench::median(got[1][heap])});
    bench::samples added;
    for (std::size_t round = 0; round < got[0][microseconds].size(); ++round) {
        added.push_back(got[1][microseconds][round] - got[0][microseconds][round]);
    }
    report.at_most("what the dispatcher adds, us", bench::median(added), 5);
    return report.finish();
}
