#include "ssh/address.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <memory>
#include <utility>

#include <netdb.h>
#include <netinet/in.h>

namespace exec::inline v0::ssh {
namespace {

struct frees_list {
    void operator()(addrinfo* list) const noexcept { ::freeaddrinfo(list); }
};
using address_list = std::unique_ptr<addrinfo, frees_list>;

// An answer of getaddrinfo: 0 or one of its EAI numbers.
int ask(const std::string& host, int flags, address_list& into) {
    addrinfo hints{};
    hints.ai_flags = flags;
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* list = nullptr;
    const int error = ::getaddrinfo(host.c_str(), nullptr, &hints, &list);
    into.reset(error == 0 ? list : nullptr);
    return error;
}

std::optional<address> with_port(const addrinfo& from, std::uint16_t port) {
    address made;
    if (from.ai_addrlen > sizeof made.raw) return std::nullopt;
    std::memcpy(&made.raw, from.ai_addr, from.ai_addrlen);
    made.size = from.ai_addrlen;
    switch (made.family()) {
        case AF_INET: reinterpret_cast<sockaddr_in&>(made.raw).sin_port = htons(port); return made;
        case AF_INET6: reinterpret_cast<sockaddr_in6&>(made.raw).sin6_port = htons(port); return made;
        default: return std::nullopt;
    }
}

// What C would cut is no host: half a name may be somebody else's.
bool is_whole(const std::string& host) noexcept { return !host.empty() && host.find('\0') == std::string::npos; }

}  // namespace

bool address::operator==(const address& other) const noexcept {
    return size == other.size && std::memcmp(&raw, &other.raw, size) == 0;
}

std::string text_of(const address& of) {
    char text[NI_MAXHOST];
    const int error = ::getnameinfo(of.get(), of.size, text, sizeof text, nullptr, 0, NI_NUMERICHOST);
    return error == 0 ? text : "?";
}

std::string name_of(const std::string& host, std::uint16_t port) {
    auto name = host.find(':') == std::string::npos ? host : '[' + host + ']';
    return name.append(":").append(std::to_string(port));
}

std::optional<address> literal(const std::string& host, std::uint16_t port) {
    address_list list;
    if (!is_whole(host) || ask(host, AI_NUMERICHOST, list) != 0) return std::nullopt;
    return with_port(*list, port);
}

result<std::vector<address>> look_up(const std::string& host, std::uint16_t port) {
    const auto failed = [&](const char* why) {
        return failure{make_error_code(errc::connect_failed), host + ": " + why, {}, stage::resolve};
    };
    if (!is_whole(host)) return failed("not a host name");
    address_list list;
    if (const int error = ask(host, 0, list); error == EAI_SYSTEM) {
        return os_failure(errno, stage::resolve, host);
    } else if (error != 0) {
        return failed(::gai_strerror(error));
    }
    std::vector<address> found;
    for (const auto* each = list.get(); each != nullptr; each = each->ai_next) {
        const auto one = with_port(*each, port);
        if (one && std::find(found.begin(), found.end(), *one) == found.end()) found.push_back(*one);
    }
    if (found.empty()) return failed("no address");
    auto ordered = in_turn(found);
    ordered.resize((std::min)(ordered.size(), most_addresses));
    return ordered;
}

std::vector<address> in_turn(const std::vector<address>& found) {
    std::vector<address> first;
    std::vector<address> second;
    for (const auto& each : found) (each.family() == found.front().family() ? first : second).push_back(each);
    std::vector<address> all;
    all.reserve(found.size());
    for (std::size_t i = 0; i < (std::max)(first.size(), second.size()); ++i) {
        if (i < first.size()) all.push_back(first[i]);
        if (i < second.size()) all.push_back(second[i]);
    }
    return all;
}

}  // namespace exec::inline v0::ssh
