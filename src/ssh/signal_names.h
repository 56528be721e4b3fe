// Signals as SSH calls them (RFC 4254 section 6.10) and as kill(1) does, and their numbers here: those of the far side may differ.
#pragma once

#include <string_view>

#include <signal.h>

namespace exec::inline v0::ssh {

struct named_signal {
    int number;
    const char* name;
    bool of_ssh = true;  // else of POSIX alone, for kill(1)
};
inline constexpr named_signal signal_names[] = {
    {SIGABRT, "ABRT"},        {SIGALRM, "ALRM"},        {SIGFPE, "FPE"},           {SIGHUP, "HUP"},
    {SIGILL, "ILL"},          {SIGINT, "INT"},          {SIGKILL, "KILL"},         {SIGPIPE, "PIPE"},
    {SIGQUIT, "QUIT"},        {SIGSEGV, "SEGV"},        {SIGTERM, "TERM"},         {SIGUSR1, "USR1"},
    {SIGUSR2, "USR2"},        {SIGBUS, "BUS", false},   {SIGCHLD, "CHLD", false},  {SIGCONT, "CONT", false},
    {SIGPROF, "PROF", false}, {SIGSTOP, "STOP", false}, {SIGSYS, "SYS", false},    {SIGTRAP, "TRAP", false},
    {SIGTSTP, "TSTP", false}, {SIGTTIN, "TTIN", false}, {SIGTTOU, "TTOU", false},  {SIGURG, "URG", false},
    {SIGXCPU, "XCPU", false}, {SIGXFSZ, "XFSZ", false}, {SIGWINCH, "WINCH", false}};

// nullptr: it has no name.
constexpr const named_signal* find_signal(int number) noexcept {
    for (const auto& each : signal_names) {
        if (each.number == number) return &each;
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
