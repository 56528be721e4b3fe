// A host with nothing but poll(2): one descriptor of the library stands beside its own.
// Three commands run at once, one of them longer than it may; what they say is printed as it comes, then how each ended.
// No thread is started and no signal handled; the host sleeps in its own poll() whenever there is nothing to do.
#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include <poll.h>

#include "exec/local_runner.h"
#include "exec/shell.h"

namespace {

struct tally {
    int running = 0, exited = 0, timed_out = 0;
};

class reporter final : public exec::observer {
   public:
    reporter(std::string name, tally& all) : name_(std::move(name)), all_(all) { ++all_.running; }

    exec::flow on_output(exec::stream, std::uint64_t, exec::bytes_view bytes) override {
        std::printf("%-6s says  %.*s", name_.c_str(), static_cast<int>(bytes.size()), bytes.data());
        return exec::flow::more;
    }
    void on_done(exec::result<exec::outcome> how) override {
        const auto text = how ? std::string(to_string(how->how())) : how.error().message();
        std::printf("%-6s ended %s\n", name_.c_str(), text.c_str());
        --all_.running;
        all_.exited += how && how->how() == exec::ended::exited;
        all_.timed_out += how && how->how() == exec::ended::timed_out;
    }

   private:
    std::string name_;
    tally& all_;
};

}  // namespace

int main() {
    const auto loop = exec::make_loop().value();
    const auto runner = exec::make_local_runner(*loop).value();
    tally all;
    const auto start = [&](const char* name, const char* script, exec::limits within = {}) {
        return runner->start({.program_and_args = exec::shell_script(exec::shell::sh, script).value()}, within,
                             std::make_unique<reporter>(name, all));
    };
    const auto quick = start("quick", "echo one; exit 3");
    const auto talker = start("talker", "for word in two three; do echo $word; sleep 0.1; done");
    const auto slow = start("slow", "echo four; sleep 60", {.run_timeout = exec::milliseconds(500)});

    while (all.running > 0) {
        pollfd watched[] = {{loop->poll_fd(), POLLIN, 0} /*, and whatever else this host waits for */};
        if (poll(watched, 1, -1) > 0) loop->run_ready();
    }
    return all.exited == 2 && all.timed_out == 1 ? 0 : 1;
}
