#include <doctest/doctest.h>
#include <exec/detail/sha256.h>
#include <exec/json_lines_audit.h>

#include <array>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "file_text.h"
#include "forked_host.h"
#include "posix/syscalls.h"

namespace {

using exec::audit_end;
using exec::audit_id;
using exec::audit_record;
using exec::audit_sync;
using exec::json_lines_audit;
using exec::json_lines_options;
using exec::result;
using json = nlohmann::json;
using trail = std::unique_ptr<json_lines_audit>;

class folder {
   public:
    folder() { REQUIRE(::mkdtemp(name_.data()) != nullptr); }
    ~folder() {
        const auto command = "rm -rf '" + name_ + "'";
        CHECK(std::system(command.c_str()) == 0);
    }
    std::string path(const std::string& file) const { return name_ + "/" + file; }

   private:
    std::string name_ = "/tmp/exec_audit_XXXXXX";
};

bool is_there(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

// The lines of all files of a trail, oldest first.
std::vector<std::string> lines_of(const std::string& path) {
    int oldest = 0;
    while (is_there(path + "." + std::to_string(oldest + 1))) ++oldest;
    std::string text;
    for (int number = oldest; number >= 0; --number) {
        text += test::file_text(number == 0 ? path : path + "." + std::to_string(number));
    }
    std::vector<std::string> lines;
    for (std::size_t at = 0; at < text.size();) {
        const auto end = std::min(text.find('\n', at), text.size());
        lines.push_back(text.substr(at, end - at));
        at = end + 1;
    }
    return lines;
}

// By id: how often it was begun, and the words of its ends.
struct ended {
    int begun = 0;
    std::vector<std::string> ends{};
};
std::map<std::string, ended> calls_of(const std::string& path, int* broken = nullptr) {
    std::map<std::string, ended> calls;
    for (const auto& line : lines_of(path)) {
        const auto parsed = json::parse(line, nullptr, false);
        if (parsed.is_discarded()) {
            if (broken != nullptr) ++*broken;
            continue;
        }
        if (parsed.contains("begin")) ++calls[parsed["begin"]["id"]].begun;
        if (parsed.contains("end")) calls[parsed["end"]["id"]].ends.push_back(parsed["end"]["status"]);
    }
    return calls;
}

audit_record numbered(std::uint32_t number, std::uint8_t series = 1) {
    audit_record record;
    record.id =
        audit_id({series, 0, 0, 0, static_cast<std::uint8_t>(number >> 24U), static_cast<std::uint8_t>(number >> 16U),
                  static_cast<std::uint8_t>(number >> 8U), static_cast<std::uint8_t>(number)});
    record.who.subject = "user:ada";
    record.target = exec::target_id("build-7");
    record.redacted_argv = {"make", "-j4", "all"};
    return record;
}
audit_end ok() {
    audit_end end;
    end.status = exec::audit_status::ok;
    end.ran = true;
    end.exit = exec::exit_status::exited(0);
    return end;
}

// Waits for the answer.
result<void> told(const std::function<void(exec::reply<void>)>& ask) {
    std::promise<result<void>> answer;
    ask([&](result<void> how) { answer.set_value(std::move(how)); });
    return answer.get_future().get();
}
result<void> begin(json_lines_audit& to, const audit_record& what) {
    return told([&](auto answer) { to.begin(what, std::move(answer)); });
}
result<void> finish(json_lines_audit& to, const audit_id& of, const audit_end& how = ok()) {
    return told([&](auto answer) { to.finish(of, how, std::move(answer)); });
}

json_lines_options unsynced(const std::string& path) {
    json_lines_options options;
    options.path = path;
    options.sync = audit_sync::none;
    return options;
}
trail opened(const json_lines_options& options) { return exec::make_json_lines_audit(options).value(); }

// Lets write() take no more than so many bytes of each line; -1: all.
thread_local ssize_t write_takes = -1;
int syncs = 0;
int sync_error = 0;
exec::posix::syscalls hindered() {
    auto table = exec::posix::kernel_syscalls();
    table.write = [](int to, const void* from, std::size_t size) -> ssize_t {
        if (write_takes < 0) return ::write(to, from, size);
        if (write_takes == 0) {
            errno = ENOSPC;
            return -1;
        }
        const auto taken = ::write(to, from, std::min(size, static_cast<std::size_t>(write_takes)));
        write_takes = 0;
        return taken;
    };
    table.sync_data = [](int of) {
        ++syncs;
        if (sync_error == 0) return ::fdatasync(of);
        errno = sync_error;
        return -1;
    };
    return table;
}

// A child that begins and finishes calls until it is killed, and tells the number of each begun one before it goes on; at
// most 4 of what it told wait to be read.
using message = std::array<std::uint32_t, exec::KiB / 4>;
struct writing_child {
    pid_t pid = -1;
    int told = -1;
};
writing_child start_writer(const json_lines_options& wanted, std::uint8_t series) {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    REQUIRE(::fcntl(ends[1], F_SETPIPE_SZ, 4096) == 4096);
    const auto pid = ::fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        ::close(ends[0]);
        auto options = wanted;
        const auto threads = exec::make_thread_executor(1).value();
        if (options.sync != audit_sync::none) options.blocking = threads.get();
        const auto to = opened(options);
        for (std::uint32_t number = 1;; ++number) {
            const auto record = numbered(number, series);
            const message told{number};
            if (!begin(*to, record) || ::write(ends[1], &told, sizeof told) != sizeof told) ::_exit(1);
            if (!finish(*to, record.id)) ::_exit(1);
        }
    }
    ::close(ends[1]);
    return {pid, ends[0]};
}
std::uint32_t next_told(const writing_child& of) {
    message told{};
    return ::read(of.told, &told, sizeof told) == sizeof told ? told[0] : 0;
}
// Returns the last number that it told.
std::uint32_t kill_and_reap(const writing_child& child) {
    ::kill(child.pid, SIGKILL);
    int status = 0;
    REQUIRE(::waitpid(child.pid, &status, 0) == child.pid);
    CHECK(WIFSIGNALED(status));
    std::uint32_t last = 0;
    while (const auto number = next_told(child)) last = number;
    ::close(child.told);
    return last;
}

}  // namespace

TEST_CASE("json_lines_audit: a call is two lines of valid JSON, and a note is two as well") {
    const folder in;
    const auto path = in.path("trail");
    auto to = opened(unsynced(path));
    auto record = numbered(1);
    record.who.tenant = "acme";
    record.who.roles = {"dev", "ops"};
    record.labels = {{"region", "eu"}};
    record.env_names = {"LANG"};
    record.signal_number = 15;
    record.stands_for = 3;
    REQUIRE(begin(*to, record));
    auto end = ok();
    end.exit = exec::exit_status::signaled(9, true);
    end.status = exec::audit_status::error;
    end.code = exec::make_error_code(exec::errc::denied);
    end.out_bytes = 17;
    end.took.run = exec::milliseconds(5);
    REQUIRE(finish(*to, record.id, end));
    REQUIRE(told([&](auto answer) { to->note(numbered(2), {}, std::move(answer)); }));

    const auto lines = lines_of(path);
    REQUIRE(lines.size() == 5);
    const auto writer = json::parse(lines[0]);
    CHECK(writer["writer"]["pid"] == ::getpid());
    CHECK(writer["writer"]["boot"].get<std::string>().size() == 36);
    CHECK(writer["writer"]["start_time"].get<std::uint64_t>() > 0);
    const auto first = json::parse(lines[1]);
    CHECK(first["w"] == writer["w"]);
    CHECK(first["seq"] == 2);
    CHECK(first["begin"]["id"] == record.id.text());
    CHECK(first["begin"]["verb"] == "run");
    CHECK(first["begin"]["argv"] == json({"make", "-j4", "all"}));
    CHECK(first["begin"]["labels"] == json({"region=eu"}));
    CHECK(first["begin"]["run_timeout_ms"] == 30'000);
    CHECK(first["begin"]["stands_for"] == 3);
    const auto second = json::parse(lines[2]);
    CHECK(second["end"]["status"] == "error");
    CHECK(second["end"]["exit_signal"] == 9);
    CHECK(second["end"]["core"] == true);
    CHECK(second["end"]["out_bytes"] == 17);
    CHECK(second["end"]["run_us"] == 5000);
    CHECK(json::parse(lines[4])["end"]["id"] == numbered(2).id.text());
    CHECK(second["t"].get<std::string>().size() == 27);
}

TEST_CASE("json_lines_audit: whatever the bytes of a caller are, the line is valid, bounded and read back") {
    const folder in;
    const auto path = in.path("trail");
    std::mt19937 random(7);
    std::string every;
    for (int byte = 0; byte < 256; ++byte) every += static_cast<char>(byte);
    {
        auto to = opened(unsynced(path));
        for (std::uint32_t number = 1; number <= 200; ++number) {
            auto record = numbered(number);
            std::string noise;
            while (noise.size() < random() % 5000) noise += static_cast<char>(random());
            record.redacted_argv = {every, noise, R"("}}{"v":1,"t":")", "\n{\"v\":1,\"t\":\"x\"}\n"};
            record.who.subject = noise + every;
            record.cwd = every;
            record.idempotency_key = "\\\"";
            record.labels = {{every, noise}};
            REQUIRE(begin(*to, record));
            audit_end end;
            end.context = noise;
            REQUIRE(finish(*to, record.id, end));
        }
        auto huge = numbered(1000);
        huge.redacted_argv.assign(60'000, "12345678");
        huge.redacted_argv[1] = std::string(20'000, '\x01');
        huge.env_names.assign(60'000, "X");
        huge.who.request_id = std::string(1 << 20, 'r');
        REQUIRE(begin(*to, huge));
        REQUIRE(finish(*to, huge.id));
    }
    const auto again = opened(unsynced(path));  // reads all of it
    for (const auto& line : lines_of(path)) {
        CHECK(json::accept(line));
        CHECK(line.size() < 400'000);
        if (line.find("_left_out") == std::string::npos) continue;
        const auto parsed = json::parse(line)["begin"];
        CHECK(parsed["argv"].size() + parsed["argv_left_out"].get<std::size_t>() == 60'000);
        CHECK(parsed["env_names"].size() + parsed["env_names_left_out"].get<std::size_t>() == 60'000);
        CHECK(parsed["request"].get<std::string>().ends_with("r...+1047552 bytes"));
    }
    for (const auto& [id, call] : calls_of(path)) {
        CHECK(call.begun == 1);
        CHECK(call.ends.size() == 1);
        CHECK(call.ends.at(0) != "interrupted");
    }
}

TEST_CASE("json_lines_audit: killed at any moment, a writer leaves one record a call, and the next open ends it") {
    const folder in;
    std::mt19937 random(11);
    for (const auto sync : {audit_sync::none, audit_sync::group}) {
        const auto path = in.path(sync == audit_sync::none ? "none" : "group");
        auto options = unsynced(path);
        options.sync = sync;
        options.max_file_bytes = 32 * exec::KiB;
        options.kept = 9999;
        for (std::uint8_t round = 1; round <= 50; ++round) {
            const auto child = start_writer(options, round);
            const auto moment = random() % (sync == audit_sync::none ? 60 : 10);
            std::uint32_t last = 0;
            for (std::uint32_t seen = 0; seen <= moment; ++seen) last = next_told(child);
            REQUIRE(last > 0);
            last = std::max(last, kill_and_reap(child));
            opened(unsynced(path)).reset();
            std::map<std::string, ended> calls = calls_of(path);
            for (std::uint32_t number = 1; number <= last; ++number) {
                REQUIRE(calls[numbered(number, round).id.text()].begun == 1);
            }
            std::size_t interrupted = 0;
            for (const auto& [id, call] : calls) {
                if (call.begun != 1 || call.ends.size() != 1)
                    FAIL_CHECK(id);
                else if (call.ends[0] == "interrupted")
                    ++interrupted;
            }
            CHECK(interrupted <= round);  // one call at a time
        }
    }
}

TEST_CASE(
    "json_lines_audit: of two writers of one file, the killed one's records are ended, once, by whoever opens next") {
    const folder in;
    const auto path = in.path("trail");
    auto options = unsynced(path);
    options.max_file_bytes = 16 * exec::KiB;
    options.kept = 9999;
    for (std::uint8_t round = 1; round <= 20; ++round) {
        const auto killed = start_writer(options, static_cast<std::uint8_t>(2 * round));
        const auto living = start_writer(options, static_cast<std::uint8_t>(2 * round + 1));
        for (int i = 0; i < 20; ++i) {
            REQUIRE(next_told(killed) > 0);
            REQUIRE(next_told(living) > 0);
        }
        kill_and_reap(killed);
        // All read the same open records.
        std::vector<std::thread> openers;
        for (int i = 0; i < 4; ++i) openers.emplace_back([&] { opened(unsynced(path)).reset(); });
        for (auto& opener : openers) opener.join();
        for (int i = 0; i < 20; ++i) REQUIRE(next_told(living) > 0);
        const auto last = kill_and_reap(living);
        opened(unsynced(path)).reset();
        auto calls = calls_of(path);
        for (const auto& [id, call] : calls) {
            if (call.begun != 1 || call.ends.size() != 1) FAIL_CHECK(id);
        }
        // The living one's were left alone.
        for (std::uint32_t number = 1; number < last; ++number) {
            REQUIRE(calls[numbered(number, static_cast<std::uint8_t>(2 * round + 1)).id.text()].ends.at(0) == "ok");
        }
    }
}

TEST_CASE("json_lines_audit: what a dead writer left is told as perhaps begun, and what a living one has open is not") {
    const folder in;
    const auto path = in.path("trail");
    auto mine = opened(unsynced(path));
    REQUIRE(begin(*mine, numbered(1)));
    {
        const auto other = opened(unsynced(path));
        REQUIRE(begin(*other, numbered(2)));
    }
    const auto next = opened(unsynced(path));
    auto calls = calls_of(path);
    CHECK(calls[numbered(1).id.text()].ends.empty());
    CHECK(calls[numbered(2).id.text()].ends == std::vector<std::string>{"interrupted"});
    const auto last = json::parse(lines_of(path).back());
    CHECK(last["end"]["began"] == "unknown");
    CHECK(last["end"]["complete"] == false);
    CHECK_FALSE(last["end"].contains("exit_code"));
    REQUIRE(finish(*mine, numbered(1).id));
    CHECK(calls_of(path)[numbered(1).id.text()].ends == std::vector<std::string>{"ok"});
}

TEST_CASE("json_lines_audit: a line that was cut fails its call, is ended, and is skipped by readers") {
    const folder in;
    const auto path = in.path("trail");
    auto to = opened(unsynced(path));
    {
        const auto table = hindered();
        const exec::posix::replaced_syscalls replaced(table);
        for (std::uint32_t number = 1; number <= 330; number += 5) {
            write_takes = static_cast<ssize_t>(number);
            const auto cut = begin(*to, numbered(number));
            REQUIRE_FALSE(cut);
            CHECK(cut.error().code == std::error_code(ENOSPC, std::system_category()));
            CHECK_FALSE(begin(*to, numbered(number)));  // still full
            write_takes = -1;
            REQUIRE(begin(*to, numbered(1000 + number)));
            write_takes = static_cast<ssize_t>(number % 100);
            CHECK_FALSE(finish(*to, numbered(1000 + number).id));
            CHECK_FALSE(begin(*to, numbered(5000)));  // nothing new before what is owed
            write_takes = -1;
            // The next line to be cut is one that begins a call.
            REQUIRE(begin(*to, numbered(2000 + number)));
            REQUIRE(finish(*to, numbered(2000 + number).id));
        }
        REQUIRE(begin(*to, numbered(9999)));
        REQUIRE(finish(*to, numbered(9999).id));
    }
    to.reset();
    opened(unsynced(path)).reset();
    int broken = 0;
    for (const auto& [id, call] : calls_of(path, &broken)) {
        CHECK(call.begun == 1);
        CHECK(call.ends == std::vector<std::string>{"ok"});
    }
    CHECK(broken > 50);
}

TEST_CASE("json_lines_audit: a torn end of another's is ended at open, and a line glued to one is found") {
    const folder in;
    const auto path = in.path("trail");
    auto to = opened(unsynced(path));
    REQUIRE(begin(*to, numbered(1)));
    const auto append = [&](std::string_view text) {
        const int file = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
        REQUIRE(::write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
        ::close(file);
    };
    append(R"({"v":1,"t":"2026-01-01T00:00:00.000000Z","w":"00000000)");
    REQUIRE(begin(*to, numbered(2)));  // behind it, on the same line
    append(R"({"v":1,"t":"2026-01-01T00:00:00.000000Z","w":"0000000000000001","seq":1,"begin":{"id":")");
    to.reset();
    opened(unsynced(path)).reset();
    int broken = 0;
    auto calls = calls_of(path, &broken);
    CHECK(broken == 2);
    CHECK(calls[numbered(1).id.text()].ends == std::vector<std::string>{"interrupted"});
    CHECK(calls[numbered(2).id.text()].ends == std::vector<std::string>{"interrupted"});
}

TEST_CASE("json_lines_audit: a full disk refuses calls, and the trail recovers when there is room") {
    const auto wrong = test::in_forked_host([](test::findings& found) {
        const folder in;
        const auto path = in.path("trail");
        ::signal(SIGXFSZ, SIG_IGN);
        auto to = opened(unsynced(path));
        const rlimit full{16 * exec::KiB, RLIM_INFINITY};
        ::setrlimit(RLIMIT_FSIZE, &full);
        std::uint32_t number = 1;
        for (; number < 1000; ++number) {
            if (!begin(*to, numbered(number))) break;
            if (!finish(*to, numbered(number).id)) break;
        }
        HOLDS(number > 5 && number < 1000);
        HOLDS(!begin(*to, numbered(2000)));
        const rlimit room{RLIM_INFINITY, RLIM_INFINITY};
        ::setrlimit(RLIMIT_FSIZE, &room);
        HOLDS(begin(*to, numbered(3000)).has_value());
        HOLDS(finish(*to, numbered(3000).id).has_value());
        to.reset();
        for (const auto& [id, call] : calls_of(path)) {
            HOLDS(call.begun == 1);
            HOLDS(call.ends == std::vector<std::string>{"ok"});
        }
    });
    CHECK(wrong == "");
}

TEST_CASE("json_lines_audit: the chain goes on over rotation, reopening and restarts, and shows a changed line") {
    const folder in;
    for (const std::string key : {"", "a key of the tests"}) {
        const auto path = in.path("trail" + std::to_string(key.size()));
        auto options = unsynced(path);
        options.max_file_bytes = 4 * exec::KiB;
        options.kept = 99;
        options.chain = true;
        options.chain_key = key;
        for (std::uint32_t start = 1; start <= 3; ++start) {
            auto to = opened(options);
            for (std::uint32_t number = 1; number <= 10; ++number) {
                REQUIRE(begin(*to, numbered(100 * start + number)));
                if (number == 5) REQUIRE(to->reopen());
                REQUIRE(finish(*to, numbered(100 * start + number).id));
            }
        }
        CHECK(is_there(path + ".3"));
        const auto lines = lines_of(path);
        CHECK(lines.size() == 3 * 21);
        std::string last;
        for (const auto& line : lines) {
            CHECK(json::parse(line)["prev"] == last);
            last = exec::detail::hex_of(key.empty() ? exec::detail::sha256::of(line)
                                                    : exec::detail::hmac_sha256(key)(line));
        }
        CHECK(last != exec::detail::hex_of(exec::detail::sha256::of(lines.back() + " ")));
    }
}

TEST_CASE("json_lines_audit: files are kept up to their count and size") {
    const folder in;
    const auto path = in.path("trail");
    auto options = unsynced(path);
    options.max_file_bytes = 2 * exec::KiB;
    options.kept = 2;
    auto to = opened(options);
    for (std::uint32_t number = 1; number <= 100; ++number) {
        REQUIRE(begin(*to, numbered(number)));
        REQUIRE(finish(*to, numbered(number).id));
    }
    CHECK(is_there(path + ".2"));
    CHECK_FALSE(is_there(path + ".3"));
    for (const auto* suffix : {"", ".1", ".2"}) CHECK(test::file_text(path + suffix).size() <= 2 * exec::KiB);
    CHECK(calls_of(path).rbegin()->first == numbered(100).id.text());
}

TEST_CASE("json_lines_audit: reopen() follows a file that was moved away") {
    const folder in;
    const auto path = in.path("trail");
    auto to = opened(unsynced(path));
    REQUIRE(begin(*to, numbered(1)));
    REQUIRE(::rename(path.c_str(), in.path("moved").c_str()) == 0);
    REQUIRE(to->reopen());
    REQUIRE(finish(*to, numbered(1).id));
    CHECK(lines_of(in.path("moved")).size() == 2);
    CHECK(lines_of(path).size() == 1);
}

TEST_CASE("json_lines_audit: files are the owner's alone, and a link, a pipe or a missing folder is refused") {
    const folder in;
    const auto path = in.path("trail");
    opened(unsynced(path)).reset();
    for (const auto& file : {path, path + ".lock"}) {
        struct stat is {};
        REQUIRE(::stat(file.c_str(), &is) == 0);
        CHECK((is.st_mode & 07777) == 0600);
    }
    const auto refused = [](const json_lines_options& options) {
        auto made = exec::make_json_lines_audit(options);
        REQUIRE_FALSE(made);
        return made.error().code;
    };
    REQUIRE(::symlink(path.c_str(), in.path("link").c_str()) == 0);
    CHECK(refused(unsynced(in.path("link"))) == std::error_code(ELOOP, std::system_category()));
    REQUIRE(::symlink(path.c_str(), in.path("other.lock").c_str()) == 0);
    CHECK(refused(unsynced(in.path("other"))) == std::error_code(ELOOP, std::system_category()));
    REQUIRE(::mkfifo(in.path("pipe").c_str(), 0600) == 0);
    CHECK(refused(unsynced(in.path("pipe"))).value() != 0);
    CHECK(refused(unsynced(in.path("none/trail"))) == std::error_code(ENOENT, std::system_category()));
    CHECK(refused(unsynced("")) == exec::errc::invalid_argument);
    CHECK(refused(unsynced(in.path(""))) == exec::errc::invalid_argument);
    auto options = unsynced(path);
    options.sync = audit_sync::group;
    CHECK(refused(options) == exec::errc::invalid_argument);
    options = unsynced(path);
    options.kept = 0;
    CHECK(refused(options) == exec::errc::invalid_argument);
}

TEST_CASE("json_lines_audit: a group shares a sync, each has its own, and a failed one fails its calls") {
    const folder in;
    const auto threads = exec::make_thread_executor(1).value();
    const auto table = hindered();
    const exec::posix::replaced_syscalls replaced(table);
    for (const auto sync : {audit_sync::group, audit_sync::each}) {
        const auto path = in.path(sync == audit_sync::group ? "group" : "each");
        json_lines_options options;
        options.path = path;
        options.sync = sync;
        options.blocking = threads.get();
        auto to = opened(options);
        std::promise<void> go;
        threads->execute([wait = go.get_future()]() mutable { wait.get(); });
        syncs = 0;
        constexpr std::uint32_t count = 100;
        std::vector<std::future<bool>> answers;
        for (std::uint32_t number = 1; number <= count; ++number) {
            auto answer = std::make_shared<std::promise<bool>>();
            answers.push_back(answer->get_future());
            to->begin(numbered(number), [answer](result<void> how) { answer->set_value(how.has_value()); });
        }
        go.set_value();
        for (auto& answer : answers) CHECK(answer.get());
        CHECK(syncs == (sync == audit_sync::group ? 2 : static_cast<int>(count)));

        sync_error = EIO;
        const auto lost = begin(*to, numbered(count + 1));
        REQUIRE_FALSE(lost);
        CHECK(lost.error().code == std::error_code(EIO, std::system_category()));
        sync_error = 0;
        REQUIRE(begin(*to, numbered(count + 2)));
        CHECK(calls_of(path)[numbered(count + 1).id.text()].ends == std::vector<std::string>{"error"});
    }
}

TEST_CASE("json_lines_audit: an executor that drops its work costs answers and no records") {
    class dropping final : public exec::executor {
       public:
        bool drops = true;
        void execute(exec::callback<void()> work) override {
            if (!drops) std::thread(std::move(work)).join();
        }
    };
    const folder in;
    dropping on;
    auto options = unsynced(in.path("trail"));
    options.blocking = &on;
    auto to = opened(options);
    const auto lost = begin(*to, numbered(1));
    REQUIRE_FALSE(lost);
    CHECK(lost.error().code == exec::errc::broken_reply);
    on.drops = false;
    REQUIRE(begin(*to, numbered(2)));
    on.drops = true;
    CHECK_FALSE(finish(*to, numbered(2).id));
    on.drops = false;
    REQUIRE(begin(*to, numbered(3)));
    auto calls = calls_of(in.path("trail"));
    CHECK(calls.count(numbered(1).id.text()) == 0);
    CHECK(calls[numbered(2).id.text()].ends == std::vector<std::string>{"ok"});
}

TEST_CASE("json_lines_audit: many threads write whole lines, each once, under one count") {
    const folder in;
    const auto path = in.path("trail");
    auto options = unsynced(path);
    options.max_file_bytes = 64 * exec::KiB;
    options.kept = 999;
    {
        auto to = opened(options);
        std::vector<std::thread> threads;
        for (std::uint8_t series = 1; series <= 4; ++series) {
            threads.emplace_back([&, series] {
                for (std::uint32_t number = 1; number <= 200; ++number) {
                    const auto record = numbered(number, series);
                    if (!begin(*to, record) || !finish(*to, record.id)) std::abort();
                }
            });
        }
        for (auto& thread : threads) thread.join();
    }
    std::uint64_t sequence = 0;
    for (const auto& line : lines_of(path)) CHECK(json::parse(line)["seq"] == ++sequence);
    CHECK(sequence == 1 + 4 * 200 * 2);
    for (const auto& [id, call] : calls_of(path)) CHECK(call.ends.size() == 1);
}
