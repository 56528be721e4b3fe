// When does a command that is out of time return, and what is left of it over there?
#include <libssh/libssh.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <exec/local_runner.h>

#include "harness/report.h"
#include "harness/rounds.h"
#include "living.h"
#include "ssh/far_end.h"
#include "ssh/openssh_client.h"
#include "ssh/pooled.h"
#include "ssh/raw_libssh.h"

namespace {

using std::chrono::milliseconds;

constexpr milliseconds budget{200};
constexpr double budget_ms = 200;
constexpr const char* hears = "trap 'echo felt; exit' TERM; sleep 30 & wait";
enum figure { late, alive, felt };
enum who { raw, client, ours };

// The length of a sleep that nobody else asks for.
std::string new_length() {
    static int count = 0;
    return "30." + std::to_string(100'000'000 + ::getpid()) + std::to_string(100'000 + ++count);
}

// Two processes that are told from all others by the length of their sleep.
struct sleepers {
    const std::string length = new_length();
    const std::string script = "sleep " + length + " & exec sleep " + length;
    std::vector<double> after(double began) const {
        const auto took = (bench::now() - began) * 1e3;
        const auto left = test::named(length);
        for (const auto pid : left) const test::killed_at_end one(pid);
        return {took - budget_ms, static_cast<double>(left.size())};
    }
};

// What a command does with TERM: it says so.
class hearing final : public exec::observer {
   public:
    hearing(bench::pooled& by, double& felt_at) : by_(by), felt_at_(felt_at) {}
    void on_start(const exec::start_info&) override { began_ = bench::now(); }
    exec::flow on_output(exec::stream, std::uint64_t, exec::bytes_view) override {
        felt_at_ = (bench::now() - began_) * 1e3 - budget_ms;
        return exec::flow::more;
    }
    void on_done(exec::result<exec::outcome>) override { by_.finished(); }

   private:
    bench::pooled& by_;
    double& felt_at_;
    double began_ = 0;
};

exec::limits within_budget() {
    exec::limits within;
    within.run_timeout = budget;
    return within;
}

exec::command script_of(const std::string& text) {
    const char* const words[] = {"/bin/sh", "-c", text.c_str(), nullptr};
    return bench::command_of(words);
}

bench::turn by_pool(const bench::far_end& there) {
    return [&there, side = std::shared_ptr<bench::pooled>()](bool) mutable -> std::vector<double> {
        if (!side) side = std::make_shared<bench::pooled>(there.endpoint());
        const sleepers two;
        double began = 0;
        // From its begin: how long it takes to begin is another benchmark's question.
        class beginning final : public exec::observer {
           public:
            beginning(bench::pooled& by, double& began) : by_(by), began_(began) {}
            void on_start(const exec::start_info&) override { began_ = bench::now(); }
            void on_done(exec::result<exec::outcome> how) override {
                if (!how || how->stopped_by != exec::stop_reason::run_timeout) std::_Exit(2);
                by_.finished();
            }

           private:
            bench::pooled& by_;
            double& began_;
        };
        side->run_one(script_of(two.script), within_budget(), std::make_unique<beginning>(*side, began));
        auto figures = two.after(began);
        double felt_at = -1;
        side->run_one(script_of(hears), within_budget(), std::make_unique<hearing>(*side, felt_at));
        figures.push_back(felt_at);
        return figures;
    };
}

ssh_channel begun(const bench::raw_session& on, const std::string& line) {
    const ssh_channel channel = ::ssh_channel_new(on.handle());
    if (::ssh_channel_open_session(channel) != SSH_OK) std::_Exit(2);
    if (::ssh_channel_request_exec(channel, line.c_str()) != SSH_OK) std::_Exit(2);
    return channel;
}

void end(ssh_channel channel) {
    ::ssh_channel_close(channel);
    ::ssh_channel_free(channel);
}

// What is left to somebody whose library has nothing else: he stops to wait, and closes the channel. Then how long a byte takes to
// a process over there and back.
bench::turn by_raw(const bench::far_end& there) {
    return [&there, session = std::shared_ptr<bench::raw_session>()](bool) mutable {
        if (!session) session = std::make_shared<bench::raw_session>(there.login());
        const sleepers two;
        const auto began = bench::now();
        auto channel = begun(*session, "exec /bin/sh -c '" + two.script + "'");
        char byte = 0;
        ::ssh_channel_read_timeout(channel, &byte, 1, 0, static_cast<int>(budget.count()));
        end(channel);
        auto figures = two.after(began);

        channel = begun(*session, "exec cat");
        double sent_at = 0;
        for (int i = 0; i < 2; ++i) {  // the first one waits for it to begin
            sent_at = bench::now();
            ::ssh_channel_write(channel, "x", 1);
            if (::ssh_channel_read(channel, &byte, 1, 0) != 1) std::_Exit(2);
        }
        figures.push_back((bench::now() - sent_at) * 1e3);
        ::ssh_channel_send_eof(channel);
        end(channel);
        return figures;
    };
}

bench::turn by_client(const bench::master_client& kept) {
    return [&kept](bool) {
        const sleepers two;
        const auto began = bench::now();
        auto within = within_budget();
        within.stop.grace = milliseconds(0);
        const auto words = kept.client("exec /bin/sh -c '" + two.script + "'");
        static_cast<void>(exec::run({.program_and_args = exec::argv::make(words).value()}, within));
        return two.after(began);
    };
}

}  // namespace

int main(int argc, char** argv) {
    bench::report report("ssh_deadline", "sh -c 'sleep 30 & exec sleep 30', given 200 ms", argc, argv);
    const bench::far_end there(report);
    const bench::master_client kept(there.login());
    const auto got = bench::in_turns(report.rounds(7), {by_raw(there), by_client(kept), by_pool(there)});

    report.column("late by ms", 1);
    report.column("still alive", 0);
    report.column("TERM felt, ms late", 1);
    report.row("libssh, channel closed; echo", bench::kind::peer,
               {bench::median(got[raw][late]), bench::median(got[raw][alive]), bench::median(got[raw][felt])});
    report.row("ssh, client killed", bench::kind::peer,
               {bench::median(got[client][late]), bench::median(got[client][alive]), std::nullopt});
    report.row("exec", bench::kind::ours,
               {bench::median(got[ours][late]), bench::median(got[ours][alive]), bench::median(got[ours][felt])});
    report.at_most("answer, ms after the deadline", bench::median(got[ours][late]), 25);
    report.at_most("left alive", *std::max_element(got[ours][alive].begin(), got[ours][alive].end()), 0);
    report.at_most("TERM felt, ms after the deadline and an echo",
                   bench::median(got[ours][felt]) - bench::median(got[raw][felt]), 2);
    return report.finish();
}
