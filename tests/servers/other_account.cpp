#include "servers/other_account.h"

#include <exec/argv.h>
#include <exec/local_runner.h>

#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file_text.h"

namespace test {
namespace {

// The line of this user as the other one, every other line as it is.
std::string passwd_with(const std::string& home, const std::string& shell) {
    const auto mine = current_account();
    std::string text = mine.name + ":x:" + std::to_string(::geteuid()) + ":" + std::to_string(::getegid()) +
                       "::" + home + ":" + (shell.empty() ? mine.shell : shell) + "\n";
    std::istringstream lines(file_text("/etc/passwd"));
    for (std::string line; std::getline(lines, line);) {
        if (line.rfind(mine.name + ":", 0) != 0) text += line + "\n";
    }
    return text;
}

}  // namespace

account current_account() {
    const passwd* entry = ::getpwuid(::geteuid());
    if (entry == nullptr) throw std::runtime_error("the user that runs the tests has no account");
    return {entry->pw_name, entry->pw_dir, entry->pw_shell};
}

other_account::other_account(const std::string& shell, const std::string& home_at)
    : home_(home_at.empty() ? files_ / "home" : home_at) {
    if (::mkdir(home_outside().c_str(), 0700) != 0) throw std::runtime_error("no home for another account");
    write_file(files_ / "passwd", passwd_with(home_, shell));
}

std::vector<std::string> other_account::words() const {
    std::vector<std::string> line{"unshare", "--mount", "--propagation", "private"};
    std::string become = "exec";
    if (::geteuid() != 0) {
        // mount(8) wants to be root, so it is for a moment, in a user namespace; the server is the same user again.
        line.emplace_back("--map-root-user");
        become = "exec unshare --user --map-user=" + std::to_string(::geteuid()) +
                 " --map-group=" + std::to_string(::getegid());
    }
    const auto script =
        "mount --bind \"$1\" /etc/passwd && mount --bind \"$2\" \"$3\" && shift 3 && " + become + " \"$@\"";
    for (const auto& word :
         {std::string("sh"), std::string("-c"), script, std::string("sh"), files_ / "passwd", home_outside(), home_})
        line.push_back(word);
    return line;
}

std::string other_account::unavailable() {
    const other_account tried;
    auto line = tried.words();
    line.emplace_back("true");
    auto words = exec::argv::make(line);
    const auto ended = exec::run({.program_and_args = std::move(words).value()});
    if (!ended) return "no unshare(1): " + ended.error().context;
    return ended->ok() ? "" : "no private mount namespace: " + ended->err.bytes;
}

}  // namespace test
