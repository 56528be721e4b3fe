#include "http_server.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cerrno>
#include <string>

namespace {

using clock_type = std::chrono::steady_clock;

int left(clock_type::time_point until) {
    const auto all = std::chrono::ceil<std::chrono::milliseconds>(until - clock_type::now()).count();
    return all > 0 ? static_cast<int>(all) : 0;
}

class connection final : public httplib::Stream {
   public:
    connection(int socket, const http_server::limits& within) : socket_(socket), within_(within) {}

    // False: nothing came in the time between two requests.
    bool next_request() {
        if (at_ == size_ && !(wait(POLLIN, clock_type::now() + within_.keep_alive) && fill())) return false;
        until_ = clock_type::now() + within_.request;
        return true;
    }
    bool gone() const {
        pollfd one{socket_, 0, 0};
        return ::poll(&one, 1, 0) == 1 && (one.revents & (POLLHUP | POLLERR)) != 0;
    }
    bool closes = false;

    bool is_readable() const override { return at_ < size_ || wait(POLLIN, until_); }
    // httplib asks between two pieces; what is not written within its time fails in write().
    bool is_writable() const override { return !gone(); }
    ssize_t read(char* into, std::size_t size) override {
        if (at_ == size_ && !(wait(POLLIN, until_) && fill())) return size_ == 0 ? 0 : -1;
        const auto taken = (std::min)(size, size_ - at_);
        buffer_.copy(into, taken, at_);
        at_ += taken;
        return static_cast<ssize_t>(taken);
    }
    ssize_t write(const char* bytes, std::size_t size) override {
        const auto until = clock_type::now() + within_.write;
        for (std::size_t done = 0; done < size;) {
            const auto sent = ::send(socket_, bytes + done, size - done, MSG_NOSIGNAL | MSG_DONTWAIT);
            if (sent >= 0) {
                done += static_cast<std::size_t>(sent);
            } else if (errno != EINTR && (errno != EAGAIN || !wait(POLLOUT, until))) {
                return -1;
            }
        }
        return static_cast<ssize_t>(size);
    }
    void get_remote_ip_and_port(std::string& ip, int& port) const override { name(&::getpeername, ip, port); }
    void get_local_ip_and_port(std::string& ip, int& port) const override { name(&::getsockname, ip, port); }
    socket_t socket() const override { return socket_; }

   private:
    bool wait(short events, clock_type::time_point until) const {
        pollfd one{socket_, events, 0};
        int ready = 0;
        do ready = ::poll(&one, 1, left(until));
        while (ready < 0 && errno == EINTR);
        return ready == 1;
    }
    bool fill() {
        buffer_.resize(16384);
        ssize_t got = 0;
        do got = ::recv(socket_, buffer_.data(), buffer_.size(), 0);
        while (got < 0 && errno == EINTR);
        at_ = 0;
        size_ = got > 0 ? static_cast<std::size_t>(got) : 0;
        return got > 0;
    }
    template <class Ask>
    void name(Ask ask, std::string& ip, int& port) const {
        sockaddr_in peer{};
        socklen_t size = sizeof peer;
        if (ask(socket_, reinterpret_cast<sockaddr*>(&peer), &size) != 0 || peer.sin_family != AF_INET) return;
        char text[INET_ADDRSTRLEN]{};
        ::inet_ntop(AF_INET, &peer.sin_addr, text, sizeof text);
        ip = text;
        port = ntohs(peer.sin_port);
    }

    const int socket_;
    const http_server::limits& within_;
    clock_type::time_point until_{};
    std::string buffer_{};
    std::size_t at_ = 0;
    std::size_t size_ = 0;
};

thread_local connection* current = nullptr;

}  // namespace

http_server::http_server(const limits& within) : within_(within) {
    new_task_queue = [threads = within.threads] { return new httplib::ThreadPool(threads); };
    set_payload_max_length(within.body);
    set_tcp_nodelay(true);
    set_keep_alive_timeout(within.keep_alive.count());  // what the response's header says
}

bool http_server::client_gone() { return current != nullptr && current->gone(); }
void http_server::close_after_response() {
    if (current != nullptr) current->closes = true;
}

bool http_server::process_and_close_socket(socket_t socket) {
    connection peer(socket, within_);
    current = &peer;
    for (auto left = within_.requests; left > 0 && svr_sock_ != INVALID_SOCKET && peer.next_request(); --left) {
        bool closed = false;
        if (!process_request(peer, left == 1, closed, nullptr) || closed || peer.closes) break;
    }
    current = nullptr;
    // What the client still sends must not turn the end of our response into a reset.
    ::shutdown(socket, SHUT_WR);
    pollfd one{socket, POLLIN, 0};
    char rest[4096];
    for (int reads = 0; reads < 64 && ::poll(&one, 1, 200) == 1 && ::recv(socket, rest, sizeof rest, 0) > 0; ++reads) {
    }
    ::close(socket);
    return true;
}
