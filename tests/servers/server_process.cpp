#include "servers/server_process.h"

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "file_text.h"
#include "living.h"
#include "posix/fd.h"

namespace test {
namespace {

using exec::posix::fd;

constexpr std::chrono::seconds patience{20};

[[noreturn]] void broken(const std::string& what, int error) {
    throw std::system_error(error, std::generic_category(), what);
}

std::vector<pid_t> all_processes() {
    std::vector<pid_t> all;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
        const auto name = entry.path().filename().string();
        if (name.find_first_not_of("0123456789") == std::string::npos) all.push_back(std::stoi(name));
    }
    return all;
}

void add_descendants_of(pid_t pid, std::vector<pid_t>& found) {
    for (const pid_t child : children_of(pid)) {
        found.push_back(child);
        add_descendants_of(child, found);
    }
}

void kill_and_wait(pid_t pid) {
    ::kill(pid, SIGKILL);
    ends(pid);
}

std::size_t count(const std::string& text, const std::string& word) {
    std::size_t times = 0;
    for (auto at = text.find(word); at != std::string::npos; at = text.find(word, at + word.size())) ++times;
    return times;
}

}  // namespace

std::vector<pid_t> children_of(pid_t pid) {
    std::vector<pid_t> found;
    for (const pid_t each : all_processes()) {
        if (parent_of(each) == pid && alive(each)) found.push_back(each);
    }
    return found;
}

std::vector<pid_t> commands_of(int port) {
    std::vector<pid_t> found;
    const auto end = " 127.0.0.1 " + std::to_string(port);
    for (const pid_t each : all_processes()) {
        const auto environment = '\0' + file_text("/proc/" + std::to_string(each) + "/environ");
        const std::string name("\0SSH_CONNECTION=", 16);
        const auto at = environment.find(name);
        if (at == std::string::npos || !alive(each)) continue;
        const std::string value(environment.c_str() + at + name.size());
        if (value.size() > end.size() && value.compare(value.size() - end.size(), end.size(), end) == 0)
            found.push_back(each);
    }
    return found;
}

void end_commands_of(int port) {
    for (auto left = commands_of(port); !left.empty(); left = commands_of(port)) {
        for (const pid_t each : left) kill_and_wait(each);
    }
}

server_process::server_process(server_start start) : log_(std::move(start.log)) {
    auto& line = start.behind;
    for (const auto* word : {"setpriv", "--pdeathsig", "KILL"}) line.emplace_back(word);
    line.insert(line.end(), start.words.begin(), start.words.end());
    std::vector<char*> argv;
    for (auto& word : line) argv.push_back(word.data());
    argv.push_back(nullptr);

    posix_spawn_file_actions_t files;
    ::posix_spawn_file_actions_init(&files);
    ::posix_spawn_file_actions_addopen(&files, 2, log_.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (start.connection < 0) {
        ::posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
        ::posix_spawn_file_actions_adddup2(&files, 2, 1);
    } else {
        for (const int descriptor : {0, 1}) ::posix_spawn_file_actions_adddup2(&files, start.connection, descriptor);
    }

    // A test runner's ignored SIGCHLD or blocked signals are no business of a server, nor is the ^C of its user.
    // A server that passes on what it was given would have its commands hold what this program was given.
    ::posix_spawn_file_actions_addclosefrom_np(&files, 3);

    posix_spawnattr_t attributes;
    ::posix_spawnattr_init(&attributes);
    sigset_t all;
    sigset_t none;
    ::sigfillset(&all);
    ::sigemptyset(&none);
    ::posix_spawnattr_setsigdefault(&attributes, &all);
    ::posix_spawnattr_setsigmask(&attributes, &none);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSID);

    const int error = ::posix_spawnp(&pid_, argv[0], &files, &attributes, argv.data(), environ);
    ::posix_spawnattr_destroy(&attributes);
    ::posix_spawn_file_actions_destroy(&files);
    if (error != 0) broken(line.front(), error);
}

server_process::~server_process() {
    // Stopped first, so that it starts nothing more while its descendants are gathered.
    int status = 0;
    ::kill(pid_, SIGSTOP);
    ::waitpid(pid_, &status, WUNTRACED);
    if (!WIFSTOPPED(status)) return;
    std::vector<pid_t> family;
    add_descendants_of(pid_, family);
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    for (const pid_t each : family) kill_and_wait(each);
}

bool server_process::says(const std::string& text, std::size_t times) const {
    const auto give_up = std::chrono::steady_clock::now() + patience;
    const fd end(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
    pollfd ended{end.get(), POLLIN, 0};
    for (bool over = false;; over = ::poll(&ended, 1, 5) == 1) {
        if (count(file_text(log_), text) >= times) return true;
        if (over) return false;
        if (std::chrono::steady_clock::now() > give_up)
            throw std::runtime_error("a server does not say \"" + text + "\", but:\n" + file_text(log_));
    }
}

}  // namespace test
