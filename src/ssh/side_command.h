// side_command: a short line of our own on a second channel, as the one that signals a group; what it says, and nothing else.
// Threads: the loop's.
#pragma once

#include <string>

#include "exec/callback.h"

#include "ssh/channel.h"
#include "ssh/session.h"

namespace exec::inline v0::ssh {

class side_command final : public channel_user {
   public:
    // `done` is called once, unless this is destroyed before: with what the line wrote to its standard output, or empty if it
    // did not run or the session ended. It may destroy this.
    side_command(session& on, std::string line, callback<void(std::string)> done)
        : done_(std::move(done)), channel_(&on.lend(*this, {std::move(line), {}, {}})) {}
    ~side_command() {
        if (channel_ != nullptr) channel_->let_go();
    }
    side_command(const side_command&) = delete;
    side_command& operator=(const side_command&) = delete;

    void accepted() noexcept override {
        if (channel_ != nullptr) channel_->end_of_input();
    }
    std::size_t output(stream from, bytes_view bytes) noexcept override {
        if (from == stream::out && said_.size() < most) said_.append(bytes.substr(0, most - said_.size()));
        return bytes.size();
    }
    void writable() noexcept override {}
    void output_ended() noexcept override {}
    void exited(std::uint32_t) noexcept override {}
    void signaled(std::string_view, bool) noexcept override {}
    void refused(failure) noexcept override { finish({}); }
    void closed() noexcept override { finish(std::move(said_)); }
    void lost(const failure&, bool) noexcept override { finish({}); }

   private:
    static constexpr std::size_t most = 4 * KiB;  // profiles may print before

    void finish(std::string said) {
        channel_ = nullptr;
        auto done = std::move(done_);
        if (done) done(std::move(said));
    }

    callback<void(std::string)> done_;
    std::string said_{};
    channel* channel_;
};

}  // namespace exec::inline v0::ssh
