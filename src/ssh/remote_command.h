// wrap and bare: a command as the one string of an SSH exec request, which the account's login shell parses, whichever
// that is (dash, bash, zsh, ksh93, mksh, busybox, fish, tcsh).
//
// wrap() puts a constant script for the target's /bin/sh in front of the command. It sees to a process group of the
// command's own, says on the channel what it does (marker.h), enters the directory, sets the variables, looks for the program and
// becomes the command: no process stays in between, so the exit status is the command's. Without directory, variables and
// terminal nothing is forked, and no byte goes up but the request.
// Directory and variables, and words that no login shell could be trusted with (a newline, more than the line holds), go through
// the channel's input as a preamble: `ps` and the shell's history never show them, no echo does, and the wrapper's own programs
// (setsid, stty) have run before a variable is set. The wrapper takes the preamble to the last byte and not one more.
// bare() is for accounts without such a shell (forced commands, git-shell, appliances): quoted words and nothing else.
// Threads: pure functions.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "exec/bytes.h"
#include "exec/command.h"
#include "exec/error.h"
#include "exec/result.h"
#include "ssh/marker.h"

namespace exec::inline v0::ssh {

// OpenSSH hands the request to execve as one word (131,071 bytes) and drops the connection over 256 KiB; dropbear drops it
// over a packet of about 35,000 bytes, with every other command on it.
inline constexpr std::size_t max_line = 30'000;
// A shell reads it byte by byte, 1 MiB in 0.3 to 1 s.
inline constexpr std::size_t max_preamble = 1 * MiB;

struct remote_command {
    std::string line{};  // the exec request's string
    // What goes to the channel's input before the command's own: at once, or, on a terminal, after the marker `ready`.
    // There the command's input must wait for `go`, or it is typed into a terminal that is not the command's yet.
    std::string preamble{};
};

struct wrapping {
    // A POSIX shell. REQUIRES: letters, digits and "/._-" only.
    std::string_view shell = "/bin/sh";
    // `go` on descriptor 1 as well, so that what profiles print there can be cut too: the two streams of a channel have no
    // order between them. Never on a terminal, which is one stream.
    bool mark_out = true;
};

// Of `what.env`: the base is the account's login environment, whole; an inherited name is in it already.
// without_base() means a shell of env(1) -i: what is left beside the given variables is what that shell itself exports (`_`, SHLVL).
// A program without a '/' is looked for on the command's own PATH. An inner mksh runs a builtin of that name instead.
// A program's missing interpreter is not noticed before `go`: it ends as 126 or 127 of the command.
// Fails with: errc::invalid_argument (argv, a name that is not [A-Za-z_][A-Za-z0-9_]*, a NUL in cwd, too long);
// errc::unsupported: inheriting without a base; `_`, OPTIND, SHLVL and the wrapper's exec_l, _m, _n, _t as variables; a program that
// begins with '-'; one without a '/' where the command has no PATH.
result<remote_command> wrap(const command& what, const nonce& mark, const wrapping& how = {});

// Fails with: errc::unsupported for cwd, variables, merge_err_into_out without a terminal, and words with a newline;
// errc::invalid_argument as join(), and for a line of more than max_line.
result<remote_command> bare(const command& what);

// Why the command never ran, out of the marker that said so. REQUIRES: said.what == report::kind::refused.
failure refused(const report& said, const command& what);

}  // namespace exec::inline v0::ssh
