// credentials: how we prove to a server who we are.
//
// A provider is asked for a credential in each connection, after the host's key was trusted: what it mints for a minute is
// not spent on dialling, and nothing is minted for a stranger. Two endpoints share sessions only if they share the provider
// object itself.
// Threads: a credential is a value that may be shared; see provider for the rest. Secrets are wiped where we hold them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "exec/callback.h"
#include "exec/export.h"
#include "exec/reply.h"
#include "exec/result.h"
#include "exec/time.h"

namespace exec::inline v0::ssh {

namespace detail {
class secret;
}

class credential {
   public:
    // Nothing: every login with it fails.
    credential() noexcept = default;

    // A private key as text: OpenSSH's format or PEM. Nobody is asked for a passphrase. Unlocking takes as long as
    // whoever locked it chose (ssh-keygen -a).
    // Fails with: errc::invalid_argument (no such format, the passphrase is missing or does not fit, RSA below 2048 bits).
    EXEC_API static result<credential> private_key(std::string_view text, std::string_view passphrase = {});
    // The same with a user certificate for it, the line of a *-cert.pub file.
    // Fails with: errc::invalid_argument (also: it is for another key, or for a host).
    EXEC_API static result<credential> certified_key(std::string_view text, std::string_view certificate,
                                                     std::string_view passphrase = {});
    EXEC_API static credential password(std::string_view text);
    // The keys of the SSH agent that listens at this path, in its order: the first five that can be used, each offered to the
    // server until it takes one. The agent is talked to in each login, on the pool's loop, which waits for nobody; one that
    // does not answer (it may ask a person first) costs the login its time. SSH_AUTH_SOCK is not looked at.
    EXEC_API static credential agent(std::string socket_path);

    // No login is begun with it past this moment, and no command on a session that it opened. Empty: it does not end.
    std::optional<time_point> not_after{};

    const std::shared_ptr<const detail::secret>& held() const noexcept { return held_; }

   private:
    friend class detail::secret;
    explicit credential(std::shared_ptr<const detail::secret> held) noexcept : held_(std::move(held)) {}
    std::shared_ptr<const detail::secret> held_{};
};

// A private key from a file. Blocks for the reading.
// Fails with: as private_key, or what the kernel says to the reading.
EXEC_API result<credential> read_private_key(const std::string& path, std::string_view passphrase = {});

// Who asks for a credential, and until when the answer is worth anything.
struct login_request {
    std::string host{};
    std::uint16_t port = 22;
    std::string user{};
    std::string machine{};  // endpoint::machine
    unsigned attempt = 1;   // 2: the first one was denied; what was kept from before is not to be given again
    time_point by = never;
};

class provider {
   public:
    virtual ~provider() = default;
    // Answers at once or later, on any thread; must not block. A late answer is dropped. Called in the thread that drives the
    // connection's loop, several connections may be asking at once.
    virtual void obtain(const login_request& who, reply<credential> answer) = 0;
    // Whether what it gives after a denied login may be another one. If not, the first denial is the last.
    virtual bool renews() const noexcept { return true; }
};

// Always the same one; once it was denied, that is errc::auth_failed.
EXEC_API std::shared_ptr<provider> always(credential what);

// The public half of a key that was made for one login.
struct grant {
    login_request who{};
    std::string public_key{};  // "ssh-ed25519 AAAA..."
};
// Makes an ed25519 key for each connection, in memory only, and has its public half made known: `push` answers, on any thread,
// for how long the server will take it, counted from the call. It may be called by several threads at once; one that throws or
// drops its reply has failed. One denied login is tried once more with a new key on a new connection, since grants may take
// a moment to be seen; then it is errc::auth_failed.
// Fails with: what `push` answers, errc::broken_reply if it does not, errc::auth_failed for a lifetime that is not positive; at
// stage::grant.
// REQUIRES: a push.
EXEC_API std::shared_ptr<provider> minted(callback<void(const grant&, reply<milliseconds>)> push);

}  // namespace exec::inline v0::ssh
