// The private face of the loop, on which the runners stand.
#include "loop/core.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <exec/loop.h>
#include <exec/testing/manual_clock.h>

#include "loop/alarm_heap.h"
#include "misuse.h"
#include "poll_host.h"
#include "posix/fd.h"
#include "posix/syscalls.h"

using exec::milliseconds;
using exec::time_point;
using namespace exec::detail;
using namespace std::chrono_literals;

namespace {

std::unique_ptr<exec::loop> new_loop(exec::loop_options options = {}) {
    auto made = exec::make_loop(std::move(options));
    REQUIRE(made);
    return *std::move(made);
}

// Runs `what` in a callback, where the private face may be used.
void on(exec::loop& loop, std::function<void()> what) {
    loop.post([&what] { what(); });
    loop.run_ready();
}

struct pipe_pair {
    exec::posix::fd read_end;
    exec::posix::fd write_end;
};
pipe_pair new_pipe() {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
    return {exec::posix::fd(ends[0]), exec::posix::fd(ends[1])};
}
void put(const pipe_pair& into, std::string_view bytes) {
    REQUIRE(::write(into.write_end.get(), bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
}

struct test_watch final : watch {
    std::function<void(std::uint32_t)> then;
    int calls = 0;
    void ready(std::uint32_t events) noexcept override {
        ++calls;
        if (then) then(events);
    }
};
struct test_alarm final : alarm {
    std::function<void()> then;
    int calls = 0;
    bool gone = false;
    void due() noexcept override {
        ++calls;
        if (then) then();
    }
    void loop_gone() noexcept override { gone = true; }
};
struct test_note final : note {
    std::function<void()> then;
    std::atomic<int> calls{0};
    std::atomic<int> holds{0};
    void notified() noexcept override {
        calls.fetch_add(1);
        if (then) then();
    }
    void retain() noexcept override { holds.fetch_add(1); }
    void release() noexcept override { holds.fetch_sub(1); }
};
struct test_client final : client {
    std::function<void(milliseconds)> on_shut_down;
    std::function<void()> on_abandon;
    int told = 0;
    int abandoned = 0;
    void shut_down(milliseconds within) noexcept override {
        ++told;
        if (on_shut_down) on_shut_down(within);
    }
    void abandon() noexcept override {
        ++abandoned;
        if (on_abandon) on_abandon();
    }
};

// Counts the loop's system calls while it lives.
enum counted { control, poll_wait, set_time, wake, kinds };
std::array<std::atomic<int>, kinds> counts{};

class counting {
   public:
    counting() : table_(exec::posix::kernel_syscalls()), replaced_(wrapped()) { reset(); }
    int operator[](counted kind) const { return counts[kind]; }
    int total() const { return counts[control] + counts[poll_wait] + counts[set_time] + counts[wake]; }
    void reset() {
        for (auto& count : counts) count = 0;
    }

   private:
    const exec::posix::syscalls& wrapped() {
        table_.epoll_ctl = [](int epoll, int operation, int descriptor, epoll_event* event) {
            ++counts[control];
            return exec::posix::kernel_syscalls().epoll_ctl(epoll, operation, descriptor, event);
        };
        table_.epoll_wait = [](int epoll, epoll_event* events, int count, int timeout) {
            ++counts[poll_wait];
            return exec::posix::kernel_syscalls().epoll_wait(epoll, events, count, timeout);
        };
        table_.timerfd_settime = [](int timer, int flags, const itimerspec* when, itimerspec* before) {
            ++counts[set_time];
            return exec::posix::kernel_syscalls().timerfd_settime(timer, flags, when, before);
        };
        table_.write = [](int descriptor, const void* from, std::size_t size) {
            ++counts[wake];
            return exec::posix::kernel_syscalls().write(descriptor, from, size);
        };
        return table_;
    }

    exec::posix::syscalls table_;
    exec::posix::replaced_syscalls replaced_;
};

std::string read_all(int descriptor) {
    std::string all;
    char bytes[4096];
    for (ssize_t n = 0; (n = ::read(descriptor, bytes, sizeof bytes)) > 0;)
        all.append(bytes, static_cast<std::size_t>(n));
    return all;
}

}  // namespace

// Descriptors -----------------------------------------------------------------------------------------------------------

TEST_CASE("watch: level-triggered is told until it was read, edge-triggered once a change") {
    const auto loop = new_loop();
    const auto ends = new_pipe();
    test_watch watch;
    for (const bool edge : {false, true}) {
        CAPTURE(edge);
        watch.calls = 0;
        on(*loop, [&] { REQUIRE(core_of(*loop)->add(watch, ends.read_end.get(), EPOLLIN | (edge ? EPOLLET : 0U))); });
        put(ends, "x");
        for (int i = 0; i < 3; ++i) loop->run_ready();
        CHECK(watch.calls == (edge ? 1 : 3));
        CHECK(test::readable(loop->poll_fd()) == !edge);
        put(ends, "y");
        loop->run_ready();
        CHECK(watch.calls == (edge ? 2 : 4));
        read_all(ends.read_end.get());
        loop->run_ready();
        CHECK(watch.calls == (edge ? 2 : 4));
        on(*loop, [&] { core_of(*loop)->remove(watch); });
    }
}

TEST_CASE("watch: modify changes what it is told, and reports again what is there") {
    const auto loop = new_loop();
    const auto ends = new_pipe();
    test_watch watch;
    std::uint32_t last = 0;
    watch.then = [&](std::uint32_t events) { last = events; };
    on(*loop, [&] { REQUIRE(core_of(*loop)->add(watch, ends.write_end.get(), EPOLLET)); });
    loop->run_ready();
    CHECK(watch.calls == 0);
    for (int i = 1; i <= 2; ++i) {
        on(*loop, [&] { REQUIRE(core_of(*loop)->modify(watch, EPOLLOUT | EPOLLET)); });
        loop->run_ready();
        CHECK(watch.calls == i);
        CHECK(last == EPOLLOUT);
    }
    on(*loop, [&] { core_of(*loop)->remove(watch); });
}

TEST_CASE("watch: what the kernel refuses is a failure with its number, and the watch can be used again") {
    const auto loop = new_loop();
    const exec::posix::fd file(::open("/etc/passwd", O_RDONLY | O_CLOEXEC));
    const auto ends = new_pipe();
    test_watch watch;
    on(*loop, [&] {
        const auto refused = core_of(*loop)->add(watch, file.get(), EPOLLIN);
        REQUIRE_FALSE(refused);
        CHECK(refused.error().code == std::error_code(EPERM, std::system_category()));
        CHECK_FALSE(watch.watching());
        CHECK(watch.fd() == -1);
        CHECK(core_of(*loop)->add(watch, ends.read_end.get(), EPOLLIN));
        CHECK(watch.fd() == ends.read_end.get());
        core_of(*loop)->remove(watch);
        core_of(*loop)->remove(watch);
        CHECK_FALSE(watch.watching());
    });
    CHECK(loop->exceptions() == 0);
}

TEST_CASE("watch: removed in a callback, it is not told what the same turn had for it") {
    const auto loop = new_loop();
    const auto one = new_pipe();
    const auto two = new_pipe();
    const auto three = new_pipe();
    put(one, "x");
    put(two, "x");
    // Whichever comes first takes the other away, in each of the ways there are.
    auto first = std::make_unique<test_watch>();
    auto second = std::make_unique<test_watch>();
    auto in_its_slot = std::make_unique<test_watch>();
    std::function<void(std::unique_ptr<test_watch>&)> away;
    const auto& core = core_of(*loop);
    SUBCASE("removed") {
        away = [&](auto& other) { core->remove(*other); };
    }
    SUBCASE("retired") {
        away = [&](auto& other) { core->retire(*other); };
    }
    SUBCASE("destroyed") {
        away = [&](auto& other) { other.reset(); };
    }
    SUBCASE("destroyed, and its slot given to another") {
        away = [&](auto& other) {
            other.reset();
            REQUIRE(core->add(*in_its_slot, three.read_end.get(), EPOLLIN));
        };
    }
    int calls = 0;
    first->then = [&](std::uint32_t) {
        ++calls;
        away(second);
    };
    second->then = [&](std::uint32_t) {
        ++calls;
        away(first);
    };
    on(*loop, [&] {
        REQUIRE(core->add(*first, one.read_end.get(), EPOLLIN | EPOLLET));
        REQUIRE(core->add(*second, two.read_end.get(), EPOLLIN | EPOLLET));
    });
    CHECK(loop->run_ready() == 1);
    CHECK(calls == 1);
    CHECK(loop->run_ready() == 0);
    CHECK(in_its_slot->calls == 0);
    on(*loop, [&] {
        first.reset();
        second.reset();
        in_its_slot.reset();
    });
}

TEST_CASE("watch: it may be destroyed in its own call") {
    const auto loop = new_loop();
    const auto ends = new_pipe();
    auto watch = std::make_unique<test_watch>();
    bool came = false;
    watch->then = [&](std::uint32_t) {
        came = true;
        auto dying = std::move(watch->then);  // the closure outlives its watch
        watch.reset();
    };
    on(*loop, [&] { REQUIRE(core_of(*loop)->add(*watch, ends.read_end.get(), EPOLLIN)); });
    put(ends, "x");
    CHECK(loop->run_ready() == 1);
    CHECK(came);
    CHECK_FALSE(test::readable(loop->poll_fd()));
}

TEST_CASE("watch: a retired one whose pipe somebody else still holds is heard of once at most, by nobody") {
    const auto loop = new_loop();
    auto ends = new_pipe();
    const exec::posix::fd copy(::fcntl(ends.read_end.get(), F_DUPFD_CLOEXEC, 3));  // as a child has until its exec
    test_watch watch;
    on(*loop, [&] {
        REQUIRE(core_of(*loop)->add(watch, ends.read_end.get(), EPOLLIN | EPOLLET));
        core_of(*loop)->retire(watch);
    });
    ends.read_end.reset();
    for (int i = 0; i < 3; ++i) {
        put(ends, "x");
        loop->run_ready();
        CHECK_FALSE(test::readable(loop->poll_fd()));
    }
    // A new descriptor with the old number and the old slot is none the worse.
    const exec::posix::fd same_number(::fcntl(ends.write_end.get(), F_DUPFD_CLOEXEC, 3));
    test_watch other;
    on(*loop, [&] { REQUIRE(core_of(*loop)->add(other, same_number.get(), EPOLLOUT | EPOLLET)); });
    loop->run_ready();
    put(ends, "x");
    loop->run_ready();
    CHECK(other.calls == 1);
    CHECK(watch.calls == 0);
    on(*loop, [&] { core_of(*loop)->remove(other); });
}

TEST_CASE("watch: level-triggered, it may not be retired") {
    const test::misuse_throws guard;
    const auto loop = new_loop();
    const auto ends = new_pipe();
    test_watch watch;
    on(*loop, [&] {
        REQUIRE(core_of(*loop)->add(watch, ends.read_end.get(), EPOLLIN));
        CHECK_THROWS_AS((void)core_of(*loop)->modify(*std::make_unique<test_watch>(), EPOLLIN), test::misuse);
        CHECK_THROWS_AS((void)core_of(*loop)->add(watch, ends.read_end.get(), EPOLLIN), test::misuse);
    });
    CHECK_THROWS_AS((void)core_of(*loop)->add(watch, ends.read_end.get(), EPOLLIN), test::misuse);  // not in a callback
    CHECK_THROWS_AS(core_of(*loop)->again(watch, EPOLLIN), test::misuse);
    on(*loop, [&] { core_of(*loop)->remove(watch); });
}

TEST_CASE("again: it comes in the next turn without the kernel, merged with what the kernel says") {
    const auto loop = new_loop();
    const auto ends = new_pipe();
    test_watch watch;
    std::vector<std::uint32_t> told;
    watch.then = [&](std::uint32_t events) {
        told.push_back(events);
        if (told.size() < 3) core_of(*loop)->again(watch, EPOLLPRI);
    };
    on(*loop, [&] { REQUIRE(core_of(*loop)->add(watch, ends.read_end.get(), EPOLLIN | EPOLLET)); });
    put(ends, "x");
    CHECK(loop->run_ready() == 1);
    CHECK(test::readable(loop->poll_fd()));
    put(ends, "y");
    CHECK(loop->run_ready() == 1);
    CHECK(loop->run_ready() == 1);
    CHECK(loop->run_ready() == 0);
    CHECK(told == std::vector<std::uint32_t>{EPOLLIN, EPOLLIN | EPOLLPRI, EPOLLPRI});
    CHECK_FALSE(test::readable(loop->poll_fd()));
    SUBCASE("and not at all to one that was removed meanwhile") {
        on(*loop, [&] {
            core_of(*loop)->again(watch, EPOLLIN);
            core_of(*loop)->remove(watch);
        });
        CHECK(loop->run_ready() == 0);
        CHECK(watch.calls == 3);
    }
    on(*loop, [&] { core_of(*loop)->remove(watch); });
}

TEST_CASE("watch: a paused edge-triggered one costs nothing, not even when the other end hangs up") {
    const auto loop = new_loop();
    auto ends = new_pipe();
    test_watch watch;
    on(*loop, [&] { REQUIRE(core_of(*loop)->add(watch, ends.read_end.get(), EPOLLIN | EPOLLET)); });
    put(ends, "x");
    ends.write_end.reset();
    test::drain(*loop);
    CHECK(watch.calls <= 2);
    CHECK_FALSE(test::readable(loop->poll_fd()));
    on(*loop, [&] { core_of(*loop)->remove(watch); });
}

TEST_CASE("turn: a flooding pipe starves neither another pipe nor a timer nor a post") {
    const auto loop = new_loop();
    const auto flood = new_pipe();
    const auto quiet = new_pipe();
    test_watch flooding;
    test_watch silent;
    for (const bool edge : {false, true}) {
        CAPTURE(edge);
        put(flood, std::string(4096, 'x'));  // and nobody reads it
        flooding.calls = silent.calls = 0;
        flooding.then = [&](std::uint32_t events) {
            if (edge) core_of(*loop)->again(flooding, events);
        };
        silent.then = [&](std::uint32_t) { read_all(quiet.read_end.get()); };
        const std::uint32_t how = EPOLLIN | (edge ? EPOLLET : 0U);
        on(*loop, [&] {
            REQUIRE(core_of(*loop)->add(flooding, flood.read_end.get(), how));
            REQUIRE(core_of(*loop)->add(silent, quiet.read_end.get(), how));
        });
        bool timer_came = false;
        bool post_came = false;
        const auto timer = loop->after(1ms, [&] { timer_came = true; });
        put(quiet, "x");
        loop->post([&] { post_came = true; });
        for (int i = 0; i < 8; ++i) loop->run_ready({.events = 1});
        CHECK(silent.calls == 1);
        CHECK(post_came);
        const auto until = std::chrono::steady_clock::now() + 20s;
        while (!timer_came && std::chrono::steady_clock::now() < until) loop->run_ready({.events = 1});
        CHECK(timer_came);
        const int before = flooding.calls;
        for (int i = 0; i < 10; ++i) loop->run_ready();
        CHECK(flooding.calls >= before + 9);
        CHECK(flooding.calls <= before + 11);
        on(*loop, [&] {
            core_of(*loop)->remove(flooding);
            core_of(*loop)->remove(silent);
        });
        read_all(flood.read_end.get());
        test::drain(*loop);
    }
}

TEST_CASE("turn: more ready descriptors than the kernel tells at once all have their turn") {
    const auto loop = new_loop();
    constexpr std::size_t many = 600;
    std::vector<pipe_pair> pipes;
    std::vector<test_watch> watches(many);
    for (std::size_t i = 0; i < many; ++i) {
        int ends[2];
        if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
            MESSAGE("SKIP: fewer than 1200 descriptors allowed");
            return;
        }
        pipes.push_back({exec::posix::fd(ends[0]), exec::posix::fd(ends[1])});
        put(pipes.back(), "x");
    }
    on(*loop, [&] {
        for (std::size_t i = 0; i < many; ++i) {
            REQUIRE(core_of(*loop)->add(watches[i], pipes[i].read_end.get(), EPOLLIN | EPOLLET));
        }
    });
    bool late_post = false;
    loop->post([&] { late_post = true; });
    std::size_t handled = 0;
    while (handled < many + 1) handled += loop->run_ready({.events = 100});
    CHECK(late_post);
    CHECK(std::all_of(watches.begin(), watches.end(), [](const auto& watch) { return watch.calls == 1; }));
    on(*loop, [&] { watches.clear(); });
}

TEST_CASE("turn: descriptors come before notes, notes before alarms") {
    exec::testing::manual_clock clock;
    const auto loop = new_loop({.clock = &clock});
    const auto ends = new_pipe();
    std::string order;
    test_watch watch;
    test_alarm alarm;
    watch.then = [&](std::uint32_t) { order += 'd'; };
    alarm.then = [&] { order += 'a'; };
    on(*loop, [&] {
        REQUIRE(core_of(*loop)->add(watch, ends.read_end.get(), EPOLLIN | EPOLLET));
        alarm.set(*core_of(*loop), clock.now() + 1ms);
    });
    clock.advance(1ms);
    loop->post([&] { order += 'n'; });
    put(ends, "x");
    SUBCASE("in one call") { CHECK(loop->run_ready() == 3); }
    SUBCASE("and when the budget cuts the turn") {
        for (int i = 0; i < 3; ++i) CHECK(loop->run_ready({.events = 1}) == 1);
        CHECK_FALSE(loop->run_ready({.events = 1}) == 1);
    }
    CHECK(order == "dna");
    on(*loop, [&] { core_of(*loop)->remove(watch); });
}

// System calls ----------------------------------------------------------------------------------------------------------

TEST_CASE("system calls: a turn asks the kernel once, a post costs a write only where the loop sleeps") {
    const auto loop = new_loop();
    const counting calls;
    loop->run_ready();
    CHECK(calls[poll_wait] == 1);
    CHECK(calls.total() == 1);

    auto& mutable_calls = const_cast<counting&>(calls);
    mutable_calls.reset();
    for (int i = 0; i < 100; ++i) loop->post([] {});
    CHECK(calls[wake] == 1);
    loop->run_ready();
    CHECK(calls.total() == 2);

    mutable_calls.reset();
    loop->post([&] {
        for (int i = 0; i < 100; ++i) loop->post([] {});  // it is awake: its turn ends with one call-back
    });
    loop->run_ready();
    CHECK(calls[wake] == 2);
    CHECK(loop->run_ready() == 100);
    CHECK(calls[poll_wait] == 2);
    CHECK(calls.total() == 4);
}

TEST_CASE("system calls: only a nearer deadline moves the kernel's timer, once a turn") {
    const auto loop = new_loop();
    std::array<test_alarm, 5> alarms;
    counting calls;
    const auto now = loop->now();
    on(*loop, [&] {
        for (int round = 0; round < 100; ++round) {
            for (auto& alarm : alarms) alarm.set(*core_of(*loop), now + 1h + 1s * round);
        }
        alarms[0].set(*core_of(*loop), now + 30min);
    });
    CHECK(calls[set_time] == 1);
    calls.reset();
    on(*loop, [&] {
        alarms[0].set(*core_of(*loop), now + 40min);  // later: the timer stays
        alarms[1].clear();
        alarms[2].set(*core_of(*loop), now + 35min);
    });
    CHECK(calls[set_time] == 0);
    on(*loop, [&] { alarms[3].set(*core_of(*loop), now + 20min); });
    CHECK(calls[set_time] == 1);
    on(*loop, [&] {
        for (auto& alarm : alarms) alarm.clear();
    });
    CHECK(calls[set_time] == 1);
}

TEST_CASE("system calls: a timer set for nothing wakes the loop once and is then set to what there is") {
    const auto loop = new_loop();
    test_alarm early;
    test_alarm late;
    const auto now = loop->now();
    on(*loop, [&] {
        early.set(*core_of(*loop), now + 1ms);
        late.set(*core_of(*loop), now + 25ms);
    });
    on(*loop, [&] { early.clear(); });
    std::size_t wakes = 0;
    REQUIRE(test::drive_until(
        *loop, [&] { return late.calls == 1; }, &wakes));
    CHECK(loop->now() >= now + 25ms);
    CHECK(wakes <= 2);
    CHECK(early.calls == 0);
}

TEST_CASE("system calls: each of those that make a loop may fail, and the failure says which") {
    using exec::posix::syscalls;
    const auto made_with = [](void (*broken)(syscalls&)) {
        auto table = exec::posix::kernel_syscalls();
        broken(table);
        const exec::posix::replaced_syscalls replaced(table);
        return exec::make_loop();
    };
    const auto says = [](const exec::result<std::unique_ptr<exec::loop>>& made, std::string_view context) {
        return !made && made.error().code.value() == ENOMEM && made.error().context == context;
    };
    CHECK(says(made_with([](syscalls& t) {
                   t.map = [](std::size_t, int, int) -> void* {
                       errno = ENOMEM;
                       return reinterpret_cast<void*>(-1);
                   };
               }),
               "loop: memory"));
    CHECK(says(made_with([](syscalls& t) { t.epoll_create = [](int) { return errno = ENOMEM, -1; }; }), "loop: epoll"));
    CHECK(says(made_with([](syscalls& t) { t.eventfd = [](unsigned, int) { return errno = ENOMEM, -1; }; }),
               "loop: eventfd"));
    CHECK(says(made_with([](syscalls& t) { t.timerfd_create = [](int, int) { return errno = ENOMEM, -1; }; }),
               "loop: timerfd"));
    CHECK(says(
        made_with([](syscalls& t) { t.epoll_ctl = [](int, int, int, epoll_event*) { return errno = ENOMEM, -1; }; }),
        "loop: epoll_ctl"));
}

TEST_CASE("system calls: an interrupted wait is no event, a descriptor that the host closed is misuse") {
    bool came = false;
    const auto loop = new_loop();
    auto table = exec::posix::kernel_syscalls();
    loop->post([&] { came = true; });
    SUBCASE("interrupted") {
        table.epoll_wait = [](int, epoll_event*, int, int) { return errno = EINTR, -1; };
        const exec::posix::replaced_syscalls replaced(table);
        CHECK(loop->run_ready() == 1);
        CHECK(came);
    }
    SUBCASE("closed") {
        const test::misuse_throws guard;
        table.epoll_wait = [](int, epoll_event*, int, int) { return errno = EBADF, -1; };
        const exec::posix::replaced_syscalls replaced(table);
        CHECK_THROWS_WITH_AS(loop->run_ready(), "loop: its descriptor was closed by somebody else", test::misuse);
    }
}

// Alarms ----------------------------------------------------------------------------------------------------------------

TEST_CASE("alarm: any number of them, set, moved and cleared at random, come in order and only when due") {
    exec::testing::manual_clock clock;
    const auto loop = new_loop({.clock = &clock});
    std::mt19937 random(20240229);
    std::vector<test_alarm> alarms(200);
    struct model {
        time_point when = exec::never;
        std::uint64_t number = 0;
    };
    std::vector<model> expected(alarms.size());
    std::vector<std::size_t> came;
    for (std::size_t i = 0; i < alarms.size(); ++i) {
        alarms[i].then = [&came, i] { came.push_back(i); };
    }
    std::uint64_t number = 0;
    std::size_t all = 0;
    for (int round = 0; round < 300; ++round) {
        on(*loop, [&] {
            for (int change = 0; change < 40; ++change) {
                const auto i = random() % alarms.size();
                if (random() % 4 == 0) {
                    alarms[i].clear();
                    expected[i].when = exec::never;
                } else {
                    expected[i] = {clock.now() + milliseconds(1 + random() % 50), ++number};
                    alarms[i].set(*core_of(*loop), expected[i].when);
                }
            }
        });
        clock.advance(milliseconds(random() % 10));
        std::vector<std::size_t> due;
        for (std::size_t i = 0; i < alarms.size(); ++i) {
            CHECK(alarms[i].is_set() == (expected[i].when != exec::never));
            if (expected[i].when <= clock.now()) due.push_back(i);
        }
        std::sort(due.begin(), due.end(), [&](std::size_t a, std::size_t b) {
            return std::pair(expected[a].when, expected[a].number) < std::pair(expected[b].when, expected[b].number);
        });
        came.clear();
        while (loop->run_ready({.events = 7}) != 0) {
        }
        REQUIRE(came == due);
        all += due.size();
        for (const auto i : due) expected[i].when = exec::never;
    }
    CHECK(all > 1000);
    on(*loop, [&] { alarms.clear(); });
}

TEST_CASE("alarm: one that is always set in the past comes once a turn and starves no other") {
    exec::testing::manual_clock clock;
    const auto loop = new_loop({.clock = &clock});
    test_alarm greedy;
    test_alarm modest;
    greedy.then = [&] { greedy.set(*core_of(*loop), time_point{}); };
    on(*loop, [&] {
        greedy.set(*core_of(*loop), time_point{});
        modest.set(*core_of(*loop), clock.now() + 1ms);
    });
    clock.advance(1ms);
    const int before = greedy.calls;
    CHECK(loop->run_ready() == 2);
    CHECK(modest.calls == 1);
    CHECK(greedy.calls == before + 1);
    CHECK(test::readable(loop->poll_fd()));
    on(*loop, [&] { greedy.clear(); });
    test::drain(*loop);
    CHECK_FALSE(test::readable(loop->poll_fd()));
}

TEST_CASE("alarm: a call may set, clear and destroy any, its own included") {
    exec::testing::manual_clock clock;
    const auto loop = new_loop({.clock = &clock});
    auto first = std::make_unique<test_alarm>();
    auto second = std::make_unique<test_alarm>();
    test_alarm third;
    first->then = [&] {
        auto dying = std::move(first->then);
        second.reset();
        third.clear();
        first.reset();
    };
    on(*loop, [&] {
        for (auto* alarm : {first.get(), second.get(), &third}) alarm->set(*core_of(*loop), clock.now() + 1ms);
    });
    clock.advance(1ms);
    CHECK(loop->run_ready() == 1);
    CHECK(third.calls == 0);
    CHECK_FALSE(third.is_set());
}

TEST_CASE("alarm: it keeps nanoseconds, is never early, and its lateness is that of the kernel's timer") {
    const auto loop = new_loop();
    std::vector<std::chrono::nanoseconds> late;
    test_alarm alarm;
    time_point when;
    alarm.then = [&] { late.push_back(std::chrono::steady_clock::now() - when); };
    for (int i = 0; i < 20; ++i) {
        on(*loop, [&] {
            when = loop->now() + 1'234'567ns;
            alarm.set(*core_of(*loop), when);
        });
        REQUIRE(test::drive_until(*loop, [&] { return alarm.calls == i + 1; }));
    }
    CHECK(*std::min_element(late.begin(), late.end()) >= 0ns);
    CHECK(*std::min_element(late.begin(), late.end()) < 5s);
}

// Notes -----------------------------------------------------------------------------------------------------------------

TEST_CASE("note: pending once however often it is notified, and kept alive for as long") {
    const auto loop = new_loop();
    test_note note;
    for (int i = 0; i < 5; ++i) CHECK(core_of(*loop)->notify(note));
    CHECK(note.holds == 1);
    CHECK(loop->run_ready() == 1);
    CHECK(note.calls == 1);
    CHECK(note.holds == 0);
    SUBCASE("notified by its own call, it comes again in the next turn") {
        note.then = [&] {
            if (note.calls < 4) core_of(*loop)->notify(note);
        };
        core_of(*loop)->notify(note);
        CHECK(loop->run_ready() == 1);
        CHECK(loop->run_ready() == 1);
        CHECK(loop->run_ready() == 1);
        CHECK(loop->run_ready() == 0);
        CHECK(note.holds == 0);
    }
}

TEST_CASE("note: what was written before a notify is seen by a later call, however many threads notify") {
    const auto loop = new_loop();
    constexpr int per_thread = 20000;
    std::array<std::atomic<int>, 8> written{};
    std::array<int, 8> seen{};
    test_note note;
    note.then = [&] {
        for (std::size_t t = 0; t < written.size(); ++t) seen[t] = written[t].load(std::memory_order_relaxed);
    };
    std::stop_source stop;
    std::thread driver([&] { loop->run(stop.get_token()); });
    std::vector<std::thread> threads;
    for (std::size_t t = 0; t < written.size(); ++t) {
        threads.emplace_back([&, t] {
            for (int i = 1; i <= per_thread; ++i) {
                written[t].store(i, std::memory_order_relaxed);
                core_of(*loop)->notify(note);
            }
        });
    }
    for (auto& thread : threads) thread.join();
    std::atomic<bool> last{false};
    loop->post([&] { last = true; });
    const auto until = std::chrono::steady_clock::now() + 20s;
    while (!last && std::chrono::steady_clock::now() < until) std::this_thread::yield();
    stop.request_stop();
    driver.join();
    CHECK(last);
    for (const int count : seen) CHECK(count == per_thread);
    CHECK(note.holds == 0);
}

TEST_CASE("note: one that comes between the last look and the sleep is heard of") {
    static std::function<void()> in_between;  // runs when the timer is set: after that look, before the sleep
    const auto loop = new_loop();
    test_note note;
    test_alarm alarm;
    in_between = [&] { core_of(*loop)->notify(note); };
    auto table = exec::posix::kernel_syscalls();
    table.timerfd_settime = [](int timer, int flags, const itimerspec* when, itimerspec* before) {
        if (auto now = std::exchange(in_between, {})) now();
        return exec::posix::kernel_syscalls().timerfd_settime(timer, flags, when, before);
    };
    const exec::posix::replaced_syscalls replaced(table);
    loop->post([&] { alarm.set(*core_of(*loop), loop->now() + 1h); });
    SUBCASE("of a host") {
        loop->run_ready();
        CHECK(note.calls == 0);
        CHECK(test::readable(loop->poll_fd()));
        loop->run_ready();
    }
    SUBCASE("of the loop's own") {
        std::stop_source stop;
        note.then = [&] { stop.request_stop(); };
        loop->run(stop.get_token());
    }
    CHECK(note.calls == 1);
    on(*loop, [&] { alarm.clear(); });
}

TEST_CASE("note: a sleeping loop hears of every one, in the race between the last look and the sleep") {
    const auto loop = new_loop();
    std::stop_source stop;
    std::thread driver([&] { loop->run(stop.get_token()); });
    test_note note;
    int lost = 0;
    for (int i = 1; i <= 20000 && lost == 0; ++i) {
        core_of(*loop)->notify(note);
        const auto until = std::chrono::steady_clock::now() + 20s;
        while (note.calls < i && lost == 0) {
            if (std::chrono::steady_clock::now() > until) ++lost;
        }
    }
    stop.request_stop();
    driver.join();
    CHECK(lost == 0);
}

// The end ---------------------------------------------------------------------------------------------------------------

TEST_CASE("shutdown: tells in the order of enrolment, waits for those who need it, abandons none of them") {
    const auto loop = new_loop();
    std::string order;
    test_client at_once;
    test_client by_alarm;
    test_client not_there_any_more;
    test_alarm alarm;
    at_once.on_shut_down = [&](milliseconds within) {
        order += 'o';
        CHECK(within == 20s);
        at_once.leave();
    };
    by_alarm.on_shut_down = [&](milliseconds) {
        order += 't';
        alarm.set(*core_of(*loop), loop->now() + 5ms);
    };
    alarm.then = [&] {
        order += 'l';
        by_alarm.leave();
    };
    on(*loop, [&] {
        CHECK(core_of(*loop)->enroll(not_there_any_more));
        CHECK(core_of(*loop)->enroll(at_once));
        CHECK(core_of(*loop)->enroll(by_alarm));
        not_there_any_more.leave();
    });
    loop->shutdown(20s);
    CHECK(order == "otl");
    CHECK(at_once.abandoned + by_alarm.abandoned == 0);
    CHECK(not_there_any_more.told == 0);
    test_client late;
    on(*loop, [&] { CHECK_FALSE(core_of(*loop)->enroll(late)); });
    CHECK_FALSE(late.enrolled());
    loop->shutdown(20s);
    CHECK(by_alarm.told == 1);
}

TEST_CASE("shutdown: who does not leave in time is abandoned, and what that posts still comes") {
    for (const auto within : {0ms, 10ms}) {
        CAPTURE(within.count());
        const auto loop = new_loop();
        test_client stubborn;
        test_client stubborn_too;
        bool posted = false;
        stubborn.on_abandon = [&] { loop->post([&] { posted = true; }); };
        on(*loop, [&] {
            core_of(*loop)->enroll(stubborn);
            core_of(*loop)->enroll(stubborn_too);
        });
        const auto start = std::chrono::steady_clock::now();
        loop->shutdown(within);
        CHECK(std::chrono::steady_clock::now() - start >= within);
        CHECK(stubborn.told == 1);
        CHECK(stubborn.abandoned == 1);
        CHECK(stubborn_too.abandoned == 1);
        CHECK_FALSE(stubborn.enrolled());
        CHECK(posted);
    }
}

TEST_CASE("shutdown: is bounded by real time under a manual clock, and by a callback that never lets go") {
    exec::testing::manual_clock clock;
    const auto loop = new_loop({.clock = &clock});
    test_client stubborn;
    on(*loop, [&] { core_of(*loop)->enroll(stubborn); });
    SUBCASE("silence") {}
    SUBCASE("noise") {
        struct again {
            exec::loop& loop;
            void operator()() const {
                if (!loop.closing() || loop.now() == time_point{}) return;
                loop.post(again(*this));
            }
        };
        loop->post(again{*loop});
    }
    loop->shutdown(20ms);
    CHECK(stubborn.abandoned == 1);
}

TEST_CASE("shutdown: clients may destroy each other in it") {
    const auto loop = new_loop();
    auto first = std::make_unique<test_client>();
    auto second = std::make_unique<test_client>();
    auto third = std::make_unique<test_client>();
    first->on_shut_down = [&](milliseconds) { second.reset(); };
    first->on_abandon = [&] {
        third.reset();
        auto dying = std::move(first->on_abandon);
        first.reset();
    };
    on(*loop, [&] {
        core_of(*loop)->enroll(*first);
        core_of(*loop)->enroll(*second);
        core_of(*loop)->enroll(*third);
    });
    loop->shutdown(0ms);
    CHECK(first == nullptr);
    CHECK(third == nullptr);
}

TEST_CASE("end: a note that came before it is answered, one that comes after is refused") {
    auto loop = new_loop();
    const auto core = core_of(*loop);
    test_note early;
    test_note late;
    test_alarm alarm;
    bool closing_seen = false;
    early.then = [&] { closing_seen = core->closing(); };
    on(*loop, [&] { alarm.set(*core, loop->now() + 1h); });
    core->notify(early);
    loop.reset();
    CHECK(early.calls == 1);
    CHECK(early.holds == 0);
    CHECK(closing_seen);
    CHECK_FALSE(core->notify(late));
    CHECK(late.calls == 0);
    CHECK(late.holds == 0);
    CHECK(alarm.gone);
    CHECK(alarm.calls == 0);
    CHECK_FALSE(alarm.is_set());
    CHECK_FALSE(core->driven_here());
}

TEST_CASE("end: threads that notify while the loop ends are either answered or refused, never forgotten") {
    for (int round = 0; round < 50; ++round) {
        auto loop = new_loop();
        const auto core = core_of(*loop);
        std::array<test_note, 4> notes;
        std::atomic<bool> go{false};
        std::vector<std::thread> threads;
        std::array<int, 4> refused{};
        for (std::size_t t = 0; t < notes.size(); ++t) {
            threads.emplace_back([&, t] {
                while (!go) std::this_thread::yield();
                while (core->notify(notes[t])) std::this_thread::yield();
                refused[t] = 1;
            });
        }
        go = true;
        loop->run_ready();
        loop.reset();
        for (auto& thread : threads) thread.join();
        for (std::size_t t = 0; t < notes.size(); ++t) {
            CHECK(refused[t] == 1);
            CHECK(notes[t].holds == 0);
        }
    }
}

TEST_CASE("fork: what the child does with its copy reaches neither the parent nor what waits on the loop") {
    auto loop = new_loop();
    const auto core = core_of(*loop);
    const auto ends = new_pipe();
    test_watch watch;
    test_alarm alarm;
    test_note note;
    test_client client;
    on(*loop, [&] {
        REQUIRE(core->add(watch, ends.read_end.get(), EPOLLIN));
        alarm.set(*core, loop->now() + 1h);
        core->enroll(client);
    });
    loop->run_ready();
    REQUIRE_FALSE(test::readable(loop->poll_fd()));
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        const auto in_child = [&] {
            if (!core->inherited()) return 1;
            if (core->notify(note) || note.holds != 0) return 2;
            loop->post([] {});
            loop->after(0ms, [] {}).detach();
            if (test::readable(loop->poll_fd())) return 3;
            core->remove(watch);
            loop.reset();
            if (client.told + client.abandoned + alarm.calls + watch.calls + note.calls != 0 || alarm.gone) return 4;
            return watch.watching() || alarm.is_set() ? 5 : 0;
        };
        ::_exit(in_child());
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
    CHECK_FALSE(test::readable(loop->poll_fd()));
    put(ends, "x");
    CHECK(loop->run_ready() == 1);
    CHECK(watch.calls == 1);
    on(*loop, [&] {
        core->remove(watch);
        alarm.clear();
        client.leave();
    });
}

TEST_CASE("scratch: is there in every callback, as large as it says, and writable to the last byte") {
    const auto loop = new_loop();
    on(*loop, [&] {
        const auto room = core_of(*loop)->scratch();
        CHECK(room.size() == loop_core::scratch_bytes);
        std::memset(room.data(), 'x', room.size());
        CHECK(room.back() == 'x');
        CHECK_FALSE(core_of(*loop)->inherited());
    });
}
