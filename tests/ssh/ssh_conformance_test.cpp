// The SSH runner, held to the table that every runner is held to.
#include <exec/testing/runner_conformance.h>

#include <cstdlib>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <exec/loop_thread.h>
#include <exec/ssh/runner.h>

#include "heard.h"
#include "poll_host.h"
#include "servers/openssh_server.h"

namespace {

using namespace exec;
using testing::conformance_subject;
using testing::drive;

// A pool that goes with the runner that uses it.
class pooled final : public runner {
   public:
    pooled(std::unique_ptr<ssh::pool> pool, std::shared_ptr<runner> over)
        : pool_(std::move(pool)), over_(std::move(over)) {}

    execution start(command what, limits within, std::unique_ptr<observer> tell) override {
        return over_->start(std::move(what), std::move(within), std::move(tell));
    }
    result<outcome> run(command what, limits within, observer& tell, std::stop_token stop) override {
        return over_->run(std::move(what), std::move(within), tell, std::move(stop));
    }
    capabilities can() const override { return over_->can(); }

   private:
    std::unique_ptr<ssh::pool> pool_;
    std::shared_ptr<runner> over_;
};

conformance_subject::pair remote_pair(const test::openssh_server& server) {
    auto on = make_loop();
    REQUIRE(on);
    auto pool = ssh::make_pool(**on);
    REQUIRE(pool);
    ssh::endpoint there;
    there.host = "127.0.0.1";
    there.port = static_cast<std::uint16_t>(server.port());
    there.user = server.user();
    there.login = ssh::always(*ssh::read_private_key(server.client_key()));
    there.trust = *ssh::known_hosts_text(server.known_hosts_line(), "test");
    auto over = ssh::make_runner(**pool, std::move(there));
    REQUIRE(over);
    return {*std::move(on), std::make_shared<pooled>(*std::move(pool), *std::move(over))};
}

// The names that every command of this account has: from sshd, PAM and whatever its shell reads.
std::vector<std::string> login_environment(loop& on, runner& there) {
    test::heard to;
    command what;
    what.program_and_args = argv("/usr/bin/env", "-0");
    const auto handle = there.start(std::move(what), {}, std::make_unique<test::listener>(to));
    REQUIRE(test::drive_until(on, [&] { return to.over(); }));
    std::vector<std::string> names;
    for (std::size_t at = 0; at < to.out.size(); at = to.out.find('\0', at) + 1) {
        names.push_back(to.out.substr(at, to.out.find('=', at) - at));
        if (to.out.find('\0', at) == std::string::npos) break;
    }
    return names;
}

conformance_subject subject_of(const conformance_subject::pair& own, const test::openssh_server& server, drive how) {
    conformance_subject subject;
    subject.tested = own.tested;
    subject.on = own.on.get();
    subject.how = how;
    subject.fresh = [&server] { return remote_pair(server); };
    subject.also_in_environment = login_environment(*own.on, *own.tested);
    subject.only = [](std::string_view row) {
        // Only the kernel there knows, and it tells the shell: an exit status of 126 or 127.
        if (row == "a script whose interpreter is missing is told apart from a missing program") return false;
        // The pool outlives the commands; the kit knows of no pool.
        if (row == "a runner may go before its commands") return false;
        // What of the account's login there is to inherit is not ours to name.
        if (row == "without the base there is what was said, and inheriting is by name") return false;
        const char* only = std::getenv("EXEC_CONFORMANCE_ROW");
        return only == nullptr || row.find(only) != std::string_view::npos;
    };
    return subject;
}

}  // namespace

TEST_CASE("ssh conformance: the runner keeps every row on OpenSSH") {
    const test::openssh_server server;
    auto own = remote_pair(server);
    const auto subject = subject_of(own, server, drive::here);
    const auto report = testing::check_conformance(subject, [](std::string_view row, std::string_view verdict) {
        if (std::getenv("EXEC_CONFORMANCE_SAY") != nullptr) MESSAGE(std::string(row), ": ", std::string(verdict));
    });
    MESSAGE(report.text("ssh runner, OpenSSH, loop"));
    for (const auto& violation : report.violations) FAIL_CHECK(violation.row, ": ", violation.sentence);
}
