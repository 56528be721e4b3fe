#include "servers/ssh_server.h"

#include <csignal>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <unistd.h>

#include "file_text.h"
#include "servers/loopback.h"
#include "servers/server_process.h"

namespace test {

std::vector<std::string> client_words(const ssh_login& to, const std::string& command) {
    return {"ssh",
            "-F",
            "none",
            "-i",
            to.key_file,
            "-o",
            "UserKnownHostsFile=" + to.known_hosts_file,
            "-o",
            "GlobalKnownHostsFile=none",
            "-o",
            "IdentitiesOnly=yes",
            "-o",
            "BatchMode=yes",
            "-p",
            std::to_string(to.port),
            to.user + "@127.0.0.1",
            command};
}

ssh_server::ssh_server(std::unique_ptr<other_account> of)
    : account_(std::move(of)),
      user_(current_account().name),
      home_(account_ ? account_->home() : current_account().home),
      client_key_(make_key(files_.path())) {}

ssh_server::~ssh_server() { end_commands_of(port_); }

std::unique_ptr<server_process> ssh_server::start(const std::function<std::vector<std::string>(int port)>& words,
                                                  const std::string& ready) {
    for (int attempt = 0; attempt < 10; ++attempt) {
        ::unlink(log_.c_str());
        port_ = free_port();
        auto started = std::make_unique<server_process>(server_start{
            .words = words(port_), .log = log_, .behind = account_ ? account_->words() : std::vector<std::string>{}});
        if (started->says(ready)) return started;
        if (log().find("Address already in use") == std::string::npos) break;
    }
    throw std::runtime_error("the server does not start:\n" + log());
}

std::string ssh_server::known_hosts_line(int port) const {
    std::string lines;
    for (const auto& [type, line] : host_keys_)
        lines += (lines.empty() ? "" : "\n") + ("[127.0.0.1]:" + std::to_string(port)) + " " + line;
    return lines;
}

ssh_login ssh_server::login(int port) const {
    if (port == 0) port = port_;
    const auto known_hosts = files_ / ("known_hosts_" + std::to_string(port));
    write_file(known_hosts, known_hosts_line(port) + "\n");
    return {user_, client_key_.file, known_hosts, port};
}

std::string ssh_server::log() const { return file_text(log_); }

std::vector<pid_t> ssh_server::commands() const { return commands_of(port_); }

void ssh_server::kill_connections(int signal) {
    for (const pid_t each : connections()) ::kill(each, signal);
}

void ssh_server::authorize(const std::string& public_line) {
    write_file(authorized_keys_, file_text(authorized_keys_) + public_line + "\n", 0600);
}

void ssh_server::revoke_all() { write_file(authorized_keys_, "", 0600); }

}  // namespace test
