// The account of the user that runs the tests, with another home directory and login shell.
//
// A copy of /etc/passwd with one line changed is mounted over the real one in a private mount namespace, which only the
// programs behind words() and their children see. The real file, the real home and the rest of the machine stay as
// they are. As root it takes CAP_SYS_ADMIN, as anybody else user namespaces.
#pragma once

#include <string>
#include <vector>

#include "living.h"

namespace test {

struct account {
    std::string name{};
    std::string home{};
    std::string shell{};
};
account current_account();

class other_account {
   public:
    // Why this machine or this user cannot have one, or "".
    static std::string unavailable();

    // `shell` "" = that of the real account. Its home directory is empty. A server that refuses a home beneath /tmp, which
    // everybody may write, can have it at `home_at`, an existing directory that the private namespace then hides.
    explicit other_account(const std::string& shell = "", const std::string& home_at = "");

    // Commands start there, a shell reads its .bashrc there, keys are in its .ssh.
    const std::string& home() const noexcept { return home_; }
    // The same directory as everybody else sees it.
    std::string home_outside() const { return files_ / "home"; }
    // The words in front of those of a program: it keeps its pid, because they become it by exec.
    std::vector<std::string> words() const;

   private:
    const scratch_directory files_;
    const std::string home_;
};

}  // namespace test
