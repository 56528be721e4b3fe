// shell_script: the only way to a shell, and it has to be asked for by name.
//
// Everything else in the library takes words and runs a program; a string is never parsed by accident. Values belong
// into the arguments ("$1" in the text), not between the lines of the text: no quoting is needed for them, and none can
// be forgotten.
// Threads: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <string_view>
#include <type_traits>
#include <vector>

#include "exec/argv.h"
#include "exec/quote.h"
#include "exec/result.h"

namespace exec::inline v0 {

// Which shell, and what it reads before the text. The runner's own environment rules come first: it passes on no
// BASH_ENV or ENV unless asked.
enum class shell : std::uint8_t {
    sh,          // /bin/sh; no startup file
    bash,        // no startup file
    bash_login,  // /etc/profile and the user's profile first, as a login does; what they print is output
    zsh,         // /etc/zsh/zshenv only, which nothing can turn off
    fish,        // 3.4 or later; no configuration
    csh,         // csh or tcsh, whichever has the name; no startup file
};

// How words have to be quoted in the text of this shell.
constexpr dialect dialect_of(shell which) noexcept {
    switch (which) {
        case shell::fish: return dialect::fish;
        case shell::csh: return dialect::csh;
        default: return dialect::posix;
    }
}

namespace detail {

// All but /bin/sh are looked up on the command's PATH. Each form ends the shell's options, so that neither a text nor an
// argument that begins with '-' is taken for one. $0 is the shell's name.
inline std::vector<std::string_view> shell_words(shell which, std::string_view text) {
    switch (which) {
        case shell::sh: return {"/bin/sh", "-c", "--", text, "sh"};
        case shell::bash: return {"bash", "-c", "--", text, "bash"};
        case shell::bash_login: return {"bash", "-lc", "--", text, "bash"};
        case shell::zsh: return {"zsh", "-f", "-c", "--", text, "zsh"};
        case shell::fish: return {"fish", "--no-config", "-c", text, "--"};
        case shell::csh: return {"csh", "-f", "-c", text, "-b"};
    }
    return {};
}

// Views of its words stay valid after the loop over it: it does not make strings as it goes.
template <class Words>
concept range_of_lasting_words = range_of_words<Words> && requires(const Words& words) {
    requires std::is_lvalue_reference_v<decltype(*std::begin(words))> ||
        std::is_same_v<std::remove_cvref_t<decltype(*std::begin(words))>, std::string_view>;
};

}  // namespace detail

// An argv that makes `which` run `text`, with `arguments` as $1, $2, ... ("$@" for all of them; $argv in fish and csh,
// where a csh splits "$argv[1]" at newlines and drops empty words from $argv:q). The text is one word of argv and bound as
// such: 131,071 bytes by default; a longer script belongs into the shell's input or a file.
// Fails with: errc::invalid_argument as argv::make() does, counting from the shell's own name.
template <detail::range_of_lasting_words Words>
result<argv> shell_script(shell which, std::string_view text, const Words& arguments, const argv_bounds& within = {}) {
    auto words = detail::shell_words(which, text);
    for (const auto& argument : arguments) words.emplace_back(argument);
    return argv::make(words, within);
}
inline result<argv> shell_script(shell which, std::string_view text,
                                 std::initializer_list<std::string_view> arguments = {},
                                 const argv_bounds& within = {}) {
    return shell_script<std::initializer_list<std::string_view>>(which, text, arguments, within);
}

}  // namespace exec::inline v0
