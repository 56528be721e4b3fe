// A host that lives on Boost.Asio: a stream_descriptor on the loop's descriptor, waited for again after each run_ready().
#include <exec/loop.h>

// g++'s thread sanitizer knows no fences; one thread runs the context, so it needs none.
#if defined(__SANITIZE_THREAD__)
#define BOOST_ASIO_DISABLE_FENCED_BLOCK
#endif

#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include <doctest/doctest.h>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

namespace asio = boost::asio;
using namespace std::chrono_literals;

namespace {

class asio_host {
   public:
    asio_host() : watch_(context_) {
        auto made = exec::make_loop();
        REQUIRE(made);
        guest_ = *std::move(made);
        watch_.assign(guest_->poll_fd());
        wait();
    }
    ~asio_host() { watch_.release(); }  // the descriptor is the loop's
    asio_host(const asio_host&) = delete;
    asio_host& operator=(const asio_host&) = delete;

    exec::loop& guest() { return *guest_; }
    asio::io_context& context() { return context_; }
    int wakes() const { return wakes_; }

   private:
    void wait() {
        watch_.async_wait(asio::posix::descriptor_base::wait_read, [this](const boost::system::error_code& error) {
            if (error) return;
            ++wakes_;
            guest_->run_ready();
            wait();
        });
    }

    asio::io_context context_{1};
    std::unique_ptr<exec::loop> guest_;
    asio::posix::stream_descriptor watch_;
    int wakes_ = 0;
};

}  // namespace

TEST_CASE("asio host: posts and timers come in its thread, in order, and it sleeps in between") {
    std::string order;
    asio_host host;
    const auto came = [&](char what) {
        order += what;
        if (order.size() == 5) host.context().stop();
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
    host.context().run_for(20s);
    poster.join();
    CHECK(std::chrono::steady_clock::now() - start >= 30ms);
    CHECK(order.find('1') < order.find('2'));
    CHECK(order.size() == 5);
    CHECK(host.wakes() <= 8);  // a wake-up or two for what was set, three posts, two timers
}

TEST_CASE("asio host: what a budget left over is heard of again, though asio waits for edges") {
    int came = 0;
    asio_host host;
    host.guest().post([&] {
        for (int i = 0; i < 1000; ++i) {
            host.guest().post([&] {
                if (++came == 1000) host.context().stop();
            });
        }
    });
    host.context().run_for(20s);
    CHECK(came == 1000);
    CHECK(host.wakes() >= 4);
}

TEST_CASE("asio host: its own timers are not starved by a guest that always has something to do") {
    int rounds = 0;
    asio_host host;
    struct again {
        exec::loop& guest;
        int& rounds;
        void operator()() const {
            ++rounds;
            guest.post(again(*this));
        }
    };
    host.guest().post(again{host.guest(), rounds});
    bool came = false;
    asio::steady_timer timer(host.context(), 10ms);
    timer.async_wait([&](const boost::system::error_code&) {
        came = true;
        host.context().stop();
    });
    host.context().run_for(20s);
    CHECK(came);
    CHECK(rounds > 0);
}
