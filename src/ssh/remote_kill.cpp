#include "ssh/remote_kill.h"

#include <algorithm>

#include "exec/assert.h"

namespace exec::inline v0::ssh {
namespace {

// Not a word of a profile, by its first byte.
constexpr std::string_view answer = "\036exec group ";
constexpr int kill_signal = 9;

// As in remote_command.cpp: text between single quotes of whichever login shell. exec_g is the pid, exec_n the steps to
// wait, exec_a the answer. Fields are split at newlines only, and nothing but the list of /proc is a pattern.
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

// A negative number behind `--` is a syntax error to dash and busybox; behind a signal it is a group everywhere.
constexpr std::string_view define_group =
    "exec_send() { kill -$1 -$exec_g 2>/dev/null; }; "
    "exec_look() { exec_a=alive; exec_e=$(kill -0 -$exec_g 2>&1) || { "
    "case $exec_e in *ermi[ts]*) exec_a=denied;; *) exec_a=gone;; esac; return; }; "
    // The usual case without a look at everybody: the leader lives.
    "if IFS= read -r exec_e 2>/dev/null </proc/$exec_g/stat; then "
    "case $exec_e in *\") \"[XZ]\" \"*) ;; *\") \"*) kill -0 $exec_g 2>/dev/null && return;; esac; fi; "
    "exec_l=$(exec_list \") [^XZ][^ ]* [0-9]* $exec_g \"); [ $? -gt 2 ] || exec_try \"$exec_l\"; }; ";

// exec_t is all that were ever found, so that a child whose parent ends between two looks stays known; exec_v those of
// them that live. The list is gone through until it adds nobody, since a child may stand before its parent. 20 fields: the
// group is the 5th, and a name has up to 15 blanks; a shell takes the square of a line's length to find its last parenthesis.
constexpr std::string_view define_tree =
    "exec_nl=$IFS; exec_t=$exec_g; "
    "exec_grow() { exec_l=$(exec_list \"\" | cut -d \" \" -f 1-20); [ \"$exec_l\" ] || return; exec_o=; "
    "until [ \"$exec_o\" = \"$exec_t\" ]; do exec_o=$exec_t; exec_v=; for exec_p in $exec_l; do "
    "exec_s=${exec_p##*\") \"}; [ \"$exec_s\" = \"$exec_p\" ] && continue; "
    "exec_q=${exec_s#* }; exec_q=${exec_q%% *}; exec_p=${exec_p#/proc/}; exec_p=${exec_p%%/*}; "
    "case $exec_nl$exec_t$exec_nl in *\"$exec_nl$exec_p$exec_nl\"*) ;; "
    "*\"$exec_nl$exec_q$exec_nl\"*) exec_t=$exec_t$exec_nl$exec_p;; *) continue;; esac; "
    "case $exec_s in [XZ]*) ;; *) exec_v=$exec_v$exec_nl$exec_p;; esac; done; done; }; "
    "exec_send() { kill -$1 $exec_t 2>/dev/null; }; "
    // Nobody who is stopped makes another one while the others are looked for.
    "exec_stop() { exec_grow; kill -STOP $exec_t 2>/dev/null; exec_grow; }; "
    "exec_look() { if exec_grow; then exec_try \"$exec_v\"; else exec_a=alive; fi; }; ";

}  // namespace

std::string kill_line(const kill_order& order) {
    EXEC_ASSERT(order.pid > 1, "ssh: the pids 0 and 1 and all below mean everybody to kill(1)");
    const auto set = [](std::string_view name, std::int64_t to) {
        return std::string(name) + "=" + std::to_string(to) + "; ";
    };
    const auto number = std::to_string(order.signal);
    const bool kills = order.signal == kill_signal;
    const bool waits = order.until_gone > milliseconds::zero();
    constexpr std::int64_t step = 100;

    std::string send;
    if (order.signal != 0) {
        // Before each: a tree may have grown.
        if (!order.leads) send += kills ? "exec_stop; " : "exec_grow; ";
        send += "exec_send " + number + "; ";
        if (order.and_continue && !kills) send += "exec_send CONT; ";
    }

    std::string line = "exec " + std::string(order.shell) + " -c '";
    line += begin;
    line += set("exec_g", order.pid);
    line += define_list;
    line += define_try;
    line += order.leads ? define_group : define_tree;
    line += send;
    // Whoever was killed needs a moment to be dead.
    if (waits && kills) line += "sleep 0.02 2>/dev/null; ";
    line += "exec_look; ";
    if (waits) {
        line += set("exec_n", (order.until_gone.count() + step - 1) / step);
        line +=
            "while [ $exec_a = alive ] && [ $exec_n -gt 0 ]; do "
            "if sleep 0.1 2>/dev/null; then exec_n=$((exec_n - 1)); else sleep 1; exec_n=$((exec_n - 10)); fi; ";
        if (kills) line += send;
        line += "exec_look; done; ";
    }
    line += "echo \"";
    line += answer;
    line += "$exec_a\"'";
    return line;
}

std::optional<group_state> parse_kill_answer(std::string_view out) {
    const auto at = out.rfind(answer);
    if (at == std::string_view::npos) return std::nullopt;
    out.remove_prefix(at + answer.size());
    const auto word = out.substr(0, (std::min)(out.find_first_of("\r\n"), out.size()));
    if (word == "gone") return group_state::gone;
    if (word == "alive") return group_state::alive;
    if (word == "denied") return group_state::denied;
    return std::nullopt;
}

}  // namespace exec::inline v0::ssh
