// http_server: cpp-httplib with what a server of this kind needs beside it: a request that has so long in all to arrive, however
// slowly it drips; a client that half-closes and still listens; and a word to the handler when the client has gone.
#pragma once

#include <httplib.h>

#include <chrono>

class http_server final : public httplib::Server {
   public:
    struct limits {
        std::size_t threads = 64;                 // one a connection, as httplib works
        std::chrono::seconds keep_alive{15};      // between two requests
        std::chrono::seconds request{10};         // from a request's first byte to its last
        std::chrono::seconds write{10};           // for one piece of a response
        std::size_t requests = 1000;              // on one connection
        std::size_t body = std::size_t{1} << 20;  // bytes
    };
    explicit http_server(const limits& within);

    // In a handler's thread: whether the client's side of its connection is gone for good. A half-close is not.
    static bool client_gone();
    // In a handler's thread: what follows on this connection is not read, because the body of this request was not.
    static void close_after_response();

   private:
    bool process_and_close_socket(socket_t socket) override;

    const limits within_;
};
