#include "servers/hostile_server.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <poll.h>
#include <sys/socket.h>

#include "posix/fd.h"
#include "servers/loopback.h"
#include "servers/poll_thread.h"

namespace test {
namespace {

using clock = std::chrono::steady_clock;
using exec::posix::fd;

constexpr std::chrono::milliseconds drip{50};
constexpr std::string_view banner = "SSH-2.0-hostile\r\n";

// The same bytes each time, none of which is an end of line.
std::string garbage() {
    std::string bytes(4096, '\0');
    unsigned state = 1;
    for (auto& byte : bytes) {
        state = state * 1664525 + 1013904223;
        byte = static_cast<char>(state >> 24);
        if (byte == '\n' || byte == '\r') byte = '\0';
    }
    return bytes;
}

// The header of a packet of 1000 bytes, padding 8, SSH_MSG_KEXINIT (20), the cookie, and nothing more.
std::string half_kexinit() { return std::string("\x00\x00\x03\xe8\x08\x14", 6) + std::string(16, 'c'); }

// What is said at first.
std::string greeting(manners how) {
    switch (how) {
        case manners::garbage: return garbage();
        case manners::banner_only: return std::string(banner);
        case manners::half_kex: return std::string(banner) + half_kexinit();
        case manners::silent:
        case manners::dripping:
        case manners::endless_lines:
        case manners::reset: break;
    }
    return "";
}

struct session {
    fd client{};
    clock::time_point next_drip{};
};

}  // namespace

class hostile_server::sessions {
   public:
    explicit sessions(manners how) : how_(how), listener_(listen_on_loopback()) {}

    int port() const { return port_of(listener_); }
    void ask(const std::function<void()>& what) { thread_.ask(what); }

    // What follows is for the thread, through ask().
    std::size_t accepted = 0;
    std::size_t sent = 0;
    std::size_t open() const { return open_.size(); }

   private:
    clock::time_point prepare(poll_set& wait) const {
        auto until = poll_set::never;
        wait.watch(listener_.get(), POLLIN);
        for (const auto& each : open_) {
            wait.watch(each.client.get(), how_ == manners::endless_lines ? POLLIN | POLLOUT : POLLIN);
            if (how_ == manners::dripping) until = (std::min)(until, each.next_drip);
        }
        return until;
    }

    void handle(const poll_set& wait) {
        open_.remove_if([&](session& each) {
            const int seen = wait.seen(each.client.get());
            if ((seen & ~POLLOUT) != 0 && !listens(each)) return true;
            if ((seen & POLLOUT) != 0) say(each, "this line comes before the banner\r\n");
            if (how_ == manners::dripping && each.next_drip <= clock::now()) {
                each.next_drip += drip;
                say(each, "S");
            }
            return false;
        });
        if (wait.seen(listener_.get()) != 0) accept();
    }

    void accept() {
        fd client(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (!client) return;
        ++accepted;
        if (how_ == manners::reset) return reset_connection(client);
        auto& made = open_.emplace_back();
        made.client = std::move(client);
        made.next_drip = clock::now();
        say(made, greeting(how_));
        if (how_ == manners::banner_only) ::shutdown(made.client.get(), SHUT_WR);
    }

    // Takes what the client says, and forgets it. False: it has closed.
    static bool listens(const session& to) {
        char piece[4096];
        const auto size = ::recv(to.client.get(), piece, sizeof piece, 0);
        return size > 0 || (size < 0 && (errno == EAGAIN || errno == EINTR));
    }

    // As much of it as the client takes at once.
    void say(const session& to, std::string_view text) {
        const auto size = ::send(to.client.get(), text.data(), text.size(), MSG_NOSIGNAL);
        if (size > 0) sent += static_cast<std::size_t>(size);
    }

    const manners how_;
    fd listener_;
    std::list<session> open_{};
    poll_thread thread_{[this](poll_set& wait) { return prepare(wait); },  // last: it uses the others
                        [this](const poll_set& wait) { handle(wait); }};
};

hostile_server::hostile_server(manners how) : sessions_(std::make_unique<sessions>(how)), port_(sessions_->port()) {}

hostile_server::~hostile_server() = default;

std::size_t hostile_server::connections() const {
    std::size_t count = 0;
    sessions_->ask([&] { count = sessions_->accepted; });
    return count;
}

std::size_t hostile_server::open_connections() const {
    std::size_t count = 0;
    sessions_->ask([&] { count = sessions_->open(); });
    return count;
}

std::size_t hostile_server::sent() const {
    std::size_t count = 0;
    sessions_->ask([&] { count = sessions_->sent; });
    return count;
}

}  // namespace test
