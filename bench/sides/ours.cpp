// Ours: run() in this thread, and a runner on a loop.
#include <cstdio>
#include <cstdlib>
#include <stop_token>
#include <utility>

#include "exec/local_runner.h"
#include "sides/side.h"

namespace bench {
namespace {

exec::command command_of(words what) {
    std::vector<std::string> all;
    for (; *what != nullptr; ++what) all.emplace_back(*what);
    return {.program_and_args = exec::argv::make(all).value()};
}

// Words that are known beforehand are written in place, as a host does.
exec::command quick_command_of(words what) {
    return what[1] == nullptr ? exec::command{.program_and_args = exec::argv(what[0])} : command_of(what);
}

heard heard_of(const exec::result<exec::outcome>& how) {
    if (!how) {
        std::fprintf(stderr, "exec: %s\n", how.error().message().c_str());
        return {};
    }
    return {how->out.total, how->err.total, how->exit != exec::exit_status()};
}

class ours_flight final : public flight {
   public:
    ours_flight() : loop_(exec::make_loop().value()), runner_(exec::make_local_runner(*loop_).value()) {}
    ~ours_flight() override { loop_->shutdown(exec::milliseconds(0)); }

    void start(words what) override {
        auto tell = std::make_unique<member>(*this);
        auto& made = *tell;
        running_.push_back(&made);
        made.handle = runner_->start(quick_command_of(what), within_, std::move(tell));
    }

    void launch() override {
        while (launched_ < running_.size()) loop_->run_ready();
    }
    void drive_until(std::size_t target) override {
        if (ended() >= target) return;
        target_ = target;
        enough_ = std::stop_source();
        loop_->run(enough_.get_token());
    }

    void kill_all() override {
        for (auto* one : running_) one->handle.stop(exec::milliseconds(0));
    }
    // The limits do it, for the commands that are started from here on.
    void kill_after(std::chrono::milliseconds delay) override {
        within_.run_timeout = delay;
        within_.stop.grace = exec::milliseconds(0);
    }

   private:
    class member final : public exec::observer {
       public:
        explicit member(ours_flight& of) : of_(of), place_(of.running_.size()) {}
        ~member() override {
            of_.running_[place_] = of_.running_.back();
            of_.running_[place_]->place_ = place_;
            of_.running_.pop_back();
        }
        void on_start(const exec::start_info&) override {
            ++of_.launched_;
            started_ = true;
        }
        void on_done(exec::result<exec::outcome> how) override {
            if (started_) --of_.launched_;
            of_.one_ended(heard_of(how));
            if (of_.ended() >= of_.target_) of_.enough_.request_stop();
        }
        exec::execution handle{};

       private:
        ours_flight& of_;
        std::size_t place_;
        bool started_ = false;
    };

    std::vector<member*> running_{};
    std::unique_ptr<exec::loop> loop_;
    std::shared_ptr<exec::runner> runner_;
    std::stop_source enough_{std::nostopstate};
    std::size_t launched_ = 0;
    std::size_t target_ = 0;
    // Thousands are started at once, on a machine that may be busy.
    exec::limits within_{.start_timeout = std::chrono::minutes(2)};
};

}  // namespace

side ours_blocking() {
    side made{"exec, run()", kind::ours};
    made.run = [](words what) { return heard_of(exec::run(quick_command_of(what))); };
    return made;
}

side ours_on_a_loop() {
    side made{"exec, a runner on a loop", kind::ours};
    made.run = [loop = std::shared_ptr<ours_flight>()](words what) mutable {
        if (!loop) loop = std::make_shared<ours_flight>();
        return run_in(*loop, what);
    };
    made.fly = [] { return std::make_unique<ours_flight>(); };
    return made;
}

}  // namespace bench
