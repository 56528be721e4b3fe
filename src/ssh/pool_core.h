// pool_core: which session a command gets, when another one is opened, and when one is closed.
//
// Threads: the loop's, except snapshot().
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <vector>

#include "exec/ssh/pool.h"

#include "loop/alarm.h"
#include "loop/client.h"
#include "loop/core.h"
#include "ssh/session.h"

namespace exec::inline v0::ssh {

// Who waits for a place on a session. One of the two comes once, maybe inside wait_for().
class waiter {
   public:
    // Lend the channel now.
    virtual void granted(session& on) noexcept = 0;
    virtual void denied(const failure& why) noexcept = 0;

   protected:
    ~waiter() = default;
};

class pool_core final : public std::enable_shared_from_this<pool_core>,
                        public session_owner,
                        public exec::detail::client {
   public:
    pool_core(std::shared_ptr<exec::detail::loop_core> core, pool_options options, std::shared_ptr<connector> tcp);
    ~pool_core();

    // The loop's thread. `by`: the waiter has left by then.
    void wait_for(const endpoint& target, waiter& who, time_point by);
    void leave(waiter& who) noexcept;
    // A session that may take one more channel for a purpose of control, beside the commands' share; nullptr: none is there.
    session* for_control(const endpoint& target) noexcept;
    void retire(const endpoint& target, milliseconds within);
    void count_command() noexcept { ++counted_.commands; }
    // Ends everything.
    void end();
    // Nothing is left to end: the loop has done so already, or nobody ever asked for a session.
    bool at_rest() const noexcept { return targets_.empty(); }

    const std::shared_ptr<exec::detail::loop_core>& loop() const noexcept { return core_; }
    // Any thread.
    pool_stats snapshot() const;

    // session_owner
    void session_ready(session& which) noexcept override;
    void session_changed(session& which) noexcept override;
    void session_ended(session& which, const failure& why) noexcept override;

    // client
    void shut_down(milliseconds within) noexcept override;
    void abandon() noexcept override;

   private:
    struct place {
        std::shared_ptr<session> is;
        std::size_t share;              // channels that commands may have on it
        time_point idle_since = never;  // no channel
        time_point close_by = never;    // retired
        bool retired = false;
    };
    struct target {
        endpoint key;
        std::vector<place> sessions;
        std::list<waiter*> queue;
        time_point by = never;     // the latest of the waiters
        bool denied_once = false;  // a login; the next attempt is the last
    };

    target& find(const endpoint& of);
    target* find(const session& of) noexcept;
    place* place_of(target& in, const session& of) noexcept;
    bool lends(const target& in, const place& which) const noexcept;
    void serve(target& at);
    void connect_more(target& at);
    void look_around();  // closes what is idle, old or retired, and sets the alarm
    void due() noexcept { look_around(); }
    void publish();

    const std::shared_ptr<exec::detail::loop_core> core_;
    const pool_options options_;
    const std::shared_ptr<connector> tcp_;
    std::list<target> targets_{};
    std::size_t sessions_ = 0;
    bool closing_ = false;  // no command comes any more
    bool ended_ = false;
    pool_stats counted_{};  // the counters only

    mutable std::mutex guard_{};
    pool_stats published_{};

    exec::detail::alarm_member<pool_core, &pool_core::due> alarm_{*this};
};

}  // namespace exec::inline v0::ssh
