// session: one SSH connection, from its dialling to its end, and the channels on it.
//
//   connecting -> key_exchange -> host_key -> granting -> login -> ready -> ended
//
// The order is the promise: nothing is minted or sent for a server whose key was not trusted. Everything that others do (the
// way there, the trust, the credential) answers on any thread and is brought to the loop; an answer that comes too late is dropped.
// libssh is called in the loop's thread only, never inside one of its callbacks, and never blocks: the socket is ours and
// non-blocking, also after libssh has made it blocking (it does so when a connection is made).
// Threads: the loop's.
#pragma once

#include <algorithm>
#include <cstdint>
#include <list>
#include <memory>
#include <string>

#include "exec/result.h"
#include "exec/ssh/endpoint.h"
#include "exec/ssh/pool.h"
#include "exec/time.h"

#include "loop/alarm.h"
#include "loop/core.h"
#include "loop/watch.h"
#include "posix/fd.h"
#include "ssh/agent_login.h"
#include "ssh/channel.h"

struct ssh_session_struct;  // libssh's
struct ssh_event_struct;
struct ssh_counter_struct;

namespace exec::inline v0::ssh {

class session;

// Whom a session tells about itself. Called inside end(), if that is what ends it; else never inside a member that it has called.
class session_owner {
   public:
    virtual void session_ready(session& which) noexcept = 0;
    // A channel's place is free, or it has become suspect, or is no more.
    virtual void session_changed(session& which) noexcept = 0;
    // The last call; every channel was told before.
    virtual void session_ended(session& which, const failure& why) noexcept = 0;
    // Bytes of windows beyond the usual ones, of all sessions together: taken, if the answer is true, and given back.
    virtual bool lends_window(std::size_t bytes) noexcept = 0;
    virtual void returns_window(std::size_t bytes) noexcept = 0;

   protected:
    ~session_owner() = default;
};

class session final : public std::enable_shared_from_this<session> {
   public:
    session(std::shared_ptr<exec::detail::loop_core> core, endpoint target, const pool_options& options,
            session_owner& owner);
    ~session();
    session(const session&) = delete;
    session& operator=(const session&) = delete;

    // Begins. `by`: it is ready by then, or has ended. `attempt`: of the login, from 1.
    void open(connector& way, time_point by, unsigned attempt);
    // Opens it in the next turn, so that nothing is told to the user before he has it. REQUIRES: ready().
    channel& lend(channel_user& to, channel_request what);
    // Ends it now: the channels are lost, the connection is closed. Inside channel_user::output() libssh is freed when it has
    // returned.
    void end(const failure& why);

    bool ready() const noexcept { return phase_ == phase::ready; }
    bool was_ready() const noexcept { return was_ready_; }
    bool ended() const noexcept { return phase_ == phase::ended; }
    bool suspect() const noexcept { return unanswered_ > 0; }
    std::size_t channels() const noexcept { return channels_.size(); }
    std::size_t zombies() const noexcept;
    // That the server has given a place.
    std::size_t open_channels() const noexcept;
    // When it last closed one. A server may count it for a moment longer.
    time_point freed_at() const noexcept { return freed_at_; }
    const endpoint& target() const noexcept { return target_; }
    // Its server closes a channel when the command's leader ends, whoever else holds the output.
    bool closes_with_leader() const noexcept { return closes_with_leader_; }
    // From when to when it connected. REQUIRES: was_ready().
    time_point opened_at() const noexcept { return opened_at_; }
    time_point ready_at() const noexcept { return ready_at_; }
    // No new command from then on.
    time_point usable_until() const noexcept { return usable_until_; }

    // For its channels.
    // Around a call to a user inside libssh.
    void delivers(bool begins) noexcept { inside_libssh_ += begins ? 1 : -1; }
    ssh_session_struct* handle() const noexcept { return handle_; }
    time_point now() const noexcept { return core_->now(); }
    // A channel was opened in so long.
    void took(nanoseconds to_open) noexcept { round_trip_ = (std::min)(round_trip_, to_open); }
    nanoseconds round_trip() const noexcept { return round_trip_; }
    bool lends_window(std::size_t bytes) noexcept;
    void returns_window(std::size_t bytes) noexcept;
    // libssh's last words, shown safely.
    std::string last_error() const;
    // Something was asked for outside of a pump: step the channels and send.
    void prod();
    // The same in the next turn, unless it is being done.
    void look_again();

   private:
    enum class phase : std::uint8_t { connecting, key_exchange, host_key, granting, login, ready, ended };

    void connected(result<connection> made);
    void go_on();  // with the handshake
    void exchange_keys();
    void show_host_key();
    void trusted(result<void> verdict);
    void obtained(result<credential> answer);
    void log_in();
    void logged_in();
    void fail_with(errc code, std::string context);
    bool knows_banner() const noexcept;
    stage where() const noexcept;

    void socket_ready(std::uint32_t events) noexcept;
    void due() noexcept;
    void pump();
    void acknowledge_at_once();
    std::uint64_t moved_bytes() const noexcept;
    void step_channels();
    void watch_what_is_wanted();
    void question();
    void close();
    void close_late();

    const std::shared_ptr<exec::detail::loop_core> core_;
    const endpoint target_;
    const pool_options& options_;
    session_owner& owner_;
    phase phase_ = phase::connecting;
    time_point by_ = never;
    time_point opened_at_{};
    time_point ready_at_{};
    time_point usable_until_ = never;
    unsigned attempt_ = 1;  // of the login
    credential login_{};
    std::unique_ptr<agent_login> agent_{};  // while it logs in

    connection wire_{};
    posix::fd copy_{};  // of wire_, for libssh
    ssh_session_struct* handle_ = nullptr;
    ssh_event_struct* event_ = nullptr;
    std::unique_ptr<ssh_counter_struct> counter_;
    std::list<std::unique_ptr<channel>> channels_{};
    time_point freed_at_{};
    nanoseconds round_trip_ = (nanoseconds::max)();  // the shortest that was seen
    std::size_t lent_ = 0;                           // bytes of windows beyond the usual ones
    std::uint64_t looked_at_ = 0;                    // moved_bytes(), when those that wait were stepped
    bool was_ready_ = false;
    bool pumping_ = false;   // inside libssh
    bool stepping_ = false;  // through channels_
    int inside_libssh_ = 0;  // calls to users
    bool added_ = false;     // to event_
    bool closes_with_leader_ = false;
    std::uint32_t watched_ = 0;

    // Whether it lives.
    std::uint64_t heard_ = 0;  // bytes, at the last question
    unsigned unanswered_ = 0;
    bool answers_questions_ = true;

    exec::detail::watch_member<session, &session::socket_ready> watch_{*this};
    exec::detail::alarm_member<session, &session::due> alarm_{*this};
};

}  // namespace exec::inline v0::ssh
