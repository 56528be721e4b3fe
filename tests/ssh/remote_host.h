// A server, a pool, and a runner on it, driven by the thread of the test.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <unistd.h>

#include <exec/ssh/runner.h>

#include "heard.h"
#include "living.h"
#include "local_host.h"
#include "poll_host.h"
#include "servers/openssh_server.h"

namespace test {

// A listener that keeps what it writes to: who drops a command may be gone before its observer is.
class keeping_listener final : public exec::observer {
   public:
    explicit keeping_listener(std::shared_ptr<heard> to) : kept_(std::move(to)), writes_(*kept_) {}

    void on_start(const exec::start_info& what) override { writes_.on_start(what); }
    exec::flow on_output(exec::stream from, std::uint64_t at, exec::bytes_view bytes) override {
        return writes_.on_output(from, at, bytes);
    }
    void on_gap(exec::stream from, std::uint64_t at, std::uint64_t missing) override {
        writes_.on_gap(from, at, missing);
    }
    void on_room() override { writes_.on_room(); }
    exec::flow on_heartbeat(exec::milliseconds running) override { return writes_.on_heartbeat(running); }
    void on_done(exec::result<exec::outcome> how) override { writes_.on_done(std::move(how)); }

   private:
    const std::shared_ptr<heard> kept_;
    listener writes_;
};

// A command on its way.
struct flight {
    const std::shared_ptr<heard> kept = std::make_shared<heard>();
    heard& to = *kept;
    exec::execution handle{};

    bool over() const { return to.over(); }
    const exec::outcome& outcome() const {
        if (!to.end) FAIL("it has not ended");
        if (!to.end->has_value()) FAIL("it failed: ", to.end->error().message());
        return **to.end;
    }
    const exec::failure& failure() const {
        if (!to.end) FAIL("it has not ended");
        if (to.end->has_value()) FAIL("it ran: ", to.out, to.err);
        return to.end->error();
    }
    // CHECKs that no promise of observer.h was broken.
    void kept_its_promises() const {
        for (const auto& each : to.broken) FAIL_CHECK(each);
    }
};

// CHECKs everything that a command whose connection went away must say, and what it must not.
inline void check_lost(const flight& one) {
    one.kept_its_promises();
    const auto& how = one.outcome();
    CHECK(how.how() == exec::ended::lost);
    CHECK(how.exit.what == exec::exit_status::kind::unknown);
    CHECK_FALSE(how.ok());
    CHECK_FALSE(how.out.complete);
    CHECK(how.out.bytes == one.to.out);
}

// How long to sleep: far longer than a test, and as no other process does.
inline std::string sleep_word() {
    static unsigned count = 0;
    return "1000." + std::to_string(::getpid()) + std::to_string(++count);
}

// The server of the test and whatever stands before it are somebody else's.
class ssh_client {
   public:
    explicit ssh_client(exec::ssh::pool_options options = {}, exec::loop_options on = {})
        : loop_(new_loop(std::move(on))), pool_(*exec::ssh::make_pool(*loop_, std::move(options))) {}

    exec::loop& on() { return *loop_; }
    exec::ssh::pool& sessions() { return *pool_; }
    exec::ssh::pool_stats stats() const { return pool_->stats(); }
    // Ends the pool, then the loop.
    void end_pool() { pool_.reset(); }

    std::shared_ptr<exec::runner> runner_to(exec::ssh::endpoint there, exec::ssh::runner_options options = {}) {
        auto made = exec::ssh::make_runner(*pool_, std::move(there), std::move(options));
        REQUIRE(made.has_value());
        return *std::move(made);
    }
    std::unique_ptr<flight> begin(exec::runner& with, exec::command what, exec::limits within = {}) {
        auto one = std::make_unique<flight>();
        one->handle = with.start(std::move(what), std::move(within), std::make_unique<keeping_listener>(one->kept));
        return one;
    }
    template <class Done>
    void until(Done done) {
        REQUIRE(drive_until(*loop_, done));
    }
    // The same for what no event of the loop tells.
    template <class Done>
    bool sees(Done done) {
        const auto give_up = std::chrono::steady_clock::now() + std::chrono::milliseconds(patience_ms);
        while (!done()) {
            if (std::chrono::steady_clock::now() > give_up) return false;
            if (readable(loop_->poll_fd(), 5)) loop_->run_ready();
        }
        return true;
    }
    // Drives until no process has this word among its arguments. False: one lives on.
    bool sees_end_of(const std::string& word) {
        return sees([&] { return named(word).empty(); });
    }
    // Drives until `one` was told all that it is ever told.
    flight& finish(flight& one) {
        until([&] { return one.over(); });
        one.kept_its_promises();
        return one;
    }
    exec::outcome outcome_of(exec::runner& with, exec::command what, exec::limits within = {}) {
        const auto one = begin(with, std::move(what), std::move(within));
        return finish(*one).outcome();
    }
    exec::failure failure_of(exec::runner& with, exec::command what, exec::limits within = {}) {
        const auto one = begin(with, std::move(what), std::move(within));
        return finish(*one).failure();
    }

   private:
    std::unique_ptr<exec::loop> loop_;
    std::unique_ptr<exec::ssh::pool> pool_;
};

inline exec::ssh::endpoint endpoint_at(int port, std::string user, std::shared_ptr<exec::ssh::provider> login,
                                       std::shared_ptr<exec::ssh::host_keys> trust) {
    exec::ssh::endpoint there;
    there.host = "127.0.0.1";
    there.port = static_cast<std::uint16_t>(port);
    there.user = std::move(user);
    there.login = std::move(login);
    there.trust = std::move(trust);
    return there;
}

// Of an OpenSSH server, at a port of its own or at that of a proxy before it.
inline exec::ssh::endpoint endpoint_of(const ssh_server& server, int port = 0) {
    if (port == 0) port = server.port();
    return endpoint_at(port, server.user(), exec::ssh::always(*exec::ssh::read_private_key(server.client_key())),
                       *exec::ssh::known_hosts_text(server.known_hosts_line(port), "test"));
}

// sshd for an account whose shell reads no files, where this machine can have one: the profile of the real account may take longer
// than all that is tested.
inline openssh_options quick(openssh_options options = {}) {
    if (options.login_shell.empty() && other_account::unavailable().empty()) options.login_shell = "/bin/dash";
    return options;
}

// One server, one client, one runner between them.
class remote_host {
   public:
    explicit remote_host(openssh_options server = quick(), exec::ssh::pool_options options = {},
                         exec::loop_options on = {})
        : server_(std::move(server)), client_(std::move(options), std::move(on)), there_(endpoint_of(server_)) {
        runner_ = client_.runner_to(there_);
    }

    exec::loop& on() { return client_.on(); }
    exec::ssh::pool& sessions() { return client_.sessions(); }
    exec::ssh::pool_stats stats() const { return client_.stats(); }
    openssh_server& server() { return server_; }
    ssh_client& client() { return client_; }
    exec::runner& runner() { return *runner_; }
    const exec::ssh::endpoint& there() const { return there_; }
    exec::ssh::endpoint at(int port) const { return endpoint_of(server_, port); }

    exec::execution start(exec::command what, exec::limits within, heard& to) {
        return runner_->start(std::move(what), std::move(within), std::make_unique<listener>(to));
    }
    void finish(const heard& to) {
        client_.until([&] { return to.over(); });
    }
    std::unique_ptr<flight> begin(exec::command what, exec::limits within = {}) {
        return client_.begin(*runner_, std::move(what), std::move(within));
    }
    exec::outcome outcome_of(exec::command what, exec::limits within = {}) {
        return client_.outcome_of(*runner_, std::move(what), std::move(within));
    }
    exec::failure failure_of(exec::command what, exec::limits within = {}) {
        return client_.failure_of(*runner_, std::move(what), std::move(within));
    }

   private:
    openssh_server server_;
    ssh_client client_;
    exec::ssh::endpoint there_;
    std::shared_ptr<exec::runner> runner_;
};

}  // namespace test
