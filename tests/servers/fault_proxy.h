// A proxy that makes the line between a client and a server as bad as a test wants it, while the line is in use.
//
// Client, proxy and server are on 127.0.0.1; the proxy is a thread of the test. It holds at most 1 MiB a direction of
// each connection, then it stops reading. A server that refuses shows to the client as a reset after its connect.
// Threads: any. Each call returns when it has taken effect.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace test {

class fault_proxy {
   public:
    enum class direction : unsigned char { to_server, to_client };

    explicit fault_proxy(int server_port);
    // Closes every connection.
    ~fault_proxy();
    fault_proxy(const fault_proxy&) = delete;
    fault_proxy& operator=(const fault_proxy&) = delete;

    int port() const noexcept { return port_; }

    // What is read from now on arrives so much later. Nothing overtakes what is on its way. A connect itself takes no
    // time: the proxy accepts it.
    void delay(direction, std::chrono::milliseconds one_way);
    void delay(std::chrono::milliseconds one_way);  // in both directions
    // One line for all connections, bytes per second, 0 = as fast as it goes.
    void rate(direction, std::size_t bytes_per_second);

    // Nothing is read, written, or accepted, and nothing is lost: the kernels' buffers fill.
    void stall();
    // Everything that is sent disappears, what is on its way and the ends of streams too. New connections are accepted.
    void black_hole();
    // Ends a stall or a black hole. What went into a black hole is missing for ever.
    void resume();

    // Every connection that exists ends by a reset on both sides.
    void reset();
    // The server loses every connection that exists; their clients are told nothing, and what they send disappears.
    void half_open();

    // New connects are refused; connections that exist go on.
    void refuse();
    void accept_again();  // at the same port

    std::size_t connections() const;       // ever accepted
    std::size_t open_connections() const;  // of which neither reset nor closed by both sides
    std::uint64_t bytes(direction) const;  // read, of all connections
    // The longest chain of messages on each connection, each sent after the one before it had arrived: how many times the
    // client waited for the server. The sum of all connections. Exact as long as the delays are longer than what client
    // and server need to answer; without a delay it may count what was sent at the same time.
    std::size_t round_trips() const;

   private:
    class lines;
    const std::unique_ptr<lines> lines_;
    const int port_;
};

}  // namespace test
