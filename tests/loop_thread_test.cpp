#include <exec/loop_thread.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include <doctest/doctest.h>
#include <pthread.h>
#include <signal.h>

#include <exec/loop.h>

using namespace std::chrono_literals;

namespace {

std::unique_ptr<exec::loop> new_loop() {
    auto made = exec::make_loop();
    REQUIRE(made);
    return *std::move(made);
}

struct seen {
    std::thread::id id;
    std::string name;
    sigset_t mask{};
};
seen look_from(exec::loop& loop) {
    std::promise<seen> answer;
    loop.post([&] {
        seen what;
        what.id = std::this_thread::get_id();
        char name[32] = "";
        pthread_getname_np(pthread_self(), name, sizeof name);
        what.name = name;
        pthread_sigmask(SIG_BLOCK, nullptr, &what.mask);
        answer.set_value(what);
    });
    return answer.get_future().get();
}

}  // namespace

TEST_CASE("loop_thread: callbacks come in one thread of its own, which bears its name") {
    const auto loop = new_loop();
    {
        const exec::loop_thread driver(*loop);
        const auto first = look_from(*loop);
        CHECK(first.id != std::this_thread::get_id());
        CHECK(first.id == look_from(*loop).id);
        CHECK(first.name == "exec-loop");
    }
    auto named = exec::loop_thread::start(*loop, "a name of more than fifteen bytes");
    REQUIRE(named);
    CHECK(look_from(*loop).name == "a name of more ");
}

TEST_CASE("loop_thread: blocks every signal but faults, and leaves the mask of its maker alone") {
    const auto loop = new_loop();
    sigset_t before;
    pthread_sigmask(SIG_BLOCK, nullptr, &before);
    const exec::loop_thread driver(*loop);
    sigset_t after;
    pthread_sigmask(SIG_BLOCK, nullptr, &after);
    const auto there = look_from(*loop);
    for (int signal = 1; signal < SIGRTMAX; ++signal) {
        if (signal == SIGKILL || signal == SIGSTOP || (signal >= 32 && signal < SIGRTMIN)) continue;
        CAPTURE(signal);
        const bool fault = signal == SIGSEGV || signal == SIGBUS || signal == SIGFPE || signal == SIGILL ||
                           signal == SIGTRAP || signal == SIGSYS;
        CHECK(sigismember(&before, signal) == sigismember(&after, signal));
        CHECK((sigismember(&there.mask, signal) == 1) == !fault);
    }
}

TEST_CASE("loop_thread: its end waits for the callback in progress, and the loop can be driven by another then") {
    const auto loop = new_loop();
    std::atomic<bool> finished{false};
    std::promise<void> begun;
    {
        const exec::loop_thread driver(*loop);
        loop->post([&] {
            begun.set_value();
            std::this_thread::sleep_for(20ms);  // the thing that is waited for
            finished = true;
        });
        begun.get_future().wait();
    }
    CHECK(finished);
    bool came = false;
    loop->post([&] { came = true; });
    loop->run_ready();
    CHECK(came);
    const exec::loop_thread again(*loop);
    CHECK(look_from(*loop).name == "exec-loop");
}

TEST_CASE("loop_thread: can be moved, and the moved-from one is nobody's driver") {
    const auto loop = new_loop();
    const auto other_loop = new_loop();
    exec::loop_thread driver(*loop);
    const auto id = look_from(*loop).id;
    exec::loop_thread moved(std::move(driver));
    CHECK(look_from(*loop).id == id);
    driver = exec::loop_thread(*other_loop);
    moved = std::move(driver);  // and so ends the first
    bool came = false;
    loop->post([&] { came = true; });
    loop->run_ready();
    CHECK(came);
    CHECK(look_from(*other_loop).name == "exec-loop");
}

TEST_CASE("loop_thread: timers come without anybody polling") {
    const auto loop = new_loop();
    const exec::loop_thread driver(*loop);
    std::promise<std::chrono::steady_clock::time_point> came;
    const auto start = std::chrono::steady_clock::now();
    const auto timer = loop->after(5ms, [&] { came.set_value(std::chrono::steady_clock::now()); });
    CHECK(came.get_future().get() - start >= 5ms);
}

TEST_CASE("loop_thread: a thread that cannot be made is a failure with its number") {
    const auto loop = new_loop();
    pthread_attr_t before;
    pthread_attr_t greedy;
    REQUIRE(pthread_getattr_default_np(&before) == 0);
    REQUIRE(pthread_attr_init(&greedy) == 0);
    REQUIRE(pthread_attr_setstacksize(&greedy, std::size_t{1} << 46) == 0);  // no machine has room for this stack
    REQUIRE(pthread_setattr_default_np(&greedy) == 0);
    const auto made = exec::loop_thread::start(*loop);
    REQUIRE(pthread_setattr_default_np(&before) == 0);
    REQUIRE_FALSE(made);
    CHECK(made.error().code.category() == std::system_category());
    CHECK(made.error().code.value() == EAGAIN);
    CHECK(made.error().context == "thread exec-loop");
    pthread_attr_destroy(&greedy);
    pthread_attr_destroy(&before);
    CHECK(loop->run_ready() == 0);  // nobody drives it
}
