#include "ssh/remote_command.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pty.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "exec/argv.h"
#include "exec/command.h"

#include "living.h"
#include "random_words.h"
#include "real_shells.h"

namespace {

using exec::argv;
using exec::command;
using exec::errc;
using exec::ssh::bare;
using exec::ssh::marker_filter;
using exec::ssh::refusal;
using exec::ssh::remote_command;
using exec::ssh::report;
using exec::ssh::wrap;
using kind = exec::ssh::report::kind;
using real::words;

exec::ssh::nonce a_nonce() {
    exec::ssh::nonce mark{};
    static std::uint64_t count = 0;
    const auto text = std::to_string(1'000'000'000'000'000'000U + count++) + "abcdef0123456";
    text.copy(mark.data(), mark.size());
    return mark;
}

// A directory for each shell that may be a target's /bin/sh, in which it is called `sh`: bash and ksh93 look at their name.
class inner_shells {
   public:
    inner_shells() {
        for (const std::string name : {"dash", "bash", "ksh93", "mksh", "busybox"}) {
            std::filesystem::create_directory(place_ / name);
            const auto real = std::filesystem::exists("/bin/" + name) ? "/bin/" + name : "/usr/bin/" + name;
            std::filesystem::create_symlink(real, place_ / (name + "/sh"));
            paths_.push_back(place_ / (name + "/sh"));
        }
        std::filesystem::permissions(place_.path(), std::filesystem::perms{0755});
    }
    const words& paths() const { return paths_; }
    std::string home() const { return place_.path(); }

   private:
    test::scratch_directory place_{};
    words paths_{};
};
const inner_shells& inner() {
    static const inner_shells all;
    return all;
}
std::string plain_shell() { return inner().paths().front(); }

// As sshd runs them: the shell, -c, the line.
const std::vector<words>& login_shells() {
    static const std::vector<words> all{{"dash"}, {"bash"}, {"zsh"},  {"ksh93"},
                                        {"mksh"}, {"fish"}, {"tcsh"}, {"busybox", "sh"}};
    return all;
}

enum class stdin_is { pipe, socket, terminal };

struct account {
    words shell{"dash"};
    words environment{};  // in place of the usual
    stdin_is input = stdin_is::pipe;
    bool leads = true;  // what the server starts is a group leader
    bool nobody = false;
    std::string startup{};  // put in front of the line, as a profile that prints
    words tracer{};
};

struct heard {
    std::int64_t spawned = 0;
    std::vector<report> on_err{};
    std::vector<report> on_out{};
    std::string out{};
    std::string err{};
    std::string everything{};  // on a terminal: all that it showed
    std::string last_words{};
    int status = -1;  // as of waitpid

    bool went() const {
        return std::any_of(on_err.begin(), on_err.end(), [](const report& each) { return each.what == kind::go; });
    }
    std::int64_t pid() const {
        for (const auto& each : on_err) {
            if (each.pid != 0) return each.pid;
        }
        return 0;
    }
    bool leads() const { return !on_err.empty() && on_err.front().leads; }
};

words usual_environment() {
    return {"PATH=/usr/bin:/bin", "HOME=" + inner().home(), "LC_ALL=C.UTF-8", "CDPATH=/usr:/", "USER=ada"};
}

[[noreturn]] void become(const account& who, const words& line) {
    for (const int number : {SIGPIPE, SIGINT, SIGHUP}) std::signal(number, SIG_DFL);
    if (who.nobody && (::setgroups(0, nullptr) != 0 || ::setgid(65534) != 0 || ::setuid(65534) != 0)) ::_exit(99);
    const auto environment = who.environment.empty() ? usual_environment() : who.environment;
    std::vector<char*> words_of;
    std::vector<char*> variables;
    for (const auto& each : line) words_of.push_back(const_cast<char*>(each.c_str()));
    for (const auto& each : environment) variables.push_back(const_cast<char*>(each.c_str()));
    words_of.push_back(nullptr);
    variables.push_back(nullptr);
    ::execvpe(words_of[0], words_of.data(), variables.data());
    ::_exit(98);
}

// Takes what fits; false when nothing is left to send.
bool push(int to, std::string_view& rest) {
    const auto count = ::write(to, rest.data(), std::min<std::size_t>(rest.size(), 4096));
    if (count > 0) rest.remove_prefix(static_cast<std::size_t>(count));
    return !rest.empty() && (count >= 0 || errno == EAGAIN);
}

// The far end of a channel: runs the line as a server would, and reads the markers as a client does.
heard serve(const account& who, const remote_command& what, const exec::ssh::nonce& mark, std::string_view input = {}) {
    const bool terminal = who.input == stdin_is::terminal;
    words line = who.tracer;
    line.insert(line.end(), who.shell.begin(), who.shell.end());
    line.insert(line.end(), {"-c", who.startup + what.line});

    heard all;
    int in[2] = {-1, -1};
    int out[2] = {-1, -1};
    int err[2] = {-1, -1};
    pid_t child = -1;
    if (terminal) {
        child = ::forkpty(&out[0], nullptr, nullptr, nullptr);
        if (child == 0) become(who, line);
        in[1] = ::fcntl(out[0], F_DUPFD_CLOEXEC, 3);
    } else {
        REQUIRE(::pipe2(out, O_CLOEXEC) == 0);
        REQUIRE(::pipe2(err, O_CLOEXEC) == 0);
        if (who.input == stdin_is::socket) {
            REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in) == 0);
        } else {
            REQUIRE(::pipe2(in, O_CLOEXEC) == 0);
        }
        child = ::fork();
        if (child == 0) {
            if (who.leads) ::setsid();
            ::dup2(in[0], 0);
            ::dup2(out[1], 1);
            ::dup2(err[1], 2);
            become(who, line);
        }
        for (const int end : {in[0], out[1], err[1]}) ::close(end);
    }
    REQUIRE(child > 0);
    all.spawned = child;
    ::fcntl(in[1], F_SETFL, O_NONBLOCK);

    marker_filter err_filter(mark);
    marker_filter out_filter(mark);
    auto& markers = terminal ? out_filter : err_filter;
    std::string_view first = what.preamble;
    const auto say = [&](std::vector<report>& into) { return [&into](const report& said) { into.push_back(said); }; };
    const auto may_send = [&] {
        if (terminal && !first.empty()) return !all.on_err.empty() && all.on_err.back().what == kind::ready;
        if (!first.empty()) return true;
        return !terminal || markers.is_open();
    };
    std::signal(SIGPIPE, SIG_IGN);
    while (out[0] >= 0 || err[0] >= 0) {
        const bool sends = in[1] >= 0 && may_send() && (!terminal || !first.empty() || !input.empty());
        pollfd ends[3] = {{out[0], POLLIN, 0}, {err[0], POLLIN, 0}, {sends ? in[1] : -1, POLLOUT, 0}};
        REQUIRE(::poll(ends, 3, 60'000) > 0);
        if (ends[2].revents != 0) {
            auto& rest = first.empty() ? input : first;
            if (!push(in[1], rest) && (first.empty() && (input.empty() || errno == EPIPE)) && !terminal) {
                ::close(in[1]);
                in[1] = -1;
            }
        }
        const auto take = [&](int& end, const pollfd& told, marker_filter& filter, std::vector<report>& reports,
                              std::string& output) {
            if (end < 0 || told.revents == 0) return;
            char part[65536];
            const auto size = ::read(end, part, sizeof part);
            if (size <= 0) {
                ::close(end);
                end = -1;
                return;
            }
            const std::string_view chunk(part, static_cast<std::size_t>(size));
            if (terminal) all.everything += chunk;
            filter.feed(chunk, say(reports), [&](exec::bytes_view bytes) { output += bytes; });
        };
        take(out[0], ends[0], out_filter, terminal ? all.on_err : all.on_out, all.out);
        take(err[0], ends[1], err_filter, all.on_err, all.err);
    }
    std::signal(SIGPIPE, SIG_DFL);
    if (in[1] >= 0) ::close(in[1]);
    all.last_words = markers.last_words();
    ::waitpid(child, &all.status, 0);
    return all;
}

heard serve(const account& who, const command& what, std::string_view input = {},
            const std::string& shell = plain_shell()) {
    const auto mark = a_nonce();
    const auto line = wrap(what, mark, {shell, true});
    REQUIRE_MESSAGE(line, line.error().message());
    return serve(who, *line, mark, input);
}

command run(const words& line) {
    command what;
    what.program_and_args = argv::make(line).value();
    what.in = exec::input::streamed();
    return what;
}

// A program that shows its words, its variables and its input, byte for byte.
const words show_all{"/usr/bin/dash", "-c", "cat /proc/$$/cmdline /proc/$$/environ -; :", "show"};

struct shown {
    words arguments{};
    std::map<std::string, std::string> variables{};
    std::string input{};
};
// `end`: an input begins with a NUL, and so it ends the variables.
shown read_shown(std::string_view output) {
    const auto next = [&output] {
        const auto end = std::min(output.find('\0'), output.size());
        std::string item(output.substr(0, end));
        output.remove_prefix(std::min(end + 1, output.size()));
        return item;
    };
    shown all;
    for (auto skipped = show_all.size(); skipped > 0; --skipped) next();
    const auto count = std::strtoul(next().c_str(), nullptr, 10);
    for (unsigned long at = 0; at < count; ++at) all.arguments.push_back(next());
    for (auto each = next(); !each.empty(); each = next()) {
        const auto equals = std::min(each.find('='), each.size());
        all.variables[each.substr(0, equals)] = each.substr(std::min(equals + 1, each.size()));
    }
    all.input = output;
    return all;
}

// Sends the words as arguments and, where `variables` is not empty, those as variables; "" if all arrive.
std::string trip(const account& who, const std::string& shell, const words& arguments, const words& variables) {
    auto line = show_all;
    line.push_back(std::to_string(arguments.size()));
    line.insert(line.end(), arguments.begin(), arguments.end());
    auto what = run(line);
    for (std::size_t at = 0; at < variables.size(); ++at) {
        REQUIRE(what.env.set("V" + std::to_string(at), variables[at]));
    }
    const std::string input = std::string("\0", 1) + "line\n\n'\\x\r " + std::string(3, '\0') + "\xff";
    const auto came = serve(who, what, input, shell);
    const auto where = who.shell.front() + " with " + shell + ": ";
    if (!came.went()) return where + "no go; " + came.last_words;
    if (came.status != 0) return where + "status " + std::to_string(came.status) + "; " + came.err;
    if (!came.err.empty()) return where + "says " + came.err;
    const auto all = read_shown(came.out);
    if (all.arguments != arguments) return where + "other arguments";
    for (std::size_t at = 0; at < variables.size(); ++at) {
        const auto found = all.variables.find("V" + std::to_string(at));
        if (found == all.variables.end()) return where + "a variable is missing";
        if (found->second != variables[at]) return where + "another value: " + exec::display(variables[at]);
    }
    if (all.input != input.substr(1)) return where + "another input: " + exec::display(all.input);
    return {};
}

// Calls `body(account, inner shell)` for each pair, over pipes and sockets by turns.
template <class Body>
void everywhere(Body body) {
    std::size_t turn = 0;
    for (const auto& shell : login_shells()) {
        for (const auto& path : inner().paths()) {
            account who;
            who.shell = shell;
            who.input = turn++ % 2 == 0 ? stdin_is::pipe : stdin_is::socket;
            CAPTURE(shell.front());
            CAPTURE(path);
            body(who, path);
        }
    }
}

words without_newlines(words all) {
    all.erase(std::remove_if(all.begin(), all.end(),
                             [](const std::string& each) { return each.find('\n') != std::string::npos; }),
              all.end());
    return all;
}

}  // namespace

TEST_CASE("remote command: every byte beside every special one arrives through each login shell and each /bin/sh") {
    const auto all = test::every_byte_in_context();
    const auto for_line = without_newlines(all);
    // As much as fits a line, another part for each pair; the rest of the matrix sees the rest of the words.
    std::size_t at = 0;
    everywhere([&](const account& who, const std::string& shell) {
        words part;
        for (std::size_t bytes = 0; bytes < 18'000; ++at) {
            part.push_back(for_line[at % for_line.size()]);
            bytes += part.back().size() + 8;
        }
        CHECK(wrap(run(part), a_nonce())->preamble.empty());
        CHECK(trip(who, shell, part, {}) == "");
    });
    CHECK(at > for_line.size());
    // Through the preamble the login shell does not matter.
    for (const auto& shell : inner().paths()) {
        for (const std::string locale : {"C", "C.UTF-8"}) {
            account who;
            who.environment = {"PATH=/usr/bin:/bin", "LC_ALL=" + locale};
            words values;
            for (std::size_t each = 0; each < all.size(); each += 100) {
                auto& value = values.emplace_back();
                for (auto piece = each; piece < std::min(each + 100, all.size()); ++piece) value += all[piece] + "|";
            }
            CHECK(trip(who, shell, all, values) == "");
        }
    }
}

TEST_CASE("remote command: thousands of random words and values arrive, with the input behind them whole") {
    const auto seed = test::seed(20'261'126);
    CAPTURE(seed);
    test::random_words random(seed);
    for (int round = 0; round < 3; ++round) {
        everywhere([&](const account& who, const std::string& shell) {
            words arguments;
            words values;
            for (int vector = 0; vector < 12; ++vector) {
                for (auto& word : random.vector()) arguments.push_back(std::move(word));
                for (auto& word : random.vector()) values.push_back(std::move(word));
            }
            if (round == 0) arguments = without_newlines(arguments);
            CHECK(trip(who, shell, arguments, round == 1 ? words{} : values) == "");
        });
    }
}

TEST_CASE("remote command: what was mistaken before arrives on the line and in the preamble") {
    everywhere([](const account& who, const std::string& shell) {
        CHECK(trip(who, shell, without_newlines(test::notorious()), {}) == "");
        CHECK(trip(who, shell, {"x"}, test::notorious()) == "");
    });
}

TEST_CASE("remote command: words that no line holds go through the input, up to the kernel's own bound") {
    words many(100, std::string(1000, 'w'));
    many.push_back(std::string(30'000, '\''));
    for (const auto& shell : inner().paths()) {
        auto line = show_all;
        line.insert(line.end(), many.begin(), many.end());
        const auto made = wrap(run(line), a_nonce(), {shell, true});
        REQUIRE(made);
        CHECK(made->line.size() < 2'000);
        CHECK(trip({}, shell, many, {}) == "");
    }
    CHECK(wrap(run({"x", std::string(28'000, 'w')}), a_nonce())->preamble.empty());
    const auto longest = wrap(run({"x", std::string(28'000, '!')}), a_nonce());
    CHECK(longest->line.size() <= exec::ssh::max_line);
    CHECK_FALSE(longest->preamble.empty());
    std::vector<std::string> quotes(10, std::string(100'000, '\''));
    quotes.insert(quotes.begin(), "x");
    CHECK(wrap(run(quotes), a_nonce()).error().kind() == errc::invalid_argument);
}

TEST_CASE("remote command: the text of the line has nothing that a login shell could read in its own way") {
    for (const bool terminal : {false, true}) {
        for (const bool base : {false, true}) {
            for (const std::string cwd : {"", "/tmp"}) {
                auto what = run({"/x"});
                if (terminal) what.terminal.emplace();
                if (!base) what.env.without_base();
                what.cwd = cwd;
                what.merge_err_into_out = true;
                const auto line = wrap(what, a_nonce())->line;
                CHECK(line.find_first_of("\\!\n") == std::string::npos);
                // 'eval "$1"', the script and '/x'.
                CHECK(std::count(line.begin(), line.end(), '\'') == 6);
                CHECK(line.size() < 2'000);
            }
        }
    }
}

TEST_CASE("remote command: the command is the process that was announced, and its exit status the channel's") {
    bool leads = true;
    everywhere([&](account who, const std::string& shell) {
        who.leads = leads = !leads;
        auto what = run({"/usr/bin/dash", "-c", "read p n s pp g r </proc/$$/stat; echo $$ $g; exit 7"});
        auto came = serve(who, what, "", shell);
        CHECK(came.went());
        CHECK(came.on_err.size() == 1);
        CHECK(came.leads());
        CHECK(came.pid() == came.spawned);
        CHECK(came.out == std::to_string(came.spawned) + " " + std::to_string(came.spawned) + "\n");
        CHECK(came.err == "");
        CHECK(WEXITSTATUS(came.status) == 7);

        what.cwd = "/";
        came = serve(who, what, "", shell);
        REQUIRE(came.on_err.size() == 2);
        CHECK(came.on_err[0].what == kind::pid);
        CHECK(came.on_err[1] == report{kind::go, 0, false, refusal::program, 0});
        CHECK(came.pid() == came.spawned);
        CHECK(WEXITSTATUS(came.status) == 7);
    });
    auto killed = serve({}, run({"/usr/bin/dash", "-c", "kill -TERM $$"}));
    CHECK(WTERMSIG(killed.status) == SIGTERM);
}

TEST_CASE("remote command: without setsid a process in somebody else's group says so") {
    account who;
    who.leads = false;
    who.environment = {"PATH=/nowhere"};
    for (const auto& shell : inner().paths()) {
        // busybox has a setsid of its own that needs no PATH.
        if (shell.find("busybox") != std::string::npos) continue;
        who.shell = {shell};
        const auto came = serve(who, run({"/bin/true"}), "", shell);
        CHECK(came.went());
        CHECK_FALSE(came.leads());
        CHECK(came.pid() == came.spawned);
    }
}

TEST_CASE("remote command: what profiles print is cut from both streams, and what the command says is not") {
    account who;
    who.startup = "echo hello; echo warning >&2; ";
    for (const std::string cwd : {"", "/"}) {
        auto what = run({"/usr/bin/dash", "-c", "echo out; echo err >&2"});
        what.cwd = cwd;
        const auto came = serve(who, what);
        CHECK(came.out == "out\n");
        CHECK(came.err == "err\n");
        REQUIRE(came.on_out.size() == 1);
        CHECK(came.on_out[0] == report{kind::go, 0, false, refusal::program, 0});
    }
}

TEST_CASE("remote command: a directory is entered as the kernel walks it, and a wrong one is told from others") {
    test::scratch_directory place;
    std::filesystem::permissions(place.path(), std::filesystem::perms{0755});
    const std::vector<std::string> odd{"it's", "-x", "a\nb", " ", "$HOME", "\\", "caf\xC3\xA9"};
    for (const auto& name : odd) std::filesystem::create_directory(place / name);
    std::filesystem::create_directories(place / "deep/er");
    std::filesystem::create_directory_symlink(place / "deep/er", place / "link");
    std::filesystem::create_directory(place / "closed");
    std::filesystem::permissions(place / "closed", std::filesystem::perms{0});
    test::write_file(place / "file", "");
    const auto enter = [](const std::string& shell, const std::string& cwd, bool nobody = false) {
        auto what = run({"/bin/pwd", "-P"});
        what.cwd = cwd;
        account who;
        who.nobody = nobody;
        auto came = serve(who, what, "", shell);
        if (!came.went()) {
            REQUIRE(came.on_err.size() == 2);
            CHECK(came.on_err[1].what == kind::refused);
            CHECK(came.on_err[1].at == refusal::cwd);
            CHECK(came.out == "");
            return std::to_string(came.on_err[1].os_error);
        }
        return came.out;
    };
    for (const auto& shell : inner().paths()) {
        CAPTURE(shell);
        for (const auto& name : odd) CHECK(enter(shell, place / name) == (place / name) + "\n");
        CHECK(enter(shell, place / "link/..") == (place / "deep") + "\n");
        // Relative: from where the login is, not on CDPATH, which has /usr.
        CHECK(enter(shell, "bin") == std::to_string(ENOENT));
        CHECK(enter(shell, "-") == std::to_string(ENOENT));
        CHECK(enter(shell, place / "none") == std::to_string(ENOENT));
        CHECK(enter(shell, place / "none/none") == std::to_string(ENOENT));
        CHECK(enter(shell, "/none") == std::to_string(ENOENT));
        CHECK(enter(shell, place / "file") == std::to_string(ENOTDIR));
        CHECK(enter(shell, place / "file/x") == std::to_string(ENOTDIR));
        if (::geteuid() != 0) continue;
        CHECK(enter(shell, place / "closed", true) == std::to_string(EACCES));
        CHECK(enter(shell, place / "closed/x", true) == std::to_string(EACCES));
    }
    std::filesystem::permissions(place / "closed", std::filesystem::perms{0700});
    if (::geteuid() != 0) MESSAGE("SKIP: a closed directory is closed to others than its owner");
}

TEST_CASE("remote command: a program that is not there or not executable never goes") {
    test::scratch_directory place;
    std::filesystem::create_directory(place / "bin");
    std::filesystem::create_directory(place / "bin/folder");
    std::filesystem::create_directory(place / "late");
    test::write_file(place / "bin/text", "no program");
    test::write_file(place / "bin/second", "no program");
    test::write_file(place / "bin/-dash", "#!/bin/sh\n", 0755);
    test::write_file(place / "late/second", "#!/bin/sh\necho second $1", 0755);
    test::write_file(place / "late/echo", "#!/bin/sh\necho mine", 0755);
    const auto start = [&](const std::string& shell, const std::string& program, const std::string& cwd = "") {
        auto what = run({program, "x"});
        what.cwd = cwd;
        account who;
        who.environment = {"PATH=" + (place / "bin") + ":" + (place / "late")};
        who.shell = {shell};
        auto came = serve(who, what, "", shell);
        if (came.went()) return came.out;
        CHECK(came.out == "");
        CHECK(came.on_err.back().what == kind::refused);
        CHECK(came.on_err.back().at == refusal::program);
        CHECK(WEXITSTATUS(came.status) == 126);
        return std::to_string(came.on_err.back().os_error);
    };
    for (const auto& shell : inner().paths()) {
        CAPTURE(shell);
        CHECK(start(shell, "none") == std::to_string(ENOENT));
        CHECK(start(shell, "cd") == std::to_string(ENOENT));
        CHECK(start(shell, "if") == std::to_string(ENOENT));
        CHECK(start(shell, "exec_walk") == std::to_string(ENOENT));
        CHECK(start(shell, "text") == std::to_string(EACCES));
        CHECK(start(shell, "folder") == std::to_string(ENOENT));
        CHECK(start(shell, "second") == "second x\n");
        if (shell.find("mksh") == std::string::npos) CHECK(start(shell, "echo") == "mine\n");
        CHECK(start(shell, "/none/x") == std::to_string(ENOENT));
        CHECK(start(shell, place / "bin/text") == std::to_string(EACCES));
        CHECK(start(shell, place / "bin/text/x") == std::to_string(ENOTDIR));
        CHECK(start(shell, place / "bin") == std::to_string(EACCES));
        CHECK(start(shell, "bin/text", place.path()) == std::to_string(EACCES));
        CHECK(start(shell, "late/second", place.path()) == "second x\n");
        CHECK(start(shell, "./second", place / "late") == "second x\n");
    }
}

TEST_CASE("remote command: variables of the command reach no program of the wrapper, and PATH finds the command") {
    test::scratch_directory place;
    for (const std::string name : {"setsid", "stty", "env", "sh"}) {
        test::write_file(place / name,
                         "#!/usr/bin/dash\n: >" + (place / "touched") + "\nexec /usr/bin/" + name + " \"$@\"", 0755);
    }
    test::write_file(place / "only-here", "#!/bin/sh\necho found", 0755);
    for (const auto& shell : inner().paths()) {
        CAPTURE(shell);
        for (const bool terminal : {false, true}) {
            for (const bool base : {false, true}) {
                auto what = run({"only-here"});
                if (terminal) what.terminal.emplace();
                if (!base) what.env.without_base();
                REQUIRE(what.env.set("PATH", place.path()));
                REQUIRE(what.env.set("LD_PRELOAD", "/none.so"));
                REQUIRE(what.env.set("IFS", "oe"));
                account who;
                who.leads = terminal;
                if (terminal) who.input = stdin_is::terminal;
                const auto came = serve(who, what, "", shell);
                CHECK(came.went());
                CHECK(came.out.find("found") != std::string::npos);
                CHECK_FALSE(test::exists(place / "touched"));
                CHECK(came.pid() == came.spawned);
            }
        }
    }
}

TEST_CASE("remote command: a value or the directory is in nobody's argv at any moment") {
    test::scratch_directory place;
    const auto secret = "s3cr3t-" + test::unique_word();
    std::filesystem::create_directory(place / secret);
    for (const auto& shell : inner().paths()) {
        for (const bool terminal : {false, true}) {
            auto what = run({"/bin/true"});
            if (terminal) what.terminal.emplace();
            what.env.without_base();
            what.cwd = place / secret;
            REQUIRE(what.env.set("TOKEN", secret));
            REQUIRE(what.env.set("PATH", "/usr/bin"));
            account who;
            if (terminal) who.input = stdin_is::terminal;
            who.leads = terminal;
            const auto log = place / "log";
            who.tracer = {"strace", "-f", "-s", "9999", "-e", "trace=execve", "-o", log};
            const auto came = serve(who, what, "", shell);
            CHECK(came.went());
            const auto calls = test::file_text(log);
            CHECK(calls.find("execve(\"/bin/true\"") != std::string::npos);
            CHECK(calls.find(secret) == std::string::npos);
        }
    }
}

TEST_CASE("remote command: the variables are those of the login and those that were given") {
    for (const auto& shell : inner().paths()) {
        CAPTURE(shell);
        auto line = show_all;
        line.push_back("0");
        auto what = run(line);
        REQUIRE(what.env.set("RANDOM", "7"));
        REQUIRE(what.env.set("SECONDS", "soon"));
        REQUIRE(what.env.set("LINENO", "x"));
        REQUIRE(what.env.set("PS4", "$(touch /tmp/x)"));
        REQUIRE(what.env.set("LC_ALL", "C"));
        REQUIRE(what.env.set("EMPTY", ""));
        REQUIRE(what.env.unset("USER"));
        REQUIRE(what.env.unset("NEVER"));
        REQUIRE(what.env.inherit("HOME"));
        const std::string input("\0in", 3);
        auto came = serve({}, what, input, shell);
        REQUIRE_MESSAGE(came.went(), came.last_words);
        auto all = read_shown(came.out);
        CHECK(all.input == "in");
        CHECK(all.variables["RANDOM"] == "7");
        CHECK(all.variables["SECONDS"] == "soon");
        CHECK(all.variables["LINENO"] == "x");
        CHECK(all.variables["PS4"] == "$(touch /tmp/x)");
        CHECK(all.variables["LC_ALL"] == "C");
        CHECK(all.variables["HOME"] == inner().home());
        CHECK(all.variables["PATH"] == "/usr/bin:/bin");
        CHECK(all.variables.count("EMPTY") == 1);
        CHECK(all.variables.count("USER") == 0);
        for (const auto& [name, value] : all.variables) CHECK(name.find("exec_") == std::string::npos);

        what.env = {{"ONLY", "this"}};
        what.env.without_base();
        account who;
        who.environment = {"PATH=/usr/bin:/bin", "SECRET=of the account", "BASH_FUNC_x%%=() { :; }", "odd-name=x"};
        came = serve(who, what, input, shell);
        REQUIRE_MESSAGE(came.went(), came.last_words);
        all = read_shown(came.out);
        for (const auto* of_the_shell : {"_", "SHLVL", "_AST_FEATURES"}) all.variables.erase(of_the_shell);
        CHECK(all.variables == std::map<std::string, std::string>{{"ONLY", "this"}});
    }
}

TEST_CASE("remote command: a variable that the target's shell will not give away is a refusal, not a lost value") {
    auto what = run({"/bin/true"});
    REQUIRE(what.env.set("UID", "hidden"));
    const auto find = [](std::string_view name) {
        return *std::find_if(inner().paths().begin(), inner().paths().end(),
                             [&](const std::string& path) { return path.find(name) != std::string::npos; });
    };
    const auto came = serve({}, what, "", find("bash"));
    CHECK_FALSE(came.went());
    CHECK(came.on_err.back().at == refusal::environment);
    CHECK(came.last_words.find("hidden") == std::string::npos);
    const auto why = exec::ssh::refused(came.on_err.back(), what);
    CHECK(why.kind() == errc::unsupported);
    CHECK(serve({}, what, "", find("dash")).went());
}

TEST_CASE("remote command: nothing is forked before the command of a group leader, and go is one write a stream") {
    test::scratch_directory place;
    for (const auto& shell : inner().paths()) {
        CAPTURE(shell);
        const auto log = place / "log";
        account who;
        who.shell = {shell};
        who.tracer = {"strace", "-f", "-D", "-s", "200", "-e", "trace=fork,vfork,clone,clone3,execve,write", "-o", log};
        const auto came = serve(who, run({"uname"}), "", shell);
        CHECK(came.went());
        const auto all_calls = test::file_text(log);
        const auto end = all_calls.find("\"/usr/bin/uname\"");
        REQUIRE(end != std::string::npos);
        const auto calls = all_calls.substr(0, end);
        CHECK(calls.find("fork") == std::string::npos);
        CHECK(calls.find("clone") == std::string::npos);
        std::size_t writes = 0;
        for (auto at = calls.find("write("); at != std::string::npos; at = calls.find("write(", at + 1)) ++writes;
        CHECK(writes == 2);
    }
}

TEST_CASE("remote command: on a terminal neither value nor directory is echoed, and its modes are as before") {
    test::scratch_directory place;
    const auto secret = "s3cr3t-" + test::unique_word();
    std::filesystem::create_directory(place / secret);
    account who;
    who.input = stdin_is::terminal;
    const auto modes = serve(who, [] {
        auto plain = run({"/bin/stty", "-g"});
        plain.terminal.emplace();
        return plain;
    }());
    REQUIRE(modes.on_err.size() == 1);
    CHECK(modes.leads());
    std::string every_byte;
    for (int byte = 1; byte < 256; ++byte) every_byte += static_cast<char>(byte);
    const auto long_value = every_byte + std::string(60'000, 'v');
    for (const auto& shell : inner().paths()) {
        CAPTURE(shell);
        for (const bool base : {true, false}) {
            auto what =
                run({"/usr/bin/dash", "-c",
                     "stty -g; [ \"$BYTES\" = \"$1\" ] && [ ${#LONG} = 60000 ] && read l && echo got \"$l\" ${#TOKEN}",
                     "sh", every_byte});
            what.terminal.emplace();
            what.cwd = place / secret;
            if (!base) what.env.without_base();
            REQUIRE(what.env.set("TOKEN", secret));
            REQUIRE(what.env.set("BYTES", every_byte));
            REQUIRE(what.env.set("LONG", std::string(60'000, 'v')));
            REQUIRE(what.env.set("PATH", "/usr/bin:/bin"));
            const auto came = serve(who, what, "typed\r", shell);
            REQUIRE_MESSAGE(came.went(), came.everything);
            REQUIRE(came.on_err.size() == 2);
            CHECK(came.on_err[0].what == kind::ready);
            CHECK(came.pid() == came.spawned);
            CHECK(came.everything.find(secret) == std::string::npos);
            CHECK(came.everything.find("vvvv") == std::string::npos);
            CHECK(came.out.find(modes.out) != std::string::npos);
            CHECK(came.out.find("got typed " + std::to_string(secret.size()) + "\r\n") != std::string::npos);
            CHECK(came.status == 0);
        }
    }
    // Without stty nothing may be sent.
    who.environment = {"PATH=/none"};
    who.shell = {plain_shell()};
    auto what = run({"/bin/true"});
    what.terminal.emplace();
    what.cwd = "/";
    const auto came = serve(who, what);
    REQUIRE(came.on_err.size() == 1);
    CHECK(came.on_err[0].at == refusal::terminal);
    CHECK(exec::ssh::refused(came.on_err[0], what).kind() == errc::unsupported);
}

TEST_CASE("remote command: no input is /dev/null also behind a preamble, and merged output is one stream") {
    for (const auto& shell : inner().paths()) {
        for (const std::string cwd : {"", "/"}) {
            command what;
            what.program_and_args = argv("/usr/bin/dash", "-c", "readlink /proc/$$/fd/0; echo err >&2; echo out");
            what.cwd = cwd;
            auto came = serve({}, what, "", shell);
            CHECK(came.out == "/dev/null\nout\n");
            CHECK(came.err == "err\n");
            what.merge_err_into_out = true;
            came = serve({}, what, "", shell);
            CHECK(came.went());
            CHECK(came.out == "/dev/null\nerr\nout\n");
            CHECK(came.err == "");
        }
    }
}

TEST_CASE("remote command: a preamble that breaks off starts nothing") {
    for (const auto& shell : inner().paths()) {
        const auto mark = a_nonce();
        auto what = run({"/bin/echo", "ran"});
        what.cwd = "/";
        auto made = *wrap(what, mark, {shell, true});
        made.preamble.pop_back();
        const auto came = serve({}, made, mark);
        CHECK_FALSE(came.went());
        CHECK(came.out == "");
        CHECK(WEXITSTATUS(came.status) == 126);
    }
}

TEST_CASE("remote command: what cannot be carried is refused, and no value is quoted") {
    const auto code = [](const command& what) {
        const auto made = wrap(what, a_nonce());
        REQUIRE_FALSE(made);
        CHECK(made.error().context.find("s3cr3t") == std::string::npos);
        return made.error().kind();
    };
    const auto with = [](std::string_view name) {
        auto what = run({"/x"});
        REQUIRE(what.env.set(name, "s3cr3t"));
        return what;
    };
    for (const auto* name : {"a-b", "1a", "a b", "a;b", "BASH_FUNC_x%%", "\xC3\xA9"}) {
        CHECK(code(with(name)) == errc::invalid_argument);
    }
    for (const auto* name : {"_", "OPTIND", "SHLVL", "exec_l", "exec_n"}) CHECK(code(with(name)) == errc::unsupported);
    auto what = run({"/x"});
    REQUIRE(what.env.set("BIG", std::string(131'072, 'v')));
    CHECK(code(what) == errc::invalid_argument);
    what = run({"/x"});
    what.env.without_base();
    REQUIRE(what.env.inherit("HOME"));
    CHECK(code(what) == errc::unsupported);
    what = run({"x"});
    what.env.without_base();
    CHECK(code(what) == errc::unsupported);
    what = run({"x"});
    REQUIRE(what.env.unset("PATH"));
    CHECK(code(what) == errc::unsupported);
    CHECK(code(run({"-x"})) == errc::unsupported);
    CHECK(code(command{}) == errc::invalid_argument);
    what = run({"/x"});
    what.cwd = std::string("/a\0b", 4);
    CHECK(code(what) == errc::invalid_argument);
    what = run({"/x"});
    REQUIRE(what.env.inherit("HOME"));
    CHECK(wrap(what, a_nonce())->preamble.empty());
}

TEST_CASE("remote command: a refusal becomes the failure of a local start") {
    auto what = run({"tool"});
    what.cwd = "/srv/none";
    auto why = exec::ssh::refused({kind::refused, 0, false, refusal::cwd, ENOENT}, what);
    CHECK(why.at == exec::stage::cwd);
    CHECK(why.code == std::errc::no_such_file_or_directory);
    CHECK(why.context == "/srv/none");
    why = exec::ssh::refused({kind::refused, 0, false, refusal::program, EACCES}, what);
    CHECK(why.at == exec::stage::program);
    CHECK(why.code == std::errc::permission_denied);
    CHECK(why.context == "tool");
}

TEST_CASE("remote command: bare words arrive in every login shell, and what needs the wrapper is refused") {
    const auto arguments = without_newlines(test::notorious());
    auto line = words{real::print_args()};
    line.insert(line.end(), arguments.begin(), arguments.end());
    const auto made = bare(run(line));
    REQUIRE(made);
    CHECK(made->preamble.empty());
    for (const auto& shell : login_shells()) {
        auto invocation = shell;
        invocation.insert(invocation.end(), {"-c", made->line});
        CHECK(real::difference({line}, real::run(invocation, usual_environment()).out, shell.front()) == "");
    }
    const auto code = [](const std::function<void(command&)>& change) {
        auto what = run({"/x"});
        change(what);
        const auto refused = bare(what);
        return refused ? errc{} : refused.error().kind();
    };
    CHECK(code([](command&) {}) == errc{});
    CHECK(code([](command& what) { what.cwd = "/"; }) == errc::unsupported);
    CHECK(code([](command& what) { what.env.without_base(); }) == errc::unsupported);
    CHECK(code([](command& what) { CHECK(what.env.set("A", "b")); }) == errc::unsupported);
    CHECK(code([](command& what) { CHECK(what.env.inherit("A")); }) == errc{});
    CHECK(code([](command& what) { what.merge_err_into_out = true; }) == errc::unsupported);
    CHECK(code([](command& what) {
              what.merge_err_into_out = true;
              what.terminal.emplace();
          }) == errc{});
    CHECK(code([](command& what) { what.program_and_args = argv("/x", "a\nb"); }) == errc::unsupported);
    CHECK(code([](command& what) { what.program_and_args = argv("/x", std::string(30'000, 'x')); }) ==
          errc::invalid_argument);
    CHECK(code([](command& what) { what.program_and_args = argv(); }) == errc::invalid_argument);
}
