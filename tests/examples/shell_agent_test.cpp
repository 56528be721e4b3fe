// The agent, run as a parent program runs it: a real process behind two pipes.
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "file_text.h"
#include "guards.h"
#include "living.h"

namespace {

using nlohmann::json;
using namespace std::chrono_literals;

constexpr auto patience = 60s;

// One agent. It ends with this object, or with the test's process.
class agent {
   public:
    explicit agent(std::vector<std::string> options = {}) {
        options.insert(options.begin(), EXEC_SHELL_AGENT);
        std::vector<char*> words;
        for (auto& each : options) words.push_back(each.data());
        words.push_back(nullptr);
        int in[2];
        int out[2];
        REQUIRE(::pipe2(in, O_CLOEXEC) == 0);
        REQUIRE(::pipe2(out, O_CLOEXEC) == 0);
        pid_ = ::fork();
        REQUIRE(pid_ >= 0);
        if (pid_ == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            ::dup2(in[0], 0);
            ::dup2(out[1], 1);
            ::execv(words[0], words.data());
            ::_exit(127);
        }
        ::close(in[0]);
        ::close(out[1]);
        to_ = in[1];
        from_ = out[0];
    }
    ~agent() {
        close_input();
        close_output();
        if (pid_ > 0) {
            ::kill(pid_, SIGKILL);
            ::waitpid(pid_, nullptr, 0);
        }
    }
    agent(const agent&) = delete;
    agent& operator=(const agent&) = delete;

    pid_t pid() const noexcept { return pid_; }
    void close_output() { close(from_); }
    void close_input() { close(to_); }

    void part(std::string_view text) {
        while (!text.empty()) {
            const auto size = ::write(to_, text.data(), text.size());
            REQUIRE(size > 0);
            text.remove_prefix(static_cast<std::size_t>(size));
        }
    }
    void line(const std::string& text) { part(text + "\n"); }
    void ask(const std::string& id, const std::string& command, const json& more = {}, const json& context = {}) {
        json parameters{{"command", command}};
        if (!more.is_null()) parameters.update(more);
        raw(id, parameters, context);
    }
    void raw(const std::string& id, const json& parameters, const json& context = {}) {
        json asked{{"id", id}, {"capability", "shell.exec"}, {"parameters", parameters}};
        if (!context.is_null()) asked["context"] = context;
        line(asked.dump());
    }

    // The next frame; null at the end of output.
    json next() {
        for (std::size_t at; (at = unread_.find('\n')) == std::string::npos;) {
            if (!more()) {
                CHECK(unread_.empty());
                return {};
            }
        }
        const auto at = unread_.find('\n');
        auto frame = json::parse(unread_.substr(0, at));
        unread_.erase(0, at + 1);
        return frame;
    }
    json result_of(const std::string& id) { return until(id, "result"); }
    // Reads until there is such a frame; those that come before are kept as well.
    json until(const std::string& id, const std::string& kind) {
        for (;;) {
            for (const auto& each : frames) {
                if (each.at("id") == id && each.at("frame") == kind) return each;
            }
            auto frame = next();
            if (frame.is_null()) FAIL("the output ended without " << kind << " of " << id);
            frames.push_back(std::move(frame));
        }
    }
    std::string said(const std::string& id, const std::string& stream = "stdout") const {
        std::string text;
        for (const auto& each : frames) {
            if (each.at("id") == id && each.at("frame") == stream) text += each.at("data").get<std::string>();
        }
        return text;
    }
    // How it ended, as a shell says it.
    int ended() {
        int status = 0;
        const auto give_up = std::chrono::steady_clock::now() + patience;
        while (::waitpid(pid_, &status, WNOHANG) == 0) {
            if (std::chrono::steady_clock::now() > give_up) FAIL("the agent does not end");
            ::poll(nullptr, 0, 5);
        }
        pid_ = -1;
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    bool readable(std::chrono::milliseconds within) const {
        pollfd one{from_, POLLIN, 0};
        return ::poll(&one, 1, static_cast<int>(within.count())) > 0;
    }

    std::vector<json> frames{};

   private:
    static void close(int& which) {
        if (which >= 0) ::close(which);
        which = -1;
    }
    bool more() {
        if (!readable(patience)) FAIL("the agent says nothing");
        char piece[65536];
        const auto size = ::read(from_, piece, sizeof piece);
        if (size > 0) unread_.append(piece, static_cast<std::size_t>(size));
        return size > 0;
    }

    pid_t pid_ = -1;
    int to_ = -1;
    int from_ = -1;
    std::string unread_{};
};

long resident_kib(pid_t of) {
    const auto status = test::file_text("/proc/" + std::to_string(of) + "/status");
    const auto at = status.find("VmRSS:");
    return at == std::string::npos ? 0 : std::atol(status.c_str() + at + 6);
}

}  // namespace

TEST_CASE("shell_agent: both streams, the exit code, the directory and the trace id arrive as frames") {
    const test::process_guard nothing_left;
    agent one;
    one.ask("a", "pwd; echo err >&2; echo \"$SMITH_TRACE_ID\"; exit 3", {}, {{"cwd", "/usr"}, {"trace_id", "t-7"}});
    const auto end = one.result_of("a");
    CHECK(one.said("a") == "/usr\nt-7\n");
    CHECK(one.said("a", "stderr") == "err\n");
    CHECK(end.at("status") == "error");
    CHECK(end.at("exit_code") == 3);
    CHECK(end.at("artifacts") == json::array());
    CHECK(end.at("where") == "host");
    CHECK(end.at("stdout_bytes") == 9);
    CHECK(one.frames.front().at("message").get<std::string>().starts_with("Executing shell command: pwd"));

    one.ask("b", "true");
    CHECK(one.result_of("b").at("status") == "ok");
    one.close_input();
    CHECK(one.next().is_null());
    CHECK(one.ended() == 0);
}

TEST_CASE("shell_agent: a signal has a name and no exit code") {
    agent one;
    one.ask("a", "kill -9 $$");
    const auto end = one.result_of("a");
    CHECK(end.at("exit_code").is_null());
    CHECK(end.at("signal") == "SIGKILL");
    CHECK(end.at("status") == "error");
}

TEST_CASE("shell_agent: at the deadline the output is kept and the whole tree is dead") {
    agent one;
    const auto word = test::unique_word();
    one.ask("a", "echo kept; sh -c 'sleep 1000; :' " + word + " & sh -c 'sleep 1000; :' " + word + "; :",
            {{"timeout_ms", 2'000}});
    const auto end = one.result_of("a");
    CHECK(end.at("status") == "timeout");
    CHECK(end.at("code") == "exec_timeout");
    CHECK(one.said("a") == "kept\n");
    CHECK(test::named(word).empty());

    one.ask("b", "sleep 1000", {{"timeout_ms", 0}});  // means 1
    CHECK(one.result_of("b").at("status") == "timeout");
}

TEST_CASE("shell_agent: what is wrong or cannot be enforced is refused under its id, and runs nothing") {
    const test::scratch_directory files;
    const auto ran = files / "ran";
    const std::string touch = "touch " + ran;
    struct row {
        json parameters;
        json context;
        std::string code;
    };
    const std::vector<row> rows{
        {json::object(), {}, "invalid_argument"},
        {{{"command", nullptr}}, {}, "invalid_argument"},
        {{{"command", {"touch", ran}}}, {}, "invalid_argument"},
        {{{"command", " \t\n"}}, {}, "invalid_argument"},
        {{{"command", touch}, {"timeout_ms", -1}}, {}, "invalid_argument"},
        {{{"command", touch}, {"timeout_ms", "5"}}, {}, "invalid_argument"},
        {{{"command", touch}, {"timeout_ms", 1.5}}, {}, "invalid_argument"},
        {{{"command", touch}, {"timeout_ms", nullptr}}, {}, "invalid_argument"},
        {{{"command", touch}, {"shell", "sh"}}, {}, "invalid_argument"},
        {{{"command", touch}}, {{"session", {{"sandbox", "bwrap"}}}}, "unsupported"},
        {{{"command", touch}}, {{"sandbox", true}}, "unsupported"},
        {{{"command", touch}}, {{"limits", {{"cpu", 1}}}}, "unsupported"},
        {{{"command", touch}}, {{"scope", json::array()}}, "unsupported"},
        {{{"command", touch}}, {{"credentials", nullptr}}, "unsupported"},
        {{{"command", touch}}, {{"network_namespace", "n"}}, "unsupported"},
        {{{"command", touch}}, {{"cwd", "/no/such/place"}}, "start_failed"},
        {{{"command", touch + " " + std::string(200'000, 'x')}}, {}, "invalid_argument"},
    };
    agent one;
    for (std::size_t at = 0; at < rows.size(); ++at) {
        CAPTURE(at);
        const auto id = "r" + std::to_string(at);
        one.raw(id, rows[at].parameters, rows[at].context);
        const auto end = one.result_of(id);
        CHECK(end.at("status") == "error");
        CHECK(end.at("code") == rows[at].code);
        CHECK(end.at("exit_code").is_null());
        CHECK_FALSE(end.contains("started"));
    }
    CHECK_FALSE(test::exists(ran));

    one.line("{");
    CHECK(one.result_of("").at("code") == "invalid_argument");
    one.frames.clear();
    one.ask("last", "echo alive");
    CHECK(one.result_of("last").at("status") == "ok");
}

TEST_CASE("shell_agent: a line without an end is refused once, in bounded memory, and the next one is served") {
    agent one;
    one.ask("warm", "true");
    one.result_of("warm");
    const auto before = resident_kib(one.pid());
    const std::string part(1 << 20, 'x');
    for (int count = 0; count < 31; ++count) one.part(part);
    one.line("");
    const auto refused = one.result_of("");
    CHECK(refused.at("code") == "invalid_argument");
    one.ask("a", "true");
    CHECK(one.result_of("a").at("status") == "ok");
    CHECK(resident_kib(one.pid()) - before < 16 * 1024);
}

TEST_CASE("shell_agent: two commands run at once, and one that is quick does not wait for one that is slow") {
    agent one;
    const test::scratch_directory files;
    const auto go = files / "go";
    one.ask("slow", "echo begun; while ! [ -e " + go + " ]; do sleep 0.01; done; echo over");
    one.until("slow", "stdout");
    one.ask("quick", "echo quick; touch " + go);
    const auto quick = one.result_of("quick");
    CHECK(quick.at("status") == "ok");
    CHECK(one.result_of("slow").at("status") == "ok");
    CHECK(one.said("slow") == "begun\nover\n");
    CHECK(one.said("quick") == "quick\n");
}

TEST_CASE("shell_agent: a second request under the id of one that runs is refused without that id") {
    agent one;
    one.ask("same", "echo first; sleep 1000", {{"timeout_ms", 60'000}});
    one.until("same", "stdout");
    one.ask("same", "echo second");
    one.ask("same", " ");
    const auto refused = one.result_of("");
    CHECK(refused.at("code") == "wrong_state");
    ::kill(one.pid(), SIGTERM);
    CHECK(one.result_of("same").at("code") == "exec_cancelled");
    CHECK(one.said("same") == "first\n");
}

TEST_CASE("shell_agent: a quiet command shows life") {
    agent one({"--heartbeat-ms", "100"});
    one.ask("a", "sleep 1000");
    CHECK(one.until("a", "heartbeat").at("running_ms").get<std::int64_t>() >= 100);
}

TEST_CASE("shell_agent: at the end of input what runs is finished and told") {
    agent one;
    one.ask("a", "sleep 0.3; echo said late");
    one.close_input();
    CHECK(one.result_of("a").at("status") == "ok");
    CHECK(one.said("a") == "said late\n");
    CHECK(one.next().is_null());
    CHECK(one.ended() == 0);
}

TEST_CASE("shell_agent: SIGTERM ends what runs, also what ignores it, and every command is told") {
    const auto word = test::unique_word();
    agent one;
    one.ask("polite", "echo up; sleep 1000");
    one.ask("rude", "trap '' TERM; echo up; while :; do sh -c 'sleep 1000; :' " + word + "; done");
    one.until("polite", "stdout");
    one.until("rude", "stdout");
    ::kill(one.pid(), SIGTERM);
    for (const auto* id : {"polite", "rude"}) {
        const auto end = one.result_of(id);
        CHECK(end.at("code") == "exec_cancelled");
        CHECK(end.at("started") == "yes");
    }
    CHECK(one.next().is_null());
    CHECK(one.ended() == 0);
    CHECK(test::named(word).empty());
}

TEST_CASE("shell_agent: output that nobody reads holds its command and not memory; a stop still ends it all") {
    const auto word = test::unique_word();
    const test::scratch_directory files;
    agent one;
    one.ask("warm", "true");
    one.result_of("warm");
    const auto before = resident_kib(one.pid());
    // Each counts what it got rid of: the sum stands still once everything is held.
    for (int count = 0; count < 8; ++count) {
        one.ask("y" + std::to_string(count), "sh -c 'while :; do head -c 65536 /dev/zero; echo >> " + files.path() +
                                                 "/" + std::to_string(count) + "; done' " + word);
    }
    const auto written = [&] {
        std::size_t all = 0;
        for (int count = 0; count < 8; ++count) all += test::file_text(files / std::to_string(count)).size();
        return all;
    };
    std::size_t last = 0;
    for (int still = 0; still < 20;) {
        ::poll(nullptr, 0, 50);
        const auto now = written();
        still = now == last && now > 0 ? still + 1 : 0;
        last = now;
    }
    CHECK(last < 8 * 128);  // of 64 KiB each
    const auto grown = resident_kib(one.pid()) - before;
    MESSAGE("grown by " << grown << " KiB while 8 commands talk to nobody");
    CHECK(grown < 16 * 1024);

    ::kill(one.pid(), SIGTERM);
    CHECK(one.ended() == 0);
    CHECK(test::named(word).empty());
}

TEST_CASE("shell_agent: a slow reader gets every byte") {
    agent one;
    one.ask("a", "seq 1 400000");
    CHECK_FALSE(one.readable(0ms));
    while (one.frames.empty() || one.frames.back().at("frame") != "result") {
        one.frames.push_back(one.next());
        if (one.frames.size() % 16 == 0) ::poll(nullptr, 0, 1);
    }
    std::string expected;
    for (int number = 1; number <= 400'000; ++number) expected += std::to_string(number) + "\n";
    CHECK((one.said("a") == expected));
    CHECK(one.frames.back().at("status") == "ok");
    CHECK(one.frames.back().at("stdout_bytes") == expected.size());
}

TEST_CASE("shell_agent: a reader who goes away ends what runs") {
    const auto word = test::unique_word();
    agent one;
    one.ask("a", "echo up; sh -c 'sleep 1000; :' " + word);
    one.until("a", "stdout");
    one.close_output();
    CHECK(one.ended() == 1);
    CHECK(test::named(word).empty());
}

TEST_CASE("shell_agent: commands do not outlive an agent that is killed") {
    const auto word = test::unique_word();
    agent one;
    one.ask("a", "echo up; exec sh -c 'sleep 1000; :' " + word);
    one.until("a", "stdout");
    const auto running = test::named(word);
    ::kill(one.pid(), SIGKILL);
    CHECK(one.ended() == 128 + SIGKILL);
    for (const auto pid : running) CHECK(test::ends(pid));
}

TEST_CASE("shell_agent: the trail has one begin and one end of each command, and neither a secret nor output") {
    const test::scratch_directory files;
    const auto trail = files / "audit.jsonl";
    const std::string secret = "hunter2-x91k";
    agent one({"--audit", trail});
    one.ask("a", "echo output-of-it; mysql --password=" + secret + " 2>/dev/null; TOKEN=" + secret + " true; false");
    one.ask("refused", " ");
    one.result_of("a");
    one.result_of("refused");
    for (const auto& each : one.frames) {
        if (each.at("frame") == "log") CHECK(each.dump().find(secret) == std::string::npos);
    }
    one.close_input();
    CHECK(one.ended() == 0);

    const auto text = test::file_text(trail);
    CHECK(text.find(secret) == std::string::npos);
    CHECK(text.find("output-of-it") != std::string::npos);  // as a word of the command
    int begins = 0;
    int ends = 0;
    for (std::size_t at = 0; at < text.size();) {
        const auto end = text.find('\n', at);
        const auto line = json::parse(text.substr(at, end - at));
        at = end + 1;
        begins += line.contains("begin");
        ends += line.contains("end");
        if (line.contains("begin")) CHECK(line["begin"].at("request") == "a");
        if (line.contains("end")) CHECK(line["end"].at("status") == "error");
    }
    CHECK(begins == 1);
    CHECK(ends == 1);
}

TEST_CASE("shell_agent: a trail that cannot be opened, and options that it does not know, are said at once") {
    agent nowhere({"--audit", "/no/such/place/audit"});
    CHECK(nowhere.ended() == 1);
    agent odd({"--quiet"});
    CHECK(odd.ended() == 2);
    agent digest({"--digest"});
    CHECK(digest.ended() == 0);
}
