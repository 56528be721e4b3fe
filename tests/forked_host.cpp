#include "forked_host.h"

#include <cerrno>
#include <csignal>
#include <exception>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

namespace test {
namespace {

constexpr int patience_ms = 60'000;

[[noreturn]] void be_the_host(const std::function<void(findings&)>& body, int answer) {
    findings found;
    try {
        body(found);
    } catch (const std::exception& thrown) {
        found.check(false, std::string("threw: ") + thrown.what());
    } catch (...) {
        found.check(false, "a REQUIRE failed");
    }
    const auto& text = found.text();
    [[maybe_unused]] const auto told = ::write(answer, text.data(), text.size());
    ::_exit(0);
}

}  // namespace

std::string in_forked_host(const std::function<void(findings&)>& body) {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    const pid_t host = ::fork();
    if (host == 0) {
        ::close(ends[0]);
        // Out of the way of hosts that use the low numbers.
        be_the_host(body, ::fcntl(ends[1], F_DUPFD_CLOEXEC, 700) >= 0 && ::close(ends[1]) == 0 ? 700 : ends[1]);
    }
    ::close(ends[1]);
    std::string found;
    for (;;) {
        pollfd answer{ends[0], POLLIN, 0};
        if (::poll(&answer, 1, patience_ms) != 1) {
            found += "; it did not come to an end";
            ::kill(host, SIGKILL);
            break;
        }
        char part[4096];
        const auto size = ::read(ends[0], part, sizeof part);
        if (size <= 0) break;
        found.append(part, static_cast<std::size_t>(size));
    }
    ::close(ends[0]);
    int status = 0;
    while (::waitpid(host, &status, 0) < 0 && errno == EINTR) {
    }
    if (found.empty() && status != 0) found = "it ended with wait status " + std::to_string(status);
    return found;
}

}  // namespace test
