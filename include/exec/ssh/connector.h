// connector: how a byte stream to a server is made.
//
// Every socket that SSH runs over is made here and not by the SSH library: close-on-exec, non-blocking, timed, and the last
// words of whatever was in between are kept. Two endpoints share sessions only if they share the connector itself. The way
// through another machine is make_jump() of pool.h.
// Threads: connect() is called in the thread that drives the connection's loop; it must not block, and may answer at once or
// later, on any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "exec/argv.h"
#include "exec/callback.h"
#include "exec/executor.h"
#include "exec/export.h"
#include "exec/loop.h"
#include "exec/reply.h"
#include "exec/result.h"
#include "exec/runner.h"
#include "exec/time.h"

namespace exec::inline v0::ssh {

// A connected stream socket and its owner.
class connection {
   public:
    connection() noexcept = default;
    // Takes over `fd`, which is a connected stream socket, close-on-exec; made non-blocking by whoever uses it.
    explicit connection(int fd) noexcept : fd_(fd) {}
    connection(connection&& other) noexcept
        : last_words(std::move(other.last_words)), fd_(std::exchange(other.fd_, -1)) {}
    EXEC_API connection& operator=(connection&& other) noexcept;
    EXEC_API ~connection();

    int fd() const noexcept { return fd_; }
    int release() noexcept { return std::exchange(fd_, -1); }

    // What the other side's helper said last, for the error of a connection that ended; called in the loop's thread while
    // or after the socket is in use. Empty: nobody speaks. At most 4 KiB are used, escaped.
    callback<std::string()> last_words{};

   private:
    int fd_ = -1;
};

class connector {
   public:
    virtual ~connector() = default;
    // Gives up at `by` with errc::connect_failed or the kernel's ETIMEDOUT. A reply that comes later is closed.
    virtual void connect(const std::string& host, std::uint16_t port, time_point by, reply<connection> made) = 0;
};

// TCP. Names are looked up on `names`; without it only literal addresses are taken (errc::unsupported for others). All addresses
// are tried, both families in turn, a new attempt beside those in flight each 250 ms or as soon as one fails (RFC 8305); the first
// that answers wins. TCP_NODELAY; keep-alives and TCP_USER_TIMEOUT, so that a dead way is noticed with data in flight too.
// It answers in run_ready() of the loop, never inside connect(), also when the connector is gone by then.
// The loop and the executor outlive it.
// Fails with: errc::connect_failed or an OS error at stage::resolve; what the kernel said to the address that told most
// (ECONNREFUSED, EHOSTUNREACH, ...) at stage::connect, every address in the context; ETIMEDOUT at `by`, at the stage
// where it was; errc::shutting_down.
struct tcp_options {
    // A look-up holds one of its threads for as long as the system's resolver takes, whatever `by` is.
    executor* names = nullptr;
    // Unacknowledged data for so long, or so much silence with three probes in it: the way is dead. unlimited leaves data to
    // the kernel (15 minutes) and silence to the probes (1 minute).
    milliseconds user_timeout{30'000};
};
EXEC_API std::shared_ptr<connector> make_tcp_connector(loop& on, tcp_options options = {});

// One stream socket that is connected already, for one connection; it answers inside connect(), and the next call fails with
// errc::connect_failed. Owned from here on, and made close-on-exec.
// Fails with: EBADF, ENOTSOCK, EPROTOTYPE, ENOTCONN, all at stage::connect.
EXEC_API std::shared_ptr<connector> use_descriptor(int fd);

// A command whose input and output are the stream, started by `with` for each connection and stopped with it: a second after
// the socket was closed, if it has not ended by itself. %h, %p and %% in its arguments are the host, the port and a percent
// sign; each stays inside its argument, and no shell sees it unless the command is one. What it writes to its standard
// error becomes the connection's last words. It answers when the command runs, which says nothing about the server; in
// run_ready() of the loop, never inside connect().
// `with` delivers on `on`, streams input and can pause output. Both outlive it.
// Fails with: errc::invalid_argument (a sequence that is not one of the three; a host that begins with a dash, which the
// command would take for an option); what the runner said, at stage::connect; ETIMEDOUT at `by`; errc::shutting_down.
EXEC_API std::shared_ptr<connector> make_proxy_command(loop& on, runner& with, argv command);

}  // namespace exec::inline v0::ssh
