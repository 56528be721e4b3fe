// dispatcher_core: what all calls of a dispatcher share.
//
// Kept alive by the dispatcher and by every call in flight. While there are any it is enrolled with the loop, whose end
// ends them.
// Threads: the loop's driving thread, unless said otherwise.
#pragma once

#include <exec/audit.h>
#include <exec/dispatcher_parts.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <list>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "dispatch/admission.h"
#include "dispatch/answers.h"
#include "dispatch/byte_budget.h"
#include "dispatch/refusals.h"
#include "dispatch/telemetry.h"
#include "loop/client.h"
#include "loop/core.h"

namespace exec::inline v0::dispatch {

class flight;

class dispatcher_core final : public std::enable_shared_from_this<dispatcher_core>, private detail::client {
   public:
    explicit dispatcher_core(dispatcher_parts with);

    const dispatcher_parts parts;
    const std::shared_ptr<detail::loop_core> loop;
    byte_budget bytes;  // any thread
    admission places;
    answers keys;
    const telemetry tell;  // any thread

    // Calls in flight, so that an end finds them.
    // False: no call is taken any more.
    bool join(flight& who);
    void leave(flight& who);

    // The dispatcher goes away: no call is taken any more, and those that wait end. Any thread.
    void close();
    bool closed() const noexcept { return closed_.load(std::memory_order_acquire); }

    // Unlike any other of this process; empty if the kernel has no randomness.
    audit_id make_id();

    // The gate said no: writes it, or counts it.
    void note_refusal(const audit_record& what, const failure& why);
    // Writes the end of a record that nobody waits for any more.
    void finish_late(const audit_id& of, const audit_end& how);
    // A write to the trail was answered.
    void wrote(std::string_view step, const result<void>& how) const;
    void gauge_changes();

   private:
    void shut_down(milliseconds within) noexcept override;
    void abandon() noexcept override;
    // Of those that run: stopped within so much, or left alone.
    void end_waiting(std::optional<milliseconds> within);
    void note_soon();
    std::vector<std::shared_ptr<flight>> all() const;
    void write_summaries(time_point upto);
    void settle();

    std::atomic<bool> closed_{false};
    bool ending_ = false;
    std::list<std::shared_ptr<flight>> flights_{};
    refusals refused_;
    bool summary_pending_ = false;          // a timer holds us
    std::array<audit_id::bits, 16> ids_{};  // asked for in one go
    std::size_t ids_left_ = 0;
    std::size_t told_running_ = 0;
    std::size_t told_waiting_ = 0;
    std::size_t told_bytes_ = 0;
};

}  // namespace exec::inline v0::dispatch
