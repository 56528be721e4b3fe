// A double that delivers as early as a runner may: a thread plays the script while start() is still on its way back.
#pragma once

#include <exec/runner.h>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

class threaded_runner final : public exec::runner {
   public:
    // Tells the observer what happens, and returns how it ended; ends early when a stop is requested.
    using script = std::function<exec::result<exec::outcome>(exec::observer&, const std::stop_token&)>;
    enum class returns { at_once, after_the_end };

    explicit threaded_runner(script plays, returns when = returns::at_once) : plays_(std::move(plays)), when_(when) {}
    // Joins: the script of a command that nobody stops must end by itself.
    ~threaded_runner() override = default;

    exec::execution start(exec::command what, exec::limits, std::unique_ptr<exec::observer> tell) override {
        ++starts;
        last = std::move(what);
        auto played = std::make_shared<state>();
        auto* handle = new control(played);
        std::jthread player([plays = plays_, played, tell = std::move(tell)]() mutable {
            auto how = plays(*tell, played->stop.get_token());
            if (!played->dropped) tell->on_done(std::move(how));
            tell.reset();
        });
        if (when_ == returns::after_the_end) {
            player.join();
        } else {
            threads_.emplace_back(std::move(player));
        }
        return exec::execution(handle);
    }
    exec::capabilities can() const override { return {}; }

    std::atomic<int> starts = 0;
    exec::command last{};

   private:
    struct state {
        std::stop_source stop{};
        std::atomic<bool> dropped = false;
    };
    class control final : public exec::execution::control {
       public:
        explicit control(std::shared_ptr<state> of) : of_(std::move(of)) {}
        std::size_t write_in(exec::bytes_view) override { return 0; }
        void close_in() override {}
        void resume() override {}
        exec::result<void> signal(int) override { return exec::fail(exec::errc::unsupported); }
        exec::result<void> resize(exec::terminal_size) override { return exec::fail(exec::errc::unsupported); }
        void stop(exec::milliseconds) override { of_->stop.request_stop(); }
        std::uint64_t id() const override { return 1; }
        void detach() override { delete this; }
        void let_go() override {
            of_->dropped = true;
            of_->stop.request_stop();
            delete this;
        }

       private:
        std::shared_ptr<state> of_;
    };

    script plays_;
    returns when_;
    std::vector<std::jthread> threads_;
};

// Waits for the stop request, as a command that never ends by itself.
inline exec::result<exec::outcome> until_stopped(exec::observer&, const std::stop_token& stop) {
    std::atomic<bool> asked = false;
    const std::stop_callback wake(stop, [&asked] {
        asked = true;
        asked.notify_all();
    });
    asked.wait(false);
    exec::outcome how;
    how.exit = exec::exit_status::signaled(15);
    how.stopped_by = exec::stop_reason::cancelled;
    return how;
}

inline exec::outcome exited_with(int code) {
    exec::outcome how;
    how.exit = exec::exit_status::exited(code);
    return how;
}
