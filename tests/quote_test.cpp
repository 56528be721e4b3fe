#include <exec/quote.h>

#include <algorithm>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "allocations.h"
#include "random_words.h"
#include "real_shells.h"

namespace {

using exec::argv;
using exec::dialect;
using exec::quote;
using real::door;
using real::travel;
using real::words;

bool is_utf8(std::string_view text) {
    while (!text.empty()) {
        const auto length = exec::detail::first_code_point(text).bytes;
        if (length == 0) return false;
        text.remove_prefix(length);
    }
    return true;
}
bool is_ascii(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char byte) { return static_cast<unsigned char>(byte) < 0x80; });
}

// What the header documents: the words that a shell is sent in a locale. Everything else is asserted to be refused, or
// to be the shell's own limit, by test cases below.
bool carries(const real::shell& shell, std::string_view locale, dialect by, std::string_view word) {
    if (by == dialect::universal && word.find('\n') != std::string_view::npos) return false;
    if (shell.name == "yash") return locale == "C" ? is_ascii(word) : is_utf8(word);
    return true;
}

// Sends all of the words that the shell carries, in lines; returns how many, or 0 if one of them did not arrive.
std::size_t send(const real::shell& shell, std::string_view locale, door through, dialect by, const words& all) {
    words sent;
    for (const auto& word : all) {
        if (carries(shell, locale, by, word)) {
            sent.push_back(word);
        } else if (shell.name != "yash") {
            REQUIRE_FALSE(quote(word, by));
        }
    }
    const auto trouble = travel(shell, locale, through, by, real::lines_of(sent));
    CHECK(trouble == "");
    return trouble.empty() ? sent.size() : 0;
}

// Calls `body` for every shell, locale and dialect that the shell reads.
template <class Body>
void everywhere(Body body) {
    for (const auto& shell : real::shells()) {
        for (const auto locale : real::locales) {
            for (const auto by : shell.speaks) {
                CAPTURE(shell.name);
                CAPTURE(locale);
                CAPTURE(static_cast<int>(by));
                body(shell, locale, by);
            }
        }
    }
}

}  // namespace

TEST_CASE("quote: every byte arrives in every shell, alone and beside every byte that means something") {
    const auto all = test::every_byte_in_context();
    everywhere([&](const real::shell& shell, std::string_view locale, dialect by) {
        CHECK(send(shell, locale, door::input, by, all) > 10'000);
    });
}

TEST_CASE("quote: every code point of the first plane arrives, those that shells use inside included") {
    const auto all = test::every_code_point();
    for (const auto& shell : real::shells())
        CHECK(send(shell, "C.UTF-8", door::file, shell.speaks.front(), all) > 60'000);
}

TEST_CASE("quote: what has been mistaken before arrives by every door") {
    everywhere([&](const real::shell& shell, std::string_view locale, dialect by) {
        for (const auto through : {door::argument, door::input, door::file}) {
            CHECK(send(shell, locale, through, by, test::notorious()) > 100);
        }
    });
}

TEST_CASE("quote: thousands of random vectors arrive in every shell") {
    const auto seed = test::seed(20'240'229);
    CAPTURE(seed);
    everywhere([&](const real::shell& shell, std::string_view locale, dialect by) {
        test::random_words random(seed);
        words all;
        for (int vector = 0; vector < 2'000; ++vector) {
            for (auto& word : random.vector()) all.push_back(std::move(word));
        }
        CHECK(send(shell, locale, door::input, by, all) > 1'000);
    });
}

TEST_CASE("soak: quote: a million random vectors arrive in every shell" * doctest::test_suite("soak")) {
    const auto seed = test::seed(std::random_device{}());
    MESSAGE("EXEC_TEST_SEED=" << seed);
    for (const auto& shell : real::shells()) {
        for (const auto by : shell.speaks) {
            CAPTURE(shell.name);
            CAPTURE(static_cast<int>(by));
            test::random_words random(seed);
            for (std::size_t batch = 0; batch < 100; ++batch) {
                words all;
                for (int vector = 0; vector < 10'000; ++vector) {
                    for (auto& word : random.vector()) all.push_back(std::move(word));
                }
                REQUIRE(send(shell, real::locales[batch % std::size(real::locales)], door::input, by, all) > 0);
            }
        }
    }
}

TEST_CASE("quote: a word of the kernel's full length arrives, plain or nothing but quotes") {
    constexpr std::size_t longest = 131'071;
    std::string mixed;
    while (mixed.size() < longest) mixed += "it's 100% $HOME\\!";
    mixed.resize(longest);
    everywhere([&](const real::shell& shell, std::string_view locale, dialect by) {
        if (locale != "C.UTF-8") return;
        for (const auto& word :
             {std::string(longest, 'x'), std::string(longest, '\''), std::string(longest, '\\'), mixed}) {
            CHECK(travel(shell, locale, door::input, by, {{word}}) == "");
        }
    });
}

TEST_CASE("join: the program is a word like the others: no keyword, assignment, alias or option") {
    const words names{"if",     "then", "{",   "}",      "!x", "case", "function", "coproc", "FOO=bar",
                      "FOO+=x", "a[1]", "=ls", "~",      "~x", "-x",   "--",       "#x",     "a b",
                      "*",      "(",    "not", "G",      "2",  "&",    ";",        "'",      "\\",
                      "a\\",    "$x",   "in",  "select", "do", "@x",   "time",     "a\nb",   "\xC3\xA9=x"};
    for (const auto& name : names) real::print_args_called(name);
    everywhere([&](const real::shell& shell, std::string_view locale, dialect by) {
        if (shell.name == "yash" ? locale == "C" : locale == "C.UTF-8") return;  // the locale is no part of this
        std::string script;
        std::vector<words> sent;
        for (const auto& name : names) {
            if (!carries(shell, locale, by, name)) continue;
            const auto line = exec::join(argv(name, "one", "two words"), by);
            const bool for_fish = by == dialect::fish || by == dialect::universal;
            CHECK(line.has_value() != (for_fish && exec::detail::is_fish_keyword(name)));
            if (!line) continue;
            script += *line + '\n';
            sent.push_back({name, "one", "two words"});
        }
        CHECK(sent.size() > 25);
        const auto ended = real::run_script(shell, locale, door::file, script);
        CHECK(real::difference(sent, ended.out, ended.err) == "");
    });
}

TEST_CASE("join: fish takes exactly the refused names for its grammar, quoted or not") {
    const auto& fish = real::find_shell("fish");
    const auto arrives = [&](const std::string& name) {
        real::print_args_called(name);
        const auto line = quote(name, dialect::fish).value() + " 'one'";
        return real::calls_in(real::run_script(fish, "C.UTF-8", door::argument, line).out) ==
               std::vector<words>{{name, "one"}};
    };
    for (const std::string name : {"!", "and", "begin", "builtin", "case", "command", "else", "end", "exec", "for",
                                   "function", "if", "not", "or", "switch", "time", "while"}) {
        CAPTURE(name);
        for (const auto by : {dialect::fish, dialect::universal}) {
            const auto refused = exec::join(argv(name, "one"), by);
            REQUIRE_FALSE(refused);
            CHECK(refused.error().code == exec::errc::invalid_argument);
            CHECK(refused.error().context.starts_with("argv[0]: "));
            CHECK(exec::join(argv("/usr/bin/" + name, "one"), by));
            CHECK(exec::join(argv("env", name), by));
        }
        CHECK(exec::join(argv(name, "one"), dialect::posix));
        CHECK_FALSE(arrives(name));
    }
    for (const std::string name : {"in", "then", "elif", "{", "[[", "coproc", "If", "ends"}) {
        CAPTURE(name);
        CHECK(arrives(name));
    }
}

TEST_CASE("join: what quoting cannot keep from a shell are its builtins; a path and env can") {
    real::print_args_called("eval");
    for (const auto& name : {"dash", "bash", "zsh", "ksh93", "mksh", "busybox", "posh", "yash", "fish"}) {
        CAPTURE(name);
        const auto& shell = real::find_shell(name);
        const argv eval("eval", "exit 7");
        const auto line = exec::join(eval).value();
        CHECK(real::calls_in(real::run_script(shell, "C", door::argument, line).out).empty());
        const auto called = std::vector<words>{{"eval", "exit 7"}};
        const auto behind_env = exec::join(eval.behind(argv("env"))).value();
        CHECK(real::calls_in(real::run_script(shell, "C", door::argument, behind_env).out) == called);
    }
}

TEST_CASE("quote: a newline has no universal form: csh would run what follows it") {
    const std::string word = "one\n" + real::print_args() + " two\nthree";
    for (const auto& shell : real::shells()) {
        for (const auto by : shell.speaks) {
            CAPTURE(shell.name);
            CAPTURE(static_cast<int>(by));
            const auto quoted = quote(word, by);
            CHECK(quoted.has_value() == (by != dialect::universal));
        }
    }
    CHECK(quote(word).error().context.starts_with("quote: byte 3 is a newline"));
    CHECK(exec::join(argv("a", "b", "c\n", "d\n")).error().context.starts_with("argv[2]: a newline"));

    // Why: a csh is sent the form that all the others read, and runs the second half of the word.
    const auto line = real::print_args() + " " + quote(word, dialect::posix).value();
    const auto ended = real::run_script(real::find_shell("tcsh"), "C", door::argument, line);
    CHECK(real::calls_in(ended.out) == std::vector<words>{{real::print_args(), "two"}});
}

TEST_CASE("quote: yash runs nothing of a line with bytes that are no text in its locale, and may call that success") {
    const auto& yash = real::find_shell("yash");
    const auto sent = [&](std::string_view locale, door through, std::string_view word) {
        const auto line = exec::join(argv(real::print_args(), word)).value();
        return real::run_script(yash, locale, through, line + "\n");
    };
    struct line {
        std::string_view locale;
        std::string_view word;
    };
    for (const auto& each : {line{"C", "caf\xC3\xA9"}, line{"C.UTF-8", "\xA9"}, line{"C.UTF-8", "a\xFF; exit 0"}}) {
        CAPTURE(exec::display(each.word));
        for (const auto through : {door::argument, door::input, door::file}) {
            const auto ended = sent(each.locale, through, each.word);
            CHECK(ended.out == "");
            CHECK(ended.err != "");
            CHECK((ended.status == 0) == (through == door::argument));
        }
    }
    CHECK(real::calls_in(sent("C.UTF-8", door::argument, "caf\xC3\xA9").out).size() == 1);
}

TEST_CASE("quote: NUL is refused by every dialect, at its byte") {
    using namespace std::string_view_literals;
    for (const auto by : {dialect::posix, dialect::universal, dialect::fish, dialect::csh}) {
        const auto refused = quote("ab\0c"sv, by);
        REQUIRE_FALSE(refused);
        CHECK(refused.error().code == exec::errc::invalid_argument);
        CHECK(refused.error().context == "quote: byte 2 is NUL");
        CHECK_FALSE(exec::join(argv(), by));
    }
}

TEST_CASE("quote: the text is what the header says, to the byte") {
    const auto forms = [](std::string_view word) {
        std::vector<std::string> all;
        for (const auto by : {dialect::posix, dialect::universal, dialect::fish, dialect::csh}) {
            all.push_back(quote(word, by).value_or("refused"));
        }
        return all;
    };
    using list = std::vector<std::string>;
    CHECK(forms("") == list(4, "''"));
    CHECK(forms("ls") == list(4, "'ls'"));
    CHECK(forms("a b") == list(4, "'a b'"));
    CHECK(forms("it's") == list{R"('it'\''s')", R"('it'\''s')", R"('it\'s')", R"('it'\''s')"});
    CHECK(forms("''") == list{R"(\'\')", R"(\'\')", R"('\'\'')", R"(\'\')"});
    CHECK(forms("a\\") == list{R"('a\')", R"('a'\\)", R"('a\\')", R"('a'\\)"});
    CHECK(forms("hi!") == list{R"('hi!')", R"('hi'\!)", R"('hi!')", R"('hi'\!)"});
    CHECK(forms("a\nb") == list{"'a\nb'", "refused", "'a\nb'", "'a\\\nb'"});
    CHECK(exec::join(argv("git", "log", "--format=%h it's", "")).value() == R"('git' 'log' '--format=%h it'\''s' '')");
}

TEST_CASE("quote: one allocation, the result's, however many bytes have to be escaped") {
    test::random_words random(7);
    for (int round = 0; round < 2'000; ++round) {
        const auto word = random.word() + std::string(random.below(40), '\'') + "\\ longer than a string keeps inside";
        const argv program("git", word, "", "'''''''''", word);
        for (const auto by : {dialect::posix, dialect::fish, dialect::csh}) {
            const test::allocations quoting;
            const bool quoted = quote(word, by).has_value();
            REQUIRE(quoting.count() == 1);
            const test::allocations joining;
            const bool joined = exec::join(program, by).has_value();
            REQUIRE(joining.count() == 1);
            REQUIRE((quoted && joined));
        }
    }
}

TEST_CASE("quote: the proof notices naive rules") {
    const auto plain_first = [](const words& line, std::string (*naive)(const std::string&)) {
        std::string text = quote(line.front(), dialect::csh).value();
        for (std::size_t at = 1; at < line.size(); ++at) text += " " + naive(line[at]);
        return text;
    };
    static const auto line_by = plain_first;
    static const auto all_in = [](const std::string& word, std::string_view safe) {
        return !word.empty() && word.find_first_not_of(safe) == std::string::npos;
    };
    static const std::string letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    const auto notices = [](const char* shell, const words& sent, real::quoter by, const words& environment = {}) {
        for (const auto& word : sent) {
            const auto trouble =
                travel(real::find_shell(shell), "C.UTF-8", door::input, dialect::csh, {{word}}, by, environment);
            if (trouble.empty()) return false;
        }
        // The same words by our own rules, through the same door.
        const auto ours = real::find_shell(shell).speaks.front();
        return travel(real::find_shell(shell), "C.UTF-8", door::input, ours, {sent}, real::joined, environment).empty();
    };

    // The safe set of Python's shlex.quote and of Go's shellescape: '=' is bare.
    CHECK(notices("zsh", {"=ls"}, [](const words& line, dialect) {
        return line_by(line, [](const std::string& word) {
            return all_in(word, letters + "_@%+=:,./-") ? word : quote(word, dialect::posix).value();
        });
    }));
    // The safe set without it: a bare word is still an alias's.
    CHECK(notices("zsh with aliases", {"G", "2"}, [](const words& line, dialect) {
        return line_by(line, [](const std::string& word) {
            return all_in(word, letters + "_@%+:,./-") ? word : quote(word, dialect::posix).value();
        });
    }));
    // Quotes only around what a list of special characters names, and the list has gaps.
    CHECK(notices("bash", {"~root", "{a,b}"}, [](const words& line, dialect) {
        return line_by(line, [](const std::string& word) {
            return word.find_first_of(" \t\n'\"\\$`*?[]()<>|&;#") == std::string::npos
                       ? word
                       : quote(word, dialect::posix).value();
        });
    }));
    // Double quotes with the usual two escapes.
    CHECK(notices("dash", {"$HOME", "`id`"}, [](const words& line, dialect) {
        return line_by(line, [](const std::string& word) {
            std::string text = "\"";
            for (const char byte : word)
                text += byte == '"' || byte == '\\' ? std::string{'\\', byte} : std::string{byte};
            return text + "\"";
        });
    }));
    // The POSIX rule where it does not hold.
    const real::quoter posix_rule = [](const words& line, dialect) { return real::joined(line, dialect::posix); };
    CHECK(notices("fish", {"\\'", "\\\\", "a\\"}, posix_rule));
    CHECK(notices("tcsh", {"a!b", "a\nb"}, posix_rule));
    CHECK(notices("tcsh with backslash_quote", {"a\\"}, posix_rule));
}

TEST_CASE("quote: a bash that expands history reads universal lines, and substitutes inside posix ones") {
    const auto& bash = real::find_shell("bash with history");
    CHECK(travel(bash, "C", door::input, dialect::universal, {{"^x^y", "!!", "!$", "a!b"}}) == "");
    CHECK(travel(bash, "C", door::input, dialect::posix, {{"\n^x^y"}}) != "");
}
