// prometheus_metrics: a metrics_sink that a Prometheus server can read.
//
//     const auto counts = std::make_shared<exec::prometheus_metrics>();        // dispatcher_parts::metrics
//     response.body(counts->text(), exec::prometheus_metrics::content_type);   // GET /metrics, by the host
//
// Whatever is recorded, the text is one that a server accepts as a whole: a bad name, a label twice or a number that is none
// costs that record alone. Memory is bounded by the options, whoever makes up label values.
// Threads: both members on any. record() takes no lock and allocates nothing once its series exists; text() holds nobody up.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "exec/export.h"
#include "exec/metrics.h"

namespace exec::inline v0 {

struct prometheus_options {
    std::size_t families = 64;  // several times as many as this library records; at most 4096
    // Of one family: combinations of label values. What would be one too many is added up in one more, labelled
    // overflow="true", so that the sums of a family stay right. At most 65,536.
    std::size_t series = 256;
};

class prometheus_metrics final : public metrics_sink {
   public:
    // Of what text() returns: the text exposition format.
    static constexpr std::string_view content_type = "text/plain; version=0.0.4; charset=utf-8";

    EXEC_API explicit prometheus_metrics(prometheus_options bounds = {});
    EXEC_API ~prometheus_metrics() override;
    prometheus_metrics(const prometheus_metrics&) = delete;
    prometheus_metrics& operator=(const prometheus_metrics&) = delete;

    // A counter or a gauge to which 0 is added is there from then on, as a server likes it.
    // Added to overflow="true" as well: labels that no series can have, which are more than 8, a name twice, a name that is
    // reserved ("le" of a histogram, "overflow", "__...") or not [a-zA-Z_][a-zA-Z0-9_]*, a value that is no UTF-8, holds a NUL
    // or is longer than 128 bytes. A label whose value is empty is no label.
    // Dropped, and counted by exec_metrics_dropped_total: a value that is infinite or no number, or below 0 for a counter; a
    // family beyond the bound, with a name that is none or that another one has taken, or with bounds that do not ascend.
    EXEC_API void record(const metric& which, double value, std::span<const metric_label> labels) override;

    // All of it, families and series in the order of their names. What is recorded meanwhile may be in it or not; the buckets
    // of one histogram always fit its count, its sum may be ahead or behind by what is being recorded.
    EXEC_API std::string text() const;

   private:
    class state;
    std::unique_ptr<state> state_;
};

}  // namespace exec::inline v0
