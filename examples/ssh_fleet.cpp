// Run one command on many machines: a line for each step of each machine as it comes, then a table of all of them.
//   ssh_fleet [-i key] [-k known_hosts] user@host[:port]... -- program [argument...]
// Ends with 0 if all of them exited with 0, else with 1. Everything happens on one thread, beside the one that looks up names.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "exec/display.h"
#include "exec/lines.h"
#include "exec/ssh/runner.h"

namespace {

struct machine {
    exec::ssh::endpoint there{};
    std::optional<exec::result<exec::outcome>> end{};
    std::string name() const { return there.text(); }
};

struct fleet {
    std::vector<machine> machines{};
    std::size_t ended = 0;
    std::stop_source over{};
};

std::string in_a_word(const exec::result<exec::outcome>& end) {
    if (!end) return "never ran";
    const auto code = end->exit.as_shells_do();
    std::string text(to_string(end->how()));
    return end->how() == exec::ended::exited && code ? text + ' ' + std::to_string(*code) : text;
}

// One of them for each machine. All of them are called on the one thread that drives the loop.
class reporter final : public exec::observer {
   public:
    reporter(fleet& all, machine& of) : all_(all), of_(of) {}

    void on_start(const exec::start_info&) override { say("runs"); }
    exec::flow on_output(exec::stream from, std::uint64_t, exec::bytes_view bytes) override {
        lines(from).feed(bytes, [this](const exec::line& line) { say("| " + exec::display(line.text)); });
        return exec::flow::more;
    }
    void on_done(exec::result<exec::outcome> how) override {
        for (const auto from : {exec::stream::out, exec::stream::err}) {
            lines(from).finish([this](const exec::line& line) { say("| " + exec::display(line.text)); });
        }
        of_.end = std::move(how);
        ++all_.ended;
        say(in_a_word(*of_.end) + " (" + std::to_string(all_.ended) + " of " + std::to_string(all_.machines.size()) +
            ')');
        if (all_.ended == all_.machines.size()) all_.over.request_stop();
    }

   private:
    exec::line_splitter& lines(exec::stream from) { return from == exec::stream::out ? out_ : err_; }
    void say(const std::string& what) const { std::printf("%-24s %s\n", of_.name().c_str(), what.c_str()); }

    fleet& all_;
    machine& of_;
    exec::line_splitter out_{}, err_{};
};

int table(const fleet& all) {
    std::printf("\n%-24s %-12s %9s  %s\n", "machine", "ended", "seconds", "why");
    std::size_t good = 0;
    for (const auto& each : all.machines) {
        const auto& end = *each.end;
        good += end && end->ok();
        const double seconds = end ? static_cast<double>(end->took.total.count()) / 1e9 : 0;
        const auto why = !end ? end.error().message() : end->broke ? end->broke.message() : std::string();
        std::printf("%-24s %-12s %9.2f  %s\n", each.name().c_str(), in_a_word(end).c_str(), seconds, why.c_str());
    }
    std::printf("%zu of %zu did it\n", good, all.machines.size());
    return good == all.machines.size() ? 0 : 1;
}

template <class T>
T or_exit(exec::result<T> made) {
    if (made) return *std::move(made);
    std::fprintf(stderr, "ssh_fleet: %s\n", made.error().message().c_str());
    std::exit(2);
}

std::optional<exec::ssh::endpoint> target(std::string text) {
    exec::ssh::endpoint there;
    const auto sign = text.rfind('@');
    if (sign == std::string::npos) return std::nullopt;
    there.user = text.substr(0, sign);
    there.host = text.substr(sign + 1);
    if (const auto colon = there.host.rfind(':'); colon != std::string::npos) {
        there.port = static_cast<std::uint16_t>(std::atoi(there.host.c_str() + colon + 1));
        there.host.resize(colon);
    }
    return there;
}

int usage() {
    std::fputs("usage: ssh_fleet [-i key] [-k known_hosts] user@host[:port]... -- program [argument...]\n", stderr);
    return 2;
}

}  // namespace

int main(int argc, char** argv) {
    const std::string home = std::getenv("HOME") != nullptr ? std::getenv("HOME") : "";
    std::string key = home + "/.ssh/id_ed25519", known = home + "/.ssh/known_hosts";
    fleet all;
    int at = 1;
    for (; at < argc && std::strcmp(argv[at], "--") != 0; ++at) {
        if (argv[at][0] == '-' && at + 1 < argc) {
            (std::strcmp(argv[at], "-i") == 0 ? key : known) = argv[at + 1];
            ++at;
        } else if (auto there = target(argv[at])) {
            all.machines.push_back({*std::move(there)});
        } else {
            return usage();
        }
    }
    if (at + 1 >= argc || all.machines.empty()) return usage();
    const auto program = or_exit(exec::argv::make(std::vector<std::string>(argv + at + 1, argv + argc)));
    // One login and one trust for all: commands share a session only if these are the same objects.
    const auto login = exec::ssh::always(or_exit(exec::ssh::read_private_key(key)));
    const auto trust = or_exit(exec::ssh::known_hosts({known}));

    const auto names = or_exit(exec::make_thread_executor(1));
    const auto loop = or_exit(exec::make_loop());
    // A fleet of thousands gets so many connections at once, and no more; who waits for one waits within start_timeout.
    const auto pool = or_exit(exec::ssh::make_pool(*loop, {.blocking = names.get(), .sessions = 64}));
    for (auto& each : all.machines) {
        each.there.login = login;
        each.there.trust = trust;
        const auto runner = or_exit(exec::ssh::make_runner(*pool, each.there));
        exec::command what{.program_and_args = program};
        auto handle = runner->start(std::move(what), {.start_timeout = std::chrono::minutes(10)},
                                    std::make_unique<reporter>(all, each));
        handle.detach();  // nobody stops it: let it run, keep telling the observer
    }
    loop->run(all.over.get_token());
    return table(all);
}
