// Signals as SSH calls them (RFC 4254 section 6.10), and their numbers here.
#pragma once

#include <string_view>

#include <signal.h>

namespace exec::inline v0::ssh {

struct named_signal {
    int number;
    const char* name;
};
inline constexpr named_signal signal_names[] = {
    {SIGABRT, "ABRT"}, {SIGALRM, "ALRM"}, {SIGFPE, "FPE"},   {SIGHUP, "HUP"},   {SIGILL, "ILL"},
    {SIGINT, "INT"},   {SIGKILL, "KILL"}, {SIGPIPE, "PIPE"}, {SIGQUIT, "QUIT"}, {SIGSEGV, "SEGV"},
    {SIGTERM, "TERM"}, {SIGUSR1, "USR1"}, {SIGUSR2, "USR2"}};

// nullptr: SSH has no name for it.
constexpr const char* signal_name(int number) noexcept {
    for (const auto& each : signal_names) {
        if (each.number == number) return each.name;
    }
    return nullptr;
}
// 0: no signal of here.
constexpr int signal_number(std::string_view name) noexcept {
    for (const auto& each : signal_names) {
        if (name == each.name) return each.number;
    }
    return 0;
}

}  // namespace exec::inline v0::ssh
