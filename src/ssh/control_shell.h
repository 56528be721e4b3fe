// control_shell: the far side's half of the kill path: one small shell on a session, which signals groups and looks at them.
//
// It is started once and kept, so that an order costs half a round trip and no process over there, and waits for no place among
// the commands. It ends with its session.
// Threads: the loop's.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>

#include "exec/callback.h"

#include "ssh/channel.h"
#include "ssh/remote_kill.h"
#include "ssh/session.h"

namespace exec::inline v0::ssh {

// What is to be done, and who is told what was found: once, empty if nobody knows.
struct control_question {
    kill_order order{};
    callback<void(std::optional<group_state>)> tell{};
};

class control_shell final : public channel_user {
   public:
    // `ended` is called once, unless this is destroyed before: the far side has no such shell, or the session ended. `served`:
    // it had answered before. It may destroy this; it takes over the questions that have no answer.
    control_shell(session& on, callback<void(std::deque<control_question> unanswered, bool served)> ended);
    // Questions without an answer are told so.
    ~control_shell();
    control_shell(const control_shell&) = delete;
    control_shell& operator=(const control_shell&) = delete;

    void ask(control_question what);
    bool is_asked() const noexcept { return !asked_.empty(); }
    // The server would not open a channel for it.
    bool no_place() const noexcept { return no_place_; }

    void asked() noexcept override;
    void accepted() noexcept override {}
    std::size_t output(stream from, bytes_view bytes) noexcept override;
    void writable() noexcept override;
    void reminded() noexcept override;
    void output_ended() noexcept override {}
    void exited(std::uint32_t) noexcept override {}
    void signaled(std::string_view, bool) noexcept override {}
    void not_opened(const failure&) noexcept override {
        no_place_ = true;
        finish();
    }
    void refused(failure) noexcept override { finish(); }
    void closed() noexcept override { finish(); }
    void lost(const failure&, bool) noexcept override { finish(); }

   private:
    void finish();
    void send();

    callback<void(std::deque<control_question>, bool)> ended_;
    std::deque<control_question> asked_{};  // in the order of their numbers
    std::uint64_t first_ = 0;               // the number of asked_.front()
    std::string unsent_{};
    std::deque<group_state> answers_{};  // to the first of asked_, not yet told
    answer_reader reader_{};
    bool running_ = false;
    bool served_ = false;
    bool no_place_ = false;
    channel* channel_;
};

}  // namespace exec::inline v0::ssh
