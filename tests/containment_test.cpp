// What nothing escapes from: a cgroup of a command's own, a pid namespace of its own.
#include <exec/local_runner.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guards.h"
#include "living.h"
#include "local_host.h"
#include "posix/syscalls.h"

using namespace std::chrono_literals;
using exec::containment;
using exec::exit_status;
using exec::spawn_kind;
using exec::stop_reason;
using exec::survivors;
using exec::tree_state;
using test::both_drives;
using test::child;
using test::drive;
using test::heard;
using test::local_host;
using test::sh;
namespace posix = exec::posix;

namespace {

exec::limits inside(containment kind) {
    exec::limits within;
    within.contain = kind;
    return within;
}

// A cgroup for the runner, beneath the one that this process lives in.
class own_hierarchy {
   public:
    own_hierarchy() {
        const auto here = exec::own_cgroup();
        if (!here) FAIL(here.error().message());
        path_ = *here + "/" + test::unique_word();
        REQUIRE(::mkdir(path_.c_str(), 0755) == 0);
    }
    ~own_hierarchy() {
        for (const auto& left : commands()) ::rmdir((path_ + "/" + left).c_str());
        CHECK(::rmdir(path_.c_str()) == 0);
    }
    own_hierarchy(const own_hierarchy&) = delete;
    own_hierarchy& operator=(const own_hierarchy&) = delete;

    const std::string& path() const noexcept { return path_; }
    // The cgroups that are there now.
    std::vector<std::string> commands() const {
        std::vector<std::string> all;
        for (const auto& entry : std::filesystem::directory_iterator(path_)) {
            if (entry.is_directory()) all.push_back(entry.path().filename().string());
        }
        return all;
    }
    exec::local_options options() const {
        exec::local_options made;
        made.cgroup = path_;
        return made;
    }

   private:
    std::string path_;
};

exec::local_options with_namespaces() {
    exec::local_options options;
    options.pid_namespace = true;
    return options;
}

// Leaves two descendants in sessions of their own, one of them twice removed, that nobody in the group knows.
exec::command escaping(const std::string& mark) {
    return sh("\"$1\" escape -1 \"$2\" >/dev/null; setsid \"$1\" escape -1 \"$2\" >/dev/null 2>&1; exit 3",
              {EXEC_TEST_CHILD, mark});
}

void kill_all_named(const std::string& mark) {
    for (const auto pid : test::named(mark)) {
        ::kill(static_cast<pid_t>(pid), SIGKILL);
        CHECK(test::ends(pid));
    }
}

// A kernel before 5.14.
int open_without_kill(int directory, const char* path, int flags, unsigned mode) {
    if (std::strcmp(path, "cgroup.kill") == 0) {
        errno = ENOENT;
        return -1;
    }
    return posix::kernel_syscalls().open_at(directory, path, flags, mode);
}

}  // namespace

TEST_CASE("containment: what escapes a session is really there, or the tests below prove nothing") {
    const test::process_guard nothing_left;
    local_host host;
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        const auto mark = test::unique_word();
        CHECK(host.outcome_of(how, escaping(mark)).exit == exit_status::exited(3));
        CHECK(test::named(mark).size() == 2);
        kill_all_named(mark);
    }
}

TEST_CASE("containment: the host's own cgroup is found, and it is one") {
    const auto here = exec::own_cgroup();
    REQUIRE(here.has_value());
    CHECK(test::file_text(*here + "/cgroup.procs").find(std::to_string(::getpid()) + "\n") != std::string::npos);
}

TEST_CASE("containment: a cgroup takes every descendant with it, and goes itself") {
    const test::process_guard nothing_left;
    const own_hierarchy hierarchy;
    local_host host(hierarchy.options());
    CHECK(host.local().can().cgroup);
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        const auto mark = test::unique_word();
        const auto ended = host.outcome_of(how, escaping(mark), inside(containment::cgroup));
        CHECK(ended.exit == exit_status::exited(3));
        CHECK(ended.stopped_by == stop_reason::nobody);
        CHECK(ended.tree == tree_state::gone);
        CHECK(test::named(mark).empty());
        CHECK(hierarchy.commands().empty());

        const auto where = host.outcome_of(how, child({"cgroup"}), inside(containment::cgroup));
        CHECK(where.out.bytes.find(hierarchy.path().substr(hierarchy.path().rfind('/')) + "/exec-") !=
              std::string::npos);
        CHECK(where.tree == tree_state::gone);
        CHECK(host.outcome_of(how, child({"cgroup"})).out.bytes.find("/exec-test-") == std::string::npos);
    }
}

TEST_CASE("containment: without cgroup.kill the members are killed one by one, until there is none") {
    const test::process_guard nothing_left;
    const own_hierarchy hierarchy;
    posix::syscalls table = posix::kernel_syscalls();
    table.open_at = open_without_kill;
    local_host host(hierarchy.options());
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        const auto mark = test::unique_word();
        {
            const posix::replaced_syscalls old_kernel(table);
            const auto ended = host.outcome_of(how, escaping(mark), inside(containment::cgroup));
            CHECK(ended.exit == exit_status::exited(3));
            CHECK(ended.tree == tree_state::gone);
        }
        CHECK(test::named(mark).empty());
        CHECK(hierarchy.commands().empty());
    }
}

TEST_CASE("containment: a stop is polite to the group first, and then takes the whole cgroup") {
    const test::process_guard nothing_left;
    const own_hierarchy hierarchy;
    local_host host(hierarchy.options());
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        auto within = inside(containment::cgroup);
        within.run_timeout = 400ms;
        within.stop.grace = 20s;
        CHECK(host.outcome_of(how, child({"on-term", "5"}), within).exit == exit_status::exited(5));

        const auto mark = test::unique_word();
        within.stop.grace = 100ms;
        const auto ended =
            host.outcome_of(how,
                            sh("trap '' TERM; \"$1\" escape -1 \"$2\" >/dev/null; while :; do sleep 1000; done",
                               {EXEC_TEST_CHILD, mark}),
                            within);
        CHECK(ended.stopped_by == stop_reason::run_timeout);
        CHECK(ended.exit == exit_status::signaled(SIGKILL));
        CHECK(ended.tree == tree_state::gone);
        CHECK(test::named(mark).empty());
        CHECK(hierarchy.commands().empty());
    }
}

TEST_CASE("containment: survivors that may stay keep their cgroup, and are told of") {
    const test::process_guard nothing_left;
    const own_hierarchy hierarchy;
    local_host host(hierarchy.options());
    auto within = inside(containment::cgroup);
    within.stop.after_exit = survivors::leave;
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        const auto mark = test::unique_word();
        const auto ended = host.outcome_of(how, escaping(mark), within);
        CHECK(ended.tree == tree_state::may_survive);
        CHECK(test::named(mark).size() == 2);
        CHECK(hierarchy.commands().size() == 1);
        kill_all_named(mark);
        for (const auto& left : hierarchy.commands()) CHECK(::rmdir((hierarchy.path() + "/" + left).c_str()) == 0);

        CHECK(host.outcome_of(how, child({"exit", "0"}), within).tree == tree_state::gone);
        CHECK(hierarchy.commands().empty());
    }
}

TEST_CASE("containment: a command that could not start leaves no cgroup behind") {
    const test::process_guard nothing_left;
    const own_hierarchy hierarchy;
    local_host host(hierarchy.options());
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        CHECK(host.failure_of(how, test::words({"/no/such/program"}), inside(containment::cgroup)).at ==
              exec::stage::program);
        CHECK(hierarchy.commands().empty());
    }
}

TEST_CASE("containment: a cgroup that is not there any more is a failure at its stage") {
    const test::process_guard nothing_left;
    const own_hierarchy hierarchy;
    exec::local_options options;
    options.cgroup = hierarchy.path() + "/short-lived";
    REQUIRE(::mkdir(options.cgroup.c_str(), 0755) == 0);
    local_host host(options);
    REQUIRE(::rmdir(options.cgroup.c_str()) == 0);
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        const auto why = host.failure_of(how, child({"exit", "0"}), inside(containment::cgroup));
        CHECK(why.at == exec::stage::containment);
        CHECK(why.code.category() == std::system_category());
    }
}

TEST_CASE("containment: every way to spawn that can, puts the child into its cgroup; the other refuses") {
    const test::process_guard nothing_left;
    const own_hierarchy hierarchy;
    for (const auto kind : {spawn_kind::clone3, spawn_kind::clone, spawn_kind::fork, spawn_kind::posix_spawn}) {
        if (kind == spawn_kind::clone && test::thread_sanitizer) continue;
        CAPTURE(static_cast<int>(kind));
        auto options = hierarchy.options();
        options.spawn = kind;
        local_host host(options);
        for (const drive how : both_drives) {
            INFO(test::name_of(how));
            const auto mark = test::unique_word();
            const auto ended = host.run(how, escaping(mark), inside(containment::cgroup));
            if (kind == spawn_kind::posix_spawn) {
                REQUIRE_FALSE(ended.has_value());
                CHECK(ended.error().code == exec::errc::unsupported);
            } else {
                REQUIRE(ended.has_value());
                CHECK(ended->tree == tree_state::gone);
                CHECK(test::named(mark).empty());
            }
            CHECK(hierarchy.commands().empty());
        }
    }
}

TEST_CASE("containment: a handle that is dropped takes the cgroup with it") {
    const test::process_guard nothing_left;
    const own_hierarchy hierarchy;
    const auto mark = test::unique_word();
    {
        local_host host(hierarchy.options());
        heard to;
        {
            const auto dropped = host.start(sh("\"$1\" escape -1 \"$2\"; exec sleep 1000", {EXEC_TEST_CHILD, mark}),
                                            inside(containment::cgroup), to);
            REQUIRE(test::drive_until(host.on(), [&] { return to.chunks > 0; }));
        }
        host.on().shutdown(20s);
    }
    CHECK(test::named(mark).empty());
    CHECK(hierarchy.commands().empty());
}

TEST_CASE("containment: in a pid namespace the status stays exact") {
    const test::process_guard nothing_left;
    local_host host(with_namespaces());
    CHECK(host.local().can().pid_namespace);
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        for (const int code : {0, 3, 255}) {
            const auto ended =
                host.outcome_of(how, child({"exit", std::to_string(code)}), inside(containment::pid_namespace));
            CHECK(ended.exit == exit_status::exited(code));
            CHECK(ended.tree == tree_state::gone);
            CHECK(ended.used.max_rss > 0);
        }
        for (const int number : {SIGTERM, SIGKILL, SIGSEGV, SIGRTMAX}) {
            const auto ended =
                host.outcome_of(how, child({"signal", std::to_string(number)}), inside(containment::pid_namespace));
            CHECK(ended.exit == exit_status::signaled(number));
        }
        // It is not process 1 itself, but it sees no other process than its own.
        CHECK(host.outcome_of(how, sh("test $$ -gt 1 && test $$ -lt 10 && cat"), inside(containment::pid_namespace))
                  .ok());
        CHECK(host.failure_of(how, test::words({"/no/such/program"}), inside(containment::pid_namespace)).at ==
              exec::stage::program);
    }
}

TEST_CASE("containment: a pid namespace takes every descendant with it") {
    const test::process_guard nothing_left;
    local_host host(with_namespaces());
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        const auto mark = test::unique_word();
        const auto ended = host.outcome_of(how, escaping(mark), inside(containment::pid_namespace));
        CHECK(ended.exit == exit_status::exited(3));
        CHECK(ended.tree == tree_state::gone);
        CHECK(test::named(mark).empty());
    }
}

TEST_CASE("containment: in a pid namespace TERM arrives, and KILL is told as what it was") {
    const test::process_guard nothing_left;
    local_host host(with_namespaces());
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        auto within = inside(containment::pid_namespace);
        within.run_timeout = 400ms;
        within.stop.grace = 20s;
        auto ended = host.outcome_of(how, child({"on-term", "5"}), within);
        CHECK(ended.stopped_by == stop_reason::run_timeout);
        CHECK(ended.exit == exit_status::exited(5));

        within.stop.grace = 100ms;
        const auto mark = test::unique_word();
        ended = host.outcome_of(how,
                                sh("trap '' TERM; \"$1\" escape -1 \"$2\" >/dev/null; while :; do sleep 1000; done",
                                   {EXEC_TEST_CHILD, mark}),
                                within);
        CHECK(ended.stopped_by == stop_reason::run_timeout);
        CHECK(ended.exit == exit_status::signaled(SIGKILL));
        CHECK(ended.how() == exec::ended::timed_out);
        CHECK(ended.tree == tree_state::gone);
        CHECK(test::named(mark).empty());
    }
    heard to;
    auto handle =
        host.start(sh("trap 'exit 6' USR1; echo ready; sleep 1000 & wait"), inside(containment::pid_namespace), to);
    REQUIRE(test::drive_until(host.on(), [&] { return to.chunks > 0; }));
    CHECK(handle.signal(SIGUSR1).has_value());
    host.finish(to);
    CHECK(to.outcome().exit == exit_status::exited(6));
}

TEST_CASE("containment: survivors of a pid namespace that may stay are told of, and reaped when they end") {
    const test::process_guard nothing_left;
    local_host host(with_namespaces());
    auto within = inside(containment::pid_namespace);
    within.stop.after_exit = survivors::leave;
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        const auto mark = test::unique_word();
        const auto ended = host.outcome_of(how, escaping(mark), within);
        CHECK(ended.exit == exit_status::exited(3));
        CHECK(ended.tree == tree_state::may_survive);
        const auto members = test::named(mark);
        REQUIRE(members.size() == 2);
        const auto init = test::parent_of(members.front());  // where orphans go in there
        kill_all_named(mark);
        // It ends with its last member, and is reaped by whoever starts a command next.
        CHECK(test::ends(init));
        CHECK(host.outcome_of(how, child({"exit", "0"})).ok());
        CHECK_FALSE(test::exists("/proc/" + std::to_string(init)));
    }
}

TEST_CASE("containment: a pid namespace and a terminal, a user and a cgroup go together") {
    const test::process_guard nothing_left;
    auto options = with_namespaces();
    options.as = exec::identity{65534, 65534, {}};
    local_host host(options);
    for (const drive how : both_drives) {
        INFO(test::name_of(how));
        auto what = sh("id -u; tty >/dev/null && echo terminal");
        what.terminal = exec::terminal_size{};
        const auto ended = host.outcome_of(how, what, inside(containment::pid_namespace));
        CHECK(ended.out.bytes == "65534\r\nterminal\r\n");
        CHECK(ended.tree == tree_state::gone);
    }
}
