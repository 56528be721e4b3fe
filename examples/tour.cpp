// A tour of real commands on this host: what was asked, how it ended, what was kept, how long it took, what survived.
// Ends with status 1 if any row is not what it should be.
#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "exec/local_runner.h"
#include "exec/shell.h"

namespace {

using exec::milliseconds;
using answer = exec::result<exec::outcome>;

exec::argv sh(const char* text) { return exec::shell_script(exec::shell::sh, text).value(); }

// Counts what it is shown; stops the command after `enough` bytes.
class watcher final : public exec::observer {
   public:
    explicit watcher(std::uint64_t enough = exec::unlimited_bytes) : enough_(enough) {}
    exec::flow on_output(exec::stream, std::uint64_t at, exec::bytes_view bytes) override {
        ++chunks_;
        return at + bytes.size() < enough_ ? exec::flow::more : exec::flow::stop;
    }
    int chunks() const { return chunks_; }

   private:
    std::uint64_t enough_;
    int chunks_ = 0;
};

struct row {
    const char* asked;
    std::function<answer()> run;
    std::function<bool(const answer&)> right;
};

bool exited(const answer& a, int code) { return a && a->how() == exec::ended::exited && a->exit.number == code; }
bool nothing_left(const answer& a) { return a && a->tree >= exec::tree_state::group_gone; }

std::string kept(const answer& a) {
    if (!a) return "-";
    const auto& out = a->out;
    std::string text = std::to_string(out.bytes.size()) + " of " + std::to_string(out.total) + " B";
    if (!out.complete) text += ", cut";
    return text;
}

void print(const row& asked, const answer& a, bool right) {
    std::string how = a ? std::string(to_string(a->how())) : std::string(to_string(a.error().at)) + ": never ran";
    if (a && a->exit.what == exec::exit_status::kind::exited) how += " (exit " + std::to_string(a->exit.number) + ")";
    if (a && a->exit.what == exec::exit_status::kind::signaled)
        how += " (signal " + std::to_string(a->exit.number) + ")";
    std::printf("%-48s %-24s %-24s %8.1f ms  %-11s %s\n", asked.asked, how.c_str(), kept(a).c_str(),
                a ? static_cast<double>(a->took.total.count()) / 1e6 : 0.0,
                a ? std::string(to_string(a->tree)).c_str() : "-", right ? "" : "<- NOT RIGHT");
}

std::vector<row> rows() {
    using exec::run;
    return {
        {"echo hello", [] { return run({.program_and_args = exec::argv("echo", "hello")}); },
         [](const answer& a) { return exited(a, 0) && a->out.bytes == "hello\n" && nothing_left(a); }},
        {"a shell that exits 7, both streams",
         [] { return run({.program_and_args = sh("echo out; echo err >&2; exit 7")}); },
         [](const answer& a) { return exited(a, 7) && a->out.bytes == "out\n" && a->err.bytes == "err\n"; }},
        {"a program that does not exist", [] { return run({.program_and_args = exec::argv("no-such-program")}); },
         [](const answer& a) { return !a && a.error().at == exec::stage::program; }},
        {"streamed as it is said, stopped after 20 bytes",
         [] {
             watcher tell(20);
             return run({.program_and_args = sh("while :; do echo tick; sleep 0.01; done")}, {}, tell);
         },
         [](const answer& a) { return a && a->stopped_by == exec::stop_reason::cancelled && nothing_left(a); }},
        {"64 MiB said, 64 KiB kept (head and tail)",
         [] {
             return run({.program_and_args = exec::argv("head", "-c", "67108864", "/dev/zero")},
                        {.out = {.cap = 64 * exec::KiB}});
         },
         [](const answer& a) {
             return exited(a, 0) && a->out.bytes.size() == 64 * exec::KiB && a->out.total == 64 * exec::MiB;
         }},
        {"4 MiB of input through wc -c",
         [] {
             return run({.program_and_args = exec::argv("wc", "-c"),
                         .in = exec::input::bytes(std::string(4 * exec::MiB, 'x'))});
         },
         [](const answer& a) { return exited(a, 0) && a->out.bytes == "4194304\n" && a->in_taken == 4 * exec::MiB; }},
        {"200 ms for a tree that sleeps a minute",
         [] {
             return run({.program_and_args = sh("sleep 60 & sleep 60 & echo started; wait")},
                        {.run_timeout = milliseconds(200)});
         },
         [](const answer& a) {
             return a && a->how() == exec::ended::timed_out && a->out.bytes == "started\n" && nothing_left(a);
         }},
        {"the same, and it ignores TERM (grace 200 ms)",
         [] {
             return run({.program_and_args = sh("trap '' TERM; sleep 60 & while :; do sleep 1; done")},
                        {.run_timeout = milliseconds(200), .stop = {.grace = milliseconds(200)}});
         },
         [](const answer& a) {
             return a && a->how() == exec::ended::timed_out && a->exit.number == 9 && nothing_left(a);
         }},
        {"a background child that keeps the pipe open",
         [] { return run({.program_and_args = sh("sleep 60 & echo done")}); },
         [](const answer& a) {
             return exited(a, 0) && a->out.bytes == "done\n" && !a->out.complete && nothing_left(a);
         }},
        {"100 lines a second, silence for 300 ms",
         [] {
             return run({.program_and_args = sh("for i in 1 2 3 4 5; do echo $i; sleep 0.01; done; exec sleep 60")},
                        {.idle_timeout = milliseconds(300)});
         },
         [](const answer& a) { return a && a->stopped_by == exec::stop_reason::idle_timeout && a->out.total == 10; }},
        {"on a terminal of 100 x 30",
         [] {
             return run({.program_and_args = exec::argv("stty", "size"), .terminal = exec::terminal_size{100, 30}});
         },
         [](const answer& a) { return exited(a, 0) && a->out.bytes == "30 100\r\n"; }},
        {"cancelled by a stop token",
         [] {
             std::stop_source source;
             class stopper final : public exec::observer {
                public:
                 explicit stopper(std::stop_source& of) : of_(of) {}
                 exec::flow on_output(exec::stream, std::uint64_t, exec::bytes_view) override {
                     of_.request_stop();
                     return exec::flow::more;
                 }

                private:
                 std::stop_source& of_;
             } tell(source);
             return run({.program_and_args = sh("echo ready; sleep 60")}, {}, tell, source.get_token());
         },
         [](const answer& a) { return a && a->stopped_by == exec::stop_reason::cancelled && nothing_left(a); }},
    };
}

}  // namespace

int main() {
    std::printf("%-48s %-24s %-24s %11s  %s\n", "asked", "ended", "stdout kept", "took", "left over");
    bool all = true;
    for (const auto& asked : rows()) {
        const auto got = asked.run();
        const bool right = asked.right(got);
        print(asked, got, right);
        all = all && right;
    }
    std::printf("%s\n", all ? "Every command ended as it should, and nothing of it was left." : "NOT as it should be.");
    return all ? 0 : 1;
}
