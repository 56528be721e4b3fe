// The shells of this machine, and a way to send words through them: a script of quoted lines goes in, the words that
// the program at its other end was given come out.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <exec/quote.h>

namespace real {

using words = std::vector<std::string>;

struct shell {
    std::string name;                   // for people
    words invocation;                   // up to the options; a file name, -c or nothing (standard input) follows
    std::vector<exec::dialect> speaks;  // dialects whose every line it must read back
    std::string first_line{};           // put in front of every script: a user's setting that is hostile to quotes
};

// Every shell of the package list; a missing one is a failure of the machine, not a reason to prove less.
const std::vector<shell>& shells();
const shell& find_shell(std::string_view name);

// "C" and "C.UTF-8".
inline constexpr std::string_view locales[] = {"C", "C.UTF-8"};

// How the script reaches the shell.
enum class door { argument, input, file };

struct ended {
    int status = 0;  // as of waitpid
    std::string out{};
    std::string err{};
};
// Runs a program with exactly this environment, `input` on descriptor 0, and waits for it.
ended run(const words& argv, const words& environment, std::string_view input = {});

// Runs `script` in the shell, with a PATH that holds print_args and the system's programs.
ended run_script(const shell& in, std::string_view locale, door through, std::string_view script,
                 const words& more_environment = {});

// The path of print_args, and a directory that holds it under this name too; made on the first call.
std::string print_args();
std::string print_args_called(std::string_view name);

// What print_args printed, call by call, each with its own name first. Empty where the output is not whole.
std::vector<words> calls_in(std::string_view output);

// "" if `output` is exactly these calls, else the first that is not, and what the shell said on its other stream.
std::string difference(const std::vector<words>& sent, std::string_view output, std::string_view said);

// A line for the shell, however it is made: correct or, to see whether it would be noticed, not.
using quoter = std::string (*)(const words& line, exec::dialect);
std::string joined(const words& line, exec::dialect by);

// Sends each of `lines` (arguments of print_args) through the shell; "" if all of them arrive as they are, else what
// became of the first that does not.
std::string travel(const shell& in, std::string_view locale, door through, exec::dialect by,
                   const std::vector<words>& lines, quoter quote_by = joined, const words& more_environment = {});

// Cuts a list of words into lines of a length that every shell reads.
std::vector<words> lines_of(const words& all);

}  // namespace real
