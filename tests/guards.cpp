#include "guards.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstring>
#include <sstream>
#include <string_view>
#include <thread>

#include <dirent.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "file_text.h"
#include "process/unreaped.h"
#include "sanitizer.h"

namespace test {
namespace {

// A flag that libc adds to whatever is set (SA_RESTORER of the kernel's headers).
constexpr int libc_restorer = 0x04000000;

// Calls `take(number, directory)` for each entry that is a number, but not for the descriptor of the listing itself.
template <class Take>
void each_number_in(const char* path, Take&& take) {
    DIR* all = ::opendir(path);
    if (all == nullptr) return;
    while (const dirent* entry = ::readdir(all)) {
        const std::string_view name(entry->d_name);
        int number = -1;
        std::from_chars(name.data(), name.data() + name.size(), number);
        if (number < 0 || (number == ::dirfd(all) && std::string_view(path).ends_with("fd"))) continue;
        take(number, ::dirfd(all));
    }
    ::closedir(all);
}

std::string link_at(int directory, const std::string& name) {
    char target[512];
    const auto size = ::readlinkat(directory, name.c_str(), target, sizeof target);
    return size > 0 ? std::string(target, static_cast<std::size_t>(size)) : "?";
}

std::string line_of(const std::string& path) {
    std::string line = file_text(path);
    return line.substr(0, line.find('\n'));
}

std::uint64_t bits(const sigset_t& set) {
    std::uint64_t word = 0;
    std::memcpy(&word, &set, sizeof word);
    return word;
}

void compare(const std::string& what, const std::map<int, std::string>& before, const std::map<int, std::string>& now,
             std::vector<std::string>& changes) {
    for (const auto& [number, is] : now) {
        const auto was = before.find(number);
        const auto named = what + " " + std::to_string(number);
        if (was == before.end()) {
            changes.push_back("new " + named + ": " + is);
        } else if (was->second != is) {
            changes.push_back(named + ": " + was->second + " became " + is);
        }
    }
    for (const auto& [number, was] : before) {
        if (!now.contains(number)) changes.push_back("lost " + what + " " + std::to_string(number) + ": " + was);
    }
}

}  // namespace

host_state host_state::now() {
    host_state seen;
    each_number_in("/proc/self/fd",
                   [&](int number, int at) { seen.descriptors_[number] = link_at(at, std::to_string(number)); });
    each_number_in("/proc/self/task", [&](int thread, int) {
        const auto path = "/proc/self/task/" + std::to_string(thread);
        seen.threads_[thread] = line_of(path + "/comm");
        std::istringstream list(file_text(path + "/children"));
        for (int pid = 0; list >> pid;) seen.children_[pid] = line_of("/proc/" + std::to_string(pid) + "/comm");
    });
    // The list is for the reader; the fact is what the kernel says to a wait that takes nothing.
    siginfo_t info{};
    if (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) != 0) {
        seen.children_.clear();
    } else if (seen.children_.empty()) {
        seen.children_[info.si_pid] = "?";
    }

    for (int number = 1; number <= 64 && !thread_sanitizer; ++number) {
        struct sigaction action {};
        if (::sigaction(number, nullptr, &action) != 0) continue;
        seen.dispositions_[static_cast<std::size_t>(number)] = {reinterpret_cast<std::uintptr_t>(action.sa_sigaction),
                                                                action.sa_flags & ~libc_restorer, bits(action.sa_mask)};
    }
    sigset_t set;
    ::pthread_sigmask(SIG_BLOCK, nullptr, &set);
    seen.mask_ = bits(set);
    ::sigpending(&set);
    seen.pending_ = bits(set);

    seen.directory_ = link_at(AT_FDCWD, "/proc/self/cwd");
    std::istringstream status(file_text("/proc/self/status"));
    for (std::string line; std::getline(status, line);) {
        if (line.starts_with("Umask:")) seen.umask_ = line;
    }
    return seen;
}

std::vector<std::string> host_state::changes_since(const host_state& before) const {
    std::vector<std::string> changes;
    compare("descriptor", before.descriptors_, descriptors_, changes);
    compare("child", before.children_, children_, changes);
    compare("thread", before.threads_, threads_, changes);
    for (std::size_t number = 1; number < dispositions_.size(); ++number) {
        if (dispositions_[number] != before.dispositions_[number]) {
            changes.push_back("the disposition of signal " + std::to_string(number));
        }
    }
    if (mask_ != before.mask_) changes.push_back("the signal mask of this thread");
    if (pending_ != before.pending_) changes.push_back("the pending signals");
    if (directory_ != before.directory_) changes.push_back("the directory: now " + directory_);
    if (umask_ != before.umask_) changes.push_back("the umask: now " + umask_);
    return changes;
}

std::vector<std::string> process_guard::changes() const {
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    for (;;) {
        // What was killed and did not go in time waits here for the next start. Whoever lost a child stays red.
        exec::process::reap_unreaped();
        auto all = host_state::now().changes_since(before_);
        const bool wait = std::any_of(all.begin(), all.end(), [](const auto& one) {
            return one.starts_with("new thread") || one.starts_with("new child");
        });
        if (!wait || std::chrono::steady_clock::now() > give_up) return all;
        std::this_thread::yield();
    }
}

process_guard::~process_guard() {
    for (const auto& change : changes()) FAIL_CHECK(change);
}

}  // namespace test
