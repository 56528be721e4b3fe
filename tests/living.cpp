#include "living.h"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace test {
namespace {

// "pid (name) state ppid pgrp ...", from the state on; empty if there is no such process.
std::string state_of(std::int64_t pid) {
    const auto stat = file_text("/proc/" + std::to_string(pid) + "/stat");
    const auto name_end = stat.rfind(") ");
    return name_end == std::string::npos ? "" : stat.substr(name_end + 2);
}

[[noreturn]] void broken(const std::string& what) { throw std::system_error(errno, std::generic_category(), what); }

}  // namespace

bool alive(std::int64_t pid) {
    const auto state = state_of(pid);
    return !state.empty() && state[0] != 'Z' && state[0] != 'X';
}

bool ends(std::int64_t pid) {
    const int pidfd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
    if (pidfd < 0) return errno == ESRCH;
    pollfd end{pidfd, POLLIN, 0};
    const bool ended = ::poll(&end, 1, 20'000) == 1;
    ::close(pidfd);
    return ended;
}

std::int64_t parent_of(std::int64_t pid) {
    const auto state = state_of(pid);
    return state.size() > 2 ? std::stoll(state.substr(2)) : 0;
}

std::vector<std::int64_t> named(const std::string& word) {
    std::vector<std::int64_t> found;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
        const auto name = entry.path().filename().string();
        if (name.find_first_not_of("0123456789") != std::string::npos) continue;
        const auto words = std::string(1, '\0') + file_text(entry.path().string() + "/cmdline");
        const auto wanted = std::string(1, '\0') + word + '\0';
        if (words.find(wanted) != std::string::npos && alive(std::stoll(name))) found.push_back(std::stoll(name));
    }
    return found;
}

std::string unique_word() {
    static int count = 0;
    return "exec-test-" + std::to_string(::getpid()) + "-" + std::to_string(++count);
}

killed_at_end::~killed_at_end() {
    if (pid_ > 1) ::kill(static_cast<pid_t>(pid_), SIGKILL);
}

scratch_directory::scratch_directory() {
    char name[] = "/tmp/exec-test-XXXXXX";
    if (::mkdtemp(name) == nullptr) broken(name);
    path_ = name;
}

scratch_directory::~scratch_directory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

void write_file(const std::string& path, const std::string& text, mode_t mode) {
    std::ofstream(path) << text;
    if (::chmod(path.c_str(), mode) != 0) broken(path);
}

bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

}  // namespace test
