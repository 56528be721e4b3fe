// remote_execution: one command on another machine. The object behind the handle.
//
// It waits for a place on a session, has the command begun, follows the same time model as a local run, and tells the same things to
// the observer. What it cannot see (a process, a pipe) it learns from the wrapper's marker, and by asking about its group.
// Threads: the handle's members from any; the rest in the thread that drives the loop.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "exec/capture.h"
#include "exec/detail/stop_request.h"
#include "exec/execution.h"
#include "exec/observer.h"
#include "exec/ssh/runner.h"
#include "exec/timeline.h"

#include "loop/alarm.h"
#include "loop/client.h"
#include "loop/core.h"
#include "loop/inbox.h"
#include "ssh/channel.h"
#include "ssh/marker.h"
#include "ssh/pool_core.h"
#include "ssh/remote_command.h"
#include "ssh/remote_group.h"
#include "ssh/remote_input.h"

namespace exec::inline v0::ssh {

struct remote_setup {
    std::shared_ptr<pool_core> pool{};
    endpoint target{};
    runner_options options{};
};

class remote_execution final : public execution::control,
                               public exec::detail::note,
                               public exec::detail::client,
                               public waiter,
                               public channel_user {
   public:
    static execution start(std::shared_ptr<const remote_setup> setup, command what, limits within,
                           std::unique_ptr<observer> tell, result<void> refused);

    // execution::control: any thread.
    std::size_t write_in(bytes_view bytes) override;
    void close_in() override;
    void resume() override;
    result<void> signal(int number) override;
    result<void> resize(terminal_size size) override;
    void stop(milliseconds grace) override;
    std::uint64_t id() const override { return id_; }
    void detach() override { release(); }
    void let_go() override;

    // note
    void notified() noexcept override;
    void retain() noexcept override { claims_.fetch_add(1, std::memory_order_relaxed); }
    void release() noexcept override;

    // client
    void shut_down(milliseconds within) noexcept override;
    void abandon() noexcept override;

    // waiter
    void granted(session& on) noexcept override;
    void denied(const failure& why) noexcept override;

    // channel_user
    void asked() noexcept override;
    void accepted() noexcept override;
    std::size_t output(stream from, bytes_view bytes) noexcept override;
    void writable() noexcept override;
    void reminded() noexcept override;
    void output_ended() noexcept override;
    void exited(std::uint32_t status) noexcept override;
    void signaled(std::string_view name, bool core) noexcept override;
    void not_opened(const failure& why) noexcept override;
    void refused(failure why) noexcept override;
    void closed() noexcept override;
    void lost(const failure& why, bool handed_over) noexcept override;

   private:
    enum class phase : std::uint8_t { fresh, waiting, requested, running, settling, over };
    class turn;

    remote_execution(std::shared_ptr<const remote_setup> setup, command what, limits within,
                     std::unique_ptr<observer> tell, result<void> refused);
    ~remote_execution() = default;

    void begin();
    void wait_again(const failure& why);
    void begun(std::int64_t pid, bool leads);
    void marked(const report& said);
    std::size_t show(stream from, bytes_view bytes);
    void feed();
    void send_signal(int number, bool and_continue);
    void act();
    void set_alarm();
    void settle();
    void look();
    void group_answered(std::optional<group_state> said);
    void stop_waiting(stop_reason why);
    void conclude(result<outcome> how);
    void listen_no_more();
    outcome account();
    void due() noexcept;
    template <class F>
    void tell(F&& call);
    bool muted() const noexcept { return muted_.load(std::memory_order_acquire); }

    const std::shared_ptr<const remote_setup> setup_;
    const std::uint64_t id_;
    std::atomic<std::uint32_t> claims_{2};
    exec::detail::stop_request stop_{};
    std::atomic<bool> muted_{false};
    std::atomic<bool> resume_{false};

    // What the handle leaves here.
    std::mutex guard_{};
    bool reachable_ = false;  // it has begun and has not ended: signals make sense
    std::vector<int> signals_{};
    std::optional<terminal_size> size_{};

    command what_;
    limits within_;
    remote_input input_;
    std::unique_ptr<observer> tell_;
    std::unique_ptr<const failure> refused_{};
    phase phase_ = phase::fresh;
    const time_point called_;
    time_point placed_{};
    nanoseconds connected_in_{};  // of the time until then
    timeline clock_{};
    time_point start_by_ = never;
    int moves_ = 0;  // to another place, because the one before was none
    channel* channel_ = nullptr;
    std::string line_{};  // of the request
    std::optional<marker_filter> out_filter_{};
    std::optional<marker_filter> err_filter_{};
    std::shared_ptr<remote_group> group_{};
    int on_its_way_ = 0;  // a signal that the group was asked to be given
    time_point prepare_at_ = never;
    std::optional<report> never_ran_{};
    capture kept_[2];
    std::uint64_t shown_[2]{};
    bool ended_[2]{};   // their output, as the server said
    bool cut_ = false;  // before that
    exit_status exit_{};
    bool known_ = false;  // exit_
    bool observer_failed_ = false;
    std::error_code broke_{};
    tree_state left_ = tree_state::unknown;
    bool begun_ = false;
    bool listens_on_ = false;  // it is over, and still wants to hear whom to kill
    bool prepared_ = false;    // the way for orders
    bool hurried_ = false;     // it was stopped before anybody knew whether it had begun
    bool looking_ = false;     // at what is left of the group
    unsigned looks_ = 0;
    bool ends_early_ = false;  // session::closes_with_leader()
    bool survived_ = false;    // somebody was there when it had ended
    time_point look_until_{};

    exec::detail::alarm_member<remote_execution, &remote_execution::due> alarm_{*this};
};

}  // namespace exec::inline v0::ssh
