// Real commands as the way to a server.
#include "ssh/proxy_connector.h"

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <exec/local_runner.h>
#include <exec/shell.h>
#include <exec/ssh/connector.h>
#include <exec/testing/manual_clock.h>
#include <exec/testing/scripted_runner.h>

#include "guards.h"
#include "living.h"
#include "misuse.h"
#include "poll_host.h"
#include "posix/syscalls.h"
#include "stream_sockets.h"
#include "syscall_spy.h"

using namespace std::chrono_literals;
using exec::argv;
using exec::errc;
using exec::MiB;
using exec::stage;
using exec::posix::syscalls;
using exec::ssh::connection;
using test::asked;

namespace {

argv sh(const std::string& script) { return *exec::shell_script(exec::shell::sh, script, {}); }

// A loop, a runner on it, and one proxy command.
struct proxied {
    explicit proxied(argv command, exec::local_options options = {}) : loop(test::new_loop()) {
        auto made = exec::make_local_runner(*loop, std::move(options));
        REQUIRE(made);
        runner = *std::move(made);
        proxy = exec::ssh::make_proxy_command(*loop, *runner, std::move(command));
    }
    connection open(const std::string& host = "host", std::uint16_t port = 22) {
        asked one;
        one.ask(*loop, *proxy, host, port);
        return one.connected(*loop);
    }
    exec::failure refused(const std::string& host = "host", exec::time_point by = exec::never) {
        asked one;
        one.ask(*loop, *proxy, host, 22, by);
        return one.refused(*loop);
    }
    template <class Done>
    void until(Done done) {
        REQUIRE(test::drive_until(*loop, done));
    }
    // Gives everything that is there to who can take it, for as long as anything moves.
    void settle() {
        while (test::readable(loop->poll_fd(), 200)) loop->run_ready();
    }

    std::unique_ptr<exec::loop> loop;
    std::shared_ptr<exec::runner> runner;
    std::shared_ptr<exec::ssh::connector> proxy;
};

// Reads what is there. False at the end.
bool read_some(int from, std::string& into) {
    char part[65536];
    for (;;) {
        const auto got = ::recv(from, part, sizeof part, MSG_DONTWAIT);
        if (got == 0) return false;
        if (got < 0) {
            REQUIRE(errno == EAGAIN);
            return true;
        }
        into.append(part, static_cast<std::size_t>(got));
    }
}
std::string read_to_end(proxied& on, const connection& from) {
    std::string all;
    on.until([&] { return !read_some(from.fd(), all); });
    return all;
}
std::string read_bytes(proxied& on, const connection& from, std::size_t count) {
    std::string all;
    on.until([&] { return !read_some(from.fd(), all) || all.size() >= count; });
    return all;
}
void write_all(const connection& into, const std::string& bytes) {
    REQUIRE(::send(into.fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size()));
}

}  // namespace

// The words --------------------------------------------------------------------------------------------------------------

TEST_CASE("proxy command: %h, %p and %% are replaced inside each argument, and the program is left alone") {
    const auto made =
        exec::ssh::expanded(argv("/opt/%h/nc", "%h", "[%h]:%p", "100%%", "%%h", "", "a b"), "db;ls $HOME", 2222);
    REQUIRE(made);
    CHECK(*made == argv("/opt/%h/nc", "db;ls $HOME", "[db;ls $HOME]:2222", "100%", "%h", "", "a b"));
}

TEST_CASE("proxy command: what is not a sequence, a word or a host is refused before anything runs") {
    const test::process_guard nothing_left;
    const test::scratch_directory place;
    for (const auto& word : {"%", "%x", "a%", "%%%", "%r@%h"}) {
        CAPTURE(word);
        proxied host(argv("touch", place / "ran", word));
        const auto why = host.refused();
        CHECK(why.code == errc::invalid_argument);
        CHECK(why.at == stage::connect);
        CHECK(why.context.find("argv[2]") != std::string::npos);
    }
    proxied host(argv("touch", place / "ran", "%h"));
    CHECK(host.refused("-oProxyCommand=touch").code == errc::invalid_argument);
    CHECK(host.refused(std::string("a\0b", 3)).code == errc::invalid_argument);
    CHECK_FALSE(test::exists(place / "ran"));
}

// The stream -------------------------------------------------------------------------------------------------------------

TEST_CASE("proxy command: what is put in comes out, and the socket is close-on-exec and does not block") {
    const test::process_guard nothing_left;
    proxied host(argv("cat"));
    const auto made = host.open();
    CHECK((::fcntl(made.fd(), F_GETFD) & FD_CLOEXEC) != 0);
    CHECK((::fcntl(made.fd(), F_GETFL) & O_NONBLOCK) != 0);
    const std::string all("SSH-2.0\r\n\0\xff", 11);
    write_all(made, all);
    CHECK(read_bytes(host, made, all.size()) == all);
}

TEST_CASE("proxy command: a real tunnel reaches the host and port that it was given") {
    const test::process_guard nothing_left;
    test::listening server("127.0.0.1");
    proxied host(argv("busybox", "nc", "%h", "%p"));
    const auto made = host.open("127.0.0.1", server.port());
    const auto there = server.accept();
    write_all(made, "hello");
    test::drain(*host.loop);
    REQUIRE(test::readable(there.get(), test::patience_ms));
    char part[16];
    CHECK(std::string(part, static_cast<std::size_t>(::recv(there.get(), part, sizeof part, 0))) == "hello");
    REQUIRE(::send(there.get(), "welcome", 7, MSG_NOSIGNAL) == 7);
    CHECK(read_bytes(host, made, 7) == "welcome");
}

TEST_CASE("proxy command: each connection has a command of its own") {
    const test::process_guard nothing_left;
    proxied host(sh("echo $$; cat"));
    const auto one = host.open();
    const auto other = host.open();
    CHECK(read_bytes(host, one, 2) != read_bytes(host, other, 2));
}

TEST_CASE("proxy command: a reader that is slow holds the command back, and then gets every byte") {
    const test::process_guard nothing_left;
    const test::scratch_directory place;
    const std::size_t count = 8 * MiB;
    proxied host(sh("yes 0123456789abcde | head -c " + std::to_string(count) + "; : >" + (place / "wrote")));
    const auto made = host.open();
    host.settle();
    CHECK_FALSE(test::exists(place / "wrote"));  // it is still writing
    const auto all = read_to_end(host, made);
    CHECK(all.size() == count);
    std::string line = "0123456789abcde\n";
    bool in_order = all.size() % line.size() == 0;
    for (std::size_t at = 0; in_order && at < all.size(); at += line.size()) in_order = all.compare(at, 16, line) == 0;
    CHECK(in_order);
    CHECK(test::exists(place / "wrote"));
}

TEST_CASE("proxy command: its last bytes come although it has ended before they were read") {
    const test::process_guard nothing_left;
    proxied host(sh("head -c 400000 /dev/zero"));
    const auto made = host.open();
    host.settle();
    CHECK(read_to_end(host, made).size() == 400000);
}

TEST_CASE("proxy command: a command that does not read holds the writer back, and then gets every byte") {
    const test::process_guard nothing_left;
    const test::scratch_directory place;
    proxied host(sh("while [ ! -e " + (place / "go") + " ]; do sleep 0.05; done; wc -c"));
    const auto made = host.open();
    const std::string piece(64 * 1024, 'x');
    std::size_t written = 0;
    for (bool moved = true; moved; host.settle()) {
        moved = false;
        for (ssize_t sent; (sent = ::send(made.fd(), piece.data(), piece.size(), MSG_NOSIGNAL)) > 0; moved = true)
            written += static_cast<std::size_t>(sent);
        REQUIRE(written < 8 * MiB);
    }
    CHECK(written > 2 * piece.size());
    test::write_file(place / "go", "");
    REQUIRE(::shutdown(made.fd(), SHUT_WR) == 0);  // one half is closed: the other one goes on
    CHECK(read_to_end(host, made) == std::to_string(written) + "\n");
}

// Its end ----------------------------------------------------------------------------------------------------------------

TEST_CASE("proxy command: the end of the command is the end of the stream, and its standard error the last words") {
    const test::process_guard nothing_left;
    proxied host(sh("echo 'no route to host' >&2; printf 'SSH-2.0'; exit 1"));
    auto made = host.open();
    CHECK(read_to_end(host, made) == "SSH-2.0");
    host.proxy.reset();
    REQUIRE(made.last_words);
    CHECK(made.last_words() == "no route to host\n");
    CHECK(made.last_words() == "no route to host\n");
    host.runner.reset();
    host.loop.reset();
    CHECK(made.last_words() == "no route to host\n");
}

TEST_CASE("proxy command: of a long standard error the last 4 KiB are kept") {
    const test::process_guard nothing_left;
    proxied host(sh("yes 'chatter chatter' | head -c 1000000 >&2; printf 'the end' >&2"));
    auto made = host.open();
    CHECK(made.last_words().size() <= 4096);
    CHECK(read_to_end(host, made).empty());
    const auto said = made.last_words();
    CHECK(said.size() == 4096);
    CHECK(said.substr(4089) == "the end");
}

TEST_CASE("proxy command: one that ends in silence is said to have ended") {
    const test::process_guard nothing_left;
    for (const auto& [script, end] : {std::pair("exit 7", "exit 7"), std::pair("kill -9 $$", "signal 9")}) {
        proxied host(sh(script));
        auto made = host.open();
        CHECK(read_to_end(host, made).empty());
        CHECK(made.last_words() == std::string("proxy command ") + std::string(sh("").program()) + " ended: " + end);
    }
}

TEST_CASE("proxy command: it ends with the socket, whatever it is doing") {
    const test::process_guard nothing_left;
    for (const std::string script : {
             "cat",                                         // goes by itself
             "yes",                                         // never stops writing
             "while :; do sleep 1; done",                   // does not notice
             "trap '' TERM; while :; do sleep 1; done",     // does not want to know
             "exec >/dev/null; while :; do sleep 1; done",  // has closed its side before
             "dd bs=1M count=1 if=/dev/zero; sleep 1000",   // was held back
         }) {
        CAPTURE(script);
        const auto word = test::unique_word();
        proxied host(*exec::shell_script(exec::shell::sh, "echo; " + script + "; :", {word}));
        auto made = host.open();
        static_cast<void>(read_bytes(host, made, 1));
        CHECK_FALSE(test::named(word).empty());
        made = {};
        host.until([&] { return test::named(word).empty(); });
    }
}

TEST_CASE("proxy command: it ends when nobody listens any more, although the other half is open") {
    const test::process_guard nothing_left;
    const auto word = test::unique_word();
    proxied host(*exec::shell_script(exec::shell::sh, "yes; :", {word}));
    const auto made = host.open();
    static_cast<void>(read_bytes(host, made, 1));
    REQUIRE(::shutdown(made.fd(), SHUT_RD) == 0);
    host.until([&] { return test::named(word).empty(); });
}

TEST_CASE("proxy command: a command that closed its input does not hold the writer back") {
    const test::process_guard nothing_left;
    proxied host(sh("exec <&-; echo; sleep 1000"));
    const auto made = host.open();
    CHECK(read_bytes(host, made, 1) == "\n");
    const int room = 1 << 20;
    REQUIRE(::setsockopt(made.fd(), SOL_SOCKET, SO_SNDBUF, &room, sizeof room) == 0);
    write_all(made, std::string(600'000, 'x'));
    host.until([&] {
        int waiting = -1;
        return ::ioctl(made.fd(), SIOCOUTQ, &waiting) == 0 && waiting == 0;
    });
}

TEST_CASE("proxy command: bytes that were written just before the socket was closed still reach the command") {
    const test::process_guard nothing_left;
    const test::scratch_directory place;
    const std::string all(150'000, 'x');  // more than a pipe and its queue take at once
    proxied host(sh("cat >" + (place / "got.part") + "; mv " + (place / "got.part") + " " + (place / "got")));
    {
        const auto made = host.open();
        const int room = 1 << 20;
        REQUIRE(::setsockopt(made.fd(), SOL_SOCKET, SO_SNDBUF, &room, sizeof room) == 0);
        write_all(made, all);
    }
    host.until([&] { return test::exists(place / "got"); });
    CHECK(test::file_text(place / "got") == all);
}

TEST_CASE("proxy command: a connection that is dropped inside its own answer leaves nothing") {
    const test::process_guard nothing_left;
    proxied host(argv("cat"));
    int answers = 0;
    host.loop->post(
        [&] { host.proxy->connect("host", 22, exec::never, [&](exec::result<connection>) { ++answers; }); });
    host.until([&] { return answers == 1; });
}

TEST_CASE("proxy command: a connector that is gone leaves its connections") {
    const test::process_guard nothing_left;
    proxied host(argv("cat"));
    asked early;
    early.ask(*host.loop, *host.proxy, "host", 22);
    host.proxy.reset();
    const auto made = early.connected(*host.loop);
    write_all(made, "still here");
    CHECK(read_bytes(host, made, 10) == "still here");
}

// What does not begin ----------------------------------------------------------------------------------------------------

TEST_CASE("proxy command: a program that is not there is the failure of the connection, and is named") {
    const test::process_guard nothing_left;
    proxied host(argv("/nowhere/nc", "%h"));
    const auto why = host.refused();
    CHECK(why.code == std::errc::no_such_file_or_directory);
    CHECK(why.at == stage::connect);
    CHECK(why.kind() == errc::connect_failed);
    CHECK(why.context.find("proxy command /nowhere/nc: program") == 0);
}

TEST_CASE("proxy command: one that does not start until `by` is given up then") {
    const test::process_guard nothing_left;
    struct : exec::executor {
        std::vector<exec::callback<void()>> kept;
        void execute(exec::callback<void()> work) override { kept.push_back(std::move(work)); }
    } never_comes;
    exec::local_options options;
    options.spawn_on = &never_comes;
    proxied host(argv("cat"), std::move(options));
    const auto by = host.loop->now() + 30ms;
    const auto why = host.refused("host", by);
    CHECK(host.loop->now() >= by);
    CHECK(why.code == std::errc::timed_out);
    CHECK(why.at == stage::connect);
    CHECK(host.refused("host", host.loop->now()).code == std::errc::timed_out);
    never_comes.kept.clear();
}

TEST_CASE("proxy command: no descriptor left keeps its number") {
    const test::process_guard nothing_left;
    proxied host(argv("cat"));
    const test::watched_syscalls<&syscalls::socket_pair> watched;
    test::spy<& syscalls::socket_pair>.error = EMFILE;
    test::spy<& syscalls::socket_pair>.fails_at = -1;
    const auto why = host.refused();
    CHECK(why.code == std::errc::too_many_files_open);
    CHECK(why.at == stage::connect);
}

TEST_CASE("proxy command: a socket that cannot be watched is the failure of the connection, and the command ends") {
    const test::process_guard nothing_left;
    proxied host(sh("yes"));
    auto table = exec::posix::kernel_syscalls();
    table.epoll_ctl = [](int epoll, int operation, int descriptor, epoll_event* event) {
        struct stat what {};
        if (operation == EPOLL_CTL_ADD && ::fstat(descriptor, &what) == 0 && S_ISSOCK(what.st_mode)) {
            errno = ENOSPC;
            return -1;
        }
        return ::epoll_ctl(epoll, operation, descriptor, event);
    };
    const exec::posix::replaced_syscalls in_use(table);
    const auto why = host.refused();
    CHECK(why.code == std::errc::no_space_on_device);
    CHECK(why.at == stage::connect);
    host.settle();
}

TEST_CASE("proxy command: a runner that cannot hold output back is refused") {
    const test::process_guard nothing_left;
    exec::testing::manual_clock clock;
    const auto loop = test::new_loop({.clock = &clock});
    auto can = exec::testing::scripted_options::everything();
    can.pauses = false;
    exec::testing::scripted_runner runner(*loop, clock, {.can = can});
    const auto proxy = exec::ssh::make_proxy_command(*loop, runner, argv("cat"));
    asked one;
    one.ask(*loop, *proxy, "host", 22);
    CHECK(one.refused(*loop).code == errc::unsupported);
}

TEST_CASE("proxy command: connect() outside the thread that drives the loop is misuse") {
    const test::process_guard nothing_left;
    const test::misuse_throws misuse;
    proxied host(argv("cat"));
    CHECK_THROWS_AS(host.proxy->connect("host", 22, exec::never, [](exec::result<connection>) {}), test::misuse);
}

TEST_CASE("proxy command: a loop that shuts down, or is destroyed, ends streams and answers what has not begun") {
    const test::process_guard nothing_left;
    for (const bool in_destructor : {false, true}) {
        CAPTURE(in_destructor);
        proxied host(sh("trap '' TERM; echo; while :; do sleep 1; done"));
        const auto made = host.open();
        CHECK(read_bytes(host, made, 1) == "\n");
        asked fresh;
        host.loop->post([&] { fresh.call(*host.proxy, "host", 22, exec::never); });
        asked late;
        if (!in_destructor) {
            host.loop->shutdown(100ms);
            late.ask(*host.loop, *host.proxy, "host", 22);
            test::drain(*host.loop);
            CHECK(late.answers == 1);
            CHECK(late.answer->error().code == errc::shutting_down);
        }
        host.loop.reset();
        REQUIRE(fresh.answers == 1);
        CHECK(fresh.answer->error().code == errc::shutting_down);
        std::string rest;
        CHECK_FALSE(read_some(made.fd(), rest));
    }
}
