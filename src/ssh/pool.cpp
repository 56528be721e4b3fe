#include "exec/ssh/pool.h"

#include <utility>

#include "loop/core.h"
#include "ssh/pool_core.h"

namespace exec::inline v0::ssh {

result<std::unique_ptr<pool>> make_pool(loop& on, pool_options options) {
    if (options.keepalive_misses < 2) return fail(errc::invalid_argument, "pool: keepalive_misses is below 2");
    if (options.channels_per_session == 0 || options.sessions_per_target == 0 || options.sessions == 0 ||
        options.handshakes_per_target == 0) {
        return fail(errc::invalid_argument, "pool: a bound is 0");
    }
    for (const auto each : {options.handshake_timeout, options.keepalive, options.idle_timeout, options.max_age}) {
        if (each <= milliseconds::zero()) return fail(errc::invalid_argument, "pool: a time must be positive");
    }
    auto tcp = options.via ? options.via : make_tcp_connector(on, {.names = options.blocking});
    return std::unique_ptr<pool>(
        new pool(std::make_shared<pool_core>(exec::detail::core_of(on), std::move(options), std::move(tcp))));
}

pool::~pool() {
    const auto& on = core_->loop();
    // Commands that the loop has not seen yet are told in its turns; one that has ended has told them all.
    bool ended = on->driven_here() || on->closing();
    if (ended) {
        core_->end();
        return;
    }
    exec::detail::post(*on, [this, &ended] {
        core_->end();
        ended = true;
    });
    while (!ended) on->run_ready({});
}

void pool::retire(const endpoint& target, milliseconds within) {
    exec::detail::post(*core_->loop(), [core = core_, target, within] { core->retire(target, within); });
}

pool_stats pool::stats() const { return core_->snapshot(); }

}  // namespace exec::inline v0::ssh
