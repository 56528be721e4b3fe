#include "ssh/far_end.h"

#include <unistd.h>

#include <cstdint>
#include <utility>

#include "servers/other_account.h"

namespace bench {

far_end::far_end(const report& of, test::openssh_options options) {
    for (const auto* program : {"/usr/sbin/sshd", "/usr/bin/ssh", "/bin/dash"}) {
        if (::access(program, X_OK) != 0) of.skip(std::string("no ") + program);
    }
    const auto why = test::other_account::unavailable();
    if (!why.empty()) of.skip(why);
    options.login_shell = "/bin/dash";
    server_ = std::make_unique<test::openssh_server>(std::move(options));
}

exec::ssh::endpoint far_end::endpoint(int port) const {
    if (port == 0) port = server_->port();
    exec::ssh::endpoint there;
    there.host = "127.0.0.1";
    there.port = static_cast<std::uint16_t>(port);
    there.user = server_->user();
    there.login = exec::ssh::always(exec::ssh::read_private_key(server_->client_key()).value());
    there.trust = exec::ssh::known_hosts_text(server_->known_hosts_line(port), "benchmark").value();
    return there;
}

}  // namespace bench
