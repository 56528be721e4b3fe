// raw_libssh: the floors. The shortest programs on libssh that run commands over there and see them end.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "servers/ssh_server.h"
#include "sides/side.h"

struct ssh_session_struct;
struct ssh_event_struct;

namespace bench {

enum class tuning {
    none,   // what ssh_new() gives
    quick,  // TCP_NODELAY, and AES in hardware
};

// A session that was connected and logged in, blocking. Ends the program where that fails.
class raw_session {
   public:
    explicit raw_session(const test::ssh_login& to, tuning how = tuning::quick);
    ~raw_session();
    raw_session(raw_session&& other) noexcept : handle_(other.handle_) { other.handle_ = nullptr; }
    raw_session& operator=(raw_session&&) = delete;

    // One command, to its end; its output is read and dropped.
    heard run(const std::string& line);
    ssh_session_struct* handle() const noexcept { return handle_; }

   private:
    ssh_session_struct* handle_;
};

// A shell line that becomes the command, of words that need no quotes.
std::string plain_line(words what);
// The line with which ours sends it: the same script over there, another client.
std::string wrapped_line(words what);

// Commands on several sessions, by one thread in libssh's own loop; at most `share` channels on each.
class raw_flight final : public flight {
   public:
    raw_flight(const test::ssh_login& to, std::size_t sessions, std::size_t share, std::string (*line_of)(words));
    ~raw_flight() override;

    void start(words what) override;
    void drive_until(std::size_t ended) override;
    void kill_all() override {}
    void kill_after(std::chrono::milliseconds) override {}
    std::size_t refused() const noexcept { return refused_; }

   private:
    struct command;
    // Goes on with it as far as it goes. True: it has ended.
    bool step(command& one);
    bool try_again(command& one);

    const std::size_t share_;
    std::string (*const line_of_)(words);
    std::vector<raw_session> sessions_{};
    std::vector<std::size_t> used_{};
    ssh_event_struct* event_;
    std::vector<std::unique_ptr<command>> running_{};
    std::size_t refused_ = 0;
};

}  // namespace bench
