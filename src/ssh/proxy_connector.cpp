#include "ssh/proxy_connector.h"

#include "exec/assert.h"
#include "exec/limits.h"
#include "exec/outcome.h"
#include "exec/runner.h"

#include "posix/syscalls.h"

#include <cerrno>
#include <string_view>
#include <utility>
#include <vector>

#include <sys/epoll.h>
#include <sys/socket.h>

namespace exec::inline v0::ssh {
namespace {

constexpr std::size_t last_words_bytes = 4 * KiB;
// What one direction may take before everybody else has a turn.
constexpr std::size_t bytes_a_turn = 256 * KiB;

constexpr std::uint32_t to_read = EPOLLIN | EPOLLET;
constexpr std::uint32_t to_read_and_write = to_read | EPOLLOUT;

std::string text_of_end(const exit_status& how) {
    switch (how.what) {
        case exit_status::kind::exited: return "exit " + std::to_string(how.number);
        case exit_status::kind::signaled: return "signal " + std::to_string(how.number);
        case exit_status::kind::unknown: break;
    }
    return "nobody knows how";
}

}  // namespace

// The command ------------------------------------------------------------------------------------------------------------

result<argv> expanded(const argv& command, const std::string& host, std::uint16_t port) {
    if (host.starts_with('-')) return fail(errc::invalid_argument, "proxy command: the host begins with a dash");
    std::vector<std::string> words;
    for (const auto word : command) {
        auto& made = words.emplace_back();
        if (words.size() == 1) {
            made = word;
            continue;
        }
        for (std::size_t at = 0; at < word.size(); ++at) {
            if (word[at] != '%') {
                made += word[at];
                continue;
            }
            switch (++at < word.size() ? word[at] : '\0') {
                case 'h': made += host; break;
                case 'p': made += std::to_string(port); break;
                case '%': made += '%'; break;
                default:
                    return fail(errc::invalid_argument, "proxy command: argv[" + std::to_string(words.size() - 1) +
                                                            "]: after % comes h, p or %");
            }
        }
    }
    return argv::make(words);
}

// The tunnel -------------------------------------------------------------------------------------------------------------

proxy_tunnel::proxy_tunnel(std::shared_ptr<detail::loop_core> core, std::string name, socket_pair sockets,
                           reply<connection> made, std::shared_ptr<execution> run)
    : core_(std::move(core)),
      name_(std::move(name)),
      made_(std::move(made)),
      run_(std::move(run)),
      said_(std::make_shared<capture>(capture_policy{.cap = last_words_bytes, .kept = keep::tail})),
      theirs_(std::move(sockets.theirs)),
      ours_(std::move(sockets.ours)) {}

proxy_tunnel::~proxy_tunnel() {
    // The loop had ended before the command was begun.
    if (made_) detail::at_the_border(*core_, "connector: reply", [this] { refuse(fail(errc::shutting_down)); });
}

void proxy_tunnel::on_start(const start_info&) {
    EXEC_ASSERT(core_->driven_here(), "proxy command: its runner delivers on another loop");
    if (auto added = core_->add(watch_, ours_.get(), to_read); !added) {
        unheard_ = true;
        run_->stop(milliseconds::zero());
        return refuse(std::move(added).error());
    }
    connection made(theirs_.release());
    made.last_words = [said = said_] { return capture(*said).take(true).bytes; };
    auto answer = std::move(made_);
    answer(std::move(made));
}

void proxy_tunnel::on_done(result<outcome> how) {
    if (made_) {
        if (!how) return refuse(std::move(how).error());
        // It may have begun; nobody confirmed it in time.
        return refuse(how->stopped_by == stop_reason::shutdown ? fail(errc::shutting_down) : fail(errc::start_timeout));
    }
    if (said_->total() == 0 && how) said_->append(name_ + " ended: " + text_of_end(how->exit));
}

// The code of the runner's, with the step where a connection was at.
void proxy_tunnel::refuse(failure why) {
    if (why.code == errc::start_timeout) why.code = std::error_code(ETIMEDOUT, std::system_category());
    std::string context = name_;
    if (why.at != stage::none && why.at != stage::connect) context.append(": ").append(to_string(why.at));
    if (!why.context.empty()) context += ": " + why.context;
    why.context = std::move(context);
    why.at = stage::connect;
    auto answer = std::move(made_);
    answer(std::move(why));
}

void proxy_tunnel::ready(std::uint32_t events) noexcept {
    if (!to_socket_.empty()) send_kept();
    // Both ends of the way are closed; a half that is closed is passed on and goes on.
    if ((events & EPOLLHUP) != 0) wind_up();
    if (to_command_.empty()) receive();
}

// From the command to the socket.

flow proxy_tunnel::on_output(stream from, std::uint64_t, bytes_view bytes) {
    if (from == stream::err) {
        said_->append(bytes);
        return flow::more;
    }
    if (to_socket_.empty()) bytes = send(bytes);
    if (unheard_ || bytes.empty()) return flow::more;
    to_socket_ += bytes;
    if (!core_->modify(watch_, to_read_and_write)) return flow::stop;
    return flow::pause;
}

// What follows a gap makes no sense to anybody.
void proxy_tunnel::on_gap(stream from, std::uint64_t, std::uint64_t) {
    if (from == stream::out) unheard_ = true;
}

void proxy_tunnel::send_kept() {
    to_socket_.erase(0, to_socket_.size() - send(to_socket_).size());
    if (!to_socket_.empty()) return;
    if (!core_->modify(watch_, to_read)) return stop_command();
    run_->resume();
}

// Returns what the socket had no room for.
bytes_view proxy_tunnel::send(bytes_view what) noexcept {
    while (!what.empty() && !unheard_) {
        const auto sent = posix::retry_interrupted(
            [&] { return posix::sys().send(ours_.get(), what.data(), what.size(), MSG_NOSIGNAL | MSG_DONTWAIT); });
        if (sent >= 0) {
            what.remove_prefix(static_cast<std::size_t>(sent));
        } else if (errno == EAGAIN) {
            return what;
        } else {
            unheard_ = true;
            wind_up();
        }
    }
    return {};
}

// From the socket to the command.

void proxy_tunnel::receive() {
    char part[16 * KiB];
    for (std::size_t taken = 0; !ended_ && to_command_.empty();) {
        if (taken >= bytes_a_turn) return core_->again(watch_, to_read);
        const auto got = posix::retry_interrupted([&] { return posix::sys().read(ours_.get(), part, sizeof part); });
        if (got < 0 && errno == EAGAIN) return;
        if (got <= 0) {  // ECONNRESET: closed with something unread
            ended_ = true;
            return run_->close_in();
        }
        const bytes_view bytes(part, static_cast<std::size_t>(got));
        to_command_ = bytes.substr(run_->write_in(bytes));
        taken += bytes.size();
    }
}

void proxy_tunnel::on_room() {
    to_command_.erase(0, run_->write_in(to_command_));
    if (to_command_.empty()) receive();
}

void proxy_tunnel::wind_up() {
    if (!patience_.is_set()) patience_.set(*core_, saturating_add(core_->now(), patience));
}

void proxy_tunnel::stop_command() noexcept { run_->stop(patience); }

// The connector ----------------------------------------------------------------------------------------------------------

namespace {

class proxy_connector final : public connector {
   public:
    proxy_connector(loop& on, runner& with, argv command) : on_(on), with_(with), command_(std::move(command)) {}

    void connect(const std::string& host, std::uint16_t port, time_point by, reply<connection> made) override {
        const auto& core = detail::core_of(on_);
        EXEC_ASSERT(core->driven_here(), "proxy command: connect() outside the thread that drives the loop");
        auto command = prepared(host, port, by);
        auto sockets = make_socket_pair();
        if (!command || !sockets) {
            auto why = command ? std::move(sockets).error() : std::move(command).error();
            why.at = stage::connect;
            return on_.post([made = std::move(made), why = std::move(why)]() mutable { made(std::move(why)); });
        }
        limits within;
        within.run_timeout = unlimited;
        within.start_timeout = until(by, core->now());
        within.consumer_timeout = unlimited;  // SSH has its own ideas of a connection that does not move
        within.stop.grace = proxy_tunnel::patience;
        within.out.cap = within.err.cap = 0;
        within.out.kept = within.err.kept = keep::nothing;
        // Nobody calls back inside start(), but a runner whose loop has ended may drop its observer there.
        const auto run = std::make_shared<execution>();
        auto name = "proxy command " + std::string(command->program_and_args.program());
        auto tunnel = std::make_unique<proxy_tunnel>(core, std::move(name), *std::move(sockets), std::move(made), run);
        *run = with_.start(*std::move(command), std::move(within), std::move(tunnel));
    }

   private:
    result<exec::command> prepared(const std::string& host, std::uint16_t port, time_point by) const {
        auto words = expanded(command_, host, port);
        if (!words) return std::move(words).error();
        if (!with_.can().pauses) return fail(errc::unsupported, "proxy command: the runner cannot hold output back");
        if (on_.now() >= by) return os_failure(ETIMEDOUT, stage::connect, "proxy command");
        exec::command what;
        what.program_and_args = *std::move(words);
        what.in = input::streamed();
        return what;
    }

    loop& on_;
    runner& with_;
    const argv command_;
};

}  // namespace

std::shared_ptr<connector> make_proxy_command(loop& on, runner& with, argv command) {
    return std::make_shared<proxy_connector>(on, with, std::move(command));
}

}  // namespace exec::inline v0::ssh
