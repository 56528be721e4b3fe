// relayed_flight: a call that gives its caller a handle and tells an observer: a run, or an attachment to a job.
//
// The relay (exec/relay.h) keeps what the caller does until there is something to do it to. A dropped handle stops the command
// and silences the observer; the flight goes on, so that the trail gets the true end.
// Threads: execution::control from any; the rest as flight.
#pragma once

#include <exec/execution.h>
#include <exec/observer.h>
#include <exec/relay.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>

#include "dispatch/crossing.h"
#include "dispatch/flight.h"

namespace exec::inline v0::dispatch {

class relayed_flight : public flight, public execution::control, protected observer {
   public:
    relayed_flight(std::shared_ptr<dispatcher_core> of, verb what, caller who, target_id target,
                   std::unique_ptr<observer> tell);

    // Before it sets out. Any thread.
    execution hand_out(command what, limits within);

    std::size_t write_in(bytes_view bytes) override { return run_.write_in(bytes); }
    void close_in() override { run_.close_in(); }
    void resume() override;
    result<void> signal(int number) override { return run_.signal(number); }
    result<void> resize(terminal_size size) override { return run_.resize(size); }
    void stop(milliseconds grace) override { run_.stop(grace); }
    std::uint64_t id() const override { return run_.id(); }
    void detach() override;
    void let_go() override;

   protected:
    relay& link() noexcept { return *link_; }

    void admitted() override {}
    void refuse(failure why) override;
    void answer() override;
    void stop_within(milliseconds grace) override {
        shutting_down_ = true;
        run_.stop(grace);
    }
    void lost_loop() override;
    // Of the run: its last call.
    virtual void ended(result<outcome> how);
    bool ended_before() const noexcept { return ended_; }

   private:
    class front;

    // What the run tells, on the dispatcher's loop.
    void on_start(const start_info& what) final;
    flow on_output(stream from, std::uint64_t at, bytes_view bytes) final;
    void on_gap(stream from, std::uint64_t at, std::uint64_t missing) final;
    void on_room() final;
    flow on_heartbeat(milliseconds running) final;
    void on_done(result<outcome> how) final { ended(std::move(how)); }

    crossing& across();
    std::shared_ptr<relayed_flight> take_claim();
    observer* host() const noexcept { return muted_.load(std::memory_order_acquire) ? nullptr : tell_.get(); }

    std::optional<relay> link_{};
    execution run_{};  // the relay's; set before the handle is given out, and there until both it and the run are gone
    std::unique_ptr<observer> tell_;
    std::atomic<bool> muted_{false};
    bool ended_ = false;
    bool shutting_down_ = false;
    std::optional<result<outcome>> how_{};

    std::mutex claim_guard_{};  // of what follows
    std::shared_ptr<relayed_flight> claim_{};
    std::shared_ptr<crossing> crossing_{};
};

}  // namespace exec::inline v0::dispatch
