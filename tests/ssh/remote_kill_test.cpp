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

using exec::ssh::answer_reader;
using exec::ssh::control_line;
using exec::ssh::group_state;
using exec::ssh::kill_order;
using exec::ssh::order_line;
using real::words;

kill_order order(std::int64_t pid, bool leads, int signal, bool and_continue = true) {
    return {7, pid, leads, signal, and_continue, false};
}
kill_order look(std::int64_t pid, bool leads) { return {7, pid, leads, 0, false, true}; }

// The program in a login shell, as on a channel of its own, and what it answers to each order.
std::vector<group_state> ask_all(const std::vector<kill_order>& orders, const std::string& shell = "/bin/sh",
                                 const words& login = {"dash"}, const words& environment = {"PATH=/usr/bin:/bin"}) {
    auto invocation = login;
    invocation.insert(invocation.end(), {"-c", control_line(shell)});
    std::string input;
    for (std::size_t id = 0; id < orders.size(); ++id) input += order_line(id, orders[id]);
    const auto ended = real::run(invocation, environment, input);
    std::vector<group_state> answers;
    answer_reader reader;
    exec::bytes_view rest = ended.out;
    while (const auto said = reader.next(rest)) {
        CHECK(said->id == answers.size());
        answers.push_back(said->is);
    }
    CHECK(answers.size() == orders.size());
    return answers;
}
std::optional<group_state> ask(const kill_order& what, const std::string& shell = "/bin/sh",
                               const words& login = {"dash"}, const words& environment = {"PATH=/usr/bin:/bin"}) {
    const auto answers = ask_all({what}, shell, login, environment);
    return answers.empty() ? std::nullopt : std::optional(answers.front());
}
// Sends it again until the answer is the one that is waited for.
bool becomes(group_state state, kill_order what, const std::string& shell = "/bin/sh", const words& login = {"dash"}) {
    what.thorough = true;
    for (int times = 0; times < 500; ++times) {
        if (ask(what, shell, login) == state) return true;
        ::usleep(20'000);
    }
    return false;
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
        CHECK(ask(look(leader.pid(), true), "/bin/sh", login) == group_state::alive);
        CHECK(ask(order(leader.pid(), true, SIGTERM), "/bin/sh", login) == group_state::alive);
        CHECK(becomes(group_state::gone, look(leader.pid(), true), "/bin/sh", login));
        // The zombie still answers to a signal.
        CHECK(::kill(static_cast<pid_t>(-leader.pid()), 0) == 0);
        CHECK(ask(order(leader.pid(), true, 0), "/bin/sh", login) == group_state::alive);
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
            CHECK(ask_all({order(stubborn.pid(), leads, SIGTERM), look(stubborn.pid(), leads)}, shell) ==
                  std::vector{group_state::alive, group_state::alive});
            CHECK(test::alive(stubborn.pid()));
            CHECK(becomes(group_state::gone, order(stubborn.pid(), leads, SIGKILL), shell));
            CHECK_FALSE(test::alive(stubborn.pid()));
            CHECK(all_end(members));
            CHECK(ask(look(stubborn.pid(), leads), shell) == group_state::gone);
        }
    }
}

TEST_CASE("remote kill: a stopped process gets its TERM because of the CONT behind it") {
    for (const bool leads : {true, false}) {
        // Of a group of its own in both cases: the kernel continues a stopped one whose group becomes an orphan.
        const child stopped(true);
        ::kill(static_cast<pid_t>(stopped.pid()), SIGSTOP);
        // Until it is: of two signals that wait, the kernel hands out TERM first.
        int status = 0;
        REQUIRE(::waitpid(static_cast<pid_t>(stopped.pid()), &status, WUNTRACED) == stopped.pid());
        REQUIRE(WIFSTOPPED(status));
        CHECK(ask_all({order(stopped.pid(), leads, SIGTERM, false), look(stopped.pid(), leads)}) ==
              std::vector{group_state::alive, group_state::alive});
        CHECK(test::alive(stopped.pid()));
        CHECK(becomes(group_state::gone, order(stopped.pid(), leads, SIGTERM, true)));
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
    for (const auto& shell : inner()) CHECK(ask(look(leader.pid(), true), shell) == group_state::alive);
    leader.reap();
    CHECK(ask(look(leader.pid(), true)) == group_state::alive);
    CHECK(becomes(group_state::gone, order(leader.pid(), true, SIGKILL)));
    CHECK(all_end(members));
}

TEST_CASE("remote kill: in a tree a child whose parent dies first is still known, to its owner alone") {
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
        auto term = order(top.pid(), false, SIGTERM);
        auto another = look(top.pid(), false);
        another.owner = 8;
        // Until the top has died, so that the last ones are asked behind its death.
        std::vector<kill_order> orders{term};
        for (int times = 0; times < 20; ++times) orders.push_back(look(top.pid(), false));
        orders.push_back(another);
        const auto answers = ask_all(orders, shell);
        REQUIRE(answers.size() == orders.size());
        CHECK(answers[answers.size() - 2] == group_state::alive);
        CHECK(answers.back() == group_state::gone);
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
            for (const auto& shell : inner()) CHECK(ask(look(odd.pid(), leads), shell) == group_state::alive);
            CHECK(becomes(group_state::gone, order(odd.pid(), leads, SIGKILL)));
        }
    }
}

TEST_CASE("remote kill: a process that is no more is gone, and costs a group no process to be told") {
    child ended(true, [] {
        child::ready();
        ::_exit(0);
    });
    ended.reap();
    for (const auto& shell : inner()) {
        for (const bool leads : {true, false}) {
            CHECK(ask(order(ended.pid(), leads, SIGTERM), shell) == group_state::gone);
            CHECK(ask(look(ended.pid(), leads), shell) == group_state::gone);
        }
    }
    // Not one program is found on this PATH.
    CHECK(ask(order(ended.pid(), true, SIGKILL), "/bin/sh", {"dash"}, {"PATH=/nowhere"}) == group_state::gone);
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
            auto kill = order(roots.pid(), leads, SIGKILL);
            kill.thorough = true;
            CHECK(ask(kill, shell, nobody) == group_state::denied);
        }
        CHECK(becomes(group_state::denied, order(mixed.pid(), true, SIGTERM), shell, nobody));
        CHECK(test::ends(mixed.pid()));
        REQUIRE(members.size() == 1);
        CHECK(test::alive(members[0]));
    }
    CHECK(test::alive(roots.pid()));
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
    for (const std::string program : {"cut", "grep", "mount", "unshare"}) {
        const auto from = std::filesystem::exists("/usr/bin/" + program) ? "/usr/bin/" : "/bin/";
        std::filesystem::create_symlink(from + program, place / program);
    }
    const words environment{"PATH=" + place.path()};
    child leader(true, [] {});
    const auto pid = std::to_string(leader.pid());
    const auto seen = [&](const std::string& listing, bool leads, const std::string& shell) {
        const auto script =
            "#!/usr/bin/dash\n[ \"$*\" = \"-A -o pid= -o ppid= -o pgid= -o stat=\" ] || exit 1\ncat <<E\n" + listing +
            "\nE\n";
        test::write_file(place / "ps", script, 0755);
        std::filesystem::permissions(place / "ps", std::filesystem::perms{0755});
        if (!test::exists(place / "cat")) std::filesystem::create_symlink("/bin/cat", place / "cat");
        return ask(look(leader.pid(), leads), shell, hidden, environment);
    };
    const auto another = std::to_string(::getpid());
    for (const auto& shell : inner()) {
        CAPTURE(shell);
        std::filesystem::remove(place / "ps");
        for (const bool leads : {true, false}) {
            CHECK(ask(look(leader.pid(), leads), shell, hidden, environment) == group_state::alive);
        }
        CHECK(seen("    1     0     1 Ss\n " + pid + "  1 " + pid + " S+", true, shell) == group_state::alive);
        CHECK(seen("    1     0     1 Ss\n " + pid + "  1 " + pid + " Zs", true, shell) == group_state::gone);
        CHECK(seen(" " + pid + "  1 " + pid + " Z\n" + another + " 1 " + pid + " R", true, shell) ==
              group_state::alive);
        CHECK(seen(" " + pid + "  1 " + pid + " Z\n" + another + " 1 " + another + " R", true, shell) ==
              group_state::gone);
        CHECK(seen(" " + pid + "  1  5 S", false, shell) == group_state::alive);
        CHECK(seen(" " + another + " " + pid + " 5 S\n" + pid + "  1  5 Z", false, shell) == group_state::alive);
        CHECK(seen(" " + pid + "  1  5 Z\n" + another + " 1 5 S", false, shell) == group_state::gone);
    }
}

TEST_CASE("remote kill: an answer is found behind what a profile prints, however it is cut, and nothing else is one") {
    const std::string said =
        "welcome\ngone\n\036exec group 1 gone\nsh: 1: kill: No such process\n\036exec group 2 failed\n"
        "sh: kill: (-5) - Operation not permitted\n\036exec group 3 failed\n\036exec group 4 failed\n"
        "\036exec group \n\036exec group 5 gonexy\n\036exec group x gone\n\036exec group 6 alive\n\036exec group 7 go";
    for (std::size_t size = 1; size <= said.size(); ++size) {
        answer_reader reader;
        std::string heard;
        for (std::size_t at = 0; at < said.size(); at += size) {
            exec::bytes_view rest = exec::bytes_view(said).substr(at, size);
            while (const auto answer = reader.next(rest)) {
                heard += std::to_string(answer->id) + "gad"[static_cast<int>(answer->is)];
            }
        }
        CHECK(heard == "1g2g3d4g6a");
    }
}

TEST_CASE("remote kill: a line that never ends is not kept") {
    answer_reader reader;
    const std::string block(answer_reader::max_line, 'x');
    for (int times = 0; times < 100; ++times) {
        exec::bytes_view rest = block;
        CHECK_FALSE(reader.next(rest));
    }
    exec::bytes_view rest = "\n\036exec group 1 alive\n";
    const auto said = reader.next(rest);
    REQUIRE(said);
    CHECK(said->is == group_state::alive);
}

TEST_CASE(
    "remote kill: no order is made for numbers that mean everybody, and the line reads alike in every login shell") {
    const test::misuse_throws guard;
    for (const std::int64_t pid : {1, 0, -1, -4711}) {
        for (const bool leads : {true, false}) CHECK_THROWS_AS(order_line(1, look(pid, leads)), test::misuse);
    }
    CHECK(order_line(3, order(4711, true, 15)) == "3 7 4711 group TERM 1 0\n");
    CHECK(order_line(4, order(4711, false, 9)) == "4 7 4711 tree KILL 0 0\n");
    CHECK(order_line(5, look(4711, true)) == "5 7 4711 group 0 0 1\n");
    const auto line = control_line();
    CHECK(line.find_first_of("\\!\n") == std::string::npos);
    CHECK(line.find('\'', line.find('\'') + 1) == line.size() - 1);
    CHECK(line.size() < 4'000);
}
