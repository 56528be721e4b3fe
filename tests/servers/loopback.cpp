#include "servers/loopback.h"

#include <cerrno>
#include <cstdint>
#include <system_error>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace test {
namespace {

using exec::posix::fd;

[[noreturn]] void broken(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

sockaddr_in address(int port) {
    sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_port = htons(static_cast<std::uint16_t>(port));
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return where;
}

fd stream_socket() {
    fd made(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!made) broken("socket");
    return made;
}

}  // namespace

fd listen_on_loopback(int port) {
    fd listener = stream_socket();
    const int on = 1;
    ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    const auto where = address(port);
    if (::bind(listener.get(), reinterpret_cast<const sockaddr*>(&where), sizeof where) != 0) broken("bind");
    if (::listen(listener.get(), 128) != 0) broken("listen");
    return listener;
}

int port_of(const fd& socket) {
    sockaddr_in where{};
    socklen_t size = sizeof where;
    if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&where), &size) != 0) broken("getsockname");
    return ntohs(where.sin_port);
}

fd connect_to_loopback(int port) {
    fd connection = stream_socket();
    const int on = 1;
    ::setsockopt(connection.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const auto where = address(port);
    ::connect(connection.get(), reinterpret_cast<const sockaddr*>(&where), sizeof where);
    return connection;
}

int free_port() { return port_of(listen_on_loopback()); }

void reset_connection(fd& socket) {
    const linger at_once{1, 0};
    ::setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    socket.reset();
}

}  // namespace test
