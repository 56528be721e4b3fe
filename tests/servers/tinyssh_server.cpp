#include "servers/tinyssh_server.h"

#include <exec/argv.h>
#include <exec/local_runner.h>

#include <functional>
#include <list>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "living.h"
#include "posix/fd.h"
#include "servers/loopback.h"
#include "servers/other_account.h"
#include "servers/poll_thread.h"
#include "servers/server_process.h"

namespace test {
namespace {

using exec::posix::fd;

std::string output_of(exec::argv words) {
    const std::string program(words.program());
    const auto ended = exec::run({.program_and_args = std::move(words)});
    if (!ended) throw std::runtime_error(program + " does not start: " + ended.error().context);
    if (!ended->ok()) throw std::runtime_error(program + ": " + ended->err.bytes);
    return ended->out.bytes;
}

}  // namespace

class tinyssh_server::connected {
   public:
    explicit connected(server_start each) : each_(std::move(each)), listener_(listen_on_loopback()) {}

    int port() const { return port_of(listener_); }

    std::vector<pid_t> pids() {
        std::vector<pid_t> living;
        thread_.ask([&] {
            reap();
            for (const auto& each : running_) living.push_back(each.pid());
        });
        return living;
    }

   private:
    // By destroying them. A child that nobody has waited for is a zombie: not alive, and still ours.
    void reap() {
        running_.remove_if([](const server_process& each) { return !alive(each.pid()); });
    }

    void accept() {
        const fd client(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
        if (!client) return;
        reap();
        auto start = each_;
        start.connection = client.get();
        running_.emplace_back(std::move(start));
    }

    const server_start each_;
    fd listener_;
    std::list<server_process> running_{};
    poll_thread thread_{[this](poll_set& wait) {  // last: it uses the others
                            wait.watch(listener_.get(), POLLIN);
                            return poll_set::never;
                        },
                        [this](const poll_set& wait) {
                            if (wait.seen(listener_.get()) != 0) accept();
                        }};
};

tinyssh_server::tinyssh_server(const std::string& login_shell)
    : ssh_server(std::make_unique<other_account>(login_shell, "/media")) {
    ::mkdir((account_->home_outside() + "/.ssh").c_str(), 0700);
    authorized_keys_ = account_->home_outside() + "/.ssh/authorized_keys";
    authorize(client_public_line());
    const auto keys = files_ / "keys";
    output_of(exec::argv("/usr/sbin/tinysshd-makekey", "-q", keys));
    auto line = output_of(exec::argv("/usr/sbin/tinysshd-printkey", keys));
    host_keys_["ed25519"] = line.substr(0, line.find_last_not_of(" \n") + 1);
    connected_ = std::make_unique<connected>(server_start{
        .words = {"/usr/sbin/tinysshd", "-v", keys}, .log = log_, .behind = account_->words(), .connection = -1});
    port_ = connected_->port();
}

tinyssh_server::~tinyssh_server() = default;

std::vector<pid_t> tinyssh_server::connections() const { return connected_->pids(); }

}  // namespace test
