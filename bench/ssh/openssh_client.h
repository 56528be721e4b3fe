// openssh_client: what people use. The ssh program, a process a command.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "living.h"
#include "servers/server_process.h"
#include "servers/ssh_server.h"

namespace bench {

// The words of one that connects anew. `line` is for the login shell over there.
std::vector<std::string> cold_client(const test::ssh_login& to, const std::string& line);

// A client that keeps its connection for others (ControlMaster).
class master_client {
   public:
    // Returns when others can use it. Threads: it ends with the thread that made it.
    explicit master_client(const test::ssh_login& to);

    // The words of one that uses it.
    std::vector<std::string> client(const std::string& line) const;
    // It has used so far.
    double cpu_seconds() const;

   private:
    const test::scratch_directory files_{};
    const test::ssh_login to_;
    std::unique_ptr<test::server_process> process_;
};

// Runs a program with both streams captured, to its end. How much it wrote to its standard output. Ends this program where
// it fails.
std::uint64_t must_run(const std::vector<std::string>& words);

}  // namespace bench
