// How much memory do sessions take that are there and do nothing, and how much the commands on them?
#include <malloc.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <libssh/libssh.h>

#include "harness/report.h"
#include "harness/rounds.h"
#include "ssh/far_end.h"
#include "ssh/pooled.h"
#include "ssh/raw_libssh.h"

namespace {

constexpr std::size_t some_sessions = 20;
constexpr std::size_t channels = 5;  // of each
enum figure { a_session, a_channel };

double heap_bytes() {
    const auto info = ::mallinfo2();
    return static_cast<double>(info.uordblks + info.hblkhd);
}

// A target each: their sessions are never shared.
class many_targets {
   public:
    explicit many_targets(const bench::far_end& there) : there_(there.endpoint()) {
        exec::ssh::pool_options options;
        options.sessions = 10'000;
        pool_ = exec::ssh::make_pool(*loop_, options).value();
    }
    ~many_targets() { loop_->shutdown(exec::milliseconds(0)); }

    void add() {
        auto there = there_;
        there.scope = std::to_string(runners_.size());
        runners_.push_back(exec::ssh::make_runner(*pool_, std::move(there)).value());
    }
    exec::execution start(std::size_t target, const std::vector<std::string>& words) {
        return runners_[target]->start({.program_and_args = exec::argv::make(words).value()},
                                       {.run_timeout = exec::unlimited}, std::make_unique<listener>(*this));
    }
    void drive_until(const std::size_t& count, std::size_t target) {
        while (count < target) loop_->run_ready();
    }
    std::size_t started = 0;
    std::size_t ended = 0;

   private:
    class listener final : public exec::observer {
       public:
        explicit listener(many_targets& of) : of_(of) {}
        void on_start(const exec::start_info&) override { ++of_.started; }
        void on_done(exec::result<exec::outcome> how) override {
            ++of_.ended;
            if (how) return;
            std::fprintf(stderr, "exec: %s\n", how.error().message().c_str());
            std::_Exit(2);
        }

       private:
        many_targets& of_;
    };

    const exec::ssh::endpoint there_;
    const std::unique_ptr<exec::loop> loop_ = exec::make_loop().value();
    std::unique_ptr<exec::ssh::pool> pool_{};
    std::vector<std::shared_ptr<exec::runner>> runners_{};
};

std::vector<double> ours(const bench::far_end& there, std::size_t sessions) {
    many_targets side(there);
    side.add();
    side.start(0, {"/bin/true"}).detach();
    side.drive_until(side.ended, 1);
    const auto before = heap_bytes();
    for (std::size_t i = 1; i <= sessions; ++i) side.add();
    for (std::size_t i = 1; i <= sessions; ++i) {
        side.start(i, {"/bin/true"}).detach();
        if (i % 10 == 0) side.drive_until(side.ended, i);
    }
    side.drive_until(side.ended, sessions + 1);
    const auto idle = heap_bytes();

    std::vector<exec::execution> running;
    const auto wanted = (std::min)(some_sessions, sessions) * channels;
    running.reserve(wanted);
    const auto began = side.started;
    for (std::size_t i = 0; i < wanted; ++i) running.push_back(side.start(1 + i / channels, {"/bin/sleep", "1000"}));
    side.drive_until(side.started, began + wanted);
    return {(idle - before) / static_cast<double>(sessions) / 1024,
            (heap_bytes() - idle) / static_cast<double>(wanted) / 1024};
}

std::vector<double> raw(const bench::far_end& there, std::size_t sessions) {
    const bench::raw_session first(there.login());
    std::vector<bench::raw_session> all;
    all.reserve(sessions);
    const auto before = heap_bytes();
    for (std::size_t i = 0; i < sessions; ++i) {
        if (!all.emplace_back(there.login()).run("/bin/true").ended) std::_Exit(2);
    }
    const auto idle = heap_bytes();
    for (auto& each : all) {
        for (std::size_t i = 0; i < channels; ++i) {
            const ssh_channel channel = ::ssh_channel_new(each.handle());
            if (::ssh_channel_open_session(channel) != SSH_OK) std::_Exit(2);
            if (::ssh_channel_request_exec(channel, "/bin/sleep 1000") != SSH_OK) std::_Exit(2);
        }
    }
    const auto count = static_cast<double>(sessions);
    return {(idle - before) / count / 1024, (heap_bytes() - idle) / count / static_cast<double>(channels) / 1024};
}

}  // namespace

int main(int argc, char** argv) {
    bench::report report("ssh_memory", "heap of idle sessions, and of commands that run on them", argc, argv);
    const bench::far_end there(report);

    // Once: the heap knows no noise.
    const auto got =
        bench::in_turns(1, {[&](bool counts) { return counts ? raw(there, some_sessions) : std::vector<double>(); },
                            [&](bool counts) { return counts ? ours(there, 200) : std::vector<double>(); }});
    report.column("KiB a session", 1);
    report.column("KiB a command", 2);
    report.row("libssh", bench::kind::floor, {got[0][a_session][0], got[0][a_channel][0]});
    report.row("exec, 200 sessions", bench::kind::ours, {got[1][a_session][0], got[1][a_channel][0]});
    report.at_most("KiB a session", got[1][a_session][0], 48);
    report.at_most("KiB a command", got[1][a_channel][0], 1);
    return report.finish();
}
