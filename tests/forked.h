// A process of its own that a test may kill at any moment.
#pragma once

#include <csignal>
#include <cstddef>
#include <functional>
#include <string>
#include <utility>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "living.h"

namespace test {

class forked {
   public:
    // What the process has to say to the test, line by line.
    class voice {
       public:
        explicit voice(int to) noexcept : to_(to) {}
        void say(const std::string& line) const {
            const auto text = line + '\n';
            if (::write(to_, text.data(), text.size()) != static_cast<ssize_t>(text.size())) ::_exit(3);
        }

       private:
        int to_;
    };

    // The process ends with 0 where `body` returns, and with 1 where it throws.
    explicit forked(const std::function<void(const voice&)>& body) {
        int ends[2];
        if (::pipe2(ends, O_CLOEXEC) != 0) std::abort();
        from_ = ends[0];
        pid_ = ::fork();
        if (pid_ == 0) {
            for (int number = 1; number <= 64; ++number) std::signal(number, SIG_DFL);
            ::close(ends[0]);
            try {
                body(voice(ends[1]));
            } catch (...) {
                ::_exit(1);
            }
            ::_exit(0);
        }
        ::close(ends[1]);
    }
    forked(forked&& other) noexcept
        : pid_(std::exchange(other.pid_, -1)), from_(std::exchange(other.from_, -1)), read_(std::move(other.read_)) {}
    forked& operator=(forked&&) = delete;
    ~forked() {
        if (pid_ > 0) kill();
        if (from_ >= 0) ::close(from_);
    }

    pid_t pid() const noexcept { return pid_; }

    // The next line; "" where there will be none.
    std::string hear() {
        char piece[4096];
        for (;;) {
            if (const auto end = read_.find('\n'); end != std::string::npos) {
                auto line = read_.substr(0, end);
                read_.erase(0, end + 1);
                return line;
            }
            const auto size = ::read(from_, piece, sizeof piece);
            if (size <= 0) return "";
            read_.append(piece, static_cast<std::size_t>(size));
        }
    }
    // KILL, and waits. Returns the status of waitpid.
    int kill() {
        ::kill(pid_, SIGKILL);
        return wait();
    }
    int wait() {
        int status = 0;
        ::waitpid(std::exchange(pid_, -1), &status, 0);
        return status;
    }

   private:
    pid_t pid_ = -1;
    int from_ = -1;
    std::string read_{};
};

// In a forked process: waits to be killed.
[[noreturn]] inline void wait_for_the_end() {
    for (;;) ::pause();
}

}  // namespace test
