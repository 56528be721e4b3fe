#include "audit/writer.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "file_text.h"
#include "forked.h"
#include "living.h"
#include "sanitizer.h"

using exec::audit::lock_file;
using exec::audit::new_writer;
using exec::audit::writer_id;
using test::forked;
using test::wait_for_the_end;

namespace {

lock_file open(const std::string& path) { return lock_file::open(AT_FDCWD, path).value(); }

// A writer as a trail has it.
struct writer {
    explicit writer(const std::string& path) : lock(open(path)) { lock.live_as(who.instance).value(); }
    writer_id who = new_writer().value();
    lock_file lock;
};

// Lives as a writer, says who it is, and waits to be killed.
forked writing_process(const std::string& path) {
    return forked([&path](const forked::voice& to) {
        const writer here(path);
        to.say(here.who.text());
        wait_for_the_end();
    });
}

writer_id heard_from(forked& process) { return writer_id::parse(process.hear()).value(); }

}  // namespace

TEST_CASE("audit writer: its text comes back, and no other text is taken for one") {
    const auto who = new_writer().value();
    CHECK(who.instance != 0);
    CHECK(who.boot.size() == 36);
    CHECK(who.pid == ::getpid());
    CHECK(who.pid_namespace != 0);
    CHECK(who.start_time != 0);
    CHECK(writer_id::parse(who.text()).value() == who);
    CHECK(new_writer().value().instance != who.instance);

    const writer_id unknown{.instance = 7};
    CHECK(writer_id::parse(unknown.text()).value() == unknown);
    for (const auto* wrong :
         {"", "/", "0000000000000000/b/1/2/3", "7/b/1/2/3", "4000000000000007/b/1/2/3", "0000000000000007/b/1/2",
          "0000000000000007/b/1/2/", "0000000000000007/b/1/2/3 ", "0000000000000007/b/1/-2/3",
          "0000000000000007/b/1/2/99999999999999999999", "0000000000000007/b/01/2/3", "000000000000000A/b/1/2/3"}) {
        CAPTURE(wrong);
        CHECK_FALSE(writer_id::parse(wrong).has_value());
    }
}

TEST_CASE("audit writer: two of one process live and end apart from each other") {
    const test::scratch_directory here;
    const auto path = here / "trail.lock";
    const auto asking = open(path);
    const writer first(path);
    {
        const writer second(path);
        CHECK(asking.lives(first.who).value());
        CHECK(asking.lives(second.who).value());
        CHECK(first.lock.lives(first.who).value());
        CHECK(first.lock.lives(second.who).value());
        CHECK(second.who.pid == first.who.pid);
    }
    const auto ended = new_writer().value();
    CHECK_FALSE(asking.lives(ended).value());
    CHECK(asking.lives(first.who).value());
    CHECK(first.lock.lives(first.who).value());
}

TEST_CASE("audit writer: one that was ended is dead though its process lives on") {
    const test::scratch_directory here;
    const auto path = here / "trail.lock";
    writer_id who;
    {
        const writer gone(path);
        who = gone.who;
    }
    CHECK_FALSE(open(path).lives(who).value());
}

TEST_CASE("audit writer: an instance that lives cannot be taken by another") {
    const test::scratch_directory here;
    const writer first(here / "trail.lock");
    auto second = open(here / "trail.lock");
    CHECK(second.live_as(first.who.instance).error().code.value() == EAGAIN);
    CHECK(second.lives(first.who).value());
}

TEST_CASE("audit writer: of two processes the one that was killed is dead, the other is not") {
    const test::scratch_directory here;
    const auto path = here / "trail.lock";
    auto first = writing_process(path);
    auto second = writing_process(path);
    const auto first_id = heard_from(first);
    const auto second_id = heard_from(second);
    const auto asking = open(path);
    REQUIRE(asking.lives(first_id).value());
    REQUIRE(asking.lives(second_id).value());
    first.kill();
    CHECK_FALSE(asking.lives(first_id).value());
    CHECK(asking.lives(second_id).value());
}

TEST_CASE("audit writer: a zombie that nobody has waited for is dead") {
    const test::scratch_directory here;
    auto process = writing_process(here / "trail.lock");
    const auto who = heard_from(process);
    ::kill(process.pid(), SIGKILL);
    REQUIRE(test::ends(process.pid()));
    CHECK_FALSE(open(here / "trail.lock").lives(who).value());
}

TEST_CASE("audit writer: a child that was forked without exec keeps the lock and not the writer") {
    const test::scratch_directory here;
    const auto path = here / "trail.lock";
    forked process([&path](const forked::voice& to) {
        const writer in_here(path);
        const auto child = ::fork();
        if (child == 0) wait_for_the_end();
        to.say(in_here.who.text());
        to.say(std::to_string(child));
        wait_for_the_end();
    });
    const auto who = heard_from(process);
    const test::killed_at_end child(std::stoll(process.hear()));
    const auto asking = open(path);
    REQUIRE(asking.lives(who).value());

    SUBCASE("after its parent was waited for") { process.kill(); }
    SUBCASE("while its parent is a zombie") {
        ::kill(process.pid(), SIGKILL);
        REQUIRE(test::ends(process.pid()));
    }
    CHECK(asking.lives(who.instance).value());
    CHECK_FALSE(asking.lives(who).value());
}

TEST_CASE("audit writer: the end of a forked child does not end the writer of its parent") {
    const test::scratch_directory here;
    writer in_here(here / "trail.lock");
    forked child([&in_here](const forked::voice&) { [[maybe_unused]] const auto gone = std::move(in_here.lock); });
    REQUIRE(child.wait() == 0);
    CHECK(open(here / "trail.lock").lives(in_here.who).value());
}

TEST_CASE("audit writer: a recycled pid is nobody's, and a writer of another boot is judged by its lock alone") {
    const test::scratch_directory here;
    const writer living(here / "trail.lock");
    const auto asking = open(here / "trail.lock");

    auto recycled = living.who;
    recycled.start_time += 1;
    CHECK_FALSE(asking.lives(recycled).value());

    auto elsewhere = recycled;
    elsewhere.boot = "00000000-0000-0000-0000-000000000000";
    CHECK(asking.lives(elsewhere).value());

    auto in_a_container = recycled;
    in_a_container.pid_namespace += 1;
    CHECK(asking.lives(in_a_container).value());

    writer_id unknown;
    unknown.instance = living.who.instance;
    CHECK(asking.lives(unknown).value());
    unknown.instance += 1;
    CHECK_FALSE(asking.lives(unknown).value());
}

TEST_CASE("audit writer: one in another pid namespace lives until it is killed, whoever has its pid here") {
    const test::scratch_directory here;
    const auto path = here / "trail.lock";
    forked outer([&path](const forked::voice& to) {
        if (::unshare(CLONE_NEWPID) != 0) {
            to.say("refused");
            return;
        }
        const auto first = ::fork();
        if (first == 0) {
            // Its /proc is the one of the outer namespace, which knows it by another pid.
            const writer inside(path);
            to.say(inside.who.text());
            wait_for_the_end();
        }
        to.say(std::to_string(first));
        wait_for_the_end();
    });
    std::string pid;
    std::string text;
    for (int lines = 0; lines < 2; ++lines) {
        const auto line = outer.hear();
        if (line == "refused" || line.empty()) {
            MESSAGE("SKIP: no pid namespace may be made here");
            return;
        }
        (line.find('/') == std::string::npos ? pid : text) = line;
    }
    const auto who = writer_id::parse(text).value();
    CHECK(who.pid == 1);
    const auto asking = open(path);
    CHECK(asking.lives(who).value());
    ::kill(static_cast<pid_t>(std::stoll(pid)), SIGKILL);
    REQUIRE(test::ends(std::stoll(pid)));
    CHECK_FALSE(asking.lives(who).value());
}

TEST_CASE("audit writer: a process whose first thread has ended lives on") {
    if (test::thread_sanitizer) {
        MESSAGE("SKIP: ThreadSanitizer ends the process with its first thread");
        return;
    }
    const test::scratch_directory here;
    const auto path = here / "trail.lock";
    forked process([&path](const forked::voice& to) {
        static writer* in_here = nullptr;
        in_here = new writer(path);  // neither thread owns it
        static const pid_t self = ::getpid();
        std::thread([to] {
            // Until the first thread is a zombie.
            while (test::alive(self)) ::sched_yield();
            to.say(in_here->who.text());
            wait_for_the_end();
        }).detach();
        ::syscall(SYS_exit, 0);  // this thread alone, without unwinding
    });
    const auto who = heard_from(process);
    CHECK(open(path).lives(who).value());
    process.kill();
    CHECK_FALSE(open(path).lives(who).value());
}

TEST_CASE("audit writer: what a dead one left is ended once, however many come at the same moment") {
    for (int round = 0; round < 10; ++round) {
        const test::scratch_directory here;
        const auto path = here / "trail.lock";
        const auto trail = here / "trail";
        auto dead = writing_process(path);
        const auto who = heard_from(dead);
        dead.kill();

        int gate[2];
        REQUIRE(::pipe2(gate, O_CLOEXEC) == 0);
        std::vector<forked> heirs;
        for (int heir = 0; heir < 6; ++heir) {
            heirs.emplace_back([&](const forked::voice&) {
                char nothing = 0;
                ::close(gate[1]);
                if (::read(gate[0], &nothing, 1) != 0) ::_exit(2);  // the gate opens by being closed
                const writer in_here(path);
                const auto alone = in_here.lock.wait().value();
                if (in_here.lock.lives(who).value() || !test::file_text(trail).empty()) return;
                const int file = ::open(trail.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
                if (::write(file, "interrupted\n", 12) != 12) ::_exit(2);
            });
        }
        ::close(gate[0]);
        ::close(gate[1]);
        for (auto& heir : heirs) CHECK(heir.wait() == 0);
        CHECK(test::file_text(trail) == "interrupted\n");
    }
}

TEST_CASE("audit writer: a guard is refused while another process has it, and free once that was killed") {
    const test::scratch_directory here;
    const auto path = here / "trail.lock";
    forked process([&path](const forked::voice& to) {
        const auto lock = open(path);
        const auto alone = lock.wait().value();
        to.say("alone");
        wait_for_the_end();
    });
    REQUIRE(process.hear() == "alone");
    const auto lock = open(path);
    CHECK(lock.attempt().error().code.value() == EAGAIN);
    process.kill();
    {
        const auto alone = lock.attempt();
        CHECK(alone.has_value());
        CHECK(open(path).attempt().error().code.value() == EAGAIN);
    }
    CHECK(open(path).attempt().has_value());
}

TEST_CASE("audit writer: the lock file is private, is not handed to programs, and is no symbolic link") {
    const test::scratch_directory here;
    const auto path = here / "trail.lock";
    const auto lock = open(path);
    struct stat facts {};
    REQUIRE(::stat(path.c_str(), &facts) == 0);
    CHECK((facts.st_mode & 07777) == 0600);
    CHECK(facts.st_size == 0);

    REQUIRE(::symlink(path.c_str(), (here / "link").c_str()) == 0);
    CHECK(lock_file::open(AT_FDCWD, here / "link").error().code.value() == ELOOP);
    CHECK(lock_file::open(AT_FDCWD, here / "none/trail.lock").error().code.value() == ENOENT);
}
