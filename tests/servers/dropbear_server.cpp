#include "servers/dropbear_server.h"

#include <exec/argv.h>
#include <exec/local_runner.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <sys/stat.h>

#include "servers/other_account.h"

namespace test {
namespace {

// Makes a host key and answers its public line, "ssh-ed25519 AAAA...".
std::string make_host_key(const std::string& file) {
    const auto ended = exec::run({.program_and_args = exec::argv("dropbearkey", "-t", "ed25519", "-f", file)});
    if (!ended) throw std::runtime_error("dropbearkey does not start: " + ended.error().context);
    const auto begin = ended->out.bytes.find("ssh-ed25519 ");
    if (!ended->ok() || begin == std::string::npos) throw std::runtime_error("dropbearkey: " + ended->err.bytes);
    const auto line = ended->out.bytes.substr(begin, ended->out.bytes.find('\n', begin) - begin);
    return line.substr(0, line.rfind(' '));  // without the comment
}

}  // namespace

dropbear_server::dropbear_server(dropbear_options options)
    : ssh_server(std::make_unique<other_account>(options.login_shell)) {
    ::mkdir((home() + "/.ssh").c_str(), 0700);
    authorized_keys_ = home() + "/.ssh/authorized_keys";
    authorize(client_public_line());
    host_keys_["ed25519"] = make_host_key(files_ / "host");
    process_ = start(
        [&](int port) {
            std::vector<std::string> words{"/usr/sbin/dropbear", "-F", "-E"};
            const auto add = [&](const std::string& option, const std::string& value) {
                words.push_back(option);
                words.push_back(value);
            };
            add("-p", "127.0.0.1:" + std::to_string(port));
            add("-r", files_ / "host");
            add("-P", files_ / "pid");
            add("-W", std::to_string(options.receive_window));
            add("-K", std::to_string(options.keepalive));
            add("-I", std::to_string(options.idle_timeout));
            if (!options.force_command.empty()) add("-c", options.force_command);
            words.insert(words.end(), options.arguments.begin(), options.arguments.end());
            return words;
        },
        "Not backgrounding");
}

std::vector<pid_t> dropbear_server::connections() const { return children_of(daemon()); }

}  // namespace test
