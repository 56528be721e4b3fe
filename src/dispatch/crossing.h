// crossing: carries what a run tells on its own loop to the dispatcher's.
//
// A run is held after each piece of output until the observer, over there, has said what it wants next: so a pause is the
// run's own, its clocks stand as they should, and no more than one piece lies in between.
// Threads: put() and finish() on the run's loop, resume() and abandon() on any, the rest on the dispatcher's.
#pragma once

#include <exec/bytes.h>
#include <exec/detail/blocking_run.h>
#include <exec/execution.h>
#include <exec/observer.h>
#include <exec/outcome.h>
#include <exec/result.h>

#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "loop/core.h"

namespace exec::inline v0::dispatch {

class crossing final : public std::enable_shared_from_this<crossing> {
   public:
    using event = detail::run_relay::event;
    static constexpr std::size_t most_bytes = detail::loop_core::scratch_bytes;

    // Keeps `tell`, and with it `run`, until on_done was told, or abandon().
    crossing(std::shared_ptr<detail::loop_core> to, execution& run, std::shared_ptr<observer> tell) noexcept
        : on_(std::move(to)), run_(run), tell_(std::move(tell)) {}
    crossing(const crossing&) = delete;
    crossing& operator=(const crossing&) = delete;

    // What on_output is to answer meanwhile.
    flow put(event what);
    void finish(result<outcome> how);
    void resume();
    // The dispatcher's loop is not driven any more.
    void abandon();

   private:
    void schedule();
    void deliver();
    void show(observer& tell, const event& what);

    const std::shared_ptr<detail::loop_core> on_;
    execution& run_;

    std::mutex guard_{};  // of what follows
    std::deque<event> events_{};
    bool scheduled_ = false;
    bool paused_ = false;   // by the observer
    bool resumed_ = false;  // since the last output was shown
    std::shared_ptr<observer> tell_;
    std::optional<result<outcome>> how_{};

    // The dispatcher's loop.
    bool lost_interest_ = false;
    bool threw_ = false;
};

}  // namespace exec::inline v0::dispatch
