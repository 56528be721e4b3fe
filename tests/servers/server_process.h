// A server program, from its start to the last process that came of it.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include <sys/types.h>

namespace test {

// The living processes whose parent is `pid`.
std::vector<pid_t> children_of(pid_t pid);
// The living processes that were given SSH_CONNECTION by a server that listens at `port`: the commands of its sessions
// and their descendants, orphans included. One that was started with another environment (env -i) is not found.
std::vector<pid_t> commands_of(int port);

struct server_start {
    std::vector<std::string> words{};   // the program and its arguments
    std::string log{};                  // the file to which descriptors 1 and 2 are appended
    std::vector<std::string> behind{};  // words in front: of a program that becomes the server by exec
    int connection = -1;                // a socket, for descriptors 0 and 1; none: 0 is /dev/null
};

// Owns one server. It ends at the latest with the thread that made this object (PR_SET_PDEATHSIG), so that a test that
// crashes leaves none behind.
// Threads: one at a time.
class server_process {
   public:
    explicit server_process(server_start);
    // Kills the server and all that descends from it, and waits until they are dead.
    ~server_process();
    server_process(const server_process&) = delete;
    server_process& operator=(const server_process&) = delete;

    pid_t pid() const noexcept { return pid_; }
    // Waits until the log has `text` at least so many times. False: the server ended first. Throws after 20 s.
    bool says(const std::string& text, std::size_t times = 1) const;

   private:
    const std::string log_;
    pid_t pid_ = -1;
};

// Kills the processes of commands_of(port) until none is left.
void end_commands_of(int port);

}  // namespace test
