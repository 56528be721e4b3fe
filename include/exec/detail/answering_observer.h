// An observer that gives the end to a reply and everything before it to another observer, if there is one.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "exec/observer.h"
#include "exec/reply.h"

namespace exec::inline v0::detail {

class answering_observer final : public observer {
   public:
    explicit answering_observer(reply<outcome> end, std::unique_ptr<observer> tell = nullptr)
        : end_(std::move(end)), tell_(tell != nullptr ? std::move(tell) : std::make_unique<observer>()) {}

    void on_start(const start_info& what) override { tell_->on_start(what); }
    flow on_output(stream from, std::uint64_t at, bytes_view bytes) override {
        return tell_->on_output(from, at, bytes);
    }
    void on_gap(stream from, std::uint64_t at, std::uint64_t missing) override { tell_->on_gap(from, at, missing); }
    void on_room() override { tell_->on_room(); }
    flow on_heartbeat(milliseconds running) override { return tell_->on_heartbeat(running); }
    // The other one is gone before the end is known.
    void on_done(result<outcome> how) override {
        tell_.reset();
        end_(std::move(how));
    }

   private:
    reply<outcome> end_;
    std::unique_ptr<observer> tell_;
};

}  // namespace exec::inline v0::detail
