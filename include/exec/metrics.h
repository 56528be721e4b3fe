// metrics_sink: counts what happens, by the conventions of Prometheus. Implemented by hosts.
//
// Names are "exec_" words in snake case with a base unit ("_seconds", "_bytes") and "_total" on counters. A label's value is
// one of a few fixed words (how a command ended, a route's kind); never a target, a tag, a caller, an argument or an id.
// Threads: a sink is called from any thread, by several at once, and under no lock of the library. It must not block.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace exec::inline v0 {

// A family of time series. Each is one object with static lifetime, so that a sink may know it by its address.
struct metric {
    enum class kind : std::uint8_t {
        counter,    // only grows
        gauge,      // goes up and down
        histogram,  // a distribution
    };
    std::string_view name{};
    std::string_view help{};  // one sentence
    kind what = kind::counter;
    std::span<const double> bounds{};  // histogram: upper bounds of its buckets, ascending, in the unit of the name
};

// Borrowed: valid during the call.
struct metric_label {
    std::string_view name{};
    std::string_view value{};
};

class metrics_sink {
   public:
    virtual ~metrics_sink() = default;

    // counter: `value` >= 0 is added. gauge: `value` is added, and taken away again by its negative, so that several
    // owners of one gauge sum up. histogram: `value` was observed once.
    // An exception that leaves it is swallowed.
    virtual void record(const metric& which, double value, std::span<const metric_label> labels) = 0;
};

}  // namespace exec::inline v0
