// admission: who may run now, who waits, and who is told to come again.
//
// Bounds are held in all, for each target and for each caller. Who waits is served in turn: one call of each caller, then the
// next one of the first, so that a caller who queues a thousand delays nobody by more than one. A call whose target is full
// lets others pass; one for which the bytes are short does not, or a large one would never come.
// Threads: the loop's driving thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <string>
#include <unordered_map>

#include "exec/call.h"
#include "exec/policy.h"
#include "exec/result.h"

#include "dispatch/byte_budget.h"

namespace exec::inline v0::dispatch {

class admission {
   public:
    // One call's place: in the house from arrive() on, then perhaps waiting, then running, until leave().
    class place {
       public:
        place() = default;
        place(const place&) = delete;
        place& operator=(const place&) = delete;

        // It may run now, and holds its bytes. Called inside another place's leave().
        virtual void admitted() = 0;

       protected:
        ~place() = default;

       private:
        friend class admission;
        enum class state : std::uint8_t { outside, arrived, waiting, running };

        state state_ = state::outside;
        std::string subject_{};
        target_id target_{};
        std::size_t bytes_ = 0;  // while it runs
        std::list<place*>::iterator at_{};
    };

    admission(const concurrency_limits& within, byte_budget& bytes) : within_(within), bytes_(bytes) {}
    admission(const admission&) = delete;
    admission& operator=(const admission&) = delete;

    // Before anything is asked for it: as many as may run and wait are let in.
    // Fails with: errc::caller_too_busy, errc::too_busy; retry_after as the policy says.
    result<void> arrive(place& who, const std::string& subject, const target_id& target);
    // True: it runs. False: it waits for admitted(). Needs so many bytes while it runs.
    // REQUIRES: it has arrived.
    // Fails with: as arrive().
    result<bool> enter(place& who, std::size_t bytes);
    // From any state; lets the next ones in.
    void leave(place& who);

    std::size_t running() const noexcept { return running_; }
    std::size_t waiting() const noexcept { return waiting_; }

   private:
    struct caller_share {
        std::size_t inside = 0;
        std::size_t running = 0;
        std::list<place*> waiting{};
        std::list<std::string>::iterator turn{};  // while any of them waits
    };
    enum class verdict : std::uint8_t { yes, not_here, nobody };

    verdict may_run(const place& who, const caller_share& of);
    void run(place& who, caller_share& of);
    void let_in();
    bool let_one_in();
    failure refusal(errc code, const char* what) const;

    const concurrency_limits& within_;
    byte_budget& bytes_;
    std::size_t inside_ = 0;
    std::size_t running_ = 0;
    std::size_t waiting_ = 0;
    bool short_of_bytes_ = false;  // somebody waits for them: nobody passes
    bool letting_in_ = false;
    bool once_more_ = false;
    std::unordered_map<std::string, caller_share> callers_{};
    std::unordered_map<target_id, std::size_t> running_on_{};
    std::list<std::string> turns_{};  // callers of whom any waits; the first is next
};

}  // namespace exec::inline v0::dispatch
