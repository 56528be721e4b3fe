// The lines of known_hosts, as sshd(8) describes them under SSH_KNOWN_HOSTS FILE FORMAT.
//
// A value: reads nothing, decides nothing. A host at another port than 22 is looked up as [host]:port, and under no other name.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "exec/result.h"
#include "exec/ssh/host_keys.h"

namespace exec::inline v0::ssh {

enum class marking { none, revoked, cert_authority };

// A key that stands somewhere for a host.
struct known_key {
    marking mark = marking::none;
    host_key key{};       // the fingerprint is left empty; of a key known by its fingerprint alone, the rest is
    std::string where{};  // "file:line"
};

class known_hosts_file {
   public:
    // No file is larger than this; a line has at most 64 KiB, a pattern 1 KiB.
    static constexpr std::size_t most = std::size_t{16} * 1024 * 1024;

    // Fails with: errc::invalid_argument, for the first line that cannot be read: "origin:line: reason".
    static result<known_hosts_file> parse(std::string_view text, std::string origin);

    // Every line for this host, in the order of the file. Takes some microseconds for each hashed line of the file.
    // Fails with: errc::unsupported, where libcrypto has no HMAC-SHA1 for a hashed line.
    result<std::vector<known_key>> find(const host_name& of) const;

    std::size_t lines() const noexcept { return lines_.size(); }

   private:
    struct line {
        std::string names{};  // patterns in lower case with commas between; empty: the name is hashed
        std::string salt{}, hash{};
        marking mark = marking::none;
        std::string algorithm{}, blob{};
        std::size_t number = 0;
    };
    // Both answer with what is wrong, or "".
    static std::string_view read_line(std::string_view text, line& into);
    static std::string_view read_names(std::string_view field, line& into);

    std::string origin_{};
    std::vector<line> lines_{};
};

}  // namespace exec::inline v0::ssh
