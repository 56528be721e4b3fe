// For tests of what lies beneath the runner: children by spawn(), hosts that are processes of their own, and the guard
// that nothing is left over.
#pragma once

#include <dirent.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <exec/result.h>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <functional>
#include <map>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "posix/pidfd.h"
#include "posix/pipe.h"
#include "process/rung.h"
#include "process/spawn.h"
#include "sanitizer.h"

namespace test {

namespace posix = exec::posix;
namespace process = exec::process;
using process::rung;

inline std::string read_all(const std::string& path) {
    std::string text;
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    char part[4096];
    for (ssize_t size; file >= 0 && (size = ::read(file, part, sizeof part)) > 0;)
        text.append(part, static_cast<std::size_t>(size));
    if (file >= 0) ::close(file);
    return text;
}

// Descriptor numbers of this process and what they refer to.
inline std::map<int, std::string> open_descriptors() {
    std::map<int, std::string> all;
    DIR* directory = ::opendir("/proc/self/fd");
    while (const dirent* entry = ::readdir(directory)) {
        const int number = std::atoi(entry->d_name);
        if (entry->d_name[0] == '.' || number == ::dirfd(directory)) continue;
        char target[256];
        const ssize_t size = ::readlinkat(::dirfd(directory), entry->d_name, target, sizeof target);
        all[number] = std::string(target, static_cast<std::size_t>(size > 0 ? size : 0));
    }
    ::closedir(directory);
    return all;
}

// doctest's handlers are not for processes that it does not know.
inline void default_dispositions() {
    for (int number = 1; number <= 64; ++number) std::signal(number, SIG_DFL);
}

// Runs `body` in a forked process, a host that may do to itself what a test cannot take back. `body` answers "" or what
// went wrong, and so does this.
inline std::string in_other_host(const std::function<std::string()>& body) {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    // Out of the way of hosts that use the low numbers.
    const int answer = ::fcntl(ends[1], F_DUPFD_CLOEXEC, 200);
    ::close(ends[1]);
    const pid_t host = ::fork();
    if (host == 0) {
        default_dispositions();
        std::string wrong;
        try {
            wrong = body();
        } catch (const std::exception& thrown) {
            wrong = thrown.what();
        }
        [[maybe_unused]] const ssize_t told = ::write(answer, wrong.data(), wrong.size());
        ::_exit(wrong.empty() ? 0 : 1);
    }
    ::close(answer);
    std::string wrong;
    char part[4096];
    for (ssize_t size; (size = ::read(ends[0], part, sizeof part)) > 0;)
        wrong.append(part, static_cast<std::size_t>(size));
    ::close(ends[0]);
    int status = 0;
    ::waitpid(host, &status, 0);
    if (wrong.empty() && status != 0) wrong = "the other host ended with status " + std::to_string(status);
    return wrong;
}

// How a child ended, in one word: "exit 3", "signal 15", "unknown".
inline std::string describe(const posix::child_status& status) {
    switch (status.how) {
        case posix::child_status::kind::exited: return "exit " + std::to_string(status.number);
        case posix::child_status::kind::signaled: return "signal " + std::to_string(status.number);
        case posix::child_status::kind::unknown: break;
    }
    return "unknown";
}

inline std::string describe(const exec::failure& why) {
    return std::string(exec::to_string(why.at)) + " " + std::to_string(why.code.value()) + " " + why.context;
}

// The words of a child, kept for as long as the request that points to them.
class command {
   public:
    command(std::string program, std::vector<std::string> words)
        : program_(std::move(program)), words_(std::move(words)) {
        words_.insert(words_.begin(), program_);
        for (auto& word : words_) argv_.push_back(word.data());
        argv_.push_back(nullptr);
        request.candidates = candidates_.data();
        request.argv = argv_.data();
        request.envp = environment_.data();
        candidates_[0] = program_.c_str();
    }
    command(const command&) = delete;
    command& operator=(const command&) = delete;

    process::spawn_request request{};

   private:
    std::string program_;
    std::vector<std::string> words_;
    std::vector<char*> argv_{};
    std::array<const char*, 2> candidates_{};
    std::array<char*, 2> environment_{const_cast<char*>("WHO=child"), nullptr};
};

// A sub-command of tests/child.
inline std::string child_program() { return EXEC_TEST_CHILD; }

struct finished {
    std::string out{};
    std::string err{};
    std::string end{};  // as describe() says it; of the leader where there is a namespace
    rung used = rung::automatic;
    std::string failed{};  // the start failure, as describe() says it
};

inline bool drain(int from, std::string& into) {
    char part[65536];
    for (;;) {
        const ssize_t size = ::read(from, part, sizeof part);
        if (size == 0) return false;
        if (size < 0) return errno == EAGAIN || errno == EINTR;
        into.append(part, static_cast<std::size_t>(size));
    }
}

// Starts it with captured output, waits for its end.
inline finished run(process::spawn_request request, rung how = rung::automatic, bool merged = false) {
    finished all;
    auto out = posix::make_pipe(posix::our_end::read);
    auto err = posix::make_pipe(posix::our_end::read);
    if (!out || !err) return {.failed = "no pipe"};
    request.out = out->write.get();
    request.err = merged ? out->write.get() : err->write.get();
    auto child = process::spawn(request, how);
    out->write.reset();
    err->write.reset();
    if (!child) {
        all.failed = describe(child.error());
        return all;
    }
    all.used = child->used;
    bool out_open = true;
    bool err_open = true;
    while (out_open || err_open) {
        pollfd both[2] = {{out_open ? out->read.get() : -1, POLLIN, 0}, {err_open ? err->read.get() : -1, POLLIN, 0}};
        ::poll(both, 2, -1);
        if (both[0].revents != 0) out_open = drain(out->read.get(), all.out);
        if (both[1].revents != 0) err_open = drain(err->read.get(), all.err);
    }
    all.end = describe(posix::wait_for_end(child->pidfd.get()).status);
    return all;
}

inline finished run(const std::vector<std::string>& words, rung how = rung::automatic,
                    const std::function<void(process::spawn_request&)>& change = nullptr) {
    command child(child_program(), words);
    if (change) change(child.request);
    return run(child.request, how);
}

inline const char* name_of(rung how) {
    static constexpr const char* names[] = {"automatic", "clone3", "clone", "posix_spawn", "fork"};
    return names[static_cast<unsigned char>(how)];
}

// Calls `body` for each rung that this build has.
inline void on_each_rung(const std::vector<rung>& rungs, const std::function<void(rung)>& body) {
    for (const rung how : rungs) {
        CAPTURE(name_of(how));
        if (how == rung::clone && thread_sanitizer) {
            MESSAGE("SKIP: ThreadSanitizer takes clone() with shared memory for a fork");
            continue;
        }
        body(how);
    }
}
inline const std::vector<rung> every_rung{rung::clone3, rung::clone, rung::posix_spawn, rung::fork};
// posix_spawn cannot do what is asked in most requests.
inline const std::vector<rung> able_rungs{rung::clone3, rung::clone, rung::fork};

}  // namespace test
