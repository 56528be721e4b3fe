// refusals: which refusals of the gate become records of their own, and which are counted into one.
// Threads: the loop's driving thread.
#pragma once

#include <exec/audit.h>
#include <exec/dispatcher_parts.h>
#include <exec/time.h>

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace exec::inline v0::dispatch {

class refusals {
   public:
    explicit refusals(const refusal_bounds& within) : within_(within) {}

    // Whether this one is to be written; else it was counted.
    bool admit(const audit_record& what, const failure& why, time_point now);

    // A record that stands for all that were counted.
    struct summary {
        audit_record what{};
        failure why{};
    };
    // Those whose window ends until then (never: all of them), each once.
    std::vector<summary> due(time_point upto);
    // When due() will have something to say; never, if nothing was counted.
    time_point next() const noexcept { return next_; }

   private:
    struct count {
        time_point until{};
        std::size_t written = 0;
        std::uint64_t left_out = 0;
        summary last{};  // of those left out
    };

    const refusal_bounds& within_;
    std::unordered_map<std::string, count> of_{};  // "" counts for all who found no place
    time_point next_ = never;
};

}  // namespace exec::inline v0::dispatch
