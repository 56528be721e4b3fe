// An observer that writes down what it is told and holds its caller to the promises of exec/observer.h.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <exec/observer.h>

namespace test {

// What was told, in a place that outlives the observer; and what the observer answers. Any of the answers may throw.
struct heard {
    struct gap {
        exec::stream from{};
        std::uint64_t at = 0;
        std::uint64_t missing = 0;
    };
    std::string out{};
    std::string err{};
    std::vector<gap> gaps{};
    std::optional<std::int64_t> pid{};
    std::optional<exec::result<exec::outcome>> end{};
    int starts = 0;
    int chunks = 0;
    int rooms = 0;
    int heartbeats = 0;
    bool destroyed = false;
    std::vector<std::string> broken{};  // promises

    std::function<void()> on_start{};
    std::function<exec::flow(exec::stream, exec::bytes_view)> on_output{};
    std::function<void()> on_gap{};
    std::function<void()> on_room{};
    std::function<exec::flow()> on_heartbeat{};
    std::function<void()> on_done{};

    // Told everything that it can ever be told.
    bool over() const { return end.has_value() && destroyed; }
    const exec::outcome& outcome() const { return **end; }
};

class listener final : public exec::observer {
   public:
    explicit listener(heard& to) : to_(to) {}
    ~listener() override { to_.destroyed = true; }

    void on_start(const exec::start_info& what) override {
        if (to_.starts++ != 0 || to_.chunks != 0) broken("on_start is not the first call");
        after_the_end("on_start");
        to_.pid = what.pid;
        if (to_.on_start) to_.on_start();
    }
    exec::flow on_output(exec::stream from, std::uint64_t at, exec::bytes_view bytes) override {
        advance("on_output", from, at, bytes.size());
        (from == exec::stream::out ? to_.out : to_.err) += bytes;
        ++to_.chunks;
        if (bytes.empty()) broken("an empty chunk");
        return to_.on_output ? to_.on_output(from, bytes) : exec::flow::more;
    }
    void on_gap(exec::stream from, std::uint64_t at, std::uint64_t missing) override {
        advance("on_gap", from, at, missing);
        to_.gaps.push_back({from, at, missing});
        if (missing == 0) broken("an empty gap");
        if (to_.on_gap) to_.on_gap();
    }
    void on_room() override {
        after_the_end("on_room");
        ++to_.rooms;
        if (to_.on_room) to_.on_room();
    }
    exec::flow on_heartbeat(exec::milliseconds) override {
        after_the_end("on_heartbeat");
        ++to_.heartbeats;
        return to_.on_heartbeat ? to_.on_heartbeat() : exec::flow::more;
    }
    void on_done(exec::result<exec::outcome> how) override {
        after_the_end("on_done");
        if (how.has_value() && how->began == exec::started::yes && to_.starts == 0)
            broken("an outcome without on_start");
        if (!how.has_value() && to_.starts != 0) broken("a failure after on_start");
        to_.end = std::move(how);
        if (to_.on_done) to_.on_done();
    }

   private:
    void broken(std::string what) { to_.broken.push_back(std::move(what)); }
    void after_the_end(const std::string& what) {
        if (to_.end) broken(what + " after on_done");
        if (to_.destroyed) broken(what + " after the end of the observer");
    }
    // Nothing is skipped without a gap, nothing comes twice.
    void advance(const std::string& what, exec::stream from, std::uint64_t at, std::uint64_t count) {
        after_the_end(what);
        if (to_.starts == 0) broken(what + " before on_start");
        auto& next = next_[from == exec::stream::out ? 0 : 1];
        if (at != next) broken(what + " at " + std::to_string(at) + " instead of " + std::to_string(next));
        next = at + count;
    }

    heard& to_;
    std::uint64_t next_[2]{};
};

}  // namespace test
