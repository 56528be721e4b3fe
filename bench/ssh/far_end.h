// far_end: the machine at the other end of a benchmark: sshd on loopback, for an account with dash as its login shell.
#pragma once

#include <memory>
#include <string>

#include <exec/ssh/endpoint.h>

#include "harness/report.h"
#include "servers/openssh_server.h"

namespace bench {

class far_end {
   public:
    // Ends the program where this machine has no such server. Threads: it ends with the thread that made it.
    explicit far_end(const report& of, test::openssh_options options = {});

    int port() const noexcept { return server_->port(); }
    // Of the server, or of a proxy in front of it.
    exec::ssh::endpoint endpoint(int port = 0) const;
    test::ssh_login login(int port = 0) const { return server_->login(port); }
    test::openssh_server& server() const noexcept { return *server_; }

   private:
    std::unique_ptr<test::openssh_server> server_;
};

}  // namespace bench
