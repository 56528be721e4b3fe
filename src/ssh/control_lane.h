// control_lane: the way on which orders about running commands reach a target, apart from the commands' own.
//
// Each session of the target keeps one place for it, on which a control_shell runs. Where there is no such place (a server that allows
// one channel a session, a session that does not answer) a session of its own is opened, with a login of its own.
// Threads: the loop's.
#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "exec/ssh/endpoint.h"
#include "exec/ssh/pool.h"

#include "loop/alarm.h"
#include "loop/core.h"
#include "ssh/control_shell.h"
#include "ssh/session.h"

namespace exec::inline v0::ssh {

class control_lane final : public session_owner, public std::enable_shared_from_this<control_lane> {
   public:
    // `tcp`: for endpoints without a connector. `refused` hears of sessions that had no place for a shell, `changed` of its own
    // session's beginning and end, and may end the lane.
    control_lane(std::shared_ptr<exec::detail::loop_core> core, const pool_options& options,
                 std::shared_ptr<connector> tcp, callback<void(session&)> refused, callback<void()> changed);
    // Questions without an answer are told so. Once, before it goes.
    void end();

    // About a command on `on`. `elsewhere`: not through that session, which does not answer. `most`: how many channels the target
    // allows a session.
    void ask(session& on, std::size_t most, bool elsewhere, control_question what);
    // Makes a way ready, for an order that may come; `login`: also if that takes a session of its own.
    void prepare(session& on, std::size_t most, bool login);
    // `which` has a shell: one of its channels is no command's.
    bool is_on(const session& which) const noexcept;
    // Its shell there owes an answer.
    bool is_asked(const session& which) const noexcept;
    // Gives the place on `which` back.
    void leave(const session& which);
    // It has a session of its own.
    const session* own() const noexcept { return own_.get(); }

    // session_owner, for its own session.
    void session_ready(session& which) noexcept override;
    void session_changed(session& which) noexcept override;
    void session_ended(session& which, const failure& why) noexcept override;
    bool lends_window(std::size_t) noexcept override { return false; }
    void returns_window(std::size_t) noexcept override {}

   private:
    struct place {
        const session* on;
        std::unique_ptr<control_shell> shell{};
        time_point not_before{};    // the server has refused one
        bool login_wanted = false;  // if there is no place for this one
    };

    place& place_on(const session& which);
    control_shell* shell_on(session& on, std::size_t most);
    void shell_ended(session& on, std::deque<control_question> unanswered, bool served);
    void ask_own(const endpoint& target, control_question what);
    void open_own(const endpoint& target);
    static void tell_nobody_knows(std::deque<control_question> questions);
    void due() noexcept;

    const std::shared_ptr<exec::detail::loop_core> core_;
    const pool_options& options_;
    const std::shared_ptr<connector> tcp_;
    callback<void(session&)> refused_;
    callback<void()> changed_;
    std::vector<place> places_{};
    std::shared_ptr<session> own_{};
    std::deque<control_question> waiting_{};  // for own_
    time_point used_at_{};                    // own_
    time_point no_login_before_{};
    bool ended_ = false;

    exec::detail::alarm_member<control_lane, &control_lane::due> alarm_{*this};
};

}  // namespace exec::inline v0::ssh
