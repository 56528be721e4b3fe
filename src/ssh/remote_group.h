// remote_group: the processes of one remote command, as far as this side knows of them, and the orders about them.
//
// One order is on its way at a time; what comes meanwhile follows it, a KILL before all others. An order that has no answer
// for half a second is no reason to wait: the next KILL takes another way.
// Threads: the loop's.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "exec/callback.h"
#include "exec/time.h"

#include "ssh/pool_core.h"
#include "ssh/remote_kill.h"
#include "ssh/session.h"

namespace exec::inline v0::ssh {

class remote_group : public std::enable_shared_from_this<remote_group> {
   public:
    // `answered` is called when no order is left, with the last answer; empty: nobody knows. Maybe inside signal() and look().
    remote_group(std::shared_ptr<pool_core> pool, std::uint64_t owner,
                 callback<void(std::optional<group_state>)> answered)
        : pool_(std::move(pool)), owner_(owner), answered_(std::move(answered)) {}

    // The session that the command is on; empty: it is no more, and nobody can be asked.
    void is_on(std::shared_ptr<session> which) { on_ = std::move(which); }
    const std::shared_ptr<session>& where() const noexcept { return on_; }
    // The far side has told: send_owed() outside of libssh.
    void is(std::int64_t pid, bool leads) noexcept {
        if (pid <= 1) return;
        pid_ = pid;
        leads_ = leads;
    }
    void send_owed();
    std::int64_t pid() const noexcept { return pid_; }
    bool leads() const noexcept { return leads_; }
    bool can_be_asked() const noexcept { return pid_ > 1 && on_ != nullptr; }
    bool is_asked() const noexcept { return asked_ > 0; }
    bool owes() const noexcept { return !owed_.empty(); }

    // Owed until the group is known. `number`: the far side's, which for those of POSIX is this side's too.
    void signal(int number, bool and_continue);
    // REQUIRES: can_be_asked(), and it is not asked.
    void look(bool kill, bool thorough);
    // Nobody is told any more. What is owed is still sent.
    void forget() noexcept { answered_ = {}; }

   private:
    void send(kill_order what, bool elsewhere);
    void answered(std::optional<group_state> said);

    const std::shared_ptr<pool_core> pool_;
    const std::uint64_t owner_;
    callback<void(std::optional<group_state>)> answered_;
    std::shared_ptr<session> on_{};
    std::int64_t pid_ = 0;
    bool leads_ = false;
    unsigned asked_ = 0;  // orders without an answer
    bool elsewhere_ = false;
    time_point asked_at_{};
    std::vector<kill_order> owed_{};
};

}  // namespace exec::inline v0::ssh
