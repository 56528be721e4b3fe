// endpoint: a machine that speaks SSH, and everything that makes a session to it different from any other.
//
// Commands share a session only if their endpoints are the same in every member: same name and address, same account, and
// the very same objects for the way there, the trust and the login. So make those objects once, and hand them out.
// Threads: a value; the objects that it refers to are shared.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "exec/ssh/connector.h"
#include "exec/ssh/credentials.h"
#include "exec/ssh/host_keys.h"

namespace exec::inline v0::ssh {

struct endpoint {
    // Where.
    std::string host{};  // a name or a literal address
    std::uint16_t port = 22;
    // Who is there, where addresses are given to one machine after another ("i-0abc..."); host keys are looked up under it
    // if it is set, else under host and port.
    std::string machine{};
    std::shared_ptr<connector> via{};  // the way; empty: pool_options::via

    // Who we are, and whom we trust. Both are needed: an endpoint without one is refused with errc::invalid_argument.
    std::string user{};
    std::shared_ptr<provider> login{};
    std::shared_ptr<host_keys> trust{};

    // Sessions are never shared between two scopes, however alike the rest is: one for each tenant.
    std::string scope{};
    // Of the same target, the newer route replaces the older one: a session that was made for a smaller epoch takes no new
    // command as soon as one with a greater epoch is asked for, and is closed when its commands have ended.
    std::uint64_t epoch = 0;

    // "deploy@build-7:22", for people.
    std::string text() const {
        auto all = user + '@' + (machine.empty() ? host : machine);
        if (port != 22) all += ':' + std::to_string(port);
        return all;
    }
    // What is the same in two endpoints that share sessions, apart from the epoch.
    bool same_target(const endpoint& other) const noexcept {
        return port == other.port && host == other.host && machine == other.machine && user == other.user &&
               scope == other.scope && via == other.via && login == other.login && trust == other.trust;
    }
};

}  // namespace exec::inline v0::ssh
