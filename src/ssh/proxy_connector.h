// proxy_tunnel: between a command's pipes and a socket pair, one end of which is given out as the connection.
//
// It is the command's observer and lives as long as the command is told of: what ends the command (its own exit, a stop, the
// loop's shutdown) ends the tunnel, which then closes its end of the pair behind the last bytes. In both
// directions a reader that is slow holds its writer back; nothing waits here but one chunk each way.
// Threads: everything in the thread that drives the loop.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "exec/argv.h"
#include "exec/bytes.h"
#include "exec/capture.h"
#include "exec/execution.h"
#include "exec/observer.h"
#include "exec/reply.h"
#include "exec/result.h"
#include "exec/ssh/connector.h"

#include "loop/alarm.h"
#include "loop/core.h"
#include "loop/watch.h"
#include "posix/fd.h"
#include "ssh/socket_pair.h"

namespace exec::inline v0::ssh {

// %h, %p and %% in every argument; the program stays as it is.
// Fails with: errc::invalid_argument.
result<argv> expanded(const argv& command, const std::string& host, std::uint16_t port);

class proxy_tunnel final : public observer {
   public:
    // How long a command that lost its connection may take to end by itself, and then after the polite signal.
    static constexpr milliseconds patience{1000};

    // `name` is what failures call the command. `run` receives the command's handle when it has been started.
    proxy_tunnel(std::shared_ptr<detail::loop_core> core, std::string name, socket_pair sockets, reply<connection> made,
                 std::shared_ptr<execution> run);
    ~proxy_tunnel() override;

    void on_start(const start_info& what) override;
    flow on_output(stream from, std::uint64_t at, bytes_view bytes) override;
    void on_gap(stream from, std::uint64_t at, std::uint64_t missing) override;
    void on_room() override;
    void on_done(result<outcome> how) override;

   private:
    void ready(std::uint32_t events) noexcept;
    void send_kept();
    void receive();
    void pass_on_kept();
    bytes_view send(bytes_view what) noexcept;
    void wind_up();
    void stop_command() noexcept;
    void refuse(failure why);

    const std::shared_ptr<detail::loop_core> core_;
    const std::string name_;
    reply<connection> made_;
    const std::shared_ptr<execution> run_;
    // Shared with the connection, which may outlive the command.
    const std::shared_ptr<capture> said_;

    std::string to_socket_{};   // what the socket had no room for; the command's output is paused meanwhile
    std::string to_command_{};  // what the command's queue had no room for; the socket is not read meanwhile
    bool unheard_ = false;      // nobody reads the socket any more: output is dropped
    bool ended_ = false;        // the socket said its end of file

    posix::fd theirs_;
    posix::fd ours_;
    detail::watch_member<proxy_tunnel, &proxy_tunnel::ready> watch_{*this};
    detail::alarm_member<proxy_tunnel, &proxy_tunnel::stop_command> patience_{*this};
};

}  // namespace exec::inline v0::ssh
