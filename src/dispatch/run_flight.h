// run_flight: a command in the foreground.
// Threads: as relayed_flight.
#pragma once

#include <exec/call.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "dispatch/relayed_flight.h"

namespace exec::inline v0::dispatch {

class run_flight final : public relayed_flight {
   public:
    run_flight(std::shared_ptr<dispatcher_core> of, caller who, target_id target, std::unique_ptr<observer> tell)
        : relayed_flight(std::move(of), verb::run, std::move(who), std::move(target), std::move(tell)) {}

    // The handle, whatever becomes of the call. Once; any thread.
    static execution submit(const std::shared_ptr<dispatcher_core>& to, call what, std::unique_ptr<observer> tell);

   private:
    result<limits> hold_to_policy(const command& what, limits within, const std::string& key);

    void passed() override;
    void admitted() override;
    void act() override;
    void ended(result<outcome> how) override;

    void look_for_key();
    void seen(result<std::optional<audit_seen>> how);
    void join();
    void enter();

    bool joined_ = false;
    std::string key_name_{};
    bool owns_key_ = false;
    time_point came_{};
    time_point waits_since_{};
    bool asked_again_ = false;
    std::size_t run_bytes_ = 0;
};

}  // namespace exec::inline v0::dispatch
