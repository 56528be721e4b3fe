// A guard that cannot fail guards nothing: each thing that it looks at is changed here, and taken back.
#include "guards.h"
#include "sanitizer.h"

#include <algorithm>
#include <csignal>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

// Whether one of the changes, and no other, begins like this.
bool only(const std::vector<std::string>& changes, const std::string& beginning) {
    CAPTURE(changes);
    return changes.size() == 1 && changes.front().starts_with(beginning);
}

}  // namespace

TEST_CASE("guards: a host that nobody changed is unchanged") {
    const test::process_guard guard;
    CHECK(guard.changes().empty());
}

TEST_CASE("guards: a descriptor too many is told with what it is open on") {
    const test::process_guard guard;
    const int left = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    CHECK(only(guard.changes(), "new descriptor " + std::to_string(left) + ": /dev/null"));
    ::close(left);
    CHECK(guard.changes().empty());
}

TEST_CASE("guards: so is one that is missing, and one that is something else now") {
    const int before = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    const int zero = ::open("/dev/zero", O_RDONLY | O_CLOEXEC);
    {
        const test::host_state full = test::host_state::now();
        ::dup3(zero, before, O_CLOEXEC);
        CHECK(only(test::host_state::now().changes_since(full),
                   "descriptor " + std::to_string(before) + ": /dev/null became /dev/zero"));
        ::close(before);
        CHECK(only(test::host_state::now().changes_since(full), "lost descriptor " + std::to_string(before)));
    }
    ::close(zero);
}

TEST_CASE("guards: a zombie and a living child are told, and neither is taken") {
    const test::process_guard guard;
    int hold[2];
    REQUIRE(::pipe2(hold, O_CLOEXEC) == 0);
    const test::host_state with_pipe = test::host_state::now();
    const auto changes = [&] { return test::host_state::now().changes_since(with_pipe); };

    const pid_t child = ::fork();
    if (child == 0) {
        char byte;
        ::close(hold[1]);
        [[maybe_unused]] const auto end = ::read(hold[0], &byte, 1);
        ::_exit(7);
    }
    CHECK(only(changes(), "new child " + std::to_string(child)));
    ::close(hold[0]);
    ::close(hold[1]);

    siginfo_t info{};
    REQUIRE(::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT) == 0);
    CHECK(only(guard.changes(), "new child " + std::to_string(child)));
    int status = 0;
    CHECK(::waitpid(child, &status, 0) == child);
    CHECK(WEXITSTATUS(status) == 7);
    CHECK(guard.changes().empty());
}

TEST_CASE("guards: a thread is told while it runs, and not any more once it was joined") {
    const test::host_state before = test::host_state::now();
    const test::process_guard guard;
    int hold[2];
    REQUIRE(::pipe2(hold, O_CLOEXEC) == 0);
    std::thread other([&] {
        char byte;
        [[maybe_unused]] const auto end = ::read(hold[0], &byte, 1);
    });
    const auto seen = test::host_state::now().changes_since(before);
    CHECK(std::count_if(seen.begin(), seen.end(), [](const auto& one) { return one.starts_with("new thread"); }) == 1);
    ::close(hold[1]);
    other.join();
    ::close(hold[0]);
    CHECK(guard.changes().empty());
}

TEST_CASE("guards: the mask, a pending signal and each disposition are looked at") {
    const test::process_guard guard;
    sigset_t one;
    sigset_t before;
    sigemptyset(&one);
    sigaddset(&one, SIGUSR1);
    ::pthread_sigmask(SIG_BLOCK, &one, &before);
    CHECK(only(guard.changes(), "the signal mask"));
    std::raise(SIGUSR1);
    CHECK(guard.changes().size() == 2);
    int number = 0;
    sigwait(&one, &number);
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    CHECK(guard.changes().empty());

    if (test::thread_sanitizer) {
        MESSAGE("SKIP: ThreadSanitizer stands in for signal handlers");
        return;
    }
    for (const int which : {SIGPIPE, SIGCHLD, SIGUSR2, SIGRTMAX}) {
        struct sigaction was {};
        ::sigaction(which, nullptr, &was);
        std::signal(which, which == SIGUSR2 ? [](int) {} : SIG_IGN);
        CHECK(only(guard.changes(), "the disposition of signal " + std::to_string(which)));
        ::sigaction(which, &was, nullptr);
    }
}

TEST_CASE("guards: the directory and the umask are looked at") {
    const test::process_guard guard;
    const int here = ::open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    REQUIRE(::chdir("/proc") == 0);
    CHECK(guard.changes().size() == 2);  // and `here`
    REQUIRE(::fchdir(here) == 0);
    ::close(here);

    const auto was = ::umask(0137);
    CHECK(only(guard.changes(), "the umask"));
    ::umask(was);
}

TEST_CASE("guards: what was left over fails the test that left it" * doctest::should_fail()) {
    int left = -1;
    {
        const test::process_guard guard;
        left = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
    ::close(left);
}
