// agent_login: a login with the keys of an SSH agent, in which nobody waits for the agent.
//
// libssh asks its agent in the middle of a login, and blocks until that answers. Here it never meets the real one: it gets a
// socket with the answers in it already, and behind them the end. The list of keys was fetched before. A first login meets a
// refusal where it wants a signature; what it wanted signed is then taken to the real agent, and a second login, which asks for the
// same, finds the signature there. libssh 0.10 forgets the memory of its first list when it reads a second one: as many bytes as
// the offered keys have are lost in each login.
// Threads: the loop's.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "exec/callback.h"
#include "exec/result.h"

#include "loop/core.h"
#include "loop/watch.h"
#include "posix/fd.h"

struct ssh_session_struct;  // libssh's

namespace exec::inline v0::ssh {

class agent_login {
   public:
    // Servers count what they refuse (MaxAuthTries, 6): the first so many keys are offered.
    static constexpr std::size_t most_offered = 5;

    // `go_on` is called when log_in() may get further; it must not end this. `handle` outlives it.
    agent_login(exec::detail::loop_core& in, ssh_session_struct* handle, std::string socket_path,
                callback<void()> go_on);
    ~agent_login();
    agent_login(const agent_login&) = delete;
    agent_login& operator=(const agent_login&) = delete;

    // One of libssh's SSH_AUTH_...; AGAIN while the agent or the server is waited for.
    int log_in();
    // What was wrong with the agent; empty: nothing.
    const std::string& trouble() const noexcept { return trouble_; }
    // For the agent.
    bool waits() const noexcept { return asked_ && !answered_; }

   private:
    enum class step : std::uint8_t { listing, offering, signing, answering };

    int list();
    int offer();
    int sign();
    int give_up(std::string why);

    bool connect();
    void ask(std::string_view message);
    void ready(std::uint32_t events) noexcept;
    void read_keys();
    std::string list_of(const std::vector<std::string>& keys) const;
    // What libssh will read, one after the other, and then the end.
    bool stage(std::initializer_list<std::string_view> messages);
    std::string wanted() const;

    exec::detail::loop_core& in_;
    ssh_session_struct* const handle_;
    const std::string path_;
    callback<void()> go_on_;
    step step_ = step::listing;
    std::string trouble_{};
    std::vector<std::string> keys_{};  // as the agent names them

    // The conversation with the agent.
    std::string to_send_{};
    std::string heard_{};
    bool asked_ = false;
    bool answered_ = false;  // heard_ is one message, without its length

    posix::fd theirs_{};  // libssh's for as long as this lives
    posix::fd ours_{};
    posix::fd agent_{};
    exec::detail::watch_member<agent_login, &agent_login::ready> watch_{*this};
};

}  // namespace exec::inline v0::ssh
