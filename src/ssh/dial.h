// dial: a race of connections to the addresses of one host (RFC 8305, section 5).
//
// The first attempt begins at once; the next one beside it as soon as one has failed, or has had its head start and not
// answered. The first that is connected wins and the others are closed. Nothing here knows a deadline: whoever waits no
// longer destroys it.
// Threads: everything in the thread that drives the loop.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "exec/callback.h"
#include "exec/result.h"
#include "exec/time.h"

#include "loop/alarm.h"
#include "loop/core.h"
#include "posix/fd.h"
#include "ssh/address.h"

namespace exec::inline v0::ssh {

class dial {
   public:
    // What RFC 8305 recommends as the Connection Attempt Delay.
    static constexpr milliseconds head_start{250};

    // `name` is what failures call the host. `over` is called once, inside begin() or later, and may destroy the dial. The
    // socket is connected, close-on-exec and non-blocking.
    // Fails with: what the kernel said to the attempt that tells most: a host that answered (ECONNREFUSED), then a way
    // that did not (EHOSTUNREACH, ETIMEDOUT), then what did not leave this host (ENETUNREACH, EMFILE); the first of those.
    // The context names every address that was tried, in at most 512 bytes.
    // REQUIRES: `to` is not empty.
    dial(detail::loop_core& in, std::string name, std::vector<address> to, callback<void(result<posix::fd>)> over);
    ~dial();
    dial(const dial&) = delete;
    dial& operator=(const dial&) = delete;

    void begin();
    // The failure of one whose time is over: ETIMEDOUT, and what was tried until now.
    failure given_up() const;

   private:
    struct attempt;

    void go_on() noexcept;
    void look_at(attempt& one, std::uint32_t events);
    void end(result<posix::fd> how);
    failure failed() const;
    std::string context(const attempt* of) const;

    detail::loop_core& in_;
    const std::string name_;
    const std::vector<address> to_;
    callback<void(result<posix::fd>)> over_;
    std::vector<std::unique_ptr<attempt>> attempts_{};  // in the order of `to_`; the rest has not begun
    detail::alarm_member<dial, &dial::go_on> head_start_{*this};
};

}  // namespace exec::inline v0::ssh
