// deferral: one callback of loop::after(), from the asking thread to its moment or its cancellation.
//
// Counted: the handle, the inbox while it is noted there, and the heap while its alarm is set each hold it. The
// callback itself belongs to the driving thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "exec/callback.h"
#include "exec/time.h"

#include "loop/alarm.h"
#include "loop/core.h"
#include "loop/inbox.h"

namespace exec::inline v0::detail {

class deferral final : public note, public alarm {
   public:
    // Held once, by the caller.
    deferral(std::shared_ptr<loop_core> in, time_point when, callback<void()> what) noexcept;

    void begin();
    // Any thread, like everything that follows from the handle.
    void cancel() noexcept;

    void retain() noexcept override;
    void release() noexcept override;

   private:
    ~deferral() = default;

    void notified() noexcept override;
    void due() noexcept override;
    void loop_gone() noexcept override;
    // The heap's hold begins and ends with the alarm.
    void set_alarm();
    void forget() noexcept;

    const std::shared_ptr<loop_core> in_;
    const time_point when_;
    callback<void()> what_;
    std::atomic<bool> over_{false};  // called or cancelled: whoever sets it decides which
    std::atomic<std::uint32_t> holders_{1};
};

}  // namespace exec::inline v0::detail
