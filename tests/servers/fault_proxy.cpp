#include "servers/fault_proxy.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <string>
#include <utility>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include "posix/fd.h"
#include "servers/loopback.h"
#include "servers/poll_thread.h"

namespace test {
namespace {

using clock = std::chrono::steady_clock;
using exec::posix::fd;

constexpr std::size_t most_queued = 1024 * 1024;
constexpr std::size_t most_read = 64 * 1024;
// How far ahead of time a slow line takes bytes. Short, so that a new rate soon holds.
constexpr std::chrono::milliseconds ahead{20};

constexpr auto to_server = static_cast<std::size_t>(fault_proxy::direction::to_server);
constexpr auto to_client = static_cast<std::size_t>(fault_proxy::direction::to_client);

enum class mode : unsigned char { passing, stalled, black_hole };

// One direction of all connections.
struct line {
    std::chrono::milliseconds delay{0};
    std::size_t rate = 0;
    clock::time_point free_at{};  // when it has sent what it was given
    std::uint64_t bytes = 0;

    bool takes_more(clock::time_point now) const { return rate == 0 || free_at - now < ahead; }
    std::size_t piece() const { return rate == 0 ? most_read : std::clamp<std::size_t>(rate / 100, 1, most_read); }
    clock::time_point arrival(clock::time_point now, std::size_t size) {
        bytes += size;
        if (rate == 0) return now + delay;
        free_at = (std::max)(free_at, now) + std::chrono::nanoseconds(1'000'000'000 * size / rate);
        return free_at + delay;
    }
};

struct piece {
    clock::time_point due{};
    std::size_t depth = 0;  // how many round trips came before it
    std::string bytes{};    // none: the end of the stream
    std::size_t sent = 0;
};

// One direction of one connection.
struct stream {
    std::deque<piece> queue{};
    std::size_t queued = 0;
    bool ended = false;     // the sender has closed
    bool finished = false;  // the receiver has been told
    bool blocked = false;   // the receiver takes no more for now
};

struct connection {
    std::array<fd, 2> ends{};  // the one that to_server leads to, and the one that to_client leads to
    std::array<stream, 2> streams{};
    bool lost = false;
    // Depths: of the last piece that arrived at the client, and one more than that of the last that arrived at the server.
    std::size_t client_heard = 0;
    std::size_t server_answers = 0;

    int source(std::size_t way) const { return ends[1 - way].get(); }
    int target(std::size_t way) const { return ends[way].get(); }
    bool nobody_left() const {
        return (source(to_server) < 0 || streams[to_server].ended) &&
               (source(to_client) < 0 || streams[to_client].ended);
    }
    bool over() const { return lost || (streams[to_server].finished && streams[to_client].finished); }
};

}  // namespace

class fault_proxy::lines {
   public:
    explicit lines(int server_port) : server_port_(server_port), listener_(listen_on_loopback()) {}

    int port() const { return port_of(listener_); }
    void ask(const std::function<void()>& what) { thread_.ask(what); }

    // What follows is for the thread, through ask().
    std::array<line, 2> ways{};
    std::size_t accepted = 0;

    void become(mode next) {
        mode_ = next;
        if (next != mode::black_hole) return;
        for (auto& each : connections_) {
            for (auto& stream : each.streams) drop(stream);
        }
    }

    void reset() {
        for (auto& each : connections_) lose(each);
        sweep();
    }

    void half_open() {
        for (auto& each : connections_) {
            each.ends[to_server].reset();
            for (auto& stream : each.streams) drop(stream);
        }
    }

    void listen_at(int port) { listener_ = listen_on_loopback(port); }
    void refuse() { listener_.reset(); }
    std::size_t open_connections() const { return connections_.size(); }

    std::size_t round_trips() const {
        std::size_t sum = trips_of_the_closed_;
        for (const auto& each : connections_) sum += each.client_heard;
        return sum;
    }

   private:
    static void drop(stream& what) {
        what.queue.clear();
        what.queued = 0;
        what.blocked = false;
    }

    static void lose(connection& what) {
        for (auto& end : what.ends) {
            if (end) reset_connection(end);
        }
        what.lost = true;
    }

    // Whether what this way brings disappears.
    bool swallows(const connection& from, std::size_t way) const {
        return mode_ == mode::black_hole || from.target(way) < 0;
    }

    bool wants_to_read(const connection& from, std::size_t way) const {
        const auto& what = from.streams[way];
        if (from.source(way) < 0 || what.ended || mode_ == mode::stalled) return false;
        return swallows(from, way) || what.queued < most_queued;
    }

    clock::time_point prepare(poll_set& wait) {
        const auto now = clock::now();
        auto until = poll_set::never;
        if (mode_ != mode::stalled) {
            if (listener_) wait.watch(listener_.get(), POLLIN);
            for (auto& each : connections_) deliver_due(each, now);
            sweep();
        }
        for (const auto& each : connections_) {
            std::array<int, 2> events{};  // of the ends
            for (const auto way : {to_server, to_client}) {
                if (wants_to_read(each, way)) {
                    if (swallows(each, way) || ways[way].takes_more(now)) {
                        events[1 - way] |= POLLIN;
                    } else {
                        until = (std::min)(until, ways[way].free_at - ahead);
                    }
                }
                const auto& stream = each.streams[way];
                if (mode_ == mode::stalled || stream.queue.empty()) continue;
                if (stream.blocked) {
                    events[way] |= POLLOUT;
                } else {
                    until = (std::min)(until, stream.queue.front().due);
                }
            }
            for (const auto end : {to_server, to_client}) wait.watch(each.ends[end].get(), events[end]);
        }
        return until;
    }

    void handle(const poll_set& wait) {
        const auto now = clock::now();
        for (auto& each : connections_) {
            for (const auto way : {to_server, to_client}) {
                if (each.lost) break;
                if (wait.seen(each.target(way)) != 0) each.streams[way].blocked = false;
                if (wait.seen(each.source(way)) != 0 && wants_to_read(each, way)) read(each, way, now);
            }
        }
        sweep();
        if (listener_ && wait.seen(listener_.get()) != 0) accept();
    }

    void accept() {
        fd client(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (!client) return;
        const int on = 1;
        ::setsockopt(client.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        ++accepted;
        auto& made = connections_.emplace_back();
        made.ends[to_client] = std::move(client);
        if (mode_ != mode::black_hole) made.ends[to_server] = connect_to_loopback(server_port_);
    }

    void read(connection& from, std::size_t way, clock::time_point now) {
        auto& stream = from.streams[way];
        auto& line = ways[way];
        std::string bytes(line.piece(), '\0');
        const auto size = ::recv(from.source(way), bytes.data(), bytes.size(), 0);
        if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (size <= 0) stream.ended = true;
        bytes.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
        const auto arrival = line.arrival(now, bytes.size());
        if (swallows(from, way)) {
            if (from.nobody_left()) lose(from);
            return;
        }
        if (size < 0) return lose(from);
        stream.queued += bytes.size();
        stream.queue.push_back(
            {arrival, way == to_server ? from.client_heard : from.server_answers, std::move(bytes), 0});
    }

    static void deliver_due(connection& on, clock::time_point now) {
        for (const auto way : {to_server, to_client}) {
            auto& stream = on.streams[way];
            while (!on.lost && !stream.queue.empty() && !stream.blocked && stream.queue.front().due <= now)
                deliver(on, way);
        }
    }

    static void deliver(connection& on, std::size_t way) {
        auto& stream = on.streams[way];
        auto& next = stream.queue.front();
        if (next.bytes.empty()) {
            ::shutdown(on.target(way), SHUT_WR);
            stream.finished = true;
            stream.queue.pop_front();
            return;
        }
        const auto size =
            ::send(on.target(way), next.bytes.data() + next.sent, next.bytes.size() - next.sent, MSG_NOSIGNAL);
        if (size < 0) {
            if (errno == EAGAIN) {
                stream.blocked = true;
            } else if (errno != EINTR) {
                lose(on);
            }
            return;
        }
        if (way == to_server) on.server_answers = (std::max)(on.server_answers, next.depth + 1);
        if (way == to_client) on.client_heard = (std::max)(on.client_heard, next.depth);
        next.sent += static_cast<std::size_t>(size);
        stream.queued -= static_cast<std::size_t>(size);
        if (next.sent == next.bytes.size()) stream.queue.pop_front();
    }

    void sweep() {
        connections_.remove_if([this](const connection& each) {
            if (each.over()) trips_of_the_closed_ += each.client_heard;
            return each.over();
        });
    }

    const int server_port_;
    fd listener_;
    mode mode_ = mode::passing;
    std::list<connection> connections_{};
    std::size_t trips_of_the_closed_ = 0;
    poll_thread thread_{[this](poll_set& wait) { return prepare(wait); },  // last: it uses the others
                        [this](const poll_set& wait) { handle(wait); }};
};

fault_proxy::fault_proxy(int server_port) : lines_(std::make_unique<lines>(server_port)), port_(lines_->port()) {}

fault_proxy::~fault_proxy() = default;

void fault_proxy::delay(direction way, std::chrono::milliseconds one_way) {
    lines_->ask([&] { lines_->ways[static_cast<std::size_t>(way)].delay = one_way; });
}

void fault_proxy::delay(std::chrono::milliseconds one_way) {
    for (const auto way : {direction::to_server, direction::to_client}) delay(way, one_way);
}

void fault_proxy::rate(direction way, std::size_t bytes_per_second) {
    lines_->ask([&] { lines_->ways[static_cast<std::size_t>(way)].rate = bytes_per_second; });
}

void fault_proxy::stall() {
    lines_->ask([&] { lines_->become(mode::stalled); });
}

void fault_proxy::black_hole() {
    lines_->ask([&] { lines_->become(mode::black_hole); });
}

void fault_proxy::resume() {
    lines_->ask([&] { lines_->become(mode::passing); });
}

void fault_proxy::reset() {
    lines_->ask([&] { lines_->reset(); });
}

void fault_proxy::half_open() {
    lines_->ask([&] { lines_->half_open(); });
}

void fault_proxy::refuse() {
    lines_->ask([&] { lines_->refuse(); });
}

void fault_proxy::accept_again() {
    lines_->ask([&] { lines_->listen_at(port_); });
}

std::size_t fault_proxy::connections() const {
    std::size_t count = 0;
    lines_->ask([&] { count = lines_->accepted; });
    return count;
}

std::size_t fault_proxy::open_connections() const {
    std::size_t count = 0;
    lines_->ask([&] { count = lines_->open_connections(); });
    return count;
}

std::uint64_t fault_proxy::bytes(direction way) const {
    std::uint64_t count = 0;
    lines_->ask([&] { count = lines_->ways[static_cast<std::size_t>(way)].bytes; });
    return count;
}

std::size_t fault_proxy::round_trips() const {
    std::size_t count = 0;
    lines_->ask([&] { count = lines_->round_trips(); });
    return count;
}

}  // namespace test
