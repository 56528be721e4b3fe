// Rows about what is checked and arranged before anything runs, and about failures to start.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "exec/argv.h"
#include "exec/testing/conformance/bench.h"

namespace exec::inline v0::testing::conformance {

inline std::string every_byte_but_nul() {
    std::string all;
    for (int byte = 1; byte < 256; ++byte) all += static_cast<char>(byte);
    return all;
}

// Bounds under which argv takes what no kernel does.
inline constexpr argv_bounds no_bounds{SIZE_MAX, SIZE_MAX, SIZE_MAX};

inline std::vector<row> before_rows() {
    return {
        {"a blank argv is refused", [](bench& here) { here.fails(here.run(command{}), errc::invalid_argument); }},
        {"an unknown program is a failure that names the stage, and not an exit code",
         [](bench& here) {
             here.fails_at(here.run({.program_and_args = argv("/no/such/program")}), stage::program);
             here.fails_at(here.run({.program_and_args = argv("no-such-program-by-name")}), stage::program);
         }},
        {"a program that may not be executed is a failure, too",
         [](bench& here) {
             here.fails_at(here.run({.program_and_args = argv("/etc/passwd")}), stage::program);
             here.fails_at(here.run({.program_and_args = argv("/")}), stage::program);
         }},
        {"a script whose interpreter is missing is told apart from a missing program",
         [](bench& here) {
             const auto made = here.run_sh(
                 "f=$(mktemp) && printf '#!/no/such/interpreter\\n' > \"$f\" && chmod 755 \"$f\" && printf %s \"$f\"");
             if (!here.exits(made)) return;
             here.fails_at(here.run({.program_and_args = argv(made->out.bytes)}), stage::interpreter);
             here.exits(here.run(here.sh("rm \"$1\"", {made->out.bytes})));
         }},
        {"a command runs in the directory that it names",
         [](bench& here) {
             auto what = here.sh("pwd -P");
             what.cwd = "/usr";
             here.says(here.run(what), "/usr\n");
         },
         asks_for::either, &capabilities::cwd},
        {"a missing directory is a failure of its own",
         [](bench& here) {
             auto what = here.sh("exit 0");
             what.cwd = "/no/such/directory";
             here.fails_at(here.run(what), stage::cwd);
         },
         asks_for::either, &capabilities::cwd},
        {"a file is no directory",
         [](bench& here) {
             auto what = here.sh("exit 0");
             what.cwd = "/etc/passwd";
             here.fails_at(here.run(what), stage::cwd);
         },
         asks_for::either, &capabilities::cwd},
        {"a NUL in the directory is refused",
         [](bench& here) {
             auto what = here.sh("exit 0");
             what.cwd = std::string("/\0usr", 5);
             here.fails(here.run(what), errc::invalid_argument);
         }},
        {"every byte but NUL arrives in an argument",
         [](bench& here) {
             const auto all = every_byte_but_nul();
             here.says(here.run(here.sh("printf %s \"$1\"", {all})), all);
         }},
        {"words stay words: empty ones, blanks, quotes, line feeds, globs, options, dollars",
         [](bench& here) {
             const std::vector<std::string> words{"",   " ",     "a  b", "'", "\"", "\\", "\n", "*",
                                                  "-n", "$HOME", "`id`", "#", "~",  "!",  ""};
             std::string expected;
             for (const auto& each : words) expected += '<' + each + '>';
             here.says(here.run(here.sh("for word do printf '<%s>' \"$word\"; done", words)), expected);
         }},
        {"an argument that is too long is refused up front, by its index and without its text",
         [](bench& here) {
             const auto bound = here.can().max_word_bytes;
             here.claim(bound <= 1U << 30U, "can() names no bound for one argument");
             const std::vector<std::string> words{"/bin/sh", "-c", "exit 0", std::string(bound + 1, 'x')};
             const auto how = here.run({.program_and_args = *argv::make(words, no_bounds)});
             here.fails(how, errc::invalid_argument);
             here.claim(
                 !how && how.error().context.find("argv[3]") != std::string::npos && how.error().context.size() < 256,
                 "the failure does not name argv[3]; " + describe(how));
         }},
        {"an argument of exactly the bound is taken",
         [](bench& here) {
             const std::string longest(here.can().max_word_bytes, 'x');
             const std::vector<std::string> words{"/bin/sh", "-c", "printf %s \"${#1}\"", "sh", longest};
             here.says(here.run({.program_and_args = *argv::make(words, no_bounds)}), std::to_string(longest.size()));
         }},
        {"a command line that is too long as a whole is refused up front",
         [](bench& here) {
             const auto bound = here.can().max_bytes;
             here.claim(bound <= 1U << 30U, "can() names no bound for a whole command line");
             std::vector<std::string> words{"/bin/sh", "-c", "exit 0", "sh"};
             for (std::size_t sum = 0; sum <= bound; sum += 100'000) words.emplace_back(100'000, 'x');
             here.fails(here.run({.program_and_args = *argv::make(words, no_bounds)}), errc::invalid_argument);
         }},
        {"times of zero and less are refused, one by one",
         [](bench& here) {
             for (const auto member :
                  {&limits::run_timeout, &limits::start_timeout, &limits::idle_timeout, &limits::heartbeat,
                   &limits::consumer_timeout, &limits::drain_idle, &limits::drain_max}) {
                 for (const auto wrong : {milliseconds(0), milliseconds(-1)}) {
                     limits within;
                     within.*member = wrong;
                     here.fails(here.run_sh("exit 0", within), errc::invalid_argument);
                 }
             }
             limits within;
             within.stop.grace = milliseconds(-1);
             here.fails(here.run_sh("exit 0", within), errc::invalid_argument);
         }},
        {"the environment is a clean base: nothing of the host's but PATH, HOME, USER and LANG",
         [](bench& here) {
             const auto how = here.run_sh("env");
             if (!here.exits(how)) return;
             std::vector<std::string> known{"PATH", "HOME",   "USER",  "LANG",
                                            "PWD",  "OLDPWD", "SHLVL", "_"};  // the shell's own
             const auto& more = here.subject().also_in_environment;
             known.insert(known.end(), more.begin(), more.end());
             std::string_view rest = how->out.bytes;
             while (!rest.empty()) {
                 const auto line = rest.substr(0, rest.find('\n'));
                 rest.remove_prefix((std::min)(line.size() + 1, rest.size()));
                 const auto name = line.substr(0, line.find('='));
                 here.claim(std::find(known.begin(), known.end(), name) != known.end(),
                            "the child got a variable that nobody gave it: " + display(name));
             }
             here.claim(how->out.bytes.find("PATH=") != std::string::npos, "the child got no PATH");
         }},
        {"a variable arrives with every byte of its value",
         [](bench& here) {
             auto what = here.sh("printf %s \"$A_1\"");
             const auto value = every_byte_but_nul();
             here.claim(what.env.set("A_1", value).has_value(), "the value was refused");
             here.says(here.run(what), value);
         },
         asks_for::either, &capabilities::environment},
        {"a variable of the base can be replaced and taken away",
         [](bench& here) {
             auto what = here.sh("printf %s-%s \"$USER\" \"${LANG-none}\"");
             here.claim(what.env.set("USER", "somebody") && what.env.unset("LANG"), "a name was refused");
             here.says(here.run(what), "somebody-none");
         },
         asks_for::either, &capabilities::environment},
        {"without the base there is what was said, and inheriting is by name",
         [](bench& here) {
             auto what = here.sh("printf %s-%s-%s \"$A\" \"${HOME-none}\" \"${PATH:+some}\"");
             what.env.without_base();
             here.claim(what.env.set("A", "1") && what.env.inherit("PATH") && what.env.inherit("NO_SUCH_VARIABLE_HERE"),
                        "a name was refused");
             here.says(here.run(what), "1-none-some");
         },
         asks_for::either, &capabilities::environment},
        {"without input there is nothing to read, and reading ends at once",
         [](bench& here) { here.says(here.run_sh("cat; [ ! -t 0 ] && echo end"), "end\n"); }},
        {"the child has descriptors 0, 1 and 2 and nothing else",
         [](bench& here) { here.says(here.run_sh("exec ls /proc/self/fd"), "0\n1\n2\n3\n"); }},  // 3 is what ls reads
        {"the child leads a session and a group of its own",
         [](bench& here) {
             const auto how = here.run_sh("exec cut -d ' ' -f 1,5,6 /proc/self/stat");
             if (!here.exits(how)) return;
             const std::string_view said = how->out.bytes;
             const auto pid = std::string(said.substr(0, said.find(' ')));
             here.claim(said == pid + ' ' + pid + ' ' + pid + '\n', "pid, group and session: " + display(said));
         }},
        {"the child ignores and blocks no signal",
         [](bench& here) {
             // 32 and 33 belong to the C library, whose posix_spawn ignores them.
             here.says(
                 here.run_sh(
                     "exec sed -n 's/^Sig\\(Blk\\|Ign\\):\\t0*\\(180000000\\)\\{0,1\\}$/\\1/p' /proc/self/status"),
                 "Blk\nIgn\n");
         }},
    };
}

}  // namespace exec::inline v0::testing::conformance
