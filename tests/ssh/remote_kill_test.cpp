#include "ssh/remote_kill.h"

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "living.h"
#include "misuse.h"
#include "real_shells.h"

namespace {

using exec::milliseconds;
using exec::ssh::group_state;
using exec::ssh::kill_line;
using exec::ssh::kill_order;
using exec::ssh::parse_kill_answer;
using exec::ssh::probe_line;
using real::words;

// Runs the line in a login shell as another channel would.
std::optional<group_state> ask(const std::string& line, const words& login = {"dash"},
                               const words& environment = {"PATH=/usr/bin:/bin"}) {
    auto invocation = login;
    invocation.insert(invocation.end(), {"-c", line});
    return parse_kill_answer(real::run(invocation, environment).out);
}

// A process of ours, reaped at the end of the test; `leads` a group or shares this program's.
class child {
   public:
    explicit child(
        bool leads, const std::function<void()>& body = [] {})
        : leads_(leads) {
        int told[2];
        REQUIRE(::pipe2(told, O_CLOEXEC) == 0);
        pid_ = ::fork();
        REQUIRE((pid_ == 0 || pid_ > 1));
        if (pid_ == 0) {
            for (int number = 1; number <= 31; ++number) std::signal(number, SIG_DFL);
            if (leads) ::setpgid(0, 0);
            ready_ = told[1];
            const int nowhere = ::open("/dev/null", O_RDWR | O_CLOEXEC);
            for (const int end : {0, 1, 2}) ::dup2(nowhere, end);
            // Also if the test ends early; not for what it starts.
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            body();
            ready();
            for (;;) ::pause();
        }
        ::close(told[1]);
        pollfd end{told[0], POLLIN, 0};
        char byte = 0;
        REQUIRE(::poll(&end, 1, 20'000) == 1);
        REQUIRE(::read(told[0], &byte, 1) == 1);
        ::close(told[0]);
    }
    ~child() {
        if (leads_) ::kill(static_cast<pid_t>(-pid_), SIGKILL);
        ::kill(pid_, SIGKILL);
        reap();
    }
    child(const child&) = delete;
    child& operator=(const child&) = delete;

    // In the child, and called by itself where the body returns.
    static void ready() { [[maybe_unused]] const auto told = ::write(ready_, "r", 1); }
    std::int64_t pid() const { return pid_; }
    void reap() {
        while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
        }
    }

   private:
    static inline int ready_ = -1;
    pid_t pid_ = -1;
    bool leads_;
};

// In a child: one more process, with `word` for a name so that it can be found.
void start_named(const std::string& word) {
    if (::fork() == 0) ::execlp("sleep", word.c_str(), "1000", nullptr);
    while (test::named(word).empty()) ::usleep(1000);
}

bool all_end(const std::vector<std::int64_t>& pids) {
    bool all = true;
    for (const auto pid : pids) all = test::ends(pid) && all;
    return all;
}

// A directory for each shell that may be a target's /bin/sh, in which it is called `sh`.
class inner_shells {
   public:
    inner_shells() {
        for (const std::string name : {"dash", "bash", "ksh93", "mksh", "busybox"}) {
            std::filesystem::create_directory(place_ / name);
            std::filesystem::create_symlink("/usr/bin/" + name, place_ / (name + "/sh"));
            paths_.push_back(place_ / (name + "/sh"));
        }
        std::filesystem::permissions(place_.path(), std::filesystem::perms{0755});
    }
    const words& paths() const { return paths_; }

   private:
    test::scratch_directory place_{};
    words paths_{};
};
const words& inner() {
    static const inner_shells all;
    return all.paths();
}

constexpr milliseconds patient{20'000};

}  // namespace

TEST_CASE("remote kill: TERM ends a whole group, and its unreaped leader is not taken for a member") {
    for (const words& login :
         {words{"dash"}, {"bash"}, {"zsh"}, {"ksh93"}, {"mksh"}, {"fish"}, {"tcsh"}, {"busybox", "sh"}}) {
        CAPTURE(login.front());
        const child leader(true, [] {
            if (::fork() == 0) {
                for (;;) ::pause();
            }
        });
        CHECK(ask(probe_line(leader.pid(), true), login) == group_state::alive);
        CHECK(ask(kill_line({leader.pid(), true, SIGTERM, true, patient}), login) == group_state::gone);
        // The zombie still answers to a signal.
        CHECK(::kill(static_cast<pid_t>(-leader.pid()), 0) == 0);
        CHECK(ask(probe_line(leader.pid(), true), login) == group_state::gone);
    }
}

TEST_CASE("remote kill: who ignores TERM is alive, until KILL, in a group and in a tree, with each /bin/sh") {
    for (const auto& shell : inner()) {
        for (const bool leads : {true, false}) {
            CAPTURE(shell);
            CAPTURE(leads);
            const auto word = test::unique_word();
            const child stubborn(leads, [&] {
                std::signal(SIGTERM, SIG_IGN);
                start_named(word);
            });
            const auto members = test::named(word);
            CHECK(ask(kill_line({stubborn.pid(), leads, SIGTERM, true, milliseconds{0}, shell})) == group_state::alive);
            CHECK(ask(kill_line({stubborn.pid(), leads, SIGTERM, true, milliseconds{100}, shell})) ==
                  group_state::alive);
            CHECK(test::alive(stubborn.pid()));
            CHECK(ask(kill_line({stubborn.pid(), leads, SIGKILL, true, patient, shell})) == group_state::gone);
            CHECK_FALSE(test::alive(stubborn.pid()));
            CHECK(all_end(members));
            CHECK(ask(kill_line({stubborn.pid(), leads, 0, false, milliseconds{0}, shell})) == group_state::gone);
        }
    }
}

TEST_CASE("remote kill: a stopped process gets its TERM because of the CONT behind it") {
    for (const bool leads : {true, false}) {
        const child stopped(leads);
        ::kill(static_cast<pid_t>(stopped.pid()), SIGSTOP);
        CHECK(ask(kill_line({stopped.pid(), leads, SIGTERM, false, milliseconds{300}})) == group_state::alive);
        CHECK(ask(kill_line({stopped.pid(), leads, SIGTERM, true, patient})) == group_state::gone);
    }
}

TEST_CASE("remote kill: a group whose leader is dead is alive while a member is") {
    const auto word = test::unique_word();
    child leader(true, [&] {
        start_named(word);
        child::ready();
        ::_exit(0);
    });
    CHECK(test::ends(leader.pid()));
    const auto members = test::named(word);
    REQUIRE(members.size() == 1);
    for (const auto& shell : inner()) {
        CHECK(ask(kill_line({leader.pid(), true, 0, false, milliseconds{0}, shell})) == group_state::alive);
    }
    leader.reap();
    CHECK(ask(probe_line(leader.pid(), true)) == group_state::alive);
    CHECK(ask(kill_line({leader.pid(), true, SIGKILL, true, patient})) == group_state::gone);
    CHECK(all_end(members));
}

TEST_CASE("remote kill: in a tree a child whose parent dies first is still waited for") {
    for (const auto& shell : inner()) {
        CAPTURE(shell);
        const auto word = test::unique_word();
        const child top(false, [&] {
            if (::fork() != 0) {
                while (test::named(word).empty()) ::usleep(1000);
                return;
            }
            if (::fork() == 0) {
                std::signal(SIGTERM, SIG_IGN);
                start_named(word);
            }
            for (;;) ::pause();
        });
        const auto members = test::named(word);
        REQUIRE(members.size() == 1);
        const test::killed_at_end member(members[0]);
        const test::killed_at_end parent(test::parent_of(members[0]));
        CHECK(ask(kill_line({top.pid(), false, SIGTERM, true, milliseconds{200}, shell})) == group_state::alive);
        CHECK(test::ends(top.pid()));
        CHECK(test::alive(members[0]));
    }
}

TEST_CASE("remote kill: names of processes that look like the rest of their line deceive nobody") {
    for (const char* name : {") Z 1 1 (", "a b) Z 1", "x\n) Z 1", "(\n", ")", "*"}) {
        CAPTURE(std::string(name));
        for (const bool leads : {true, false}) {
            CAPTURE(leads);
            const child odd(leads, [&] { ::prctl(PR_SET_NAME, name); });
            for (const auto& shell : inner()) {
                CHECK(ask(kill_line({odd.pid(), leads, 0, false, milliseconds{0}, shell})) == group_state::alive);
            }
            CHECK(ask(kill_line({odd.pid(), leads, SIGKILL, true, patient})) == group_state::gone);
        }
    }
}

TEST_CASE("remote kill: a process that is no more is gone") {
    child ended(true, [] {
        child::ready();
        ::_exit(0);
    });
    ended.reap();
    for (const auto& shell : inner()) {
        for (const bool leads : {true, false}) {
            CHECK(ask(kill_line({ended.pid(), leads, SIGTERM, true, milliseconds{0}, shell})) == group_state::gone);
        }
    }
}

TEST_CASE("remote kill: members of another user are denied, also beside a dead leader of this one") {
    if (::geteuid() != 0) {
        MESSAGE("SKIP: only root has processes of two users");
        return;
    }
    const auto word = test::unique_word();
    const child roots(true);
    child mixed(true, [&] {
        start_named(word);
        if (::setgroups(0, nullptr) != 0 || ::setgid(65534) != 0 || ::setuid(65534) != 0) ::_exit(1);
    });
    const auto members = test::named(word);
    for (const auto& shell : inner()) {
        CAPTURE(shell);
        const words nobody{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", shell};
        for (const bool leads : {true, false}) {
            CHECK(ask(kill_line({roots.pid(), leads, SIGKILL, true, milliseconds{300}, shell}), nobody) ==
                  group_state::denied);
        }
        CHECK(ask(kill_line({mixed.pid(), true, SIGTERM, true, patient, shell}), nobody) == group_state::denied);
        CHECK(test::ends(mixed.pid()));
        CHECK(all_end({mixed.pid()}));
        REQUIRE(members.size() == 1);
        CHECK(test::alive(members[0]));
    }
    CHECK(test::alive(roots.pid()));
}

TEST_CASE("remote kill: where sleep takes whole seconds only the wait still ends") {
    test::scratch_directory place;
    test::write_file(place / "sleep",
                     "#!/bin/sh\ncase $1 in *.*) exit 1;; esac\n: >>" + (place / "slept") + "\nexec /bin/sleep $1",
                     0755);
    const child stubborn(true, [] { std::signal(SIGTERM, SIG_IGN); });
    CHECK(ask(kill_line({stubborn.pid(), true, SIGTERM, true, milliseconds{1'000}}), {"dash"},
              {"PATH=" + place.path() + ":/usr/bin:/bin"}) == group_state::alive);
    CHECK(test::exists(place / "slept"));
}

TEST_CASE("remote kill: without /proc it takes ps, and without both it does not guess") {
    const words hidden{"unshare", "-m",           "/usr/bin/dash", "-c", "mount -t tmpfs none /proc && exec \"$@\"",
                       "x",       "/usr/bin/dash"};
    auto works = hidden;
    works.insert(works.end(), {"-c", "[ ! -e /proc/1 ] && echo yes"});
    if (real::run(works, {"PATH=/usr/bin:/bin"}).out != "yes\n") {
        MESSAGE("SKIP: no mount namespace can be made");
        return;
    }
    test::scratch_directory place;
    for (const std::string program : {"cut", "grep", "mount", "unshare", "sleep"}) {
        const auto from = std::filesystem::exists("/usr/bin/" + program) ? "/usr/bin/" : "/bin/";
        std::filesystem::create_symlink(from + program, place / program);
    }
    const words environment{"PATH=" + place.path()};
    child leader(true, [] {});
    const auto pid = std::to_string(leader.pid());
    const auto look = [&](const std::string& listing, bool leads, const std::string& shell) {
        const auto script =
            "#!/usr/bin/dash\n[ \"$*\" = \"-A -o pid= -o ppid= -o pgid= -o stat=\" ] || exit 1\ncat <<E\n" + listing +
            "\nE\n";
        test::write_file(place / "ps", script, 0755);
        std::filesystem::permissions(place / "ps", std::filesystem::perms{0755});
        if (!test::exists(place / "cat")) std::filesystem::create_symlink("/bin/cat", place / "cat");
        return ask(kill_line({leader.pid(), leads, 0, false, milliseconds{0}, shell}), hidden, environment);
    };
    const auto another = std::to_string(::getpid());
    for (const auto& shell : inner()) {
        CAPTURE(shell);
        std::filesystem::remove(place / "ps");
        for (const bool leads : {true, false}) {
            CHECK(ask(kill_line({leader.pid(), leads, 0, false, milliseconds{0}, shell}), hidden, environment) ==
                  group_state::alive);
        }
        CHECK(look("    1     0     1 Ss\n " + pid + "  1 " + pid + " S+", true, shell) == group_state::alive);
        CHECK(look("    1     0     1 Ss\n " + pid + "  1 " + pid + " Zs", true, shell) == group_state::gone);
        CHECK(look(" " + pid + "  1 " + pid + " Z\n" + another + " 1 " + pid + " R", true, shell) ==
              group_state::alive);
        CHECK(look(" " + pid + "  1 " + pid + " Z\n" + another + " 1 " + another + " R", true, shell) ==
              group_state::gone);
        CHECK(look(" " + pid + "  1  5 S", false, shell) == group_state::alive);
        CHECK(look(" " + another + " " + pid + " 5 S\n" + pid + "  1  5 Z", false, shell) == group_state::alive);
        CHECK(look(" " + pid + "  1  5 Z\n" + another + " 1 5 S", false, shell) == group_state::gone);
    }
}

TEST_CASE("remote kill: the answer is found behind what a profile prints, and nothing else is one") {
    CHECK(parse_kill_answer("\036exec group gone\n") == group_state::gone);
    CHECK(parse_kill_answer("welcome\ngone\n\036exec group alive\r\n") == group_state::alive);
    CHECK(parse_kill_answer("\036exec group denied") == group_state::denied);
    CHECK(parse_kill_answer("") == std::nullopt);
    CHECK(parse_kill_answer("gone\n") == std::nullopt);
    CHECK(parse_kill_answer("\036exec group \n") == std::nullopt);
    CHECK(parse_kill_answer("\036exec group gonexy\n") == std::nullopt);
    CHECK(parse_kill_answer("\036exec grou") == std::nullopt);
}

TEST_CASE(
    "remote kill: no line is made for numbers that mean everybody, nor one that a login shell reads in its own way") {
    const test::misuse_throws guard;
    for (const std::int64_t pid : {1, 0, -1, -4711}) {
        for (const bool leads : {true, false}) CHECK_THROWS_AS(probe_line(pid, leads), test::misuse);
    }
    for (const bool leads : {true, false}) {
        for (const int number : {0, 9, 15}) {
            const auto line = kill_line({4711, leads, number, true, patient});
            CHECK(line.find_first_of("\\!\n") == std::string::npos);
            CHECK(line.find('\'') + 1 < line.size());
            CHECK(line.find('\'', line.find('\'') + 1) == line.size() - 1);
            CHECK(line.size() < 3'000);
        }
    }
}
