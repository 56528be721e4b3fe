// tinysshd: one session channel a connection, signal requests are ignored, the exit status comes late.
//
// It reads the keys beneath the home directory of the account alone, which nobody else may be able to write to or to
// replace, and therefore serves an other_account whose home is /media. Ask other_account::unavailable() before. It speaks ed25519 and chacha20-poly1305 only, and serves one connection
// as a program: a thread of the test accepts, and starts one for each.
// Threads: any.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <sys/types.h>

#include "servers/ssh_server.h"

namespace test {

class tinyssh_server final : public ssh_server {
   public:
    // `login_shell` "" = the real account's. Throws if there is no tinysshd.
    explicit tinyssh_server(const std::string& login_shell = "");
    ~tinyssh_server() override;

    std::vector<pid_t> connections() const override;

   private:
    class connected;
    std::unique_ptr<connected> connected_;
};

}  // namespace test
