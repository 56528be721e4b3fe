// answers: the calls with an idempotency key, and what became of them.
//
// The first call with a key owns its entry; those that come after it join, and get its answer. An answer that says "it never
// ran" is not kept: the next call with that key runs. The rest is kept within the bounds of the policy.
// Threads: the loop's driving thread; a joined handle may be used from any.
#pragma once

#include <exec/dispatcher_parts.h>
#include <exec/execution.h>
#include <exec/observer.h>
#include <exec/outcome.h>
#include <exec/time.h>

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "dispatch/byte_budget.h"
#include "loop/core.h"

namespace exec::inline v0::dispatch {

class answers {
   public:
    answers(const key_bounds& within, byte_budget& bytes, std::shared_ptr<detail::loop_core> on)
        : within_(within), bytes_(bytes), on_(std::move(on)) {}
    ~answers();
    answers(const answers&) = delete;
    answers& operator=(const answers&) = delete;

    // Whose key it is: subject, tenant, target and verb; equal texts mean equal keys.
    static std::string name_of(const audit_record& of);

    enum class known : std::uint8_t {
        fresh,          // nobody has used it: begin() it
        same,           // join() it
        other_request,  // it stands for something else
    };
    known look(const std::string& name, const std::string& digest, time_point now);
    void begin(const std::string& name, const std::string& digest);
    // `tell` gets on_done, later, with the answer or errc::cancelled.
    // REQUIRES: known::same.
    execution join(const std::string& name, std::unique_ptr<observer> tell);
    // REQUIRES: begun, and not settled.
    void settle(const std::string& name, const result<outcome>& how, time_point now);

   private:
    class listener;
    struct entry {
        std::string digest{};
        std::vector<std::shared_ptr<listener>> joined{};
        std::optional<outcome> how{};
        std::size_t bytes = 0;
        time_point until{};
        std::list<std::string>::iterator age{};  // once it is answered
    };
    using entries = std::unordered_map<std::string, entry>;

    void forget(entries::iterator which);
    void trim(time_point now);

    const key_bounds& within_;
    byte_budget& bytes_;
    const std::shared_ptr<detail::loop_core> on_;
    entries of_{};
    std::list<std::string> answered_{};  // oldest first
    std::size_t held_ = 0;
};

}  // namespace exec::inline v0::dispatch
