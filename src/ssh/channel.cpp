#include "ssh/channel.h"

#include <algorithm>
#include <utility>

#include "exec/display.h"
#include "ssh/session.h"

#include <libssh/callbacks.h>
#include <libssh/libssh.h>

namespace exec::inline v0::ssh {
namespace {

// One packet of the server's; more than this is never handed to libssh before it was sent (its buffer has no bound).
constexpr std::size_t most_in_libssh = 32 * KiB;
// What libssh 0.10 gives by itself as soon as there is output (WINDOWBASE), when half of it is used up.
constexpr std::size_t window_of_libssh = 1'280'000;

}  // namespace

// libssh keeps a pointer to it for as long as the channel lives, and in 0.10 calls it even after a free.
struct channel::callbacks {
    ssh_channel_callbacks_struct table{};

    explicit callbacks(channel& of) {
        ssh_callbacks_init(&table);
        table.userdata = &of;
        table.channel_data_function = [](ssh_session, ssh_channel, void* bytes, std::uint32_t size, int is_err,
                                         void* user) {
            auto& to = *static_cast<channel*>(user);
            const bytes_view all(static_cast<const char*>(bytes), size);
            return static_cast<int>(to.take(is_err != 0 ? stream::err : stream::out, all));
        };
        table.channel_eof_function = [](ssh_session, ssh_channel, void* user) {
            auto& to = *static_cast<channel*>(user);
            to.eof_received_ = to.news_ = true;
        };
        table.channel_close_function = [](ssh_session, ssh_channel, void* user) {
            auto& to = *static_cast<channel*>(user);
            to.close_received_ = to.news_ = true;
        };
        table.channel_exit_status_function = [](ssh_session, ssh_channel, int status, void* user) {
            auto& to = *static_cast<channel*>(user);
            if (!to.status_) to.status_ = static_cast<std::uint32_t>(status);
            to.news_ = true;
        };
        table.channel_exit_signal_function = [](ssh_session, ssh_channel, const char* name, int core, const char*,
                                                const char*, void* user) {
            auto& to = *static_cast<channel*>(user);
            to.ended_by_ = name != nullptr && *name != '\0' ? name : "?";
            to.core_ = core != 0;
            to.news_ = true;
        };
        table.channel_write_wontblock_function = [](ssh_session, ssh_channel, std::uint32_t, void* user) {
            auto& to = *static_cast<channel*>(user);
            if (to.wants_room_) to.news_ = true;
            return 0;
        };
    }
};

channel::channel(session& of, channel_user& user, channel_request what)
    : of_(of),
      user_(&user),
      what_(std::move(what)),
      callbacks_(std::make_unique<callbacks>(*this)),
      news_(true),
      window_(window_of_libssh) {}

channel::~channel() { of_.returns_window(window_ - window_of_libssh); }

std::size_t channel::take(stream from, bytes_view bytes) noexcept {
    if (user_ == nullptr) return bytes.size();  // nobody listens; the window must stay open for the close
    of_.delivers(true);
    const auto taken = user_->output(from, bytes);
    of_.delivers(false);
    if (taken < bytes.size()) held_ = true;
    if (since_when_ == time_point{}) since_when_ = of_.now();
    since_ += taken;
    if (since_ >= window_ / 2) half_used_ = news_ = true;
    return taken;
}

// What it has to do -----------------------------------------------------------------------------------------------------

void channel::step() {
    news_ = false;
    switch (phase_) {
        case phase::opening: open(); break;
        case phase::asking_terminal: ask_terminal(); break;
        case phase::asking: ask(); break;
        case phase::running: run(); break;
        case phase::closing: close(); break;
        case phase::over: break;
    }
}

void channel::open() {
    if (handle_ == nullptr) {
        handle_ = ::ssh_channel_new(of_.handle());
        if (handle_ == nullptr) return not_opened(fail(errc::too_busy, "no memory for a channel"));
        asked_at_ = of_.now();
        ::ssh_channel_set_blocking(handle_, 0);
        ::ssh_set_channel_callbacks(handle_, &callbacks_->table);
    }
    const bool tunnel = !what_.to_host.empty();
    const int rc = tunnel ? ::ssh_channel_open_forward(handle_, what_.to_host.c_str(), what_.to_port, "127.0.0.1", 0)
                          : ::ssh_channel_open_session(handle_);
    if (rc == SSH_AGAIN || handle_ == nullptr || ::ssh_is_connected(of_.handle()) == 0) return;
    if (rc != SSH_OK) {
        auto why = fail(errc::too_busy, of_.last_error());
        why.at = stage::channel;
        return not_opened(why);
    }
    of_.took(of_.now() - asked_at_);
    if (user_ == nullptr) {  // given up meanwhile: nothing is asked for any more
        phase_ = phase::closing;
        return close();
    }
    if (tunnel) {
        phase_ = phase::running;
        handed_over_ = true;
        user_->accepted();
        if (handle_ != nullptr) run();
        return;
    }
    phase_ = what_.terminal ? phase::asking_terminal : phase::asking;
    return what_.terminal ? ask_terminal() : ask();
}

void channel::ask_terminal() {
    const int rc = ::ssh_channel_request_pty_size(handle_, what_.terminal_type.c_str(), what_.terminal->columns,
                                                  what_.terminal->rows);
    if (handle_ == nullptr || ::ssh_is_connected(of_.handle()) == 0) return;
    if (rc == SSH_AGAIN && !close_received_) return;
    if (rc != SSH_OK) {
        auto why = fail(errc::unsupported, "terminal: the server gives none");
        why.at = stage::request;
        return refuse(std::move(why));
    }
    phase_ = phase::asking;
    ask();
}

void channel::ask() {
    if (user_ == nullptr && !handed_over_) {
        phase_ = phase::closing;
        return close();
    }
    const bool first = !std::exchange(handed_over_, true);
    const int rc = ::ssh_channel_request_exec(handle_, what_.line.c_str());
    if (first && rc != SSH_ERROR && user_ != nullptr) user_->asked();
    // A connection that ended refuses nothing: the session tells of it, and of what it took with it.
    if (handle_ == nullptr || ::ssh_is_connected(of_.handle()) == 0) return;
    // A channel that was closed will not be told the answer any more.
    if (rc == SSH_AGAIN && !close_received_) return;
    if (rc == SSH_ERROR) {
        auto why = fail(errc::start_failed, "the server does not run commands: " + of_.last_error());
        why.at = stage::request;
        return refuse(std::move(why));
    }
    phase_ = phase::running;
    what_.line = {};
    if (user_ != nullptr && rc == SSH_OK) user_->accepted();
    if (handle_ != nullptr) run();
}

// Each call of the user may end the session, and with it the handle.
void channel::run() {
    if (user_ != nullptr && std::exchange(wants_room_, false)) user_->writable();
    while (handle_ != nullptr && !signals_.empty()) {
        const auto end = signals_.find(' ');
        const auto name = signals_.substr(0, end);
        signals_.erase(0, end + 1);
        ::ssh_channel_request_send_signal(handle_, name.c_str());
    }
    send_size();
    if (handle_ != nullptr && end_of_input_ && !end_sent_) {
        end_sent_ = ::ssh_channel_send_eof(handle_) != SSH_ERROR;
    }
    if (user_ != nullptr && status_) user_->exited(*std::exchange(status_, std::nullopt));
    if (user_ != nullptr && !ended_by_.empty()) user_->signaled(std::exchange(ended_by_, {}), core_);
    // What is held back is still to come: the end waits behind it.
    if (user_ != nullptr && eof_received_ && !held_ && !std::exchange(eof_told_, true)) user_->output_ended();
    if (user_ != nullptr && std::exchange(reminded_, false)) user_->reminded();
    if (handle_ != nullptr && std::exchange(half_used_, false)) widen();
    if (handle_ == nullptr) return;
    if (user_ == nullptr || (close_received_ && !held_)) {
        phase_ = phase::closing;
        close();
    }
}

void channel::close() {
    // It ends the input first, and needs a second call for the rest if that could not be sent at once.
    if (::ssh_channel_close(handle_) == SSH_AGAIN) static_cast<void>(::ssh_channel_close(handle_));
    if (!close_received_) return;
    phase_ = phase::over;
    ::ssh_remove_channel_callbacks(handle_, &callbacks_->table);
    ::ssh_channel_free(std::exchange(handle_, nullptr));
    if (auto* last = std::exchange(user_, nullptr)) last->closed();
}

void channel::not_opened(const failure& why) {
    phase_ = phase::over;
    if (handle_ != nullptr) {
        ::ssh_remove_channel_callbacks(handle_, &callbacks_->table);
        ::ssh_channel_free(std::exchange(handle_, nullptr));
    }
    if (auto* const last = std::exchange(user_, nullptr)) last->not_opened(why);
}

void channel::refuse(failure why) {
    auto* const last = std::exchange(user_, nullptr);
    phase_ = phase::closing;
    close();
    if (last != nullptr) last->refused(std::move(why));
}

void channel::session_ended(const failure& why) {
    handle_ = nullptr;  // the session frees it, and what libssh calls until then is there
    phase_ = phase::over;
    if (auto* last = std::exchange(user_, nullptr)) last->lost(why, handed_over_);
}

// Half of the window was used up. If that took hardly more than a round trip it is the window that holds the server back: it is
// doubled, as long as that goes on and there is some to lend. While the user holds output back nothing is added to it.
void channel::widen() {
    if (user_ == nullptr || held_ || eof_received_ || !left_over_.empty()) return;
    const auto now = of_.now();
    const bool used_up = now - since_when_ < of_.round_trip() * 3 / 2;
    since_when_ = now;
    since_ = 0;
    if (used_up && of_.lends_window(window_)) window_ *= 2;
    if (window_ > window_of_libssh) grant(window_);
}

// libssh has no call for it but this one: who asks to read more than the window lets in enlarges the window to that. Like every
// call it may read from the socket first; what the user holds back of that comes out here.
void channel::grant(std::size_t window) {
    const std::unique_ptr<char[]> room(new char[window]);  // as much as is asked for; next to nothing is written to it
    const int got = ::ssh_channel_read_timeout(handle_, room.get(), static_cast<std::uint32_t>(window), 0, 0);
    if (handle_ == nullptr || got <= 0) return;
    left_over_.assign(room.get(), static_cast<std::size_t>(got));
    left_over_of_ = stream::out;
}

// What is wanted of it --------------------------------------------------------------------------------------------------

std::size_t channel::write(bytes_view bytes) {
    const auto here = of_.shared_from_this();
    if ((phase_ != phase::running && !(phase_ == phase::asking && handed_over_)) || is_deaf()) return 0;
    // Who has resized and then types expects both in this order.
    if (phase_ == phase::running) send_size();
    if (handle_ == nullptr) return 0;
    std::size_t done = 0;
    while (done < bytes.size()) {
        if ((::ssh_get_status(of_.handle()) & SSH_WRITE_PENDING) != 0) break;  // what it has is not sent yet
        const auto window = std::size_t{::ssh_channel_window_size(handle_)};
        const auto size = (std::min)({bytes.size() - done, window, most_in_libssh});
        if (size == 0) break;
        const int sent = ::ssh_channel_write(handle_, bytes.data() + done, static_cast<std::uint32_t>(size));
        if (sent <= 0) break;
        done += static_cast<std::size_t>(sent);
        if (handle_ == nullptr) return done;  // what it has read meanwhile has ended the session
    }
    wants_room_ = done < bytes.size();
    of_.look_again();  // at what libssh did not send, and at what it read meanwhile
    return done;
}

void channel::end_of_input() {
    end_of_input_ = news_ = true;
    of_.prod();
}

void channel::send_signal(std::string name) {
    signals_ += std::move(name) + ' ';
    news_ = true;
    of_.prod();
}

void channel::resize(terminal_size size) {
    new_size_ = size;
    news_ = true;
    of_.prod();
}

void channel::send_size() {
    if (handle_ == nullptr || !new_size_) return;
    const auto size = *std::exchange(new_size_, std::nullopt);
    ::ssh_channel_change_pty_size(handle_, size.columns, size.rows);
}

void channel::resume() {
    const auto here = of_.shared_from_this();
    if (!held_) return;
    held_ = false;
    deliver_held();
    news_ = true;
    of_.prod();
}

// libssh calls again only when more arrives: what it kept is fetched by hand. A user who holds the output again in the middle
// gets the rest of that at the next resume, before anything newer.
void channel::deliver_held() {
    if (!left_over_.empty()) {
        const auto rest = std::exchange(left_over_, {});
        left_over_ = rest.substr(take(left_over_of_, rest));
    }
    char chunk[16 * KiB];
    for (const auto from : {stream::out, stream::err}) {
        while (!held_ && handle_ != nullptr) {
            const int got = ::ssh_channel_read_nonblocking(handle_, chunk, sizeof chunk, from == stream::err ? 1 : 0);
            if (got <= 0) break;
            const bytes_view bytes(chunk, static_cast<std::size_t>(got));
            left_over_ = bytes.substr(take(from, bytes));
            left_over_of_ = from;
        }
    }
}

void channel::let_go() noexcept {
    user_ = nullptr;
    held_ = false;
    news_ = true;
    of_.prod();
}

}  // namespace exec::inline v0::ssh
