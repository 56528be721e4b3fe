// An SSH server of our own that takes everybody's login and then keeps to a script, however wrong that is.
//
// It runs nothing: what a command would say and how it ends is the script's. Any number of connections, one thread, on
// libssh's server half; its key is made anew for each server.
// Threads: any; the script is called on the server's own.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "posix/fd.h"

struct ssh_channel_struct;  // libssh's
struct ssh_session_struct;

namespace test {

// What a script may say on a channel.
class scripted_channel {
   public:
    scripted_channel(ssh_session_struct* session, ssh_channel_struct* of) noexcept : session_(session), of_(of) {}

    void out(const std::string& text);
    void err(const std::string& text);
    void status(std::uint32_t code);
    void signal(const std::string& name, bool core = false, const std::string& message = "");
    void eof();
    void close();       // the end of the output comes before it
    void disconnect();  // the whole connection

   private:
    ssh_session_struct* session_;
    ssh_channel_struct* of_;
};

struct server_script {
    enum class answer : unsigned char { yes, no, never };

    // Of the n-th channel and the n-th command of this server, counted from 0.
    std::function<answer(std::size_t)> opens = [](std::size_t) { return answer::yes; };
    std::function<answer(std::size_t)> runs = [](std::size_t) { return answer::yes; };
    // After a command was taken (or nobody answered it).
    std::function<void(scripted_channel&, const std::string& line)> acts = [](scripted_channel&, const std::string&) {};
};

class scripted_server {
   public:
    explicit scripted_server(server_script script);
    ~scripted_server();
    scripted_server(const scripted_server&) = delete;
    scripted_server& operator=(const scripted_server&) = delete;

    int port() const noexcept { return port_; }
    std::size_t connections() const noexcept { return connections_; }
    std::size_t opened() const noexcept { return opened_; }        // channels that were asked for
    std::size_t requested() const noexcept { return requested_; }  // commands that were asked for

   private:
    class connection;
    void serve();

    const server_script script_;
    exec::posix::fd listener_;
    const int port_;
    exec::posix::fd stop_;
    std::atomic<std::size_t> connections_{0};
    std::atomic<std::size_t> opened_{0};
    std::atomic<std::size_t> requested_{0};
    std::thread thread_;  // last: it uses the others
};

}  // namespace test
