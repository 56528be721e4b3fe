// An agent that serves the capability shell.exec: a JSON request a line on standard input, frames on standard output.
//
//     shell_agent [--audit FILE] [--heartbeat-ms N]     serves until the end of input, or until it is told to stop
//     shell_agent --digest                              says what answers
//
// A host with no framework at all: one thread, one poll(2). Requests run side by side and are told apart by their ids; what
// nobody reads is not collected but holds the commands that say it, and no further request is read meanwhile.
// The end of input: what runs is finished. SIGTERM, SIGINT, SIGHUP: what runs is stopped, told, and at most waited for as
// long as `patience`. If nobody can read any more, what runs is stopped and the exit status is 1.
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <climits>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "exec/dispatcher_parts.h"
#include "exec/json_lines_audit.h"
#include "exec/lines.h"
#include "exec/local_runner.h"
#include "exec/wire/shell.h"

namespace {

constexpr exec::milliseconds patience{6'000};    // more than grace, drain and last moments of a stopped command
constexpr exec::milliseconds last_words{1'000};  // for writing out what was told after that
constexpr std::size_t most_unread = 256 * exec::KiB;

struct settings {
    std::string audit{};  // "" = no trail is kept
    exec::wire::shell_options shell{.inherited = {"PATH", "HOME", "LANG", "http_proxy", "https_proxy", "no_proxy",
                                                  "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"},
                                    .trace_variable = "SMITH_TRACE_ID"};
};

std::optional<settings> read_settings(int count, char** words) {
    settings said;
    if (count % 2 == 0) return {};  // each option has a value
    for (int at = 1; at < count; at += 2) {
        const std::string_view option = words[at];
        if (option == "--audit") {
            said.audit = words[at + 1];
        } else if (option == "--heartbeat-ms") {
            said.shell.heartbeat = exec::milliseconds((std::max)(1, std::atoi(words[at + 1])));
        } else {
            return {};
        }
    }
    return said;
}

const exec::target_id this_host{"host"};

// One target, on which whoever holds the other end of standard input may run commands and do nothing else.
class one_target final : public exec::directory, public exec::gate {
   public:
    explicit one_target(std::shared_ptr<exec::runner> runs) : runs_(std::move(runs)) {}

    void find(const exec::caller&, const exec::target_id& target, exec::reply<exec::route> answer) override {
        if (target != this_host) return answer(exec::fail(exec::errc::target_not_found));
        answer(exec::route{.run = runs_, .jobs = {}, .kind = "host", .labels = {}});
    }
    void check(const exec::caller&, exec::verb what, const exec::target_id&, const exec::route&,
               exec::reply<void> answer) override {
        answer(what == exec::verb::run ? exec::result<void>() : exec::fail(exec::errc::denied));
    }

   private:
    std::shared_ptr<exec::runner> runs_;
};

// Whole lines on their way to standard output, which is never written to unless poll() says so.
class outbox {
   public:
    void put(const std::string& lines) {
        if (!broken_) lines_ += lines;
    }
    bool empty() const noexcept { return broken_ || lines_.empty(); }
    bool full() const noexcept { return lines_.size() - written_ >= most_unread; }
    bool broken() const noexcept { return broken_; }

    // What POLLOUT promises is room for PIPE_BUF bytes: so many never block, and the descriptor, which others may share,
    // stays as it is.
    void write(short events) {
        const auto piece = std::string_view(lines_).substr(written_, PIPE_BUF);
        const auto size = (events & POLLOUT) != 0 ? ::write(STDOUT_FILENO, piece.data(), piece.size()) : -1;
        broken_ = size < 0 && ((events & POLLOUT) == 0 || errno != EAGAIN);
        if (size < 0) return;
        written_ += static_cast<std::size_t>(size);
        if (written_ >= lines_.size() / 2) lines_.erase(0, std::exchange(written_, 0));
    }

   private:
    std::string lines_{};
    std::size_t written_ = 0;
    bool broken_ = false;
};

class agent {
   public:
    agent(exec::loop& on, std::shared_ptr<exec::dispatcher> front, std::shared_ptr<const exec::redactor> redact,
          exec::policy by, exec::wire::shell_options options)
        : loop_(on),
          front_(std::move(front)),
          redact_(std::move(redact)),
          policy_(std::move(by)),
          options_(std::move(options)),
          requests_(exec::line_options{.max_line = options_.body.max_bytes}) {}

    int serve(int signals) {
        while (!over()) {
            const bool wants_more = !input_ended_ && !stop_by_ && !out_.full();
            pollfd watched[] = {
                {loop_.poll_fd(), POLLIN, 0},
                {stop_by_ ? -1 : signals, POLLIN, 0},
                {wants_more ? STDIN_FILENO : -1, POLLIN, 0},
                {out_.broken() ? -1 : STDOUT_FILENO, static_cast<short>(out_.empty() ? 0 : POLLOUT), 0}};
            ::poll(watched, 4, time_left());
            if (watched[3].revents != 0) out_.write(watched[3].revents);
            if (watched[2].revents != 0) read_requests();
            if (watched[0].revents != 0) loop_.run_ready();
            if (!stop_by_ && (watched[1].revents != 0 || out_.broken())) stop_all();
            if (stop_by_ || !out_.full()) resume_all();
        }
        loop_.shutdown(exec::milliseconds::zero());
        stop_by_ = exec::saturating_add(loop_.now(), last_words);
        for (pollfd out{STDOUT_FILENO, POLLOUT, 0}; !out_.empty() && ::poll(&out, 1, time_left()) > 0;) {
            out_.write(out.revents);
        }
        return out_.broken() ? 1 : 0;
    }

   private:
    // What one command says, as frames.
    class teller final : public exec::observer {
       public:
        teller(agent& of, std::string id, std::string redacted)
            : of_(of), id_(std::move(id)), redacted_(std::move(redacted)), frames_(id_, of.options_) {}

        void on_start(const exec::start_info&) override {
            frames_.started(redacted_);
            of_.out_.put(frames_.take());
        }
        exec::flow on_output(exec::stream from, std::uint64_t at, exec::bytes_view bytes) override {
            // A command that is stopped is not held any more: what finds no room then is told as a gap.
            if (of_.stop_by_ && of_.out_.full()) {
                frames_.gap(from, at, bytes.size());
                return exec::flow::more;
            }
            frames_.output(from, at, bytes);
            of_.out_.put(frames_.take());
            if (of_.stop_by_ || !of_.out_.full()) return exec::flow::more;
            of_.running_.at(id_).held = true;
            return exec::flow::pause;
        }
        void on_gap(exec::stream from, std::uint64_t at, std::uint64_t missing) override {
            frames_.gap(from, at, missing);
        }
        exec::flow on_heartbeat(exec::milliseconds running) override {
            if (of_.out_.full()) return exec::flow::more;  // nobody looks for life
            frames_.heartbeat(running);
            of_.out_.put(frames_.take());
            return exec::flow::more;
        }
        void on_done(exec::result<exec::outcome> how) override {
            frames_.done(how);
            of_.out_.put(frames_.take());
            of_.running_.erase(id_);
        }

       private:
        agent& of_;
        std::string id_;
        std::string redacted_;
        exec::wire::shell_frames frames_;
    };
    struct in_flight {
        exec::execution handle{};
        bool held = false;  // its output
    };

    bool over() const {
        if (stop_by_ && loop_.now() >= *stop_by_) return true;
        return (input_ended_ || stop_by_) && running_.empty() && out_.empty();
    }
    int time_left() const {
        if (!stop_by_) return -1;
        const auto left = std::chrono::ceil<exec::milliseconds>(*stop_by_ - loop_.now());
        return static_cast<int>((std::max)(left, exec::milliseconds::zero()).count());
    }

    void read_requests() {
        char piece[16 * exec::KiB];
        const auto size = ::read(STDIN_FILENO, piece, sizeof piece);
        if (size < 0 && (errno == EINTR || errno == EAGAIN)) return;
        const auto take = [this](const exec::line& each) { request(each); };
        if (size > 0) return requests_.feed({piece, static_cast<std::size_t>(size)}, take);
        input_ended_ = true;
        requests_.finish(take);
    }
    void request(const exec::line& read) {
        if (!read.from_start) return;  // the rest of one that was refused
        if (!read.whole()) return refuse({}, exec::fail(exec::errc::invalid_argument, "the line is too long"));
        auto [id, wanted] = exec::wire::read_shell_line(read.text, options_);
        if (!wanted) return refuse(id, wanted.error());
        if (running_.count(id) != 0) return refuse(id, exec::fail(exec::errc::wrong_state, "id: is running already"));
        auto what = exec::wire::command_of(*wanted, options_);
        if (!what) return refuse(id, what.error());
        exec::call asked{.who = {.subject = "standard-input", .request_id = id},
                         .target = this_host,
                         .what = *std::move(what),
                         .within = exec::wire::limits_of(*wanted, policy_, options_)};
        auto tell = std::make_unique<teller>(*this, id, redact_->text(wanted->parameters.text));
        running_[id].handle = front_->submit(std::move(asked), std::move(tell));
    }
    void refuse(const std::string& id, exec::failure why) {
        // Under the id of a command that runs, this would read as its end.
        exec::wire::shell_frames frames(running_.count(id) == 0 ? id : std::string(), options_);
        frames.done(std::move(why));
        out_.put(frames.take());
    }

    void stop_all() {
        stop_by_ = exec::saturating_add(loop_.now(), patience);
        for (auto& [id, each] : running_) each.handle.stop();
    }
    void resume_all() {
        for (auto& [id, each] : running_) {
            if (std::exchange(each.held, false)) each.handle.resume();
        }
    }

    exec::loop& loop_;
    std::shared_ptr<exec::dispatcher> front_;
    std::shared_ptr<const exec::redactor> redact_;
    exec::policy policy_;
    exec::wire::shell_options options_;
    exec::line_splitter requests_;
    outbox out_{};
    std::map<std::string, in_flight> running_{};
    bool input_ended_ = false;
    std::optional<exec::time_point> stop_by_{};  // set once it was told to stop
};

// From here on they are read, not delivered. A reader that goes away is seen by write() alone.
int signals_to_read() {
    std::signal(SIGPIPE, SIG_IGN);
    sigset_t asked_to_stop;
    sigemptyset(&asked_to_stop);
    for (const int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&asked_to_stop, number);
    sigprocmask(SIG_BLOCK, &asked_to_stop, nullptr);
    return ::signalfd(-1, &asked_to_stop, SFD_CLOEXEC | SFD_NONBLOCK);
}

exec::result<std::shared_ptr<exec::audit_sink>> trail_of(const std::string& path) {
    if (path.empty()) return {std::make_shared<exec::no_audit>()};
    auto opened = exec::make_json_lines_audit({.path = path, .sync = exec::audit_sync::none});
    if (!opened) return opened.error();
    return std::shared_ptr<exec::audit_sink>(*std::move(opened));
}

}  // namespace

int main(int count, char** words) {
    const bool digest = count == 2 && std::string_view(words[1]) == "--digest";
    if (digest) return std::puts(exec::wire::shell_digest().c_str()) < 0;
    const auto said = read_settings(count, words);
    if (!said) {
        std::fputs("usage: shell_agent [--audit FILE] [--heartbeat-ms N] | --digest\n", stderr);
        return 2;
    }
    const auto trail = trail_of(said->audit);
    if (!trail) return std::fprintf(stderr, "shell_agent: %s\n", trail.error().message().c_str()), 1;
    const auto loop = exec::make_loop().value();
    // If this process is killed, so are its commands: the one thread that starts them is its main thread.
    const auto runs = exec::make_local_runner(*loop, {.spawning_thread_stays = true}).value();
    const std::shared_ptr<const exec::redactor> redact = exec::make_redactor().value();
    const auto here = std::make_shared<one_target>(runs);
    exec::policy by;
    by.variables.inheritable = said->shell.inherited;
    const auto front =
        exec::make_dispatcher(
            {.loop = loop.get(), .directory = here, .gate = here, .audit = *trail, .policy = by, .redact = redact})
            .value();
    return agent(*loop, front, redact, by, said->shell).serve(signals_to_read());
}
