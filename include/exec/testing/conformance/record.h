// What one command's observer was told, and whether it was told as observer.h promises.
//
// Written on the thread that calls the observer, read on the one that plays the row.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "exec/bytes.h"
#include "exec/limits.h"
#include "exec/loop.h"
#include "exec/observer.h"
#include "exec/outcome.h"
#include "exec/result.h"
#include "exec/time.h"

namespace exec::inline v0::testing::conformance {

struct heard {
    struct gap {
        stream from = stream::out;
        std::uint64_t at = 0;
        std::uint64_t missing = 0;
    };
    std::string out{};
    std::string err{};
    std::vector<gap> gaps{};
    std::vector<milliseconds> beats{};
    int starts = 0;
    int chunks = 0;
    int rooms = 0;
    bool named = false;  // on_start said where
    std::optional<result<outcome>> end{};
    bool destroyed = false;
    std::string broken{};  // the first promise of the observer's that was
};

// What a row wants done inside the calls. Set before the start.
struct hooks {
    std::function<void()> on_start{};
    std::function<flow(stream, bytes_view)> on_output{};
    std::function<void()> on_gap{};
    std::function<void()> on_room{};
    std::function<flow()> on_heartbeat{};
    std::function<void()> on_done{};
};

class record {
   public:
    // `on` is where the calls must come; null: anywhere.
    explicit record(loop* on) : on_(on) {}

    template <class F>
    auto look(F&& at) {
        const std::lock_guard hold(guard_);
        return at(std::as_const(heard_));
    }
    // Until `enough` of what was heard, or until the time is up. Drives the loop if it is driven here.
    template <class F>
    bool wait(F&& enough, milliseconds patience, bool drive_here) {
        if (!drive_here) {
            std::unique_lock hold(guard_);
            return changed_.wait_for(hold, patience, [&] { return enough(std::as_const(heard_)); });
        }
        std::stop_source done;
        {
            const std::lock_guard hold(guard_);
            if (enough(std::as_const(heard_))) return true;
            on_change_ = [&] {
                if (enough(std::as_const(heard_))) done.request_stop();
            };
        }
        loop& on = *on_;
        const auto limit = on.after(patience, [&] { done.request_stop(); });
        on.run(done.get_token());
        const std::lock_guard hold(guard_);
        on_change_ = nullptr;
        return enough(std::as_const(heard_));
    }

    // The loop is gone, and whatever comes now comes from nowhere.
    void forget_loop() noexcept { on_ = nullptr; }

    hooks calls{};
    // Held across start(), as a host may hold its own lock: on_start waits until the handle is where the hooks find it.
    std::atomic<bool> starting{false};

   private:
    friend class listener;

    template <class F>
    void note(F&& what) {
        const std::lock_guard hold(guard_);
        what(heard_);
        if (!on_its_loop()) breach("it was called outside its loop");
        if (on_change_) on_change_();
        changed_.notify_all();
    }
    bool on_its_loop() const {
        const loop* on = on_;
        return on == nullptr || on->driven_here();
    }
    void breach(const char* sentence) {
        if (heard_.broken.empty()) heard_.broken = sentence;
    }

    std::atomic<loop*> on_;
    std::mutex guard_{};
    std::condition_variable changed_{};
    std::function<void()> on_change_{};
    heard heard_{};
    std::uint64_t next_[2]{};
};

class listener final : public observer {
   public:
    explicit listener(std::shared_ptr<record> to) : to_(std::move(to)) {}
    ~listener() override {
        to_->note([](heard& all) { all.destroyed = true; });
    }

    void on_start(const start_info& what) override {
        call([&](heard& all) {
            if (all.starts++ != 0) to_->breach("on_start came twice");
            all.named = !what.where.empty();
        });
        if (to_->on_its_loop()) to_->starting.wait(true);
        if (to_->calls.on_start) to_->calls.on_start();
    }
    flow on_output(stream from, std::uint64_t at, bytes_view bytes) override {
        call([&](heard& all) {
            began(all);
            ++all.chunks;
            if (bytes.empty()) to_->breach("on_output came without bytes");
            if (at != next(from)) to_->breach("an offset does not follow from the one before");
            next(from) = at + bytes.size();
            (from == stream::out ? all.out : all.err) += bytes;
        });
        return to_->calls.on_output ? to_->calls.on_output(from, bytes) : flow::more;
    }
    void on_gap(stream from, std::uint64_t at, std::uint64_t missing) override {
        call([&](heard& all) {
            began(all);
            if (missing == 0) to_->breach("on_gap came without a gap");
            if (at != next(from)) to_->breach("a gap does not follow from the offset before");
            next(from) = at + missing;
            all.gaps.push_back({from, at, missing});
        });
        if (to_->calls.on_gap) to_->calls.on_gap();
    }
    void on_room() override {
        call([&](heard& all) {
            began(all);
            ++all.rooms;
        });
        if (to_->calls.on_room) to_->calls.on_room();
    }
    flow on_heartbeat(milliseconds running) override {
        call([&](heard& all) {
            began(all);
            if (!all.beats.empty() && running < all.beats.back()) to_->breach("a heartbeat went back in time");
            all.beats.push_back(running);
        });
        return to_->calls.on_heartbeat ? to_->calls.on_heartbeat() : flow::more;
    }
    void on_done(result<outcome> how) override {
        call([&](heard& all) {
            if (how && how->began == started::yes) began(all);
            if (!how && all.starts != 0) to_->breach("a failure came after on_start");
            all.end.emplace(std::move(how));
        });
        if (to_->calls.on_done) to_->calls.on_done();
    }

   private:
    template <class F>
    void call(F&& what) {
        to_->note([&](heard& all) {
            if (all.end) to_->breach("a call came after on_done");
            what(all);
        });
    }
    void began(const heard& all) {
        if (all.starts == 0) to_->breach("a call came before on_start");
    }
    std::uint64_t& next(stream from) { return to_->next_[from == stream::out ? 0 : 1]; }

    std::shared_ptr<record> to_;
};

}  // namespace exec::inline v0::testing::conformance
