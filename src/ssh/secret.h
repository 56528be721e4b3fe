// What a credential holds: one secret, shared by its copies and never changed, wiped with the last of them.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "exec/result.h"
#include "exec/ssh/credentials.h"

struct ssh_key_struct;  // libssh's

namespace exec::inline v0::ssh::detail {

class secret {
   public:
    enum class what { key, certified_key, password, agent };

    // Nobody is ever asked for a passphrase: an encrypted key without one is refused.
    // Fails with: errc::invalid_argument.
    static result<credential> parse_key(std::string_view text, std::string_view passphrase);
    static result<credential> parse_certified_key(std::string_view text, std::string_view certificate,
                                                  std::string_view passphrase);
    // A new ed25519 key.
    // Fails with: errc::too_busy (no memory, or no randomness).
    static result<credential> make_key();
    static credential of_password(std::string_view text);
    static credential of_agent(std::string socket_path);

    secret(const secret&) = delete;
    secret& operator=(const secret&) = delete;
    ~secret();

    what kind() const noexcept { return kind_; }
    // Of a key, with or without certificate; otherwise nullptr. Lives as long as this. libssh only reads it when it signs, so that
    // sessions on several threads may use it at once; they do not change it.
    ssh_key_struct* key() const noexcept { return key_; }
    // "ssh-ed25519 AAAA...", of a key.
    const std::string& public_line() const noexcept { return public_line_; }
    const std::string& password() const noexcept { return text_; }
    const std::string& socket_path() const noexcept { return text_; }

   private:
    secret(what kind, ssh_key_struct* key, std::string public_line, std::string text) noexcept
        : kind_(kind), key_(key), public_line_(std::move(public_line)), text_(std::move(text)) {}
    static credential hold(secret* made);

    const what kind_;
    ssh_key_struct* const key_;
    const std::string public_line_;
    std::string text_;
};

}  // namespace exec::inline v0::ssh::detail
