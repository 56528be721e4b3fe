// The SSH runner, held to the table that every runner is held to.
#include <exec/testing/runner_conformance.h>

#include <algorithm>
#include <cstdlib>
#include <future>
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
#include "sanitizer.h"
#include "servers/dropbear_server.h"
#include "servers/openssh_server.h"
#include "servers/other_account.h"
#include "servers/tinyssh_server.h"

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

conformance_subject::pair remote_pair(const test::ssh_server& server) {
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

// Rows that no runner over SSH can keep, and why.
bool can_be_kept(std::string_view row) {
    // Only the kernel there knows, and it tells the shell: an exit status of 126 or 127.
    if (row == "a script whose interpreter is missing is told apart from a missing program") return false;
    // A server takes what the command does not, and does not tell.
    if (row == "a child that stops reading is no error, and what it took is told") return false;
    // The pool outlives the commands; the kit knows of no pool.
    if (row == "a runner may go before its commands") return false;
    // What of the account's login there is to inherit is not ours to name.
    if (row == "without the base there is what was said, and inheriting is by name") return false;
    const char* only = std::getenv("EXEC_CONFORMANCE_ROW");
    return only == nullptr || row.find(only) != std::string_view::npos;
}

struct judged {
    std::string name;
    testing::conformance_report report;
};

// One server in one drive mode. Returns what to say about it; assertions belong to the test's own thread.
judged check_remote(const std::string& name, const test::ssh_server& server, drive how,
                    std::set<std::string> not_there) {
    auto own = remote_pair(server);
    conformance_subject subject;
    subject.tested = own.tested;
    subject.on = own.on.get();
    subject.how = how;
    subject.fresh = [&server] { return remote_pair(server); };
    subject.also_in_environment = login_environment(*own.on, *own.tested);
    subject.only = [&](std::string_view row) { return can_be_kept(row) && not_there.count(std::string(row)) == 0; };
    std::unique_ptr<loop_thread> thread;
    if (how != drive::here) thread = std::make_unique<loop_thread>(*own.on);
    auto report = testing::check_conformance(subject, [&](std::string_view row, std::string_view verdict) {
        if (std::getenv("EXEC_CONFORMANCE_SAY") != nullptr) MESSAGE(name, ": ", row, ": ", verdict);
    });
    return {name, std::move(report)};
}

void judge(const std::vector<judged>& played) {
    for (const auto& [name, report] : played) {
        MESSAGE(report.text(name));
        for (const auto& violation : report.violations) FAIL_CHECK(name, ": ", violation.row, ": ", violation.sentence);
        if (std::getenv("EXEC_CONFORMANCE_ROW") != nullptr) continue;
        CHECK(report.total() >= 40);
        CHECK(std::set<std::string>(report.refused.begin(), report.refused.end()) ==
              std::set<std::string>{"what the kernel charged is told", "cgroup: nothing escapes",
                                    "pid_namespace: nothing escapes, TERM works and the exit code is exact"});
    }
}

}  // namespace

TEST_CASE("ssh conformance: the runner keeps every row on OpenSSH, in every drive mode, all at once") {
    test::openssh_options options;
    // A quick login: the table has some 400 commands.
    if (test::other_account::unavailable().empty()) options.login_shell = "/bin/dash";
    const test::openssh_server server(options);
    std::vector<std::future<judged>> playing;
    for (const auto& [name, how] : {std::pair{"OpenSSH, blocking", drive::blocking},
                                    {"OpenSSH, loop", drive::here},
                                    {"OpenSSH, loop_thread", drive::elsewhere}}) {
        playing.push_back(
            std::async(std::launch::async, check_remote, name, std::cref(server), how, std::set<std::string>{}));
        // Three times slower in all that it does: one player at a time.
        if (test::address_sanitizer) playing.back().wait();
    }
    std::vector<judged> played;
    for (auto& each : playing) played.push_back(each.get());
    judge(played);
}

TEST_CASE("ssh conformance: the runner keeps every row on dropbear, but for four that it cannot") {
    if (const auto reason = test::other_account::unavailable(); !reason.empty()) {
        MESSAGE("SKIP: ", reason);
        return;
    }
    test::dropbear_options quick;
    quick.login_shell = "/bin/dash";
    const test::dropbear_server dropbear(quick);
    judge({check_remote(
        "dropbear", dropbear, drive::here,
        {// It closes a channel when the command's leader ends, whoever else still writes. Told as incomplete.
         "a descendant that still writes is read to its end", "a descendant that writes for ever is cut at drain_max",
         "an escaped descendant that holds the pipe is not said to be gone, unless it is",
         // Version 2022.83 aborts a connection on which ten commands run. Told as lost.
         "many at once: each has its own end and its own output"})});
}

TEST_CASE("ssh conformance: the runner keeps every row on tinysshd, but for eight that it cannot") {
    if (const auto reason = test::other_account::unavailable(); !reason.empty()) {
        MESSAGE("SKIP: ", reason);
        return;
    }
    const test::tinyssh_server tinyssh("/bin/dash");
    judge({check_remote(
        "tinysshd", tinyssh, drive::here,
        {// It ends a connection on which input comes for a command that takes none. Told as lost.
         "a child that does not read its input is no error",
         "a child that stopped reading takes everything and holds no writer back",
         // It looks for the leader's end only when everybody has closed the output.
         "a descendant that holds the pipe cannot hold us past the drain",
         "a descendant that writes for ever is cut at drain_max",
         "an escaped descendant that holds the pipe is not said to be gone, unless it is",
         "stop after the leader's exit ends the drain, and is not the cause of the exit",
         // One channel a connection, and no signal request: an order needs a login, and none begins on a loop that ends.
         "shutdown ends what runs, and tells it before it returns",
         "a loop that is destroyed kills what runs, and tells it before it is gone"})});
}
