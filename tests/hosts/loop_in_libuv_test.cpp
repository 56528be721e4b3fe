// A host that lives on libuv: one uv_poll_t on the loop's descriptor is all it takes.
#include <exec/loop.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include <doctest/doctest.h>
#include <uv.h>

using namespace std::chrono_literals;

namespace {

class uv_host {
   public:
    uv_host() {
        auto made = exec::make_loop();
        REQUIRE(made);
        guest_ = *std::move(made);
        REQUIRE(uv_loop_init(&loop_) == 0);
        REQUIRE(uv_poll_init(&loop_, &watch_, guest_->poll_fd()) == 0);
        watch_.data = this;
        REQUIRE(uv_poll_start(&watch_, UV_READABLE, [](uv_poll_t* watch, int, int) {
                    auto* host = static_cast<uv_host*>(watch->data);
                    ++host->wakes_;
                    host->guest_->run_ready();
                }) == 0);
    }
    ~uv_host() {
        uv_close(reinterpret_cast<uv_handle_t*>(&watch_), nullptr);
        uv_run(&loop_, UV_RUN_DEFAULT);
        CHECK(uv_loop_close(&loop_) == 0);
    }
    uv_host(const uv_host&) = delete;
    uv_host& operator=(const uv_host&) = delete;

    exec::loop& guest() { return *guest_; }
    uv_loop_t* loop() { return &loop_; }
    int wakes() const { return wakes_; }
    void run() { uv_run(&loop_, UV_RUN_DEFAULT); }
    void stop() { uv_stop(&loop_); }

   private:
    std::unique_ptr<exec::loop> guest_;
    uv_loop_t loop_{};
    uv_poll_t watch_{};
    int wakes_ = 0;
};

}  // namespace

TEST_CASE("libuv host: posts and timers come in its thread, in order, and it sleeps in between") {
    std::string order;
    uv_host host;
    const auto came = [&](char what) {
        order += what;
        if (order.size() == 5) host.stop();
    };
    const auto start = std::chrono::steady_clock::now();
    const auto second = host.guest().after(30ms, [&] { came('2'); });
    const auto first = host.guest().after(10ms, [&] { came('1'); });
    std::thread poster([&] {
        for (int i = 0; i < 3; ++i) {
            host.guest().post([&] {
                CHECK(host.guest().driven_here());
                came('p');
            });
        }
    });
    host.run();
    poster.join();
    CHECK(std::chrono::steady_clock::now() - start >= 30ms);
    CHECK(order.find('1') < order.find('2'));
    CHECK(order.size() == 5);
    CHECK(host.wakes() <= 8);  // a wake-up or two for what was set, three posts, two timers
}

TEST_CASE("libuv host: its own timers are not starved by a guest that always has something to do") {
    int rounds = 0;
    uv_host host;
    struct again {
        exec::loop& guest;
        int& rounds;
        void operator()() const {
            ++rounds;
            guest.post(again(*this));
        }
    };
    host.guest().post(again{host.guest(), rounds});
    uv_timer_t timer;
    REQUIRE(uv_timer_init(host.loop(), &timer) == 0);
    REQUIRE(uv_timer_start(
                &timer, [](uv_timer_t* of) { uv_stop(of->loop); }, 10, 0) == 0);
    host.run();
    CHECK(rounds > 0);
    uv_close(reinterpret_cast<uv_handle_t*>(&timer), nullptr);
}
