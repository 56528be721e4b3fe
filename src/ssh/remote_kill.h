// remote_kill: the line for a second channel that signals a running command, and what that line answers.
//
// With a group of its own (report::leads) the command is signalled as a whole and the answer is about every member: also
// those that another user's programs (sudo) have become. Zombies are not members: until the server has reaped the
// leader, kill(2) still finds it. In a shared group the process and its descendants are looked for by their parents; one
// whose parent has ended before is not found, so there `gone` says: none of those that could be found.
// On a Linux target this takes /proc and grep; elsewhere ps. A target with neither answers `alive` rather than guess. With
// /proc mounted hidepid other users' members are not seen.
// Threads: pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "exec/time.h"

namespace exec::inline v0::ssh {

struct kill_order {
    // As the marker said. While its channel has neither exit status nor CLOSE the process is there or an unreaped child of
    // the server, and its number is nobody else's. Later only the group's number is safe, and only while members are
    // left: then the kernel gives it to nobody. REQUIRES: > 1; -0 and -1 are other people.
    std::int64_t pid = 0;
    bool leads = false;
    int signal = 15;           // the target's number; 0 = ask only
    bool and_continue = true;  // CONT behind it: a stopped process does not see TERM
    // How long to wait on the target for the answer to become `gone`, in steps of 0.1 s (of 1 s where sleep(1) takes only
    // whole ones); KILL is sent again with each. 0 = one look.
    milliseconds until_gone{0};
    std::string_view shell = "/bin/sh";  // a POSIX shell. REQUIRES: letters, digits and "/._-" only
};

enum class group_state : std::uint8_t {
    gone,
    alive,
    denied,  // there, and not one of them may be signalled by this account
};

// For any login shell. One look takes, with 2,000 other processes there: 2 ms while a group's leader lives, 0.1 s after
// that, 0.4 s for a tree.
std::string kill_line(const kill_order& order);
inline std::string probe_line(std::int64_t pid, bool leads) { return kill_line({pid, leads, 0, false}); }

// What the line's standard output says, whatever a profile printed before. Empty: nothing of ours, so nobody knows.
std::optional<group_state> parse_kill_answer(std::string_view out);

}  // namespace exec::inline v0::ssh
