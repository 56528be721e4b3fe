// The far side of a scripted run: plays a script against two output pipes and an input pipe, which are strings.
//
// It is to the scripted supervisor what a process is to the real one: it never calls anybody, it may be
// blocked in a full pipe, and it ends when it wants to or is killed.
// Threads: one at a time.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "exec/bytes.h"
#include "exec/outcome.h"
#include "exec/testing/script.h"
#include "exec/time.h"

namespace exec::inline v0::testing::scripted {

class child {
   public:
    // The default pipe of the kernel.
    static constexpr std::size_t pipe_bytes = 64 * KiB;

    // `one_stream`: merged, or on a terminal.
    child(std::shared_ptr<const script> plays, bool one_stream) : plays_(std::move(plays)), one_stream_(one_stream) {
        frames_.push_back({.plays = plays_});
    }

    // Goes on until it has to wait for the time, for input, for room in a pipe, or has ended.
    void play(time_point now) {
        while (holds_output()) {
            auto& top = frames_.back();
            if (!write(top)) return;
            if (top.next == top.plays->steps_.size()) {
                leave_frame();
            } else if (!perform(top, top.plays->steps_[top.next], now)) {
                return;
            }
        }
    }
    // When play() has more to do, if nothing else happens.
    time_point wake() const noexcept { return holds_output() && frames_.back().due ? *frames_.back().due : never; }

    // To the group: whom the leader has left behind is out of reach of everything but kill_descendant().
    void deliver(int signal) {
        if (exit_) return;
        if (signal == 9) {
            if (!plays_->survives_kill_) end(exit_status::signaled(9));
            return;
        }
        for (const auto& each : plays_->traps_) {
            if (each.signal != signal) continue;
            if (each.steps != nullptr) frames_.push_back({.plays = each.steps});
            return;
        }
        if (!harmless(signal)) end(exit_status::signaled(signal));
    }

    // Empty while the leader runs.
    const std::optional<exit_status>& exit() const noexcept { return exit_; }
    std::error_code broke() const noexcept { return broke_; }
    // Somebody, the leader or a descendant, still holds the writing ends.
    bool holds_output() const noexcept { return !frames_.empty(); }
    bool reads() const noexcept { return reads_; }

    // The other ends of its pipes.
    std::string& said(std::size_t index) noexcept { return said_[index]; }
    std::string& given() noexcept { return given_; }
    // True the first time.
    bool end_of_input() noexcept { return !std::exchange(input_ended_, true); }

   private:
    // The script, or a reaction to a signal that interrupts the frame below.
    struct frame {
        std::shared_ptr<const script> plays;
        std::size_t next = 0;
        std::optional<time_point> due{};  // of the wait that has begun
        stream on = stream::out;          // what is being said, and how far
        std::string saying{};
        std::size_t said = 0;
        std::string heard{};  // input that a step has taken and not used up
    };
    using kind = script::step::kind;

    // 17 CHLD, 18 CONT, 19..22 STOP TSTP TTIN TTOU, 23 URG, 28 WINCH.
    static bool harmless(int signal) noexcept { return (signal >= 17 && signal <= 23) || signal == 28; }

    // True: all of it is written.
    bool write(frame& top) {
        auto& pipe = said_[one_stream_ || top.on == stream::out ? 0 : 1];
        const auto count = (std::min)(pipe_bytes - pipe.size(), top.saying.size() - top.said);
        pipe.append(top.saying, top.said, count);
        top.said += count;
        return top.said == top.saying.size();
    }
    static void say(frame& top, std::string bytes, stream on = stream::out) {
        top.saying = std::move(bytes);
        top.said = 0;
        top.on = on;
    }

    // False: it has to wait.
    bool perform(frame& top, const script::step& what, time_point now) {
        switch (what.what) {
            case kind::say:
                say(top, what.bytes, what.on);
                ++top.next;
                return true;
            case kind::wait:
                if (!passed(top, what.so_long, now)) return false;
                ++top.next;
                return true;
            case kind::repeat:
                if (!passed(top, what.so_long, now)) return false;
                top.next = 0;
                return true;
            case kind::end: end(what.how); return true;
            case kind::lose:
                broke_ = what.broke;
                end({});
                frames_.clear();  // whoever is there: nobody sees it any more
                return true;
            case kind::expect: return step_over(top, expect(top, what.bytes));
            case kind::drain: given_.clear(); return step_over(top, false);
            case kind::copy: return copy(top);
            case kind::answer: return answer(top, what);
            case kind::close_in:
                close_input();
                ++top.next;
                return true;
        }
        return false;
    }
    static bool passed(frame& top, milliseconds so_long, time_point now) {
        if (!top.due) top.due = saturating_add(now, so_long);
        if (now < *top.due) return false;
        top.due.reset();
        return true;
    }

    // A reading step is over when it has what it wants, or at the end of the input.
    bool step_over(frame& top, bool satisfied) const {
        if (!satisfied && !(input_ended_ && given_.empty())) return false;
        top.heard.clear();
        ++top.next;
        return true;
    }
    bool expect(frame& top, std::string_view text) {
        top.heard += std::exchange(given_, {});
        const auto at = top.heard.find(text);
        if (at == std::string::npos) {
            top.heard.erase(0, top.heard.size() - (std::min)(top.heard.size(), text.size()));
            return false;
        }
        given_ = top.heard.substr(at + text.size());
        return true;
    }
    bool copy(frame& top) {
        if (given_.empty()) return step_over(top, false);
        say(top, std::exchange(given_, {}));
        return true;
    }
    bool answer(frame& top, const script::step& what) {
        auto end_of_line = top.heard.find('\n');
        if (end_of_line == std::string::npos) {
            top.heard += std::exchange(given_, {});
            end_of_line = top.heard.find('\n');
        }
        const bool last_words = end_of_line == std::string::npos && input_ended_ && !top.heard.empty();
        if (end_of_line == std::string::npos && !last_words) return step_over(top, false);
        const auto line = top.heard.substr(0, end_of_line);
        top.heard.erase(0, (std::min)(line.size() + 1, top.heard.size()));
        say(top, what.answer(line));
        return true;
    }
    void close_input() noexcept {
        reads_ = false;
        input_ended_ = true;
        given_.clear();
    }

    void leave_frame() {
        if (frames_.size() > 1) {
            frames_.pop_back();
        } else {
            end(exit_status::exited(0));
        }
    }
    void end(exit_status how) {
        frames_.clear();
        close_input();
        if (exit_) return;  // it was the descendant
        exit_ = how;
        if (plays_->descendant_ != nullptr) frames_.push_back({.plays = plays_->descendant_});
    }

    const std::shared_ptr<const script> plays_;
    const bool one_stream_;
    std::vector<frame> frames_{};
    std::string said_[2]{};
    std::string given_{};
    bool input_ended_ = false;
    bool reads_ = true;
    std::optional<exit_status> exit_{};
    std::error_code broke_{};
};

}  // namespace exec::inline v0::testing::scripted
