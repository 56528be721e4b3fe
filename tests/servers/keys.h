// Key pairs and certificates, made by ssh-keygen.
#pragma once

#include <string>

namespace test {

struct key_pair {
    std::string file{};  // the private key, mode 0600, no passphrase; the public one is beside it, as file + ".pub"
    std::string public_line{};  // "ssh-ed25519 AAAA... comment", without the end of line
};

// Makes `directory`/`name`. The types are those of ssh-keygen -t: ed25519, ecdsa, rsa. Throws if ssh-keygen refuses.
key_pair make_key(const std::string& directory, const std::string& type = "ed25519", const std::string& name = "id");

// Signs `key` as a user certificate for the login name `principal`, valid as ssh-keygen -V says ("+5m", "-10m:-5m").
// Answers the path of the certificate, where ssh and libssh look for it: key.file + "-cert.pub".
std::string sign_user_key(const key_pair& authority, const key_pair& key, const std::string& principal,
                          const std::string& validity = "+5m");

}  // namespace test
