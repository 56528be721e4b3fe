// A server that never gets as far as a key exchange.
//
// Serves any number of connections, each in the same bad manner, until its destructor closes them.
// Threads: any.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>

namespace test {

enum class manners : unsigned char {
    silent,         // says nothing
    dripping,       // one byte of an endless banner line every 50 ms
    endless_lines,  // lines before the banner, as fast as they are read
    garbage,        // 4 KiB of binary bytes, then silence
    banner_only,    // the banner, then the end of the stream
    half_kex,       // the banner and half a KEXINIT, then silence
    reset,          // accepts and resets
};

class hostile_server {
   public:
    explicit hostile_server(manners);
    ~hostile_server();
    hostile_server(const hostile_server&) = delete;
    hostile_server& operator=(const hostile_server&) = delete;

    int port() const noexcept { return port_; }
    std::size_t connections() const;       // ever accepted
    std::size_t open_connections() const;  // of which the client has not closed
    std::size_t sent() const;              // bytes, of all connections

   private:
    class sessions;
    const std::unique_ptr<sessions> sessions_;
    const int port_;
};

}  // namespace test
