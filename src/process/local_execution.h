// local_execution: one command started on a loop. The object behind the handle, and the only allocation of its run.
//
// Two claims keep it alive: the handle's, until detach or let_go, and the run's, until on_done was told. Other threads
// leave what they want in it and notify the loop; everything else happens in the thread that drives the loop.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "exec/detail/stop_request.h"
#include "exec/execution.h"
#include "exec/observer.h"

#include "loop/alarm.h"
#include "loop/client.h"
#include "loop/core.h"
#include "loop/inbox.h"
#include "loop/watch.h"
#include "process/launch.h"
#include "process/supervisor.h"

namespace exec::inline v0::process {

class local_execution final : public execution::control, public detail::note, public detail::client, public driver {
   public:
    // Returns the handle's claim. `refused`: what check() said; told as on_done like everything else.
    static execution start(std::shared_ptr<detail::loop_core> core, std::shared_ptr<const local_setup> setup,
                           command what, limits within, std::unique_ptr<observer> tell, result<void> refused);

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

    // driver
    void forget(source which, bool at_end) noexcept override;

   private:
    enum class phase : std::uint8_t { queued, launching, running, over };
    // Keeps the object alive through a call of the loop, and destroys a dropped observer behind it.
    class turn;
    // What an executor carries: it answers even if it is destroyed uncalled.
    class launch_order;

    local_execution(std::shared_ptr<detail::loop_core> core, std::shared_ptr<const local_setup> setup, command what,
                    limits within, std::unique_ptr<observer> tell, result<void> refused);
    ~local_execution();

    void begin();
    void launched_as(result<launched> how);
    void watch_what_is_wanted();
    void after_event();
    void apply_stop();
    void fail_with(failure why);
    void conclude(result<outcome> how);
    // Nobody waits for the executor any more. If it has not begun, it never will; if it has, nobody confirmed.
    void start_abandoned(stop_reason why);

    void out_ready(std::uint32_t events) noexcept { output_ready(stream::out, events); }
    void err_ready(std::uint32_t events) noexcept { output_ready(stream::err, events); }
    void output_ready(stream from, std::uint32_t events) noexcept;
    void in_ready(std::uint32_t events) noexcept;
    void exit_ready(std::uint32_t events) noexcept;
    void due() noexcept;

    const std::shared_ptr<detail::loop_core> core_;
    const std::shared_ptr<const local_setup> setup_;
    const std::uint64_t id_;
    std::atomic<std::uint32_t> claims_{2};
    detail::stop_request stop_{};

    std::unique_ptr<observer> tell_;
    std::unique_ptr<const failure> refused_{};
    enum class answer_state : std::uint8_t {
        pending,  // nobody has begun to start it
        begun,
        there,     // launch_answer_ is
        unwanted,  // nobody waits for it any more
    };
    std::atomic<answer_state> launch_state_{answer_state::pending};  // of an executor
    std::unique_ptr<result<launched>> launch_answer_{};
    phase phase_ = phase::queued;
    const time_point called_;
    supervisor run_;

    detail::watch_member<local_execution, &local_execution::out_ready> out_{*this};
    detail::watch_member<local_execution, &local_execution::err_ready> err_{*this};
    detail::watch_member<local_execution, &local_execution::in_ready> in_{*this};
    detail::watch_member<local_execution, &local_execution::exit_ready> exit_{*this};
    detail::alarm_member<local_execution, &local_execution::due> alarm_{*this};
};

}  // namespace exec::inline v0::process
