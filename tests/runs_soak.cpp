// A million runs that end in every way that there is, and a host that is afterwards what it was.
//
// EXEC_SOAK_RUNS: how many (1,000,000). EXEC_TEST_SEED repeats a failure.
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <utility>

#include <doctest/doctest.h>
#include <unistd.h>

#include "guards.h"
#include "heard.h"
#include "local_host.h"
#include "random_words.h"

using namespace std::chrono_literals;
using exec::exit_status;
using exec::stop_reason;
using test::child;

namespace {

constexpr std::size_t in_flight = 24;

enum class kind : std::uint8_t {
    code,
    signal,
    flood,      // more than is kept
    timed_out,  // it would sleep for ever
    missing,    // no such program
    bytes,
    streamed,
    stopped,
    dropped,
    grandchild,  // that holds the pipes
    last = grandchild,
};

struct run {
    kind what{};
    int number = 0;
    std::string sent{};
    test::heard to{};
    exec::execution handle{};
};

class soak {
   public:
    explicit soak(std::uint64_t seed) : random_(seed) {}

    void play_one() {
        if (chance(8) == 0) return play_in_place();
        auto& one = *flying_.emplace_back(std::make_unique<run>());
        auto [what, within] = prepare(one);
        one.handle = host_.start(std::move(what), std::move(within), one.to);
        if (one.what == kind::stopped) one.handle.stop(exec::milliseconds(chance(2)));
        if (one.what == kind::dropped) one.handle = {};
        if (one.what == kind::streamed) {
            REQUIRE(one.handle.write_in(one.sent) == one.sent.size());
            one.handle.close_in();
        }
        while (flying_.size() >= in_flight) land();
    }
    void land_all() {
        while (!flying_.empty()) land();
    }

   private:
    std::uint64_t chance(std::uint64_t bound) { return random_() % bound; }

    kind choose() {
        if (chance(100) == 0) return kind::grandchild;  // it costs the drain
        return static_cast<kind>(chance(static_cast<std::uint64_t>(kind::last)));
    }

    std::pair<exec::command, exec::limits> prepare(run& one) {
        one.what = choose();
        exec::limits within;
        within.drain_idle = 2ms;
        within.drain_max = 20ms;
        within.stop.grace = 5s;
        switch (one.what) {
            case kind::code: one.number = static_cast<int>(chance(256)); break;
            case kind::signal: {
                constexpr int numbers[] = {1, 2, 6, 9, 11, 13, 15, 34, 64};
                one.number = numbers[chance(std::size(numbers))];
                return {child({"signal", std::to_string(one.number)}), within};
            }
            case kind::flood:
                one.number = static_cast<int>(chance(200'000));
                within.out.cap = chance(8192);
                within.out.kept = static_cast<exec::keep>(chance(4));
                return {child({"flood", std::to_string(one.number)}), within};
            case kind::timed_out:
                within.run_timeout = exec::milliseconds(1 + chance(3));
                return {child({"sleep"}), within};
            case kind::missing: return {test::words({"/no/such/program"}), within};
            case kind::bytes:
            case kind::streamed: {
                one.sent = std::string(chance(one.what == kind::bytes ? 100'000 : 60'000), 'x');
                auto what = child({"cat"});
                what.in = one.what == kind::bytes ? exec::input::bytes(one.sent) : exec::input::streamed();
                return {std::move(what), within};
            }
            case kind::stopped:
            case kind::dropped: return {child({"sleep"}), within};
            case kind::grandchild: return {child({"hold-pipe"}), within};
        }
        return {child({"exit", std::to_string(one.number)}), within};
    }

    void play_in_place() {
        run one;
        auto [what, within] = prepare(one);
        if (one.what == kind::stopped || one.what == kind::dropped || one.what == kind::streamed) return;
        test::listener tell(one.to);
        one.to.end = host_.local().run(std::move(what), std::move(within), tell, {});
        judge(one);
    }

    // Drives until the oldest one is over.
    void land() {
        run& one = *flying_.front();
        REQUIRE(test::drive_until(host_.on(), [&] { return one.to.destroyed; }));
        judge(one);
        flying_.pop_front();
    }

    void judge(const run& one) {
        CAPTURE(static_cast<int>(one.what));
        CAPTURE(one.number);
        REQUIRE(one.to.broken.empty());
        if (one.what == kind::dropped) {
            REQUIRE_FALSE(one.to.end.has_value());
            return;
        }
        REQUIRE(one.to.end.has_value());
        if (!one.to.end->has_value()) {
            const auto& why = one.to.end->error();
            if (one.what == kind::stopped) {
                REQUIRE(why.code == exec::errc::cancelled);
            } else {
                REQUIRE(one.what == kind::missing);
                REQUIRE(why.at == exec::stage::program);
            }
            return;
        }
        const auto& how = one.to.outcome();
        REQUIRE(one.what != kind::missing);
        REQUIRE(how.began == exec::started::yes);
        REQUIRE((one.what == kind::grandchild || how.out.complete));
        switch (one.what) {
            case kind::code: REQUIRE(how.exit == exit_status::exited(one.number)); break;
            case kind::signal: REQUIRE(how.exit == exit_status::signaled(one.number)); break;
            case kind::flood:
                REQUIRE(how.exit == exit_status::exited(0));
                REQUIRE(how.out.total == static_cast<std::uint64_t>(one.number));
                break;
            case kind::timed_out:
                REQUIRE(how.stopped_by == stop_reason::run_timeout);
                REQUIRE(how.exit.what == exit_status::kind::signaled);
                break;
            case kind::bytes:
            case kind::streamed:
                REQUIRE(how.exit == exit_status::exited(0));
                REQUIRE(how.out.total == one.sent.size());
                REQUIRE(how.in_taken == one.sent.size());
                break;
            case kind::stopped:
                REQUIRE(how.stopped_by == stop_reason::cancelled);
                REQUIRE(how.exit.what == exit_status::kind::signaled);
                break;
            case kind::grandchild: REQUIRE(how.exit == exit_status::exited(0)); break;
            case kind::missing:
            case kind::dropped: break;
        }
    }

    std::mt19937_64 random_;
    test::local_host host_{};
    std::deque<std::unique_ptr<run>> flying_{};
};

long resident_pages() {
    std::ifstream statm("/proc/self/statm");
    long all = 0;
    long resident = 0;
    statm >> all >> resident;
    return resident;
}

long runs_asked_for() {
    const char* asked = std::getenv("EXEC_SOAK_RUNS");
    return asked != nullptr ? std::strtol(asked, nullptr, 10) : 1'000'000;
}

}  // namespace

TEST_CASE("soak: a million runs leave no descriptor, no child, no thread and no memory behind" *
          doctest::test_suite("soak")) {
    const test::process_guard nothing_left;
    const auto runs = runs_asked_for();
    const auto seed = test::seed(std::random_device{}());
    MESSAGE("EXEC_TEST_SEED=" << seed);
    soak all(seed);

    // What grows to its size once has grown to it by then.
    const auto warm = runs / 10;
    for (long done = 0; done < warm; ++done) all.play_one();
    all.land_all();
    const auto quiet = test::host_state::now();
    const auto before = resident_pages();

    const auto check_every = runs / 20 + 1;
    for (long done = warm; done < runs; ++done) {
        all.play_one();
        if (done % check_every != 0) continue;
        all.land_all();
        for (const auto& change : test::host_state::now().changes_since(quiet)) FAIL_CHECK(change);
    }
    all.land_all();
    const auto grown = (resident_pages() - before) * ::sysconf(_SC_PAGESIZE);
    MESSAGE(runs << " runs; resident memory grew by " << grown / 1024 << " KiB");
    CHECK(grown < 1024 * 1024);
}
