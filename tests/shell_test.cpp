#include <exec/shell.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <list>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "random_words.h"
#include "real_shells.h"

using exec::argv;
using exec::shell;
using exec::shell_script;
using namespace std::string_view_literals;

namespace {

constexpr shell every_shell[] = {shell::sh, shell::bash, shell::bash_login, shell::zsh, shell::fish, shell::csh};

real::words list(const argv& from) { return {from.begin(), from.end()}; }

// A home of its own in a directory of its own; every startup file in it prints its name.
const std::string& home() {
    static const std::string path = [] {
        const std::filesystem::path made =
            std::filesystem::path(real::print_args_called("in-home")).parent_path() / "home";
        std::filesystem::create_directories(made / ".config/fish");
        for (const auto* name :
             {".profile", ".bashrc", ".bash_login", ".zshenv", ".zshrc", ".zprofile", ".kshrc", ".shrc"}) {
            std::ofstream(made / name) << "echo " << name << "\n";
        }
        for (const auto* name : {".cshrc", ".tcshrc", ".login"}) std::ofstream(made / name) << "echo " << name << "\n";
        std::ofstream(made / ".config/fish/config.fish") << "echo config.fish\n";
        return made.string();
    }();
    return path;
}

real::ended run(const argv& what) {
    return real::run(list(what), {"PATH=/usr/bin:/bin", "HOME=" + home(), "LC_ALL=C.UTF-8"});
}

// What the text said, without what the login's own file says first.
std::string_view said(shell which, const real::ended& how) {
    std::string_view text = how.out;
    constexpr auto greeting = ".bash_login\n"sv;
    if (which == shell::bash_login && text.starts_with(greeting)) text.remove_prefix(greeting.size());
    return text;
}

// How the shell's own language says "every argument", behind the program that prints them.
std::string print_all(shell which, const std::vector<std::string>& arguments) {
    const auto program = exec::quote(real::print_args(), exec::dialect_of(which)).value();
    switch (which) {
        case shell::fish: return program + " $argv";
        case shell::csh:
            // One form drops empty words, the other breaks at newlines.
            return program + (std::count(arguments.begin(), arguments.end(), "") > 0
                                  ? R"( "$argv[1]" "$argv[2]" "$argv[3]")"
                                  : " $argv:q");
        default: return program + " \"$@\"";
    }
}

}  // namespace

TEST_CASE("shell_script: every shell runs the text, and the arguments arrive without being read as anything") {
    const std::vector<std::vector<std::string>> arguments{
        {"one", "two words", "it's"},
        {"-x", "--", "-c"},
        {"", " ", "\\"},
        {"$HOME", "`id`", "!!"},
        {"*", "~", "=ls"},
        {"--help", "", "\xC3\xA9"},
        {"-b", "-f", "-"},
        {"+x", "-e", "a\nb"},
    };
    for (const auto which : every_shell) {
        CAPTURE(static_cast<int>(which));
        for (const auto& given : arguments) {
            const auto made = shell_script(which, print_all(which, given), given);
            REQUIRE(made);
            const auto ended = run(*made);
            auto sent = given;
            sent.insert(sent.begin(), real::print_args());
            CHECK(real::difference({sent}, said(which, ended), ended.err) == "");
        }
    }
}

TEST_CASE("shell_script: a text that begins with a dash is a text, not options") {
    for (const auto which : every_shell) {
        CAPTURE(static_cast<int>(which));
        for (const auto* text : {"-x", "-c", "--version", "+x", "--"}) {
            const auto ended = run(shell_script(which, text).value());
            CAPTURE(ended.out);
            CHECK(ended.status != 0);  // there is no program of this name
            CHECK(ended.err.find(text) != std::string::npos);
        }
    }
}

TEST_CASE("shell_script: only a login shell reads the user's files") {
    for (const auto which : every_shell) {
        CAPTURE(static_cast<int>(which));
        const auto ended = run(shell_script(which, "echo ran").value());
        CHECK(ended.out == (which == shell::bash_login ? ".bash_login\nran\n" : "ran\n"));
        CHECK(ended.status == 0);
    }
}

TEST_CASE("shell_script: $0 is the shell's name where it has one, and the exit status is the text's") {
    for (const auto which : {shell::sh, shell::bash, shell::zsh}) {
        const auto made = shell_script(which, "echo \"$0 $#\"; exit 7", {"a", "b"}).value();
        const auto ended = run(made);
        const auto program = made.program();
        CHECK(ended.out == std::string(program.substr(program.rfind('/') + 1)) + " 2\n");
        CHECK(ended.status == 7 << 8);
    }
}

TEST_CASE("shell_script: words inside the text are quoted by the shell's own dialect") {
    test::random_words random(test::seed(31));
    for (const auto which : every_shell) {
        CAPTURE(static_cast<int>(which));
        std::string text;
        std::vector<real::words> sent;
        for (int line = 0; line < 20; ++line) {
            auto words = random.vector();
            words.insert(words.begin(), real::print_args());
            const auto joined = exec::join(argv::make(words).value(), exec::dialect_of(which)).value();
            if (text.size() + joined.size() > 100'000) break;
            text += joined + "\n";
            sent.push_back(words);
        }
        const auto ended = run(shell_script(which, text).value());
        CHECK(real::difference(sent, said(which, ended), ended.err) == "");
    }
}

TEST_CASE("shell_script: any list of arguments will do, and none") {
    const argv expected("/bin/sh", "-c", "--", "text", "sh", "a", "b");
    CHECK(shell_script(shell::sh, "text", {"a", "b"}).value() == expected);
    CHECK(shell_script(shell::sh, "text", std::vector<std::string>{"a", "b"}).value() == expected);
    CHECK(shell_script(shell::sh, "text", std::list<const char*>{"a", "b"}).value() == expected);
    CHECK(shell_script(shell::sh, "text", argv("a", "b")).value() == expected);
    CHECK(shell_script(shell::sh, "text").value() == argv("/bin/sh", "-c", "--", "text", "sh"));
}

TEST_CASE("shell_script: a text that the kernel would not take as one word is refused, naming the word") {
    for (const auto which : every_shell) {
        CAPTURE(static_cast<int>(which));
        const auto longest = run(shell_script(which, std::string(131'071, '#')).value());
        CHECK(said(which, longest) == "");
        CHECK(longest.status == 0);

        const auto refused = shell_script(which, std::string(131'072, '#'));
        REQUIRE_FALSE(refused);
        CHECK(refused.error().code == exec::errc::invalid_argument);
        const std::string word = which == shell::zsh ? "argv[4]" : "argv[3]";
        CHECK(refused.error().context.starts_with(word + ": 131072 bytes, at most 131071"));
        CHECK_FALSE(shell_script(which, "a\0b"sv));
        CHECK_FALSE(shell_script(which, "text", {"a\0b"sv}));
        CHECK_FALSE(shell_script(which, "text", {"a"}, {.max_words = 3}));
    }
    CHECK(shell_script(shell::sh, "x\0y"sv).error().context == "argv[3]: a NUL at byte 1");
}
