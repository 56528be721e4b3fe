#include "ssh/dial.h"

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include <sys/epoll.h>
#include <sys/socket.h>

#include "exec/display.h"

#include "loop/watch.h"
#include "posix/syscalls.h"

namespace exec::inline v0::ssh {
namespace {

constexpr std::size_t longest_context = 512;

// How much an errno of connect(2) tells about the host.
int weight(int error) noexcept {
    switch (error) {
        case ECONNREFUSED:
        case ECONNRESET: return 2;  // it answered
        case EHOSTUNREACH:
        case ETIMEDOUT: return 1;  // the way to it did, or nobody
        default: return 0;         // it was never asked
    }
}

// 0 once it is connected, EINPROGRESS before, or why it will not be.
int state_of(int socket, std::uint32_t events) noexcept {
    const auto& sys = posix::sys();
    int error = 0;
    socklen_t size = sizeof error;
    if (sys.get_option(socket, SOL_SOCKET, SO_ERROR, &error, &size) != 0) return errno;
    if (error != 0) return error;
    address peer;
    peer.size = sizeof peer.raw;
    if (sys.peer_name(socket, peer.get(), &peer.size) != 0) {
        if (errno != ENOTCONN) return errno;
        return (events & (EPOLLHUP | EPOLLERR)) != 0 ? ECONNRESET : EINPROGRESS;
    }
    // Where nobody listens at a port from which the kernel takes the ports of its own side, a socket may be connected
    // to itself, and then keeps the server from its port.
    address own;
    own.size = sizeof own.raw;
    if (sys.own_name(socket, own.get(), &own.size) != 0) return errno;
    return own == peer ? ECONNREFUSED : 0;
}

}  // namespace

struct dial::attempt {
    attempt(dial& in, const address& at) noexcept : race(in), to(at) {}
    void ready(std::uint32_t events) noexcept { race.look_at(*this, events); }
    // Answers 0 if it is under way.
    int begin();

    dial& race;
    const address& to;
    int error = 0;  // 0 = not answered yet
    posix::fd socket{};
    detail::watch_member<attempt, &attempt::ready> watch{*this};
};

int dial::attempt::begin() {
    const auto& sys = posix::sys();
    auto made = posix::fd(sys.socket(to.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!made) return errno;
    auto raised = posix::above_stdio(std::move(made));
    if (!raised) return raised.error().code.value();
    socket = *std::move(raised);
    // An interrupted connect goes on by itself.
    if (sys.connect(socket.get(), to.get(), to.size) != 0 && errno != EINPROGRESS && errno != EINTR) return errno;
    if (auto added = race.in_.add(watch, socket.get(), EPOLLOUT | EPOLLET); !added) return added.error().code.value();
    return 0;
}

dial::dial(detail::loop_core& in, std::string name, std::vector<address> to, callback<void(result<posix::fd>)> over)
    : in_(in), name_(std::move(name)), to_(std::move(to)), over_(std::move(over)) {
    EXEC_ASSERT(!to_.empty(), "dial: no address");
    attempts_.reserve(to_.size());
}

dial::~dial() = default;

void dial::begin() { go_on(); }

// Begins attempts until one is under way.
void dial::go_on() noexcept {
    while (attempts_.size() < to_.size()) {
        auto& one = *attempts_.emplace_back(std::make_unique<attempt>(*this, to_[attempts_.size()]));
        one.error = one.begin();
        if (one.error == 0) {
            if (attempts_.size() < to_.size()) head_start_.set(in_, saturating_add(in_.now(), head_start));
            return;
        }
        one.socket.reset();
    }
    const bool waiting = std::any_of(attempts_.begin(), attempts_.end(), [](auto& each) { return each->error == 0; });
    if (!waiting) end(failed());
}

void dial::look_at(attempt& one, std::uint32_t events) {
    const int state = state_of(one.socket.get(), events);
    if (state == EINPROGRESS) return;
    in_.remove(one.watch);
    if (state == 0) return end(std::move(one.socket));
    one.error = state;
    one.socket.reset();
    head_start_.clear();
    go_on();
}

void dial::end(result<posix::fd> how) {
    head_start_.clear();
    attempts_.clear();
    auto over = std::move(over_);
    over(std::move(how));
}

failure dial::failed() const {
    const auto heavier = [](const auto& a, const auto& b) { return weight(a->error) < weight(b->error); };
    const auto& most = **std::max_element(attempts_.begin(), attempts_.end(), heavier);
    return os_failure(most.error, stage::connect, context(&most));
}

failure dial::given_up() const { return os_failure(ETIMEDOUT, stage::connect, context(nullptr)); }

// "db.example:22 (192.0.2.1); of 2 addresses 2: 2001:db8::1 Network is unreachable, 192.0.2.1 Connection refused"
std::string dial::context(const attempt* of) const {
    auto text = name_;
    if (of != nullptr) text += " (" + text_of(of->to) + ")";
    if (to_.size() > 1 || of == nullptr) {
        text += "; tried " + std::to_string(attempts_.size()) + " of " + std::to_string(to_.size()) + " addresses:";
        for (const auto& each : attempts_) {
            text += (each == attempts_.front() ? " " : ", ") + text_of(each->to) + " ";
            text += each->error == 0 ? "no answer" : std::system_category().message(each->error);
        }
    }
    return text.size() <= longest_context ? text : text.substr(0, longest_context - 3) + "...";
}

}  // namespace exec::inline v0::ssh
