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
#include "ssh/control_lane.h"
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
    // `again`: he has waited before, and comes before all others.
    void wait_for(const endpoint& target, waiter& who, time_point by, bool again = false);
    void leave(waiter& who) noexcept;
    // The server gave no channel on `on`. Remembers how many it allows.
    void refused(session& on);
    // About a command on `on`. `elsewhere`: not through that session, which does not answer.
    void ask(session& on, bool elsewhere, control_question what);
    // Makes a way ready for that; `login`: also if it takes a session of its own.
    void prepare_to_ask(session& on, bool login);
    void retire(const endpoint& target, milliseconds within);
    void count_command() noexcept { ++counted_.commands; }
    // Ends everything.
    void end();

    const std::shared_ptr<exec::detail::loop_core>& loop() const noexcept { return core_; }
    // Any thread.
    pool_stats snapshot() const;

    // session_owner
    void session_ready(session& which) noexcept override;
    void session_changed(session& which) noexcept override;
    void session_ended(session& which, const failure& why) noexcept override;
    bool lends_window(std::size_t bytes) noexcept override {
        if (windows_ + bytes > options_.windows) return false;
        windows_ += bytes;
        return true;
    }
    void returns_window(std::size_t bytes) noexcept override { windows_ -= bytes; }

    // client
    void shut_down(milliseconds within) noexcept override;
    void abandon() noexcept override;

   private:
    struct place {
        std::shared_ptr<session> is;
        time_point idle_since = never;  // no command
        time_point rests_until{};       // a channel was refused that might be given a moment later
        milliseconds rest{};            // the last one
        time_point close_by = never;    // retired
        bool retired = false;
        bool served = false;  // a command
    };
    struct target {
        endpoint key{};
        std::vector<place> sessions{};
        std::list<waiter*> queue{};
        time_point by = never;     // the latest of the waiters
        bool denied_once = false;  // a login; the next attempt is the last
        time_point connect_not_before{};
        milliseconds rest{};   // the last one between two connections
        std::size_t most = 0;  // channels that the server allows a session, as far as it is known
        time_point learned_at{};
        std::shared_ptr<control_lane> lane{};
    };

    target* find_kept(const endpoint& of) noexcept;
    target& find(const endpoint& of);
    target* find(const session& of) noexcept;
    place* place_of(target& in, const session& of) noexcept;
    std::size_t most_at_first() const noexcept { return options_.channels_per_session + 1; }
    std::size_t share(const target& in) const noexcept;
    static std::size_t commands_on(const target& in, const place& which) noexcept;
    static bool is_used(const target& in, const place& which) noexcept;
    static bool is_busy(const target& at) noexcept;
    bool is_draining(const target& in, const place& which) const noexcept;
    bool serves(const target& in, const place& which) const noexcept;
    bool lends(const target& in, const place& which) const noexcept;
    void learn(target& at, std::size_t most);
    void serve(target& at);
    void serve_all();
    bool make_place_for(const target& at);
    void rest(target& at) noexcept;
    void not_connected(target& at, const failure& why);
    std::shared_ptr<session> take_out(target& of, const place& which);
    void connect_more(target& at);
    void look_around();  // closes what is idle, old or retired, and sets the alarm
    void due() noexcept;
    void publish();

    const std::shared_ptr<exec::detail::loop_core> core_;
    const pool_options options_;
    const std::shared_ptr<connector> tcp_;
    std::list<target> targets_{};
    std::size_t sessions_ = 0;  // the lanes' own are not counted
    std::size_t windows_ = 0;   // lent
    bool closing_ = false;      // no command comes any more
    bool ended_ = false;
    pool_stats counted_{};  // the counters only

    mutable std::mutex guard_{};
    pool_stats published_{};

    exec::detail::alarm_member<pool_core, &pool_core::due> alarm_{*this};
};

}  // namespace exec::inline v0::ssh
