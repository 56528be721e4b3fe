// A connector whose connections are channels of a pooled session: between each channel and a socket pair stands a tunnel.
#include "exec/ssh/pool.h"

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "exec/bytes.h"
#include "loop/alarm.h"
#include "loop/core.h"
#include "loop/watch.h"
#include "posix/syscalls.h"
#include "ssh/channel.h"
#include "ssh/pool_core.h"
#include "ssh/socket_pair.h"

#include <sys/epoll.h>
#include <sys/socket.h>

namespace exec::inline v0::ssh {
namespace {

// What one direction may take before everybody else has a turn.
constexpr std::size_t bytes_a_turn = 256 * KiB;
// Sessions that end before they are of use.
constexpr int most_moves = 2;

// Why the channel ended, for the connection's user, whose loop may be another one.
class farewell {
   public:
    void set(std::string words) {
        const std::lock_guard hold(guard_);
        words_ = std::move(words);
    }
    std::string words() const {
        const std::lock_guard hold(guard_);
        return words_;
    }

   private:
    mutable std::mutex guard_{};
    std::string words_{};
};

// One connection, from its wish to its end. Owns itself until then. Nothing waits in it but one chunk towards the server: in both
// directions a reader that is slow holds its writer back.
// Threads: the pool's loop.
class jump_tunnel final : public waiter, public channel_user {
   public:
    jump_tunnel(std::shared_ptr<pool_core> pool, endpoint jump, std::string host, std::uint16_t port,
                reply<connection> made)
        : pool_(std::move(pool)),
          jump_(std::move(jump)),
          host_(std::move(host)),
          port_(port),
          made_(std::move(made)),
          said_(std::make_shared<farewell>()) {}

    static void begin(std::shared_ptr<jump_tunnel> one, time_point by) {
        const auto& it = one;
        it->self_ = one;
        it->by_ = by;
        if (it->core().now() >= by) return it->give_up();
        it->alarm_.set(it->core(), by);
        it->pool_->wait_for(it->jump_, *it, by);
    }

    // waiter
    void granted(session& on) noexcept override {
        channel_request what;
        what.to_host = host_;
        what.to_port = port_;
        channel_ = &on.lend(*this, std::move(what));
    }
    void denied(const failure& why) noexcept override { refuse(why); }

    // channel_user
    void asked() noexcept override {}
    void accepted() noexcept override;
    std::size_t output(stream from, bytes_view bytes) noexcept override;
    void writable() noexcept override { receive(); }
    void reminded() noexcept override {
        if (unheard_) end();
    }
    void output_ended() noexcept override {
        if (ours_) ::shutdown(ours_.get(), SHUT_WR);
    }
    void exited(std::uint32_t) noexcept override {}
    void signaled(std::string_view, bool) noexcept override {}
    void not_opened(const failure& why) noexcept override {
        channel_ = nullptr;
        auto told = why;
        told.code = make_error_code(errc::connect_failed);
        refuse(std::move(told));
    }
    void refused(failure why) noexcept override {
        channel_ = nullptr;
        refuse(std::move(why));
    }
    void closed() noexcept override {
        channel_ = nullptr;
        said_->set(name() + ": the connection was closed there");
        end();
    }
    void lost(const failure& why, bool handed_over) noexcept override {
        channel_ = nullptr;
        if (!handed_over && made_ && why.code != errc::shutting_down && ++moves_ <= most_moves) {
            return pool_->wait_for(jump_, *this, by_, true);
        }
        if (made_) return refuse(why);
        said_->set(name() + ": " + why.message());
        end();
    }

   private:
    exec::detail::loop_core& core() const { return *pool_->loop(); }
    std::string name() const { return "jump host " + jump_.text(); }
    void ready(std::uint32_t events) noexcept;
    void receive();
    void give_up() noexcept { refuse(os_failure(ETIMEDOUT, stage::connect, "no connection in time")); }
    void refuse(failure why);
    void end();

    const std::shared_ptr<pool_core> pool_;
    const endpoint jump_;
    const std::string host_;
    const std::uint16_t port_;
    reply<connection> made_;
    const std::shared_ptr<farewell> said_;
    std::shared_ptr<jump_tunnel> self_{};
    time_point by_ = never;
    int moves_ = 0;
    channel* channel_ = nullptr;

    std::string to_server_{};  // what the channel had no room for; the socket is not read meanwhile
    bool full_ = false;        // the socket; the channel is held back
    bool unheard_ = false;     // nobody reads the socket any more

    posix::fd ours_{};
    exec::detail::watch_member<jump_tunnel, &jump_tunnel::ready> watch_{*this};
    exec::detail::alarm_member<jump_tunnel, &jump_tunnel::give_up> alarm_{*this};
};

void jump_tunnel::accepted() noexcept {
    alarm_.clear();
    auto sockets = make_socket_pair();
    if (!sockets) return refuse(std::move(sockets).error());
    ours_ = std::move(sockets->ours);
    if (auto added = core().add(watch_, ours_.get(), EPOLLIN | EPOLLOUT | EPOLLET); !added) {
        return refuse(std::move(added).error());
    }
    connection made(sockets->theirs.release());
    made.last_words = [said = said_] { return said->words(); };
    auto answer = std::move(made_);
    answer(std::move(made));
}

// From the server to the socket.
std::size_t jump_tunnel::output(stream /*from*/, bytes_view bytes) noexcept {
    // The first words of a server may come with the word that the channel is open: they wait for the first edge of the socket.
    if (made_) full_ = true;
    if (full_) return 0;
    if (unheard_ || !ours_) return bytes.size();
    std::size_t done = 0;
    while (done < bytes.size()) {
        const auto sent = posix::sys().send(ours_.get(), bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0 && errno == EAGAIN) {
            full_ = true;
            return done;
        }
        if (sent <= 0) {
            unheard_ = true;
            if (channel_ != nullptr) channel_->remind();
            return bytes.size();
        }
        done += static_cast<std::size_t>(sent);
    }
    return done;
}

void jump_tunnel::ready(std::uint32_t events) noexcept {
    const auto here = self_;
    if (full_ && (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0 && channel_ != nullptr) {
        full_ = false;
        channel_->resume();
    }
    receive();
}

// From the socket to the server.
void jump_tunnel::receive() {
    const auto here = self_;
    char part[16 * KiB];
    for (std::size_t taken = 0; channel_ != nullptr && ours_;) {
        if (!to_server_.empty()) {
            to_server_.erase(0, channel_->write(to_server_));
            if (!to_server_.empty()) return;
        }
        if (taken >= bytes_a_turn) return core().again(watch_, EPOLLIN);
        const auto got = posix::sys().read(ours_.get(), part, sizeof part);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0 && errno == EAGAIN) return;
        if (got <= 0) return end();  // its user has closed it
        taken += static_cast<std::size_t>(got);
        to_server_.assign(part, static_cast<std::size_t>(got));
    }
}

// The step is one of another connection: to the one that is made here it is all the connect.
void jump_tunnel::refuse(failure why) {
    auto context = name();
    if (why.at != stage::none && why.at != stage::connect) context.append(": ").append(to_string(why.at));
    if (!why.context.empty()) context += ": " + why.context;
    why.context = std::move(context);
    why.at = stage::connect;
    const auto here = self_;
    auto answer = std::move(made_);
    end();
    if (answer) answer(std::move(why));
}

void jump_tunnel::end() {
    const auto last = std::move(self_);
    alarm_.clear();
    core().remove(watch_);
    ours_.reset();
    pool_->leave(*this);
    if (channel_ != nullptr) std::exchange(channel_, nullptr)->let_go();
}

class jump_connector final : public connector {
   public:
    jump_connector(const std::shared_ptr<pool_core>& pool, endpoint jump)
        : loop_(pool->loop()), pool_(pool), jump_(std::move(jump)) {}

    void connect(const std::string& host, std::uint16_t port, time_point by, reply<connection> made) override {
        exec::detail::post(*loop_, [pool = pool_, jump = jump_, host, port, by, made = std::move(made)]() mutable {
            auto is = pool.lock();
            if (!is) {
                auto why = fail(errc::shutting_down, "jump host " + jump.text());
                why.at = stage::connect;
                return made(std::move(why));
            }
            jump_tunnel::begin(
                std::make_shared<jump_tunnel>(std::move(is), std::move(jump), std::move(host), port, std::move(made)),
                by);
        });
    }

   private:
    const std::shared_ptr<exec::detail::loop_core> loop_;
    const std::weak_ptr<pool_core> pool_;  // which may hold this one, in an endpoint
    const endpoint jump_;
};

}  // namespace

result<std::shared_ptr<connector>> make_jump(pool& through, endpoint jump) {
    if (jump.user.empty()) return fail(errc::invalid_argument, "jump host: no user");
    if (jump.login == nullptr) return fail(errc::invalid_argument, "jump host: no login");
    if (jump.trust == nullptr) return fail(errc::invalid_argument, "jump host: no trust");
    return std::shared_ptr<connector>(std::make_shared<jump_connector>(through.core(), std::move(jump)));
}

}  // namespace exec::inline v0::ssh
