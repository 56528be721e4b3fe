// What all SSH servers of the tests have in common: they serve the user that runs the tests, at a port of 127.0.0.1,
// with keys of their own, and leave nothing behind.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <sys/types.h>

#include "living.h"
#include "servers/keys.h"
#include "servers/other_account.h"
#include "servers/server_process.h"

namespace test {

// A login that goes to `port`, which may be that of a proxy.
struct ssh_login {
    std::string user{};
    std::string key_file{};
    std::string known_hosts_file{};
    int port = 0;
};
// The words of the OpenSSH client that runs `command` there, of no other configuration than this.
std::vector<std::string> client_words(const ssh_login& to, const std::string& command);

class ssh_server {
   public:
    // The server and its connections have ended with what a derived class owns; this ends the commands of the sessions.
    virtual ~ssh_server();
    ssh_server(const ssh_server&) = delete;
    ssh_server& operator=(const ssh_server&) = delete;

    int port() const noexcept { return port_; }
    const std::string& user() const noexcept { return user_; }
    const std::string& home() const noexcept { return home_; }                   // where commands start
    const std::string& client_key() const noexcept { return client_key_.file; }  // a private key that is authorized
    const std::string& client_public_line() const noexcept { return client_key_.public_line; }

    // "ssh-ed25519 AAAA...", without the end of line, as the rest.
    const std::string& host_key_line(const std::string& type = "ed25519") const { return host_keys_.at(type); }
    // "[127.0.0.1]:2222 ssh-ed25519 AAAA..." for each key, one a line; of another port for a proxy.
    std::string known_hosts_line() const { return known_hosts_line(port_); }
    std::string known_hosts_line(int port) const;
    // The login of client_key(), with a file of known hosts for `port`; 0 = the server's own.
    ssh_login login(int port = 0) const;

    std::string log() const;  // what the server has said so far

    // The processes that serve one connection each.
    virtual std::vector<pid_t> connections() const = 0;
    // Sends KILL, STOP or CONT to all processes that serve connections, not to the commands.
    virtual void kill_connections(int signal);
    // The commands of its sessions and what they started, as far as they can be told (server_process.h).
    std::vector<pid_t> commands() const;

    // The next login may use this key too, or none.
    void authorize(const std::string& public_line);
    void revoke_all();

   protected:
    // `of`: whose home and shell commands get; nothing = the real account's.
    explicit ssh_server(std::unique_ptr<other_account> of);
    // Starts the words of a port until they find it free, and returns when the log says `ready`. Throws if they end.
    std::unique_ptr<server_process> start(const std::function<std::vector<std::string>(int port)>& words,
                                          const std::string& ready);

    const scratch_directory files_;
    const std::unique_ptr<other_account> account_;
    const std::string user_;
    const std::string home_;
    const key_pair client_key_;
    std::string authorized_keys_ = files_ / "authorized_keys";  // the file that the server reads
    const std::string log_ = files_ / "log";
    std::map<std::string, std::string> host_keys_;  // public lines by type
    int port_ = 0;
};

}  // namespace test
