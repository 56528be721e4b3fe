#include "ssh/remote_command.h"

#include <algorithm>
#include <initializer_list>
#include <optional>
#include <utility>

#include "exec/argv.h"
#include "exec/assert.h"
#include "exec/environment.h"
#include "exec/quote.h"

namespace exec::inline v0::ssh {
namespace {

std::string text(std::initializer_list<std::string_view> pieces) {
    std::string all;
    for (const auto piece : pieces) all += piece;
    return all;
}

// What the wrapper does, in the order in which it does it. The text of the line stands between single quotes of whichever
// login shell: no quote, no backslash, no '!' and no newline in it. $1 is this script, the command's words follow.

// exec_m becomes `leader` or `shared`. `kill -0 -$$` asks whether there is a group of this number. If so it is ours: no
// pid is given away while a group has its number. One system call, and no /proc. Only who leads no group may go through
// setsid(1), which forks otherwise and returns at once. $0 tells a shell that has been there. On a terminal a new session
// would lose it.
std::string find_group(bool terminal, std::string_view shell) {
    constexpr std::string_view leads = "exec_m=shared; if kill -0 -$$ 2>/dev/null; then exec_m=leader; ";
    if (terminal) return text({leads, "fi; "});
    return text({leads, "elif [ \"$0\" = sh ] && command -v setsid >/dev/null; then exec setsid ", shell,
                 " -c \"$1\" setsid \"$@\"; fi; "});
}

// For a command without the account's variables. PATH is for stty.
std::string drop_variables(std::string_view shell) {
    return text({"[ \"$0\" = clean ] || exec env -i PATH=\"$PATH\" ", shell, " -c \"$1\" clean \"$@\"; "});
}

// `marker` is a marker's text up to its words. LC_ALL for read alone: a bash in UTF-8 loses bytes 0x01 and 0x7F that follow
// an incomplete character.
std::string take_preamble(bool terminal, std::string_view marker) {
    if (!terminal) {
        return text(
            {"echo \"", marker, "pid $$ $exec_m\" >&2; LC_ALL=C IFS= read -r exec_l || exit 126; eval \"$exec_l\""});
    }
    // -iexten: where it is heeded without icanon, ^V would take the next byte.
    return text(
        {"{ exec_t=$(stty -g) && stty raw -echo -iexten; } 2>/dev/null || { echo \"", marker,
         "fail terminal none\" >&2; exit 126; }; echo \"", marker,
         "ready $$ $exec_m\" >&2; LC_ALL=C IFS= read -r exec_l || exit 126; stty \"$exec_t\"; eval \"$exec_l\""});
}

// The functions keep what they know in their own positional parameters: every name could be a variable of the command.
//
// exec_fail <refusal> <word>
// exec_gone <refusal> <path>: nothing there; its nearest ancestor that exists says why.
std::string define_failures(std::string_view marker) {
    return text({"exec_fail() { echo \"", marker,
                 "fail $1 $2\" >&2; exit 126; }; "
                 "exec_gone() { until [ -e \"$2\" ]; do case $2 in "
                 "*/*) set -- \"$1\" \"${2%/*}\";; *) set -- \"$1\" .;; esac; done; "
                 "[ -d \"$2\" ] || exec_fail \"$1\" notdir; [ -x \"$2\" ] || exec_fail \"$1\" denied; "
                 "exec_fail \"$1\" none; }; "});
}

// exec_cd <path>: as the kernel walks it (-P), not as text with ".." taken out.
constexpr std::string_view define_cd =
    "exec_cd() { cd -P \"$1\" 2>/dev/null && return; [ -e \"$1\" ] || exec_gone cwd \"$1\"; "
    "[ -d \"$1\" ] || exec_fail cwd notdir; exec_fail cwd denied; }; ";

// exec_set <name> <value>: unset first, because RANDOM, SECONDS and their like are no plain variables before that; looked
// at afterwards, because a shell may drop a value without a word. `command`: a bash that is called sh ends when it cannot
// set one. What is said meanwhile may hold the value.
constexpr std::string_view define_set =
    "exec_set() { { unset -v \"$1\"; command export \"$1=$2\"; } 2>/dev/null; "
    "eval \"[ \\\"x\\$$1\\\" = \\\"x\\$2\\\" ]\" || exec_fail environment denied; }; ";

// exec_find <program>: as execvp does, EACCES if the only ones found are not executable.
// exec_walk <PATH>: <program>.
constexpr std::string_view find_program =
    "exec_walk() { while [ \"$1\" ]; do case $1 in :*) set -- \".$1\" \"$2\" \"$3\";; esac; "
    "if [ -f \"${1%%:*}/$2\" ]; then [ -x \"${1%%:*}/$2\" ] && return; set -- \"$1\" \"$2\" denied; fi; "
    "set -- \"${1#*:}\" \"$2\" \"$3\"; done; exec_fail program \"${3:-none}\"; }; "
    "exec_find() { case $1 in */*) [ -e \"$1\" ] || exec_gone program \"$1\"; "
    "[ -f \"$1\" ] && [ -x \"$1\" ] || exec_fail program denied;; *) exec_walk \"$PATH:\" \"$1\";; esac; }; "
    "exec_find \"$1\"; ";

std::string become_command(const command& what, std::string_view marker, std::string_view go, bool mark_out) {
    std::string script;
    if (mark_out) script += text({"echo \"", marker, "go\"; "});
    script += text({"echo \"", marker, go, "\" >&2; exec \"$@\""});
    if (what.terminal) return script;
    if (what.in.what() == input::kind::none) script += " </dev/null";
    if (what.merge_err_into_out) script += " 2>&1";
    return script;
}

// One word of a line for the inner shell. exec_n holds the newline.
void append_word(std::string& line, std::string_view word) {
    line += '\'';
    while (!word.empty()) {
        const auto plain = (std::min)(word.find_first_of("'\n"), word.size());
        line += word.substr(0, plain);
        if (plain == word.size()) break;
        line += word[plain] == '\n' ? R"('"$exec_n"')" : R"('\'')";
        word.remove_prefix(plain + 1);
    }
    line += '\'';
}

bool is_name(std::string_view name) {
    const auto letter = [](char byte) {
        return byte == '_' || (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
    };
    return !name.empty() && letter(name.front()) && std::all_of(name.begin(), name.end(), [&](char byte) {
        return letter(byte) || (byte >= '0' && byte <= '9');
    });
}

// OPTIND is a number of the shell's own; dash ends over an attempt to unset it, and ksh93 crashes without SHLVL.
bool is_kept_by_shells(std::string_view name) {
    constexpr std::string_view own[] = {"_", "OPTIND", "SHLVL", "exec_l", "exec_m", "exec_n", "exec_t"};
    return std::find(std::begin(own), std::end(own), name) != std::end(own);
}

std::optional<failure> refuse(const environment& env) {
    for (const auto variable : env) {
        const std::string name(variable.name);
        if (!is_name(name)) {
            return fail(errc::invalid_argument, "environment: not a name over SSH ([A-Za-z_][A-Za-z0-9_]*): " + name);
        }
        if (is_kept_by_shells(name)) {
            return fail(errc::unsupported, "environment: kept by the target's shell: " + name);
        }
        if (variable.from == environment::origin::inherited && !env.has_base()) {
            return fail(errc::unsupported, "environment: without a base there is nothing to inherit: " + name);
        }
        if (name.size() + 1 + variable.value.size() > argv_bounds{}.max_word_bytes) {
            return fail(errc::invalid_argument, "environment: the value is too long: " + name);
        }
    }
    return std::nullopt;
}

bool has_path(const environment& env) {
    for (const auto variable : env) {
        if (variable.name == "PATH") return variable.from != environment::origin::absent;
    }
    return env.has_base();
}

bool changes_variables(const environment& env) {
    if (!env.has_base()) return true;
    for (const auto variable : env) {
        if (variable.from != environment::origin::inherited) return true;
    }
    return false;
}

std::optional<failure> refuse(const command& what) {
    if (const auto fine = what.program_and_args.check(); !fine) return fine.error();
    const auto program = what.program_and_args.program();
    if (program.front() == '-') {
        return fail(errc::unsupported, "argv[0]: begins with '-', which shells take for an option; write its path");
    }
    if (program.find('/') == std::string_view::npos && !has_path(what.env)) {
        return fail(errc::unsupported, "argv[0]: there is no PATH to find it on; write its path");
    }
    if (what.cwd.find('\0') != std::string::npos) return fail(errc::invalid_argument, "cwd: a NUL");
    return refuse(what.env);
}

// Without its newline.
std::string preamble_of(const command& what, bool with_words, std::string_view marker, bool mark_out) {
    auto script = text({"exec_n=${IFS#??}; ", define_failures(marker)});
    if (!what.cwd.empty()) {
        script += define_cd;
        script += "exec_cd ";
        // A relative one must not be searched for on CDPATH, nor be an option.
        append_word(script, what.cwd.front() == '/' ? what.cwd : "./" + what.cwd);
        script += "; ";
    }
    if (!what.env.has_base()) script += "unset -v PATH PWD OLDPWD; ";
    if (changes_variables(what.env)) script += define_set;
    for (const auto variable : what.env) {
        switch (variable.from) {
            case environment::origin::inherited: break;
            case environment::origin::absent: script += text({"unset -v ", variable.name, "; "}); break;
            case environment::origin::given:
                script += text({"exec_set ", variable.name, " "});
                append_word(script, variable.value);
                script += "; ";
        }
    }
    if (with_words) {
        script += "set --";
        for (const auto word : what.program_and_args) {
            script += ' ';
            append_word(script, word);
        }
        script += "; ";
    }
    return script + std::string(find_program) + become_command(what, marker, "go", mark_out);
}

void append_words(std::string& line, const argv& words) {
    const auto& how = detail::quoting_of(dialect::universal);
    for (const auto word : words) {
        line += ' ';
        detail::append_quoted(line, word, how);
    }
}

}  // namespace

result<remote_command> wrap(const command& what, const nonce& mark, const wrapping& how) {
    if (auto wrong = refuse(what)) return *std::move(wrong);
    const bool terminal = what.terminal.has_value();
    const bool mark_out = how.mark_out && !terminal;
    const auto marker = text({"\036", {mark.data(), mark.size()}, " "});

    const auto& words = what.program_and_args;
    const bool plain = what.cwd.empty() && !changes_variables(what.env);
    // A first guess, for words that are too long even bare; the quoted line is measured below.
    bool in_line = words.packed().find('\n') == std::string_view::npos && words.packed().size() < max_line;

    const auto line_of = [&](bool with_preamble) {
        auto script = find_group(terminal, how.shell);
        if (!what.env.has_base()) script += drop_variables(how.shell);
        script += "shift; ";
        if (with_preamble) {
            script += take_preamble(terminal, marker);
        } else {
            script += define_failures(marker);
            script += find_program;
            script += become_command(what, marker, "go $$ $exec_m", mark_out);
        }
        auto line = text({"exec ", how.shell, " -c 'eval \"$1\"' sh '", script, "'"});
        if (in_line) append_words(line, words);
        return line;
    };

    remote_command made;
    made.line = line_of(!plain || !in_line);
    if (made.line.size() > max_line) {
        in_line = false;
        made.line = line_of(true);
    }
    if (plain && in_line) return made;
    made.preamble = preamble_of(what, !in_line, marker, mark_out) + "\n";
    if (made.preamble.size() > max_preamble) {
        return fail(errc::invalid_argument, "ssh: words, variables and directory are more than " +
                                                std::to_string(max_preamble) + " bytes when quoted");
    }
    return made;
}

result<remote_command> bare(const command& what) {
    if (!what.cwd.empty()) return fail(errc::unsupported, "cwd: cannot be set without the wrapper");
    if (changes_variables(what.env)) return fail(errc::unsupported, "environment: cannot be set without the wrapper");
    if (what.merge_err_into_out && !what.terminal) {
        return fail(errc::unsupported, "merge_err_into_out: cannot be done without the wrapper");
    }
    const auto& words = what.program_and_args;
    if (const auto fine = words.check(); !fine) return fine.error();
    if (words.packed().find('\n') != std::string_view::npos) {
        return fail(errc::unsupported, "argv: a newline, which not every login shell can carry without the wrapper");
    }
    auto line = join(words);
    if (!line) return std::move(line).error();
    if (line->size() > max_line) {
        return fail(errc::invalid_argument, "argv: more than " + std::to_string(max_line) + " bytes when quoted");
    }
    return remote_command{*std::move(line), {}};
}

failure refused(const report& said, const command& what) {
    EXEC_ASSERT(said.what == report::kind::refused, "ssh: this marker refuses nothing");
    switch (said.at) {
        case refusal::program:
            return os_failure(said.os_error, stage::program, std::string(what.program_and_args.program()));
        case refusal::cwd: return os_failure(said.os_error, stage::cwd, what.cwd);
        case refusal::terminal:
            return fail(errc::unsupported,
                        "terminal: the target has no stty, and neither variables nor directory may be echoed");
        case refusal::environment: break;
    }
    return fail(errc::unsupported, "environment: a variable that the target's shell keeps to itself");
}

}  // namespace exec::inline v0::ssh
