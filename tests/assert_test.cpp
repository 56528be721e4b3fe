#include <exec/assert.h>

#include <doctest/doctest.h>

#include <csignal>
#include <string>
#include <string_view>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "misuse.h"

namespace {

struct end_of_process {
    int status;
    std::string said;  // on descriptor 2
};

// Runs `body` in a child that leaves no core file. doctest's own handler of SIGABRT is taken out of the way.
template <class Body>
end_of_process in_a_child(Body body) {
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    const auto child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        const rlimit none{0, 0};
        ::setrlimit(RLIMIT_CORE, &none);
        std::signal(SIGABRT, SIG_DFL);
        ::dup2(ends[1], 2);
        ::close(ends[0]);
        ::close(ends[1]);
        body();
        ::_exit(0);
    }
    ::close(ends[1]);
    end_of_process ended{};
    char some[256];
    for (ssize_t n = 0; (n = ::read(ends[0], some, sizeof some)) > 0;)
        ended.said.append(some, static_cast<std::size_t>(n));
    ::close(ends[0]);
    REQUIRE(::waitpid(child, &ended.status, 0) == child);
    return ended;
}

bool aborted(const end_of_process& ended) { return WIFSIGNALED(ended.status) && WTERMSIG(ended.status) == SIGABRT; }

}  // namespace

TEST_CASE("assert: a condition that holds is evaluated once and costs nothing else") {
    const test::misuse_throws guard;
    int evaluated = 0;
    EXEC_ASSERT(++evaluated == 1, "never said");
    CHECK(evaluated == 1);
}

TEST_CASE("assert: the hook gets the sentence, the file and the line, and what it throws comes out") {
    static std::string file, sentence;
    static int line = 0;
    const auto before = exec::set_misuse_handler([](const char* where, int number, const char* what) {
        file = where;
        line = number;
        sentence = what;
        throw 7;
    });
    int thrown = 0;
    const int expected = __LINE__ + 2;
    try {
        EXEC_ASSERT(1 + 1 == 3, "arithmetic: the sum is wrong");
    } catch (int what) {
        thrown = what;
    }
    exec::set_misuse_handler(before);
    CHECK(thrown == 7);
    CHECK(sentence == "arithmetic: the sum is wrong");
    CHECK(line == expected);
    CHECK(file == __FILE__);
}

TEST_CASE("assert: setting a hook returns the one before, and null restores the default") {
    const exec::misuse_handler mine = [](const char*, int, const char*) {};
    const auto before = exec::set_misuse_handler(mine);
    const bool mine_came_back = exec::set_misuse_handler(nullptr) == mine;
    const bool default_came_back = exec::set_misuse_handler(before) == nullptr;
    CHECK(mine_came_back);
    CHECK(default_came_back);
}

TEST_CASE("assert: without a hook one line goes to descriptor 2 and the process aborts") {
    const auto ended = in_a_child([] {
        exec::set_misuse_handler(nullptr);
        exec::detail::report_misuse("some/file.cpp", 1209, "argv: a blank one was run");
    });
    CHECK(aborted(ended));
    CHECK(ended.said == "exec: misuse: argv: a blank one was run (some/file.cpp:1209)\n");
}

TEST_CASE("assert: misuse never continues, also where the hook returns") {
    const auto ended = in_a_child([] {
        exec::set_misuse_handler([](const char*, int, const char*) {
            const auto ignored = ::write(2, "hook", 4);
            static_cast<void>(ignored);
        });
        EXEC_ASSERT(false, "never said");
    });
    CHECK(aborted(ended));
    CHECK(ended.said == "hook");
}
