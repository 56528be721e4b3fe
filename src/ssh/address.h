// Where a host is: literal addresses, and what a look-up says.
//
// Threads: values and pure functions. Nothing blocks, except look_up().
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "exec/result.h"

namespace exec::inline v0::ssh {

// An IPv4 or IPv6 address and a port.
struct address {
    sockaddr_storage raw{};
    socklen_t size = 0;

    int family() const noexcept { return raw.ss_family; }
    const sockaddr* get() const noexcept { return reinterpret_cast<const sockaddr*>(&raw); }
    sockaddr* get() noexcept { return reinterpret_cast<sockaddr*>(&raw); }
    bool operator==(const address& other) const noexcept;
};

// Without the port: "192.0.2.1", "fe80::1%eth0".
std::string text_of(const address& of);
// For people: "db.example:22", "[2001:db8::1]:22".
std::string name_of(const std::string& host, std::uint16_t port);

// What can be told without asking anybody. Nothing: `host` is a name.
std::optional<address> literal(const std::string& host, std::uint16_t port);

// Asks the system's resolver and blocks for as long as it does (resolv.conf: 5 s a server and try, if nobody answers). In the
// order in which they should be tried, both families in turn.
// Fails with: errc::connect_failed, the resolver's own words as the context, or an OS error; at stage::resolve.
result<std::vector<address>> look_up(const std::string& host, std::uint16_t port);
// A name with more addresses than this is a mistake or an attack: the rest is not tried.
inline constexpr std::size_t most_addresses = 32;

// RFC 8305, section 4: the same order within each family, and the families in turn, beginning with that of the first.
std::vector<address> in_turn(const std::vector<address>& found);

}  // namespace exec::inline v0::ssh
