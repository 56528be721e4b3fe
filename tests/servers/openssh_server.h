// sshd of OpenSSH, with a configuration of its own.
//
// Needs no privilege and touches nothing outside its scratch directories, except that root's sshd wants /run/sshd to
// exist. The accounts of an ordinary user that is locked (nobody) are refused by sshd.
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

// As sshd_config(5) has them; "" = sshd's default.
struct openssh_options {
    int max_sessions = 10;             // channels of one connection
    std::string max_startups = "100";  // connections that have not logged in; "start:rate:full" drops at random
    std::string rekey_limit{};         // "1M"
    int client_alive_interval = 0;     // seconds; 0 = never asks
    int client_alive_count = 3;
    std::string force_command{};
    std::string accept_env{};  // patterns; "" = none is accepted
    // Asked when the file of authorize() does not have the key. Its first word must be a program of root's in a path that
    // only root writes: "/bin/sh /scratch/grant.sh".
    std::string authorized_keys_command{};
    std::vector<std::string> host_key_types{"ed25519"};
    int max_auth_tries = 6;
    bool password = false;  // is offered; there is none that works
    std::string ciphers{};
    std::string trusted_user_ca{};  // the public line of the authority
    // "/usr/bin/fish": of an other_account, so ask other_account::unavailable() first. "" = the real account's, of an other_account
    // all the same, whose home is empty, where there can be one.
    std::string login_shell{};
    // Lines in front of ours: sshd takes the first value that it sees. From the first "Match" on they come last.
    std::vector<std::string> extra{};
};

class openssh_server final : public ssh_server {
   public:
    // Returns when it listens. Throws if it cannot.
    explicit openssh_server(openssh_options options = {});

    pid_t daemon() const noexcept { return process_->pid(); }
    std::vector<pid_t> connections() const override;
    void kill_connections(int signal) override;  // their privilege-separated children too

    // New logins are shown other keys at the same port; connections that exist go on. Returns when it listens again.
    void restart_with_new_host_key();

   private:
    void make_host_keys();
    std::string config(int port) const;

    const openssh_options options_;
    std::unique_ptr<server_process> process_;
    std::size_t starts_ = 1;  // of this process, each told in its log
};

}  // namespace test
