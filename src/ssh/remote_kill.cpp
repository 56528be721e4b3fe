#include "ssh/remote_kill.h"

#include <charconv>
#include <system_error>
#include <utility>

#include "exec/assert.h"
#include "ssh/signal_names.h"

#include <csignal>

namespace exec::inline v0::ssh {
namespace {

// Not a word of a profile, by its first byte.
constexpr std::string_view answer = "\036exec group ";

// As in remote_command.cpp: text between single quotes of whichever login shell. Of an order exec_i is the
// number, exec_w the owner, exec_g the pid, exec_k the kind, exec_s the signal, exec_c and exec_d the two wishes; exec_a is the
// answer. Fields are split at newlines only, and nothing but the list of /proc is a pattern.
constexpr std::string_view begin = "LC_ALL=C; export LC_ALL; IFS=${IFS#??}; set -f; ";

// exec_list <pattern>: of all processes, the lines "/proc/<pid>/stat:<pid> (<name>) <state> <parent> <group> ..." that fit.
// A name may hold any byte, a newline too; then its end is on a second line, which grep calls by the same file. 127: cannot
// be known. For a subshell.
constexpr std::string_view define_list =
    "exec_list() { set +f; if [ -r /proc/$$/stat ]; then grep -s \"$1\" /dev/null /proc/[0-9]*/stat; return; fi; "
    "command -v ps >/dev/null || return 127; "
    "ps -A -o pid= -o ppid= -o pgid= -o stat= | "
    "while IFS=\" \" read -r p q g s; do echo \"/proc/$p/stat:$p () $s $q $g \"; done | grep \"$1\"; }; ";

// exec_try <lines or pids>: one that may be signalled makes the answer `alive`, others `denied`, none `gone`.
constexpr std::string_view define_try =
    "exec_try() { exec_a=gone; for exec_p in $1; do exec_a=denied; exec_p=${exec_p#/proc/}; "
    "if kill -0 ${exec_p%%/*} 2>/dev/null; then exec_a=alive; return; fi; done; }; ";

// A negative number behind `--` is a syntax error to dash and busybox; behind a signal it is a group everywhere. What kill(1)
// complains of is written where the answer is: it tells "not permitted" from "no such process" without a process of its own.
constexpr std::string_view define_group =
    "exec_group() { exec_a=failed; kill -$exec_s -$exec_g 2>&1 || return; exec_a=alive; "
    "[ $exec_c = 0 ] || kill -CONT -$exec_g 2>/dev/null; [ $exec_d = 0 ] || exec_look; }; "
    // The usual case without a look at everybody: the leader lives.
    "exec_look() { if IFS= read -r exec_e 2>/dev/null </proc/$exec_g/stat; then "
    "case $exec_e in *\") \"[XZ]\" \"*) ;; *\") \"*) kill -0 $exec_g 2>/dev/null && return;; esac; fi; "
    "exec_l=$(exec_list \") [^XZ][^ ]* [0-9]* $exec_g \"); [ $? -gt 2 ] || exec_try \"$exec_l\"; }; ";

// exec_t is all that were ever found, so that a child whose parent ends between two looks stays known; exec_v those of
// them that live. The list is gone through until it adds nobody, since a child may stand before its parent. 20 fields: the
// group is the 5th, and a name has up to 15 blanks; a shell takes the square of a line's length to find its last parenthesis.
constexpr std::string_view define_tree =
    "exec_grow() { exec_l=$(exec_list \"\" | cut -d \" \" -f 1-20); [ \"$exec_l\" ] || return; exec_o=; "
    "until [ \"$exec_o\" = \"$exec_t\" ]; do exec_o=$exec_t; exec_v=; for exec_p in $exec_l; do "
    "exec_x=${exec_p##*\") \"}; [ \"$exec_x\" = \"$exec_p\" ] && continue; "
    "exec_q=${exec_x#* }; exec_q=${exec_q%% *}; exec_p=${exec_p#/proc/}; exec_p=${exec_p%%/*}; "
    "case $exec_nl$exec_t$exec_nl in *\"$exec_nl$exec_p$exec_nl\"*) ;; "
    "*\"$exec_nl$exec_q$exec_nl\"*) exec_t=$exec_t$exec_nl$exec_p;; *) continue;; esac; "
    "case $exec_x in [XZ]*) ;; *) exec_v=$exec_v$exec_nl$exec_p;; esac; done; done; }; "
    // Nobody who is stopped makes another one while the others are looked for.
    "exec_tree() { exec_grow; case $exec_s in 0) ;; KILL) kill -STOP $exec_t 2>/dev/null; exec_grow; "
    "kill -9 $exec_t 2>/dev/null; exec_grow;; *) kill -$exec_s $exec_t 2>/dev/null; "
    "[ $exec_c = 0 ] || kill -CONT $exec_t 2>/dev/null;; esac; "
    "if exec_grow; then exec_try \"$exec_v\"; else exec_a=alive; fi; }; ";

// exec_h makes a name of a name. What was found for a tree is kept under its order's owner.
constexpr std::string_view serve =
    "exec_nl=$IFS; exec_h=\"$\"; "
    "while IFS=\" \" read -r exec_i exec_w exec_g exec_k exec_s exec_c exec_d; do case $exec_k in "
    "group) exec_group;; "
    "tree) eval \"exec_t=${exec_h}exec_t$exec_w\"; [ \"$exec_t\" ] || exec_t=$exec_g; exec_tree; "
    "if [ $exec_a = gone ]; then unset exec_t$exec_w; else eval \"exec_t$exec_w=${exec_h}exec_t\"; fi;; "
    "*) exec_a=unknown;; esac; echo \"\036exec group $exec_i $exec_a\"; done";

}  // namespace

std::string control_line(std::string_view shell) {
    std::string line = "exec ";
    for (const auto piece : {shell, std::string_view(" -c '"), begin, define_list, define_try, define_group,
                             define_tree, serve, std::string_view("'")}) {
        line += piece;
    }
    return line;
}

std::string order_line(std::uint64_t id, const kill_order& order) {
    EXEC_ASSERT(order.pid > 1, "ssh: the pids 0 and 1 and all below mean everybody to kill(1)");
    const bool continues = order.and_continue && order.signal != 0 && order.signal != SIGKILL;
    const auto* named = find_signal(order.signal);
    return std::to_string(id) + ' ' + std::to_string(order.owner) + ' ' + std::to_string(order.pid) +
           (order.leads ? " group " : " tree ") +
           (named != nullptr ? std::string(named->name) : std::to_string(order.signal)) + (continues ? " 1" : " 0") +
           (order.thorough ? " 1" : " 0") + '\n';
}

std::optional<group_answer> answer_reader::next(bytes_view& rest) {
    while (!rest.empty()) {
        const auto end = rest.find('\n');
        const auto part = rest.substr(0, end);
        if (line_.size() < max_line) line_ += part.substr(0, max_line - line_.size());
        rest.remove_prefix(end == bytes_view::npos ? rest.size() : end + 1);
        if (end == bytes_view::npos) break;
        if (auto said = end_of_line()) return said;
    }
    return std::nullopt;
}

std::optional<group_answer> answer_reader::end_of_line() {
    const auto line = std::exchange(line_, {});
    auto words = std::string_view(line);
    if (words.substr(0, answer.size()) != answer) {
        denied_ = denied_ || words.find("ermitted") != words.npos || words.find("ermission") != words.npos;
        return std::nullopt;
    }
    words.remove_prefix(answer.size());
    const bool denied = std::exchange(denied_, false);
    group_answer said;
    const auto [stop, wrong] = std::from_chars(words.data(), words.data() + words.size(), said.id);
    if (wrong != std::errc{}) return std::nullopt;
    words.remove_prefix(static_cast<std::size_t>(stop - words.data()));
    if (words == " failed") {
        said.is = denied ? group_state::denied : group_state::gone;
    } else if (words == " gone") {
        said.is = group_state::gone;
    } else if (words == " alive") {
        said.is = group_state::alive;
    } else if (words == " denied") {
        said.is = group_state::denied;
    } else {
        return std::nullopt;
    }
    return said;
}

}  // namespace exec::inline v0::ssh
