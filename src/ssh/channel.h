// channel: one command's (or one tunnel's) place on a session, from its opening to the server's last word about it.
//
// Whoever wants something of the server is a channel_user. It may let go at any time: the channel then closes behind its back and keeps
// its place on the session until the server has closed it too, because that is how long the server keeps its own.
// What libssh reports is written down in its callbacks and acted upon after the pump (session.h); only output is handed on at once,
// from where it lies.
// Threads: the loop's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "exec/bytes.h"
#include "exec/command.h"
#include "exec/error.h"
#include "exec/result.h"
#include "exec/time.h"

struct ssh_channel_struct;  // libssh's

namespace exec::inline v0::ssh {

class session;

class channel_user {
   public:
    // The request was sent: what is written now arrives behind it.
    virtual void asked() noexcept = 0;
    // The server has taken it. From here on nothing is `refused`.
    virtual void accepted() noexcept = 0;
    // The next output; how much of it was taken. What was not taken is told again at channel::resume(), maybe before. Whoever
    // holds a stream back takes nothing of it until then.
    // Called inside libssh: it must not call the channel.
    virtual std::size_t output(stream from, bytes_view bytes) noexcept = 0;
    // There may be room again for channel::write().
    virtual void writable() noexcept = 0;
    // Asked for by channel::remind().
    virtual void reminded() noexcept = 0;
    // No more output. `exit`, where the server has told it, comes before or after.
    virtual void output_ended() noexcept = 0;
    virtual void exited(std::uint32_t status) noexcept = 0;
    virtual void signaled(std::string_view name, bool core) noexcept = 0;
    // One of these is the last call:
    // the server has no place for one more channel on this session; nothing was asked for.
    virtual void not_opened(const failure& why) noexcept = 0;
    // the request was refused: nothing was begun.
    virtual void refused(failure why) noexcept = 0;
    // the server has closed it.
    virtual void closed() noexcept = 0;
    // the session ended. `handed_over`: the request was sent, and may have been carried out.
    virtual void lost(const failure& why, bool handed_over) noexcept = 0;

   protected:
    ~channel_user() = default;
};

struct channel_request {
    std::string line{};                       // of the exec request
    std::optional<terminal_size> terminal{};  // set: a pseudo-terminal is asked for before
    std::string terminal_type{};
    // Set: no command, but a connection from there to this host and port. There is nothing to ask for once it is open.
    std::string to_host{};
    std::uint16_t to_port = 0;
};

class channel {
   public:
    // Opens and asks at once; the answers come by step(). `of` outlives it.
    channel(session& of, channel_user& user, channel_request what);
    // REQUIRES: over(), or the session has ended.
    ~channel();
    channel(const channel&) = delete;
    channel& operator=(const channel&) = delete;

    // For the user; not inside output().
    // How many bytes were taken: as many as the server's window and a small queue of ours hold. Fewer: wait for writable().
    std::size_t write(bytes_view bytes);
    // Nothing that is written reaches anybody any more.
    bool is_deaf() const noexcept { return phase_ > phase::running || end_of_input_ || close_received_; }
    void end_of_input();
    // The request was sent, and may have been carried out.
    bool handed_over() const noexcept { return handed_over_; }
    // By its name without SIG. No answer comes: whoever wants to know looks at what becomes of the command.
    void send_signal(std::string name);
    void resize(terminal_size size);
    // Delivers what was held back, and what comes.
    void resume();
    // Also inside output(): calls reminded() soon, outside of libssh.
    void remind() noexcept { reminded_ = news_ = true; }
    // The user is gone, and is not called any more. The channel closes by itself.
    void let_go() noexcept;

    // For the session.
    // Does what can be done. Called after each pump in which something was reported, and after each of the user's calls.
    void step();
    bool over() const noexcept { return phase_ == phase::over; }
    bool is_zombie() const noexcept { return user_ == nullptr; }
    // The server has given it a place.
    bool is_open() const noexcept { return phase_ > phase::opening && phase_ != phase::over; }
    bool has_news() const noexcept { return news_; }
    bool waits() const noexcept { return phase_ < phase::running || wants_room_; }
    void session_ended(const failure& why);

   private:
    enum class phase : std::uint8_t { opening, asking_terminal, asking, running, closing, over };
    struct callbacks;  // libssh's
    friend struct callbacks;

    void open();
    void ask_terminal();
    void ask();
    void send_size();
    void run();
    void close();
    void not_opened(const failure& why);
    void refuse(failure why);
    std::size_t take(stream from, bytes_view bytes) noexcept;
    void widen();
    void grant(std::size_t window);
    void deliver_held();

    session& of_;
    channel_user* user_;
    channel_request what_;
    ssh_channel_struct* handle_ = nullptr;
    std::unique_ptr<callbacks> callbacks_;
    phase phase_ = phase::opening;
    bool news_ = false;  // the callbacks have written something down
    bool reminded_ = false;
    bool handed_over_ = false;
    bool held_ = false;        // the user took less than all
    std::string left_over_{};  // of what was fetched by hand
    stream left_over_of_ = stream::out;
    bool eof_received_ = false;
    bool eof_told_ = false;
    bool close_received_ = false;
    bool end_of_input_ = false;
    bool end_sent_ = false;
    bool wants_room_ = false;
    time_point asked_at_{};    // for the channel
    std::size_t window_;       // bytes that the server may send ahead
    std::size_t since_ = 0;    // bytes of output since the window was looked at
    time_point since_when_{};  // or since the first byte
    bool half_used_ = false;
    std::optional<std::uint32_t> status_{};
    std::string signals_{};                    // to be sent, each followed by a blank
    std::optional<terminal_size> new_size_{};  // to be sent before anything that is typed after it
    std::string ended_by_{};                   // the signal's name
    bool core_ = false;
};

}  // namespace exec::inline v0::ssh
