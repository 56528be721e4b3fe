// telemetry: a dispatcher's log and metrics, either of which a host may not have. What a sink throws ends here.
// Threads: any.
#pragma once

#include <exec/log.h>
#include <exec/metrics.h>

#include <initializer_list>
#include <memory>
#include <utility>

namespace exec::inline v0::dispatch {

class telemetry {
   public:
    telemetry(std::shared_ptr<log_sink> log, std::shared_ptr<metrics_sink> metrics) noexcept
        : log_(std::move(log)), metrics_(std::move(metrics)) {}

    void count(const metric& which, double value, std::initializer_list<metric_label> labels = {}) const noexcept {
        if (!metrics_) return;
        guarded([&] { metrics_->record(which, value, {labels.begin(), labels.size()}); });
    }
    void say(log_level how, std::string_view event, std::initializer_list<log_field> fields) const noexcept {
        if (!log_ || !log_->wants(how)) return;
        guarded([&] { log_->write(how, event, {fields.begin(), fields.size()}); });
    }

   private:
    template <class Work>
    static void guarded(Work&& work) noexcept {
#if defined(__cpp_exceptions)
        try {
            work();
        } catch (...) {  // a command does not fail because nobody could write about it
        }
#else
        work();
#endif
    }

    const std::shared_ptr<log_sink> log_;
    const std::shared_ptr<metrics_sink> metrics_;
};

}  // namespace exec::inline v0::dispatch
