// A server's public key, as bytes and as words.
#pragma once

#include <string>
#include <string_view>

#include "exec/result.h"
#include "exec/ssh/host_keys.h"

namespace exec::inline v0::ssh {

// The name that a key begins with, as it crosses the wire. Empty: it is no key.
std::string_view algorithm_in(std::string_view blob) noexcept;

// The key in `blob`, with its fingerprint.
// Fails with: errc::invalid_argument.
result<host_key> read_host_key(std::string_view blob);

// "SHA256:" and base64 without padding. Empty, and so like no other, if libcrypto refuses.
std::string fingerprint_of(std::string_view blob);

// "ssh-ed25519 AAAA...".
std::string line_of(const host_key& key);

// How OpenSSH's files call it: "host", or "[host]:port" if the port is not 22. In lower case.
std::string file_name_of(const host_name& of);

// Takes a word off the front, and the blanks before it. Empty: there is none.
std::string_view take_word(std::string_view& rest) noexcept;
// ASCII only: a host name has nothing else, and no locale has a say in it.
std::string lower_case(std::string_view text);

}  // namespace exec::inline v0::ssh
