// remote_kill: how running commands over there are signalled and looked at: the line of a small shell program that reads orders
// from its input, one a line, and what it answers.
//
// With a group of its own (report::leads) a command is signalled as a whole, and an answer is about every member: also those
// that another user's programs (sudo) have become. In a shared group the process and its descendants are looked for by
// their parents; one whose parent has ended before is not found, so there `gone` says: none of those that could be found.
// A group costs the far side one kill(2) and no process. A thorough look, which does not take zombies for members, and a tree
// need /proc and grep on Linux, elsewhere ps: 0.1 to 0.4 s with 2,000 other processes there. A target with neither answers `alive`
// rather than guess. With /proc mounted hidepid other users' members are not seen.
// Threads: values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "exec/bytes.h"

namespace exec::inline v0::ssh {

struct kill_order {
    // Whose it is. What was found of a tree for one order is remembered for the next one of the same owner.
    std::uint64_t owner = 0;
    // As the marker said. While its channel has neither exit status nor CLOSE the process is there or an unreaped child of
    // the server, and its number is nobody else's. Later only the group's number is safe, and only while members are
    // left: then the kernel gives it to nobody. REQUIRES: > 1; -0 and -1 are other people.
    std::int64_t pid = 0;
    bool leads = false;
    int signal = 15;           // of here, and told by its name; 0 = ask only
    bool and_continue = true;  // CONT behind it: a stopped process does not see TERM
    // Zombies are not members. Without it a group with a member that nobody has reaped yet is `alive`.
    bool thorough = false;
};

enum class group_state : std::uint8_t {
    gone,
    alive,
    denied,  // there, and not one of them may be signalled by this account
};

// For any login shell; ends with its input. `shell`: a POSIX shell. REQUIRES: letters, digits and "/._-" only.
std::string control_line(std::string_view shell = "/bin/sh");
// With its newline.
std::string order_line(std::uint64_t id, const kill_order& order);

struct group_answer {
    std::uint64_t id = 0;  // of the order
    group_state is = group_state::gone;
};

// Reads what that program writes, whatever a profile printed before.
class answer_reader {
   public:
    static constexpr std::size_t max_line = 4096;  // longer ones are noise

    // Takes bytes off `rest` up to the end of an answer, or all of them.
    std::optional<group_answer> next(bytes_view& rest);

   private:
    std::optional<group_answer> end_of_line();

    std::string line_{};
    bool denied_ = false;  // kill(1) has complained so since the answer before
};

}  // namespace exec::inline v0::ssh
