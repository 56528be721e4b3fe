// A client that sends bytes and reads bytes: what a well-behaved library would never do to a server.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "posix/fd.h"
#include "servers/loopback.h"

namespace test {

struct http_response {
    int status = 0;
    std::string head{};
    std::string body{};  // chunks put together
    bool whole = false;  // its end was seen
    std::string rest{};  // what came behind it
};

class http_client {
   public:
    explicit http_client(int port) : socket_(connect_to_loopback(port)) {}

    static std::string post(const std::string& path, const std::string& token, const std::string& body,
                            const std::string& more = {}) {
        return "POST " + path + " HTTP/1.1\r\nHost: x\r\n" +
               (token.empty() ? std::string() : "Authorization: Bearer " + token + "\r\n") + more +
               "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
    }
    static std::string exec(const std::string& workspace, const std::string& token, const std::string& body) {
        return post("/workspaces/" + workspace + "/exec", token, body);
    }

    // False: the server does not take it any more.
    bool send(std::string_view bytes) {
        while (!bytes.empty()) {
            pollfd one{socket_.get(), POLLOUT, 0};
            if (::poll(&one, 1, patience_ms) != 1) return false;
            const auto sent = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (sent < 0) return false;
            bytes.remove_prefix(static_cast<std::size_t>(sent));
        }
        return true;
    }
    // What has come until `text` has, or the connection has ended.
    const std::string& until(std::string_view text) {
        while (all_.find(text) == std::string::npos && more()) {
        }
        return all_;
    }
    // Reads one response off the connection.
    http_response response() {
        http_response got;
        const auto end = until("\r\n\r\n").find("\r\n\r\n");
        if (end == std::string::npos) return got;
        got.head = all_.substr(0, end + 2);
        all_.erase(0, end + 4);
        got.status = std::stoi(got.head.substr(got.head.find(' ') + 1, 3));
        if (const auto at = got.head.find("Content-Length: "); at != std::string::npos) {
            const auto size = std::stoul(got.head.substr(at + 16));
            while (all_.size() < size && more()) {
            }
            got.whole = all_.size() >= size;
            got.body = all_.substr(0, size);
            all_.erase(0, size);
        } else {
            got.whole = read_chunks(got.body);
        }
        return got;
    }
    bool ended() {
        while (more()) {
        }
        return over_;
    }
    void half_close() { ::shutdown(socket_.get(), SHUT_WR); }
    void reset() { reset_connection(socket_); }

   private:
    static constexpr int patience_ms = 30000;

    bool more() {
        pollfd one{socket_.get(), POLLIN, 0};
        if (over_ || ::poll(&one, 1, patience_ms) != 1) return false;
        char bytes[65536];
        const auto got = ::recv(socket_.get(), bytes, sizeof bytes, 0);
        over_ = got <= 0;
        if (got > 0) all_.append(bytes, static_cast<std::size_t>(got));
        return got > 0;
    }
    bool read_chunks(std::string& into) {
        for (;;) {
            auto end = all_.find("\r\n");
            while (end == std::string::npos) {
                if (!more()) return false;
                end = all_.find("\r\n");
            }
            const auto size = std::stoul(all_.substr(0, end), nullptr, 16);
            while (all_.size() < end + 2 + size + 2) {
                if (!more()) {
                    into += all_.substr(end + 2, size);
                    return false;
                }
            }
            into += all_.substr(end + 2, size);
            all_.erase(0, end + 2 + size + 2);
            if (size == 0) return true;
        }
    }

    exec::posix::fd socket_;
    std::string all_{};
    bool over_ = false;
};

}  // namespace test
