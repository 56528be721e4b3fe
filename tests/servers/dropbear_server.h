// dropbear: a command is not the leader of its group, a signal request reaches the command alone, packets are at most
// 35 KB. Version 2022.83 may abort a connection that runs ten commands at a time.
//
// It reads the keys beneath the home directory of the account alone, and therefore serves an other_account. Ask
// other_account::unavailable() before making one.
// Threads: one at a time. The server ends at the latest with the thread that made it.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include <sys/types.h>

#include "servers/server_process.h"
#include "servers/ssh_server.h"

namespace test {

struct dropbear_options {
    std::string login_shell{};             // must be in /etc/shells; "" = the real account's
    std::string force_command{};           // -c
    std::size_t receive_window = 24576;    // -W, bytes
    int keepalive = 0;                     // -K, seconds; 0 = never asks
    int idle_timeout = 0;                  // -I, seconds; 0 = none
    std::vector<std::string> arguments{};  // more of them
};

class dropbear_server final : public ssh_server {
   public:
    // Returns when it listens. Throws if it cannot.
    explicit dropbear_server(dropbear_options options = {});

    pid_t daemon() const noexcept { return process_->pid(); }
    std::vector<pid_t> connections() const override;

   private:
    std::unique_ptr<server_process> process_;
};

}  // namespace test
