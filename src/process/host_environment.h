// host_environment: what the host's environment was at one moment, and what a child's becomes out of it.
//
// Read once, because another thread's setenv makes every later reading a race.
// Threads: constant after its construction.
#pragma once

#include <string>
#include <string_view>

#include "exec/environment.h"

#include "process/pointer_list.h"

namespace exec::inline v0::process {

// PATH where neither the host nor the command has one: what login(1) gives a user, without "." anywhere.
inline constexpr std::string_view default_path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

class host_environment {
   public:
    // Of this process, now. `borrowed`: points into it instead of copying, for the length of one call.
    static host_environment snapshot();
    static host_environment borrowed();

    // "NAME=value" or nullptr.
    const char* find(std::string_view name) const noexcept;

   private:
    std::string block_{};                   // of a snapshot
    const char* const* entries_ = nullptr;  // of a borrowed one
};

// How the base of commands is made.
struct base_environment {
    bool own_user = true;                  // HOME and USER are the host's: not for a child that runs as somebody else
    const environment* instead = nullptr;  // of PATH HOME USER LANG
};

// The child's environment. Points into `asked`, `base` and `host`.
void list_environment(const environment& asked, const base_environment& base, const host_environment& host,
                      pointer_list& into);

}  // namespace exec::inline v0::process
