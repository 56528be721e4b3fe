#include "servers/openssh_server.h"

#include <algorithm>
#include <csignal>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <sys/stat.h>
#include <unistd.h>

#include "file_text.h"
#include "servers/keys.h"
#include "servers/server_process.h"

namespace test {
namespace {

constexpr const char* listening = "Server listening on";

// "sshd", or "sshd-session" since OpenSSH 9.8. A command bears another name from its exec on.
bool is_sshd(pid_t pid) { return file_text("/proc/" + std::to_string(pid) + "/comm").rfind("sshd", 0) == 0; }

void add_line(std::string& to, const std::string& keyword, const std::string& value) {
    if (!value.empty()) to += keyword + " " + value + "\n";
}

// What the real account's shell reads at its start is no test's business, and may wait for other logins.
std::unique_ptr<other_account> account_of(const openssh_options& options) {
    if (options.login_shell.empty() && !other_account::unavailable().empty()) return nullptr;
    return std::make_unique<other_account>(options.login_shell);
}

}  // namespace

openssh_server::openssh_server(openssh_options options)
    : ssh_server(account_of(options)), options_(std::move(options)) {
    if (::geteuid() == 0) ::mkdir("/run/sshd", 0755);
    make_host_keys();
    authorize(client_public_line());
    if (!options_.trusted_user_ca.empty()) write_file(files_ / "user_ca", options_.trusted_user_ca + "\n");
    process_ = start(
        [this](int port) {
            write_file(files_ / "config", config(port), 0600);
            return std::vector<std::string>{"/usr/sbin/sshd", "-D", "-e", "-f", files_ / "config"};
        },
        listening);
}

void openssh_server::make_host_keys() {
    for (const auto& type : options_.host_key_types) {
        const auto file = files_ / ("host_" + type);
        for (const auto& old : {file, file + ".pub"}) ::unlink(old.c_str());
        auto line = make_key(files_.path(), type, "host_" + type).public_line;
        host_keys_[type] = line.substr(0, line.rfind(' '));  // without the comment
    }
}

std::string openssh_server::config(int port) const {
    const auto match = std::find_if(options_.extra.begin(), options_.extra.end(),
                                    [](const std::string& line) { return line.rfind("Match", 0) == 0; });
    std::string text;
    for (auto line = options_.extra.begin(); line != match; ++line) text += *line + "\n";
    text +=
        "ListenAddress 127.0.0.1\n"
        "PidFile none\n"
        "UsePAM no\n"
        "StrictModes no\n"
        "PrintMotd no\n"
        "LogLevel VERBOSE\n"
        "PermitRootLogin yes\n"
        "KbdInteractiveAuthentication no\n";
    add_line(text, "Port", std::to_string(port));
    for (const auto& type : options_.host_key_types) add_line(text, "HostKey", files_ / ("host_" + type));
    add_line(text, "AuthorizedKeysFile", authorized_keys_);
    add_line(text, "PasswordAuthentication", options_.password ? "yes" : "no");
    add_line(text, "MaxSessions", std::to_string(options_.max_sessions));
    add_line(text, "MaxStartups", options_.max_startups);
    add_line(text, "MaxAuthTries", std::to_string(options_.max_auth_tries));
    add_line(text, "ClientAliveInterval", std::to_string(options_.client_alive_interval));
    add_line(text, "ClientAliveCountMax", std::to_string(options_.client_alive_count));
    add_line(text, "RekeyLimit", options_.rekey_limit);
    add_line(text, "ForceCommand", options_.force_command);
    add_line(text, "AcceptEnv", options_.accept_env);
    add_line(text, "Ciphers", options_.ciphers);
    if (!options_.trusted_user_ca.empty()) add_line(text, "TrustedUserCAKeys", files_ / "user_ca");
    if (!options_.authorized_keys_command.empty()) {
        add_line(text, "AuthorizedKeysCommand", options_.authorized_keys_command);
        add_line(text, "AuthorizedKeysCommandUser", user());
    }
    for (auto line = match; line != options_.extra.end(); ++line) text += *line + "\n";
    return text;
}

std::vector<pid_t> openssh_server::connections() const { return children_of(daemon()); }

void openssh_server::kill_connections(int signal) {
    for (const pid_t connection : connections()) {
        // The child first: it ends by itself when its monitor has ended.
        for (const pid_t child : children_of(connection)) {
            if (is_sshd(child)) ::kill(child, signal);
        }
        ::kill(connection, signal);
    }
}

void openssh_server::restart_with_new_host_key() {
    make_host_keys();
    ::kill(process_->pid(), SIGHUP);
    if (!process_->says(listening, ++starts_)) throw std::runtime_error("sshd does not restart:\n" + log());
}

}  // namespace test
