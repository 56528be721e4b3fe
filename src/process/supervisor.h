// supervisor: one command from its start to its outcome, whoever waits for its descriptors.
//
// It owns the child, the pumps, the feed and the time model, and tells the observer. A driver (poll in the calling
// thread, or epoll on a loop) waits for what it says it waits for and tells it what became ready. So the two
// drive modes cannot differ in anything but the waiting.
// Threads: the one that drives the run, except where a member says otherwise.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "exec/command.h"
#include "exec/limits.h"
#include "exec/observer.h"
#include "exec/outcome.h"
#include "exec/result.h"
#include "exec/timeline.h"

#include "process/child.h"
#include "process/feed.h"
#include "process/launch.h"
#include "process/pump.h"

namespace exec::inline v0::process {

// One of the descriptors that a run waits for.
enum class source : std::uint8_t { out, err, in, exit };

// Who waits for them.
class driver {
   public:
    // It is closed next. `at_end`: it has said its last word.
    virtual void forget(source which, bool at_end) noexcept = 0;

   protected:
    ~driver() = default;
};

class supervisor {
   public:
    // `tell` may be null. `by`, too: then nobody keeps a descriptor in mind from one wait to the next, and flow::pause
    // means `more`, because the calls to the observer may block instead.
    supervisor(command what, limits within, observer* tell, driver* by, time_point called);
    supervisor(const supervisor&) = delete;
    supervisor& operator=(const supervisor&) = delete;

    const command& what() const noexcept { return what_; }
    const limits& within() const noexcept { return within_; }

    // The child is there; tells on_start. `where` stays where it is until take().
    void begin(launched ready, const std::string& where, time_point now);

    // What to wait for. -1 = nothing. Ask again after each call below.
    int out_fd() const noexcept { return wanted(pumps_[0]); }
    int err_fd() const noexcept { return wanted(pumps_[1]); }
    int in_fd() const noexcept { return in_full_ && !settling_ ? feed_.fd() : -1; }
    int exit_fd() const noexcept {
        return clock_.has_exited() || settling_ || blind_until_ != never ? -1 : child_.exit_fd();
    }
    time_point wake() const noexcept;

    // What became ready. Each does a bounded piece of work.
    // `readable` and `hung_up` as the kernel said. Returns true if it stopped short of the end of what there is.
    bool output_ready(stream from, bool readable, bool hung_up, std::span<char> scratch, time_point now);
    void input_ready(time_point now);
    void exit_ready(time_point now);
    // Whatever is due. Call it after each of the above and at wake().
    void tick(std::span<char> scratch, time_point now);

    bool finished() const noexcept { return finished_; }
    // Tells the last gaps, and hands over the outcome. REQUIRES: finished().
    outcome take(time_point now);
    // Ends it here, waiting for nothing but the death of what it kills, and for that at most `last_wait`.
    void abandon(std::span<char> scratch, time_point now);
    static constexpr milliseconds last_wait{20};

    // From the handle ----------------------------------------------------------------------------------------------
    // Any thread:
    std::size_t write_in(bytes_view bytes) { return feed_.push(bytes); }
    void close_in() { feed_.finish_input(); }
    void ask_resume() noexcept { resume_.store(true, std::memory_order_release); }
    result<void> signal(int number) { return child_.signal(number); }
    result<void> resize(terminal_size size) { return child_.resize(size); }
    // Nothing more is told to anybody; a call in progress finishes.
    void mute() noexcept { muted_.store(true, std::memory_order_release); }
    bool muted() const noexcept { return muted_.load(std::memory_order_acquire); }
    // The driver's thread, after it was told of one of the above (input: input_ready):
    // Returns true if a pause has ended: everything may be readable.
    bool look_at_resume(time_point now);
    void stop(stop_reason why, milliseconds grace, time_point now) { clock_.stop(why, grace, now); }

   private:
    // What one stream may take before its neighbours have their turn.
    static constexpr std::uint64_t bytes_a_turn = 256 * KiB;
    // A read that fills less than a default pipe deserves more room.
    static constexpr std::size_t full_read = 64 * KiB;
    // How long the members of a killed group may take to go: as long as a leader. On a busy machine one that was killed has to
    // be scheduled before it can end.
    static constexpr milliseconds settle_for = timeline::unreaped_after;

    int wanted(const pump& of) const noexcept { return clock_.paused() || settling_ ? -1 : of.fd(); }
    stream name(std::size_t index) const noexcept { return index == 0 ? stream::out : stream::err; }
    const capture_policy& policy(std::size_t index) const noexcept { return index == 0 ? within_.out : within_.err; }
    bool listening(std::size_t index) const noexcept;

    // Calls the observer, if there is one, and turns an exception into a stop. Returns when that was: a blocking run's
    // callback may take its time.
    template <class F>
    time_point tell(F&& call, time_point now);
    time_point show(std::size_t index, const pump::chunk& what, time_point now);
    void at_end(std::size_t index);
    void close_output(std::size_t index, bool ended);
    void close_input();
    // Takes what the pipes still hold; what is not there now is given up.
    void cut(std::span<char> scratch, time_point now);
    void begin_settling(time_point now);
    void settle(time_point now);
    void finish(tree_state left, time_point now);

    command what_;
    limits within_;
    observer* tell_;
    driver* const by_;
    std::atomic<bool> muted_{false};
    std::atomic<bool> resume_{false};  // asked for since the last call that may pause was entered
    bool in_full_ = false;             // there is input, and the pipe was full

    timeline clock_{};
    time_point called_;
    time_point finished_at_{};
    child child_{};
    pump pumps_[2]{};
    std::uint64_t shown_[2]{};
    bool complete_[2]{true, true};
    feed feed_{};
    std::uint64_t newborns_ = 0;  // whose copies of the host's descriptors may hold the pipes; 0 = none does any more
    time_point blind_until_ = never;  // its descriptor says it ended, its status is not there yet

    bool observer_failed_ = false;
    bool settling_ = false;
    bool finished_ = false;
    time_point settle_until_{};
    time_point next_probe_{};
    nanoseconds probe_pause_{};
    exit_status exit_{};
    tree_state left_ = tree_state::unknown;
    const std::string* where_ = nullptr;
};

}  // namespace exec::inline v0::process
