// Run one command on another machine: what it says is printed as it comes, its exit status becomes ours.
//   ssh_once [-p port] [-i key] [-k known_hosts] [-t seconds] user@host -- program [argument...]
// 255: it never ran, or nobody knows how it ended; 126 and 127: as a shell says them. ^C stops it over there.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "exec/loop_thread.h"
#include "exec/ssh/runner.h"

namespace {

constexpr int no_answer = 255;

volatile std::sig_atomic_t interrupted = 0;

struct request {
    exec::ssh::endpoint there{};
    std::string key = std::string(std::getenv("HOME") != nullptr ? std::getenv("HOME") : "") + "/.ssh/id_ed25519";
    std::string known = key.substr(0, key.rfind('/')) + "/known_hosts";
    exec::milliseconds at_most = exec::unlimited;
    std::vector<std::string> words{};
};

std::optional<request> read(int count, char** words) {
    request asked;
    int at = 1;
    for (; at + 1 < count && words[at][0] == '-' && std::strlen(words[at]) == 2; at += 2) {
        const char* value = words[at + 1];
        switch (words[at][1]) {
            case 'p': asked.there.port = static_cast<std::uint16_t>(std::atoi(value)); break;
            case 'i': asked.key = value; break;
            case 'k': asked.known = value; break;
            case 't': asked.at_most = std::chrono::seconds(std::atoi(value)); break;
            default: return std::nullopt;
        }
    }
    if (count - at < 3 || std::string(words[at + 1]) != "--") return std::nullopt;
    const std::string target = words[at];
    const auto sign = target.rfind('@');
    if (sign == std::string::npos) return std::nullopt;
    asked.there.user = target.substr(0, sign);
    asked.there.host = target.substr(sign + 1);
    asked.words.assign(words + at + 2, words + count);
    return asked;
}

// Called in the thread of run(): it may block, as a full pipe does.
class printer final : public exec::observer {
   public:
    void on_start(const exec::start_info&) override {
        std::signal(SIGINT, [](int) { interrupted = 1; });
    }
    exec::flow on_output(exec::stream from, std::uint64_t, exec::bytes_view bytes) override {
        auto* to = from == exec::stream::out ? stdout : stderr;
        std::fwrite(bytes.data(), 1, bytes.size(), to);
        return std::fflush(to) == 0 ? exec::flow::more : exec::flow::stop;  // nobody reads: it need not go on
    }
    exec::flow on_heartbeat(exec::milliseconds) override {
        return interrupted != 0 ? exec::flow::stop : exec::flow::more;
    }
};

int complain(const exec::failure& why) {
    std::fprintf(stderr, "ssh_once: %s\n", why.message().c_str());
    if (why.at != exec::stage::program) return no_answer;
    return why.code == std::errc::permission_denied ? 126 : 127;
}

int tell(const exec::outcome& how) {
    if (how.stopped_by != exec::stop_reason::nobody) {
        std::fprintf(stderr, "ssh_once: stopped: %s, left over: %s\n", std::string(to_string(how.stopped_by)).c_str(),
                     std::string(to_string(how.tree)).c_str());
    }
    if (how.how() == exec::ended::lost) {
        std::fprintf(stderr, "ssh_once: lost: %s; it may still run on %s\n", how.broke.message().c_str(),
                     how.where.c_str());
    }
    return how.exit.as_shells_do().value_or(no_answer);
}

int run(const request& asked) {
    auto program = exec::argv::make(asked.words);
    if (!program) return complain(program.error());
    const auto key = exec::ssh::read_private_key(asked.key);
    if (!key) return complain(key.error());
    const auto known = exec::ssh::known_hosts({asked.known});
    if (!known) return complain(known.error());

    // Names are looked up on a thread of their own: that may block.
    const auto names = exec::make_thread_executor(1).value();
    const auto loop = exec::make_loop().value();
    const auto pool = exec::ssh::make_pool(*loop, {.blocking = names.get()}).value();
    auto there = asked.there;
    there.login = exec::ssh::always(*key);
    there.trust = *known;
    const auto runner = exec::ssh::make_runner(*pool, std::move(there));
    if (!runner) return complain(runner.error());

    printer tell_me;
    exec::limits within{.run_timeout = asked.at_most, .heartbeat = std::chrono::milliseconds(100)};
    within.out.kept = within.err.kept = exec::keep::nothing;
    const exec::loop_thread drives(*loop);  // before the pool ends, it has ended
    const auto how = (*runner)->run({.program_and_args = *std::move(program)}, within, tell_me, {});
    return how ? tell(*how) : complain(how.error());
}

}  // namespace

int main(int argc, char** argv) {
    const auto asked = read(argc, argv);
    if (asked) return run(*asked);
    std::fputs("usage: ssh_once [-p port] [-i key] [-k known_hosts] [-t seconds] user@host -- program [argument...]\n",
               stderr);
    return 2;
}
