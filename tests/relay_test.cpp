#include <exec/relay.h>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <exec/loop_thread.h>
#include <exec/testing/manual_clock.h>

namespace {

using namespace exec;

// The inner runner of these tests: does nothing by itself, and writes down what it is asked.
struct inner_run final : execution::control {
    std::string said{};
    std::unique_ptr<observer> tell{};
    command what{};
    limits within{};
    std::size_t room = 1000;  // what write_in still takes

    void begin() { tell->on_start({{}, "inner", within}); }
    void end(result<outcome> how) {
        tell->on_done(std::move(how));
        tell.reset();
    }

    std::size_t write_in(bytes_view bytes) override {
        const auto taken = (std::min)(room, bytes.size());
        room -= taken;
        said += "in:" + std::string(bytes.substr(0, taken)) + ' ';
        return taken;
    }
    void close_in() override { said += "close "; }
    void resume() override { said += "resume "; }
    result<void> signal(int number) override {
        said += "signal:" + std::to_string(number) + ' ';
        return {};
    }
    result<void> resize(terminal_size size) override {
        said += "resize:" + std::to_string(size.columns) + ' ';
        return {};
    }
    void stop(milliseconds grace) override {
        said += grace == unlimited ? "stop " : "stop:" + std::to_string(grace.count()) + ' ';
    }
    std::uint64_t id() const override { return 99; }
    void detach() override { said += "detach "; }
    void let_go() override { said += "let_go "; }
};

struct inner_runner final : runner {
    explicit inner_runner(inner_run& to) : run_(to) {}
    execution start(command what, limits within, std::unique_ptr<observer> tell) override {
        run_.what = std::move(what);
        run_.within = within;
        run_.tell = std::move(tell);
        return execution(&run_);
    }
    capabilities can() const override { return {}; }
    inner_run& run_;
};

// What the caller's observer was told, in a place that outlives it.
struct told {
    std::string said{};
    std::optional<result<outcome>> end{};
    bool gone = false;
    std::function<void()> on_start{};
    std::function<void()> on_room{};
    bool failed_with(errc code) const { return gone && end && !*end && end->error().code == code; }
};

class teller final : public observer {
   public:
    explicit teller(told& to) : to_(to) {}
    ~teller() override { to_.gone = true; }
    void on_start(const start_info& what) override {
        to_.said += "start:" + std::string(what.where) + ' ';
        if (to_.on_start) to_.on_start();
    }
    flow on_output(stream, std::uint64_t at, bytes_view bytes) override {
        to_.said += std::to_string(at) + ':' + std::string(bytes) + ' ';
        return flow::pause;
    }
    void on_gap(stream, std::uint64_t at, std::uint64_t missing) override {
        to_.said += std::to_string(at) + '+' + std::to_string(missing) + ' ';
    }
    void on_room() override {
        to_.said += "room ";
        if (to_.on_room) to_.on_room();
    }
    flow on_heartbeat(milliseconds) override {
        to_.said += "beat ";
        return flow::stop;
    }
    void on_done(result<outcome> how) override { to_.end = std::move(how); }

   private:
    told& to_;
};

struct fixture {
    testing::manual_clock clock{};
    told heard{};
    inner_run run{};
    inner_runner inner{run};
    std::unique_ptr<loop> on = *make_loop({.clock = &clock});

    relay::made made(command what = streamed(), limits within = {}) {
        return relay::make(*on, std::move(what), within, std::make_unique<teller>(heard));
    }
    static command streamed() { return {.program_and_args = argv("x"), .in = input::streamed()}; }
    static command terminal() {
        auto what = streamed();
        what.terminal = terminal_size{80, 24};
        return what;
    }
    void turn() { on->run_ready(); }
    void pass(milliseconds by) {
        clock.advance(by);
        turn();
    }
};

outcome exited(int code) {
    outcome how;
    how.exit = exit_status::exited(code);
    how.took.queue = milliseconds(1);
    how.took.total = milliseconds(10);
    return how;
}

}  // namespace

TEST_CASE(
    "relay: a command that is started reaches the inner runner with what was changed meanwhile, and its calls come "
    "back") {
    fixture here;
    auto [handle, link] = here.made();
    CHECK(handle);
    CHECK_FALSE(link.cancelled());
    link.what().cwd = "/changed";
    link.within().drain_max = milliseconds(5);
    here.pass(milliseconds(2500));
    CHECK(link.start(here.inner));
    CHECK(here.heard.said.empty());
    CHECK(here.run.what.cwd == "/changed");
    CHECK(here.run.within.drain_max == milliseconds(5));
    CHECK(here.run.within.start_timeout == milliseconds(7500));

    here.run.begin();
    CHECK(here.run.tell->on_output(stream::out, 3, "abc") == flow::pause);
    here.run.tell->on_gap(stream::out, 6, 4);
    here.run.tell->on_room();
    CHECK(here.run.tell->on_heartbeat(milliseconds(1)) == flow::stop);
    handle.resume();
    CHECK(handle.signal(10));
    CHECK(handle.resize({120, 10}));
    CHECK(handle.write_in("hello") == 5);
    handle.stop(milliseconds(3));
    handle.close_in();
    CHECK(here.heard.said == "start:inner 3:abc 6+4 room beat ");
    CHECK(here.run.said == "resume signal:10 resize:120 in:hello stop:3 close ");

    here.run.end(exited(4));
    REQUIRE(here.heard.end);
    REQUIRE(*here.heard.end);
    CHECK((*here.heard.end)->exit == exit_status::exited(4));
    CHECK((*here.heard.end)->took.queue == milliseconds(2501));
    CHECK((*here.heard.end)->took.total == milliseconds(2510));
    CHECK(here.heard.gone);
}

TEST_CASE("relay: its id is its own, the same before and after the start") {
    fixture here;
    auto [handle, link] = here.made();
    const auto id = handle.id();
    CHECK(id != 0);
    link.start(here.inner);
    CHECK(handle.id() == id);
    auto [second, other] = here.made();
    CHECK(second.id() != id);
}

TEST_CASE("relay: input, its end and the last size are kept for the start, in order") {
    fixture here;
    auto [handle, link] = here.made(fixture::terminal());
    CHECK(handle.write_in("one") == 3);
    CHECK(handle.write_in("two") == 3);
    CHECK(handle.resize({100, 30}));
    CHECK(handle.resize({101, 31}));
    CHECK(handle.signal(1).error().code == errc::wrong_state);
    handle.resume();
    handle.close_in();
    CHECK(handle.write_in("late") == 4);  // taken and dropped, as by a child that stopped reading
    link.start(here.inner);
    CHECK(here.run.what.terminal == terminal_size{101, 31});
    CHECK(here.run.said == "in:onetwo close ");
    CHECK(handle.resize({102, 32}));  // begun, but not told yet
    CHECK(here.run.said == "in:onetwo close ");
    here.run.begin();
    CHECK(here.run.said == "in:onetwo close resize:102 ");
}

TEST_CASE("relay: what it cannot keep it refuses while it waits") {
    fixture here;
    auto [handle, link] = here.made({.program_and_args = argv("x")});
    CHECK(handle.write_in("abc") == 0);
    CHECK(handle.resize({80, 24}).error().code == errc::unsupported);
    auto [on_terminal, other] = here.made(fixture::terminal());
    CHECK(on_terminal.resize({0, 24}).error().code == errc::invalid_argument);
    link.start(here.inner);
    CHECK(here.run.said.empty());
}

TEST_CASE("relay: a write that fell short while waiting is answered by one on_room after on_start") {
    fixture here;
    limits within;
    within.in_queue = 4;
    auto [handle, link] = here.made(fixture::streamed(), within);
    CHECK(handle.write_in("abcdef") == 4);
    CHECK(handle.write_in("ef") == 0);
    SUBCASE("all of it passes at once") {
        link.start(here.inner);
        CHECK(here.heard.said.empty());
        here.heard.on_room = [&handle = handle] { CHECK(handle.write_in("ef") == 2); };
        here.run.begin();
        CHECK(here.heard.said == "start:inner room ");
        CHECK(here.run.said == "in:abcd in:ef ");
        here.run.tell->on_room();  // the inner's own
        CHECK(here.heard.said == "start:inner room room ");
    }
    SUBCASE("some of it has to wait for room inside") {
        here.run.room = 1;
        link.start(here.inner);
        handle.close_in();
        here.run.begin();
        CHECK(here.heard.said == "start:inner ");
        here.run.room = 2;
        here.run.tell->on_room();
        CHECK(here.heard.said == "start:inner ");
        here.run.room = 2;
        here.run.tell->on_room();
        CHECK(here.heard.said == "start:inner room ");
        CHECK(here.run.said == "in:a in: in: in:bc in:d close ");
    }
    SUBCASE("new input waits behind the old") {
        here.run.room = 1;
        link.start(here.inner);
        here.run.begin();
        CHECK(handle.write_in("ef") == 0);
        here.run.room = 100;
        CHECK(handle.write_in("ef") == 2);
        CHECK(here.run.said == "in:a in: in: in:bcd in:ef ");
    }
}

TEST_CASE("relay: nobody waits for room that was never missing") {
    fixture here;
    auto [handle, link] = here.made();
    CHECK(handle.write_in("abc") == 3);
    link.start(here.inner);
    here.run.begin();
    CHECK(here.heard.said == "start:inner ");
}

TEST_CASE("relay: a stop while it waits is answered without the look-up, on the loop, and nothing is ever started") {
    fixture here;
    auto [handle, link] = here.made();
    handle.stop();
    CHECK(link.cancelled());
    CHECK_FALSE(here.heard.end);  // never inside stop()
    here.turn();
    CHECK(here.heard.failed_with(errc::cancelled));
    CHECK_FALSE(link.start(here.inner));
    CHECK_FALSE(here.run.tell);
    handle.stop();
    here.pass(std::chrono::hours(1));
    CHECK(here.heard.said.empty());
}

TEST_CASE("relay: a drop while it waits is silent, and the observer goes on the loop") {
    fixture here;
    auto [handle, link] = here.made();
    handle = {};
    CHECK(link.cancelled());
    CHECK_FALSE(here.heard.gone);
    here.turn();
    CHECK(here.heard.gone);
    CHECK_FALSE(here.heard.end);
    CHECK_FALSE(link.start(here.inner));
}

TEST_CASE("relay: a detached one is started all the same, with the input that is still on its way") {
    fixture here;
    auto [handle, link] = here.made();
    CHECK(handle.write_in("abcd") == 4);
    handle.close_in();
    handle.detach();
    here.run.room = 1;
    CHECK_FALSE(link.cancelled());
    CHECK(link.start(here.inner));
    here.run.begin();
    here.run.room = 10;
    here.run.tell->on_room();
    CHECK(here.run.said == "in:a in: in:bcd close ");
    here.run.end(exited(0));
    CHECK(here.heard.gone);
    CHECK(here.heard.end->has_value());
    CHECK(here.heard.said == "start:inner ");
}

TEST_CASE("relay: a drop after the start drops the inner handle, also from inside on_start") {
    fixture here;
    limits within;
    within.in_queue = 1;
    auto [handle, link] = here.made(fixture::streamed(), within);
    CHECK(handle.write_in("ab") == 1);
    link.start(here.inner);
    SUBCASE("outside") {
        handle = {};
        CHECK(here.run.said == "in:a let_go ");
    }
    SUBCASE("inside") {
        here.heard.on_start = [&handle = handle] { handle = {}; };
        here.run.begin();
        CHECK(here.run.said == "in:a let_go ");
        CHECK(here.heard.said == "start:inner ");  // and no on_room behind it
    }
    CHECK_FALSE(here.heard.gone);
    here.run.tell.reset();
    CHECK(here.heard.gone);
    CHECK_FALSE(here.heard.end);
}

TEST_CASE("relay: patience is start_timeout or the deadline, whichever comes first, by the loop's clock") {
    fixture here;
    limits within;
    SUBCASE("start_timeout") { within.start_timeout = milliseconds(300); }
    SUBCASE("deadline") { within.deadline = here.clock.now() + milliseconds(300); }
    auto [handle, link] = here.made(fixture::streamed(), within);
    here.pass(milliseconds(299));
    CHECK_FALSE(link.cancelled());
    here.pass(milliseconds(1));
    CHECK(link.cancelled());
    CHECK(here.heard.failed_with(errc::start_timeout));
    CHECK_FALSE(link.start(here.inner));
}

TEST_CASE("relay: patience ends with the start") {
    fixture here;
    auto [handle, link] = here.made();
    here.pass(milliseconds(9999));
    link.start(here.inner);
    CHECK(here.run.within.start_timeout == milliseconds(1));
    here.pass(std::chrono::hours(1));
    CHECK_FALSE(here.heard.end);
    here.run.end(exited(0));
    CHECK(here.heard.end->has_value());
}

TEST_CASE("relay: a look-up that fails, or drops the relay, is told on the loop") {
    fixture here;
    SUBCASE("fails") {
        auto [handle, link] = here.made();
        link.fail(fail(errc::connect_failed, "no lease"));
        CHECK_FALSE(here.heard.end);
        here.turn();
        CHECK(here.heard.failed_with(errc::connect_failed));
        CHECK(here.heard.end->error().context == "no lease");
        handle.stop();
        here.turn();
    }
    SUBCASE("drops it") {
        auto made = here.made();
        { const auto dropped = std::move(made.link); }
        here.turn();
        CHECK(here.heard.failed_with(errc::broken_reply));
    }
    SUBCASE("fails after it was stopped") {
        auto [handle, link] = here.made();
        handle.stop();
        link.fail(fail(errc::connect_failed));
        here.turn();
        CHECK(here.heard.failed_with(errc::cancelled));
    }
}

TEST_CASE("relay: a loop that ends tells those that still wait, and both ends may outlive it") {
    fixture here;
    limits patient;
    patient.start_timeout = unlimited;
    auto [handle, link] = here.made(fixture::streamed(), patient);
    here.on.reset();
    CHECK(here.heard.failed_with(errc::shutting_down));
    CHECK(link.cancelled());
    CHECK_FALSE(link.start(here.inner));
    handle.stop();
    CHECK(handle.write_in("abc") == 0);
    CHECK(handle.resize({1, 1}).error().code == errc::unsupported);
}

TEST_CASE("relay: a null observer is nobody to tell, and everything else is as usual") {
    fixture here;
    auto stopped = relay::make(*here.on, fixture::streamed(), {}, nullptr);
    stopped.handle.stop();
    here.turn();
    auto [handle, link] = relay::make(*here.on, fixture::streamed(), {}, nullptr);
    CHECK(link.start(here.inner));
    here.run.begin();
    CHECK(here.run.tell->on_output(stream::out, 0, "abc") == flow::more);
    here.run.tell->on_gap(stream::out, 0, 1);
    here.run.tell->on_room();
    CHECK(here.run.tell->on_heartbeat(milliseconds(1)) == flow::more);
    here.run.end(exited(0));
}

TEST_CASE("relay: starts whatever gives an execution, and one that is inert is a dropped observer") {
    fixture here;
    auto [handle, link] = here.made();
    bool called = false;
    CHECK(link.start([&called](command, limits, std::unique_ptr<observer>) {
        called = true;
        return execution();
    }));
    CHECK(called);
    CHECK(here.heard.gone);
    CHECK(handle.write_in("abc") == 0);
    handle.stop();
}

TEST_CASE("relay: an exception in on_done ends at the loop") {
    fixture here;
    class throwing final : public observer {
        void on_done(result<outcome>) override { throw 1; }
    };
    auto made = relay::make(*here.on, fixture::streamed(), {}, std::make_unique<throwing>());
    made.handle.stop();
    here.turn();
    CHECK(here.on->exceptions() == 1);
    auto again = relay::make(*here.on, fixture::streamed(), {}, std::make_unique<throwing>());
    here.on.reset();
}

TEST_CASE("relay: on a loop of another thread every start is answered once, whoever stops, drops or starts it first") {
    const auto on = *make_loop();
    const loop_thread thread(*on);
    // Says something at once, on the loop, maybe before start() has returned.
    struct quick_runner final : runner {
        explicit quick_runner(loop& where) : where_(where) {}
        execution start(command, limits within, std::unique_ptr<observer> tell) override {
            where_.post([within, tell = std::move(tell)]() mutable {
                tell->on_start({{}, "quick", within});
                tell->on_output(stream::out, 0, "abc");
                tell->on_done(exited(0));
                tell.reset();
            });
            return {};
        }
        capabilities can() const override { return {}; }
        loop& where_;
    } quick(*on);

    std::atomic<int> ended{0};
    std::atomic<int> destroyed{0};
    struct counting final : observer {
        std::atomic<int>& ended_;
        std::atomic<int>& destroyed_;
        int calls_ = 0;
        counting(std::atomic<int>& ended_in, std::atomic<int>& destroyed_in)
            : ended_(ended_in), destroyed_(destroyed_in) {}
        ~counting() override {
            destroyed_ += calls_ <= 1 ? 1 : 1000;
            destroyed_.notify_all();
        }
        void on_done(result<outcome>) override {
            ++calls_;
            ++ended_;
        }
    };
    constexpr int rounds = 300;
    int kept = 0;
    std::vector<std::thread> threads;
    for (int round = 0; round < rounds; ++round) {
        auto made = relay::make(*on, fixture::streamed(), {}, std::make_unique<counting>(ended, destroyed));
        threads.emplace_back([&quick, link = std::move(made.link)]() mutable { link.start(quick); });
        switch (round % 4) {
            case 0:
                made.handle.stop();
                made.handle.detach();
                ++kept;
                break;
            case 1: break;  // dropped here
            case 2:
                made.handle.write_in("abc");
                made.handle.close_in();
                made.handle.detach();
                ++kept;
                break;
            default:
                made.handle.resume();
                made.handle.stop(milliseconds(0));
                break;
        }
    }
    for (auto& each : threads) each.join();
    for (int seen = destroyed; seen != rounds; seen = destroyed) {
        REQUIRE(seen < rounds);
        destroyed.wait(seen);
    }
    CHECK(ended >= kept);
    CHECK(ended <= rounds);
}
