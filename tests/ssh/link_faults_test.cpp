// A link or a server that fails while commands run: what they are told, and what becomes of the session.
#include <exec/ssh/pool.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/socket.h>

#include <exec/testing/manual_clock.h>

#include "guards.h"
#include "living.h"
#include "posix/fd.h"
#include "servers/fault_proxy.h"
#include "servers/loopback.h"
#include "servers/other_account.h"
#include "servers/tinyssh_server.h"
#include "ssh/remote_host.h"

using namespace std::chrono_literals;
using exec::exit_status;
using test::fault_proxy;
using test::flight;
using test::remote_host;
using test::sh;
using clock_type = std::chrono::steady_clock;

namespace {

// Long enough for a loaded machine to answer one question in three, short enough to wait for.
constexpr exec::milliseconds often{200};

exec::ssh::pool_options asking(exec::milliseconds keepalive) {
    exec::ssh::pool_options options;
    options.keepalive = keepalive;
    return options;
}

// A host behind a line that can be broken.
struct faulty_line {
    explicit faulty_line(exec::ssh::pool_options options = asking(often))
        : host(test::quick(), std::move(options)),
          line(host.server().port()),
          runner(host.client().runner_to(host.at(line.port()))) {}

    // A command that has said "said" and then waits for ever.
    std::unique_ptr<flight> speaking() {
        auto one = host.client().begin(*runner, sh("echo said; sleep 1000"));
        host.client().until([&] { return one->to.out == "said\n" || one->over(); });
        REQUIRE_FALSE(one->over());
        return one;
    }

    remote_host host;
    fault_proxy line;
    std::shared_ptr<exec::runner> runner;
};

// A way to a server on this machine whose kernel takes little at once: what the server does not read is soon stuck here.
std::shared_ptr<exec::ssh::connector> narrow_way(int port) {
    auto socket = test::connect_to_loopback(port);
    pollfd connected{socket.get(), POLLOUT, 0};
    REQUIRE(::poll(&connected, 1, test::patience_ms) == 1);
    const int little = 16 * 1024;
    REQUIRE(::setsockopt(socket.get(), SOL_SOCKET, SO_SNDBUF, &little, sizeof little) == 0);
    return exec::ssh::use_descriptor(socket.release());
}

// Continues a server that holds this thread up, so that the test fails and does not hang.
class rescuer {
   public:
    explicit rescuer(std::function<void()> rescue, exec::milliseconds after)
        : thread_([this, rescue = std::move(rescue), after] {
              std::unique_lock hold(guard_);
              if (!told_.wait_for(hold, after, [this] { return over_; })) rescue();
          }) {}
    ~rescuer() {
        {
            const std::lock_guard hold(guard_);
            over_ = true;
        }
        told_.notify_one();
        thread_.join();
    }
    rescuer(const rescuer&) = delete;
    rescuer& operator=(const rescuer&) = delete;

   private:
    std::mutex guard_{};
    std::condition_variable told_{};
    bool over_ = false;
    std::thread thread_;
};

}  // namespace

// What the line does -----------------------------------------------------------------------------------------------------

TEST_CASE("ssh link: each way in which a line can break is one outcome, lost, with what was said") {
    struct fault {
        std::string name;
        std::function<void(fault_proxy&)> happens;
    };
    const fault faults[] = {
        {"reset", [](fault_proxy& line) { line.reset(); }},
        {"black hole", [](fault_proxy& line) { line.black_hole(); }},
        {"half open", [](fault_proxy& line) { line.half_open(); }},
        {"stall", [](fault_proxy& line) { line.stall(); }},
    };
    for (const auto& each : faults) {
        CAPTURE(each.name);
        const test::process_guard nothing_left;
        faulty_line on;
        const auto one = on.speaking();
        each.happens(on.line);
        on.host.client().finish(*one);
        test::check_lost(*one);
        CHECK(one->to.out == "said\n");
        CHECK(one->outcome().began == exec::started::yes);
        CHECK(one->outcome().stopped_by == exec::stop_reason::nobody);
        CHECK(one->outcome().broke);
        CHECK(on.host.stats().lost_sessions == 1);
        CHECK(on.host.stats().channels == 0);
        CHECK(on.host.stats().ready + on.host.stats().suspect == 0);
    }
}

TEST_CASE("ssh link: all commands of a session that breaks are lost, those of another one are not") {
    auto options = asking(often);
    options.channels_per_session = 5;
    faulty_line on(options);
    std::vector<std::unique_ptr<flight>> many;
    for (int i = 0; i < 5; ++i) many.push_back(on.speaking());
    REQUIRE(on.host.stats().connects == 1);
    auto patient = sh("echo other; read line; exit 3");
    patient.in = exec::input::streamed();  // without one its end would be a matter of speed
    const auto other = on.host.begin(std::move(patient), {});
    on.host.client().until([&] { return other->to.out == "other\n"; });
    on.line.reset();
    for (const auto& each : many) {
        on.host.client().finish(*each);
        test::check_lost(*each);
        CHECK(each->to.out == "said\n");
    }
    CHECK_FALSE(other->over());
    CHECK(on.host.stats().lost_sessions == 1);
}

TEST_CASE("ssh link: a session that broke is not used again, and the next command logs in anew") {
    faulty_line on;
    const auto one = on.speaking();
    on.line.reset();
    on.host.client().finish(*one);
    CHECK(on.host.client().outcome_of(*on.runner, sh("echo again")).out.bytes == "again\n");
    CHECK(on.host.stats().connects == 2);
}

TEST_CASE("ssh link: an idle session that has died costs the next command nothing but a login") {
    remote_host host;
    CHECK(host.outcome_of(sh("true")).ok());
    // Nobody drives the loop: the pool does not know yet.
    host.server().kill_connections(SIGKILL);
    const auto how = host.outcome_of(sh("echo well"));
    CHECK(how.out.bytes == "well\n");
    CHECK(how.exit == exit_status::exited(0));
    CHECK(host.stats().connects == 2);
}

TEST_CASE("ssh link: output that was under way when the line broke is kept, byte by byte, as far as it came") {
    faulty_line on;
    const auto one = on.host.client().begin(*on.runner, sh("while :; do echo 0123456789abcde; done"));
    on.host.client().until([&] { return one->to.out.size() > 200'000; });
    on.line.reset();
    on.host.client().finish(*one);
    one->kept_its_promises();
    const auto& how = one->outcome();
    CHECK(how.how() == exec::ended::lost);
    CHECK(how.exit.what == exit_status::kind::unknown);
    CHECK_FALSE(how.out.complete);
    CHECK(how.out.total == one->to.out.size());
    const std::string line = "0123456789abcde\n";
    bool in_order = true;
    for (std::size_t at = 0; at < one->to.out.size(); ++at) in_order = in_order && one->to.out[at] == line[at % 16];
    CHECK(in_order);
}

TEST_CASE("ssh link: a stall that ends within the questions harms nobody") {
    faulty_line on;
    auto what = sh("echo said; read line; echo \"$line\"; exit 7");
    what.in = exec::input::streamed();
    const auto one = on.host.client().begin(*on.runner, std::move(what));
    on.host.client().until([&] { return one->to.out == "said\n"; });
    on.line.stall();
    on.host.client().until([&] { return on.host.stats().suspect == 1; });
    one->handle.write_in("word\n");
    on.line.resume();
    on.host.client().finish(*one);
    CHECK(one->outcome().exit == exit_status::exited(7));
    CHECK(one->to.out == "said\nword\n");
    CHECK(on.host.stats().suspect == 0);
    CHECK(on.host.stats().lost_sessions == 0);
    CHECK(on.host.stats().connects == 1);
}

TEST_CASE("ssh link: a command that was not confirmed when the line broke may have run, and is never a failure") {
    for (const bool by_reset : {true, false}) {
        CAPTURE(by_reset);
        const test::scratch_directory place;
        faulty_line on(asking(60'000ms));
        CHECK(on.host.client().outcome_of(*on.runner, sh("true")).ok());
        // Longer than the command needs to begin: the server's word about it is still on its way then.
        on.line.delay(fault_proxy::direction::to_client, 1'000ms);
        const auto one = on.host.client().begin(*on.runner, sh("touch " + place / "ran" + "; sleep 1000"));
        REQUIRE(on.host.client().sees([&] { return test::exists(place / "ran") || one->over(); }));
        REQUIRE_FALSE(one->over());
        if (by_reset) {
            on.line.reset();
        } else {
            on.host.server().kill_connections(SIGKILL);
        }
        on.host.client().finish(*one);
        test::check_lost(*one);
    }
}

// What the server does ---------------------------------------------------------------------------------------------------

TEST_CASE("ssh link: a server that stands still is suspect at the first question, and heals when it goes on") {
    remote_host host(test::quick(), asking(often));
    auto what = sh("echo said; read line; exit 3");
    what.in = exec::input::streamed();
    const auto one = host.begin(std::move(what));
    host.client().until([&] { return one->to.out == "said\n"; });
    host.server().kill_connections(SIGSTOP);
    host.client().until([&] { return host.stats().suspect == 1; });
    CHECK(host.stats().ready == 0);
    host.server().kill_connections(SIGCONT);
    host.client().until([&] { return host.stats().ready == 1 || one->over(); });
    REQUIRE_FALSE(one->over());
    CHECK(host.stats().suspect == 0);
    one->handle.write_in("\n");
    host.client().finish(*one);
    CHECK(one->outcome().exit == exit_status::exited(3));
    CHECK(host.stats().connects == 1);
    CHECK(host.stats().lost_sessions == 0);
}

TEST_CASE("ssh link: no new command is given to a suspect session") {
    remote_host host(test::quick(), [] {
        auto options = asking(1000ms);
        options.keepalive_misses = 15;  // it stays suspect for as long as the test takes
        return options;
    }());
    const auto one = host.begin(sh("echo said; sleep 1000"));
    host.client().until([&] { return one->to.out == "said\n"; });
    host.server().kill_connections(SIGSTOP);
    host.client().until([&] { return host.stats().suspect == 1; });
    const auto how = host.outcome_of(sh("echo elsewhere"));
    CHECK(how.out.bytes == "elsewhere\n");
    CHECK(host.stats().connects == 2);
    CHECK_FALSE(one->over());
    CHECK(host.stats().suspect == 1);
}

TEST_CASE("ssh link: a server that stands still is given up after the last question, and not before") {
    const test::process_guard nothing_left;
    remote_host host(test::quick(), asking(often));
    const auto one = host.begin(sh("echo said; sleep 1000"));
    host.client().until([&] { return one->to.out == "said\n"; });
    host.server().kill_connections(SIGSTOP);
    host.client().until([&] { return host.stats().suspect == 1; });
    const auto suspected = clock_type::now();
    host.client().finish(*one);
    test::check_lost(*one);
    // Of the three intervals that follow; the loop may have been late to tell of the first.
    CHECK(clock_type::now() - suspected >= 2 * often);
    CHECK(host.stats().lost_sessions == 1);
}

TEST_CASE("ssh link: a healthy session may be silent for ever") {
    faulty_line on(asking(50ms));
    CHECK(on.host.client().outcome_of(*on.runner, sh("true")).ok());
    // Each question is a packet to the server: twenty of them.
    for (int questions = 0; questions < 20; ++questions) {
        const auto before = on.line.bytes(fault_proxy::direction::to_server);
        on.host.client().until([&] { return on.line.bytes(fault_proxy::direction::to_server) > before; });
        on.host.client().until([&] { return on.host.stats().ready == 1 || on.host.stats().lost_sessions > 0; });
    }
    CHECK(on.host.stats().lost_sessions == 0);
    CHECK(on.host.stats().connects == 1);
}

TEST_CASE("ssh link: a silent command is not given up on a server that does not know what it is asked") {
    if (const auto reason = test::other_account::unavailable(); !reason.empty()) {
        MESSAGE("SKIP: ", reason);
        return;
    }
    exec::testing::manual_clock clock;
    const test::tinyssh_server server("/bin/dash");
    test::ssh_client client({}, {.clock = &clock});
    const auto on = client.runner_to(test::endpoint_of(server));
    auto what = sh("echo said; read line; exit 3");
    what.in = exec::input::streamed();
    exec::limits within;
    within.run_timeout = exec::unlimited;
    const auto one = client.begin(*on, std::move(what), within);
    client.until([&] { return one->to.out == "said\n" || one->over(); });
    // After the first question the server says that it does not implement it, and after that nothing is left to ask.
    for (int questions = 0; questions < 12; ++questions) {
        clock.advance(exec::ssh::pool_options{}.keepalive);
        client.on().run_ready();
        // Whoever was asked has said something before the clock goes on.
        client.until([&] { return client.stats().suspect == 0 || client.stats().lost_sessions > 0; });
    }
    CHECK_FALSE(one->over());
    CHECK(client.stats().suspect == 0);
    CHECK(client.stats().lost_sessions == 0);
    one->handle.close_in();
    CHECK(client.finish(*one).outcome().exit == exit_status::exited(3));
}

TEST_CASE("ssh link: a stopped server never holds the loop's thread up, however much input waits") {
    remote_host host(test::quick(), asking(60'000ms));
    auto what = sh("echo said; exec cat >/dev/null");
    what.in = exec::input::streamed();
    exec::limits within;
    within.in_queue = exec::MiB;
    auto there = host.there();
    there.via = narrow_way(host.server().port());
    const auto on = host.client().runner_to(there);
    const auto one = host.client().begin(*on, std::move(what), within);
    host.client().until([&] { return one->to.out == "said\n"; });
    host.server().kill_connections(SIGSTOP);
    const std::string much(exec::MiB, 'x');
    CHECK(one->handle.write_in(much) == much.size());
    auto longest = clock_type::duration::zero();
    bool over = false;
    const auto timer = host.on().after(1000ms, [&] { over = true; });
    {
        const rescuer in_need([&] { host.server().kill_connections(SIGCONT); }, 5'000ms);
        while (!over) {
            REQUIRE(test::readable(host.on().poll_fd(), test::patience_ms));
            const auto before = clock_type::now();
            host.on().run_ready();
            longest = (std::max)(longest, clock_type::now() - before);
        }
    }
    // It was held up by nobody: a blocking send would have waited for the rescuer.
    CHECK(longest < 1s);
    CHECK_FALSE(one->over());
    host.server().kill_connections(SIGCONT);
    one->handle.close_in();
    host.client().finish(*one);
    CHECK(one->outcome().exit == exit_status::exited(0));
    CHECK(one->outcome().in_taken == much.size());
}

TEST_CASE("ssh link: a command given up while its input was stuck leaves no channel and no process behind") {
    remote_host host(test::quick(), asking(60'000ms));
    const auto word = test::sleep_word();
    auto what = sh("echo said; exec sleep " + word);  // reads nothing
    what.in = exec::input::streamed();
    exec::limits within;
    within.in_queue = 4 * exec::MiB;
    auto there = host.there();
    there.via = narrow_way(host.server().port());
    const auto on = host.client().runner_to(there);
    const auto one = host.client().begin(*on, std::move(what), within);
    host.client().until([&] { return one->to.out == "said\n"; });
    host.server().kill_connections(SIGSTOP);
    CHECK(one->handle.write_in(std::string(4 * exec::MiB, 'x')) == 4 * exec::MiB);
    one->handle.stop(0ms);
    {
        const rescuer in_need([&] { host.server().kill_connections(SIGCONT); }, 10'000ms);
        host.client().finish(*one);
    }
    CHECK(one->outcome().stopped_by == exec::stop_reason::cancelled);
    CHECK(one->outcome().exit.what != exit_status::kind::exited);
    host.server().kill_connections(SIGCONT);
    host.client().until([&] { return host.stats().zombies == 0; });
    CHECK(host.client().sees_end_of(word));
    CHECK(host.client().outcome_of(*on, sh("echo usable")).out.bytes == "usable\n");
    CHECK(host.stats().lost_sessions == 0);
    CHECK(host.stats().connects == 1);
}

TEST_CASE("ssh link: a pause is no silence: a session whose reader waits is not taken for dead") {
    remote_host host(test::quick(), asking(often));
    const auto one = std::make_unique<flight>();
    one->to.on_output = [](exec::stream, exec::bytes_view) { return exec::flow::pause; };
    one->handle = host.start(sh("head -c 4000000 /dev/zero; exit 5"), {}, one->to);
    host.client().until([&] { return one->to.chunks > 0; });
    bool over = false;
    const auto timer = host.on().after(5 * often, [&] { over = true; });
    host.client().until([&] { return over; });
    CHECK(host.stats().lost_sessions == 0);
    one->to.on_output = {};
    one->handle.resume();
    host.client().finish(*one);
    CHECK(one->outcome().exit == exit_status::exited(5));
    CHECK(one->to.out.size() == 4'000'000);
}
