// The server of examples/workspace_server, over real sockets. Its machine is this host; the tour has one behind SSH.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <exec/detail/sha256.h>
#include <exec/sqlite/audit_trail.h>

#include "living.h"
#include "servers/server_process.h"
#include "workspace/http_client.h"

namespace {

using test::http_client;

struct house {
    test::scratch_directory files{};
    std::unique_ptr<test::server_process> server{};
    int port = 0;

    house() {
        const auto line = [](const char* token, const char* rest) {
            return "token " + exec::detail::hex_of(exec::detail::sha256::of(token)) + ' ' + rest + '\n';
        };
        test::write_file(
            files / "tokens",
            line("ada", "user:ada acme 3") + line("bob", "user:bob acme 1") + line("eve", "user:eve umbrella 3"), 0600);
        test::write_file(files / "machines", "workspace here acme local\nworkspace shelf acme none\n");
        start();
    }
    void start() {
        const auto log = files / "log";
        ::unlink(log.c_str());
        server = std::make_unique<test::server_process>(
            test::server_start{.words = {EXEC_WORKSPACE_SERVER, "--tokens", files / "tokens", "--machines",
                                         files / "machines", "--audit", files / "audit.db"},
                               .log = log});
        REQUIRE(server->says("listening on"));
        std::string text;
        for (auto from = std::unique_ptr<std::FILE, int (*)(std::FILE*)>(std::fopen(log.c_str(), "r"), &std::fclose);
             ;) {
            const int byte = std::fgetc(from.get());
            if (byte == EOF) break;
            text += static_cast<char>(byte);
        }
        port = std::stoi(text.substr(text.find("127.0.0.1:") + 10));
    }
    test::http_response ask(const std::string& request) {
        http_client one(port);
        REQUIRE(one.send(request));
        return one.response();
    }
    test::http_response run(const std::string& script, int timeout_s = 30) {
        return ask(http_client::exec("here", "ada", body(script, timeout_s)));
    }
    static std::string body(const std::string& script, int timeout_s = 30) {
        return nlohmann::json{{"cmd", {"sh", "-c", script}}, {"timeout_s", timeout_s}}.dump();
    }
    std::vector<exec::audit_row> rows() {
        const auto blocking = exec::make_thread_executor(1).value();
        const auto trail = exec::make_sqlite_audit({.path = files / "audit.db", .blocking = blocking.get()}).value();
        std::promise<exec::result<std::vector<exec::audit_row>>> found;
        trail->query({.limit = 10000}, [&found](auto answer) { found.set_value(std::move(answer)); });
        return found.get_future().get().value();
    }
};

std::vector<nlohmann::json> frames(const std::string& body) {
    std::vector<nlohmann::json> all;
    for (std::size_t at = 0; at < body.size();) {
        const auto end = body.find('\n', at);
        REQUIRE(end != std::string::npos);
        all.push_back(nlohmann::json::parse(body.substr(at, end - at)));
        at = end + 1;
    }
    return all;
}
std::string said(const std::string& body) {
    std::string text;
    for (const auto& each : frames(body)) {
        if (each.contains("data")) text += each["data"].get<std::string>();
    }
    return text;
}

}  // namespace

TEST_CASE("workspace server: each status of the surface, in its order, with its code") {
    house on;
    const std::string big(2 * exec::MiB, 'x');
    struct row {
        std::string request;
        int status;
        const char* code;
    };
    for (const auto& each : std::vector<row>{
             {http_client::exec("here", "", "no json"), 401, "unauthenticated"},
             {http_client::exec("here", "wrong", big), 401, "unauthenticated"},
             {http_client::exec("here", "ada", big), 413, "body_too_large"},
             {http_client::exec("nowhere", "ada", "no json"), 400, "invalid_argument"},
             {http_client::exec("here", "bob", R"({"cmd":"ls"})"), 400, "invalid_argument"},
             {http_client::exec("here", "ada", R"({"cmd":[]})"), 400, "invalid_argument"},
             {http_client::exec("nowhere", "ada", R"({"cmd":["id"]})"), 404, "target_not_found"},
             {http_client::exec("here", "eve", R"({"cmd":["id"]})"), 404, "target_not_found"},
             {http_client::exec("shelf", "bob", R"({"cmd":["id"]})"), 400, "no_machine"},
             {http_client::exec("here", "bob", R"({"cmd":["id"]})"), 403, "exec_tier_forbidden"},
             {http_client::exec("here", "ada", R"({"cmd":["/no/such/program"]})"), 422, "start_failed"},
             {http_client::exec("here", "ada", R"({"cmd":["sleep","50"],"timeout_s":1})"), 504, "exec_timeout"},
             {http_client::post("/nothing", "ada", "{}"), 404, "not_found"}}) {
        CAPTURE(each.code);
        const auto got = on.ask(each.request);
        CHECK(got.status == each.status);
        REQUIRE(got.whole);
        CHECK(nlohmann::json::parse(got.body).at("code") == each.code);
        CHECK((each.status != 401 || got.head.find("WWW-Authenticate: Bearer") != std::string::npos));
    }
    CHECK(on.run("exit 7").status == 200);
}

TEST_CASE("workspace server: output is there while the command still runs") {
    house on;
    const auto go = on.files / "go";
    http_client one(on.port);
    REQUIRE(one.send(http_client::exec(
        "here", "ada", house::body("echo first; until [ -e " + go + " ]; do sleep 0.02; done; echo last"))));
    CHECK(one.until("first\\n").find("200 OK") != std::string::npos);
    test::write_file(go, "");
    const auto got = one.response();
    REQUIRE(got.whole);
    CHECK(said(got.body) == "first\nlast\n");
    CHECK(frames(got.body).back().at("exit_code") == 0);
}

TEST_CASE("workspace server: a client that resets its connection ends its command, and the record says so") {
    house on;
    {
        http_client one(on.port);
        REQUIRE(one.send(http_client::exec("here", "ada", house::body("echo $$; exec sleep 100"))));
        one.until("\\n");
        one.reset();
    }
    // The record is complete only when the command has ended. Over HTTP there is nothing to wait for but another look.
    bool cancelled = false;
    for (int tries = 0; tries < 300 && !cancelled; ++tries) {
        const auto answer = on.ask("GET /audit HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ada\r\n\r\n");
        cancelled = answer.body.find("\"status\":\"cancelled\"") != std::string::npos;
        if (!cancelled) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    CHECK(cancelled);
}

TEST_CASE("workspace server: a half-close is not gone") {
    house on;
    http_client one(on.port);
    REQUIRE(one.send(http_client::exec("here", "ada", house::body("sleep 1; echo still here"))));
    one.half_close();
    const auto got = one.response();
    CHECK(got.status == 200);
    REQUIRE(got.whole);
    CHECK(said(got.body) == "still here\n");
}

TEST_CASE(
    "workspace server: several requests go over one connection, and garbage behind one ends it after its answer") {
    house on;
    http_client one(on.port);
    const auto request = http_client::exec("here", "ada", house::body("echo x"));
    REQUIRE(one.send(request + request + "\x16\x03\x01 this is no HTTP\r\n\r\n"));
    for (int times = 0; times < 2; ++times) {
        const auto got = one.response();
        CHECK(got.status == 200);
        REQUIRE(got.whole);
        CHECK(said(got.body) == "x\n");
    }
    const auto last = one.response();
    CHECK((last.status == 400 || last.status == 0));
    CHECK(one.ended());
    CHECK(on.run("echo alive").status == 200);
}

TEST_CASE("workspace server: a request that drips is cut in its time, and holds up nobody") {
    house on;
    http_client slow(on.port);
    REQUIRE(slow.send(
        "POST /workspaces/here/exec HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ada\r\nContent-Length: 100\r\n\r\n{"));
    CHECK(said(on.run("echo quick").body) == "quick\n");
    CHECK(slow.ended());  // after ten seconds, which the client waits for
}

TEST_CASE("workspace server: a client that never reads is cut, and its command with it") {
    house on;
    http_client one(on.port);
    REQUIRE(one.send(http_client::exec("here", "ada", house::body("exec cat /dev/zero", 60))));
    CHECK(said(on.run("echo quick").body) == "quick\n");
    bool over = false;  // again, all that can be done is to look
    for (int tries = 0; tries < 1500 && !over; ++tries) {
        const auto answer = on.ask("GET /audit HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ada\r\n\r\n");
        over = answer.body.find("\"status\":\"running\"") == std::string::npos;
        if (!over) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    CHECK(over);
}

TEST_CASE(
    "workspace server: two hundred callers at once get two thousand right answers, and the trail one record each") {
    house on;
    std::atomic<int> right{0};
    std::vector<std::jthread> callers;
    for (int number = 0; number < 50; ++number) {
        callers.emplace_back([&, number] {
            for (int connection = 0; connection < 4; ++connection) {
                http_client one(on.port);
                for (int at = 0; at < 10; ++at) {
                    const auto word =
                        std::to_string(number) + "." + std::to_string(connection) + "." + std::to_string(at);
                    if (!one.send(http_client::exec("here", "ada", R"({"cmd":["echo",")" + word + "\"]}"))) return;
                    const auto got = one.response();
                    if (got.status == 200 && got.whole && got.body.find("\"" + word + "\\n\"") != std::string::npos)
                        ++right;
                }
            }
        });
    }
    callers.clear();
    CHECK(right == 2000);
    ::kill(on.server->pid(), SIGTERM);
    CHECK(on.server->says("ended"));
    on.server.reset();
    const auto rows = on.rows();
    CHECK(rows.size() == 2000);
    for (const auto& row : rows) CHECK(row.how.status == exec::audit_status::ok);
}

TEST_CASE("workspace server: asked to end, it ends what runs, answers who waits, and leaves no record open") {
    house on;
    http_client talking(on.port), silent(on.port);
    REQUIRE(talking.send(http_client::exec("here", "ada", house::body("echo begun; exec sleep 100", 60))));
    REQUIRE(silent.send(http_client::exec("here", "ada", house::body("exec sleep 100", 60))));
    talking.until("begun");
    ::kill(on.server->pid(), SIGTERM);
    const auto first = talking.response();
    CHECK(first.status == 200);
    CHECK(first.whole);
    CHECK(frames(first.body).back().at("code") == "exec_cancelled");
    const auto second = silent.response();
    CHECK((second.status == 503 || second.status == 0));
    CHECK(on.server->says("ended"));
    on.server.reset();
    for (const auto& row : on.rows()) CHECK(row.ended.has_value());
}

TEST_CASE("workspace server: killed at any moment, it leaves no command without a record, none twice, none open") {
    house on;
    const auto ran = on.files / "ran";
    int began = 0;
    const int times = std::getenv("EXEC_KILLS") != nullptr ? std::atoi(std::getenv("EXEC_KILLS")) : 20;
    for (int round = 0; round < times; ++round) {
        {
            std::vector<std::jthread> callers;
            std::atomic<int> answered{0};
            for (int number = 0; number < 4; ++number) {
                callers.emplace_back([&, number] {
                    for (int at = 0;; ++at) {
                        const auto word =
                            std::to_string(round) + "." + std::to_string(number) + "." + std::to_string(at);
                        http_client one(on.port);
                        if (!one.send(http_client::exec("here", "ada", house::body("echo " + word + " >> " + ran))))
                            return;
                        if (!one.response().whole) return;
                        ++answered;
                    }
                });
            }
            // A moment that nobody chose: when so many answers were given, whatever the others are doing then.
            while (answered < 3 + round % 7) std::this_thread::yield();
            ::kill(on.server->pid(), SIGKILL);
            callers.clear();
            on.server.reset();
        }
        on.start();
    }
    ::kill(on.server->pid(), SIGTERM);
    CHECK(on.server->says("ended"));
    on.server.reset();
    const auto rows = on.rows();
    std::vector<std::string> words;
    for (const auto& row : rows) {
        CHECK(row.ended.has_value());
        const auto argv = nlohmann::json::parse(row.argv).at(2).get<std::string>();
        words.push_back(argv.substr(5, argv.find(' ', 5) - 5));
        began += row.how.status == exec::audit_status::interrupted ? 1 : 0;
    }
    std::sort(words.begin(), words.end());
    CHECK(std::adjacent_find(words.begin(), words.end()) == words.end());
    std::string line;
    int without = 0;
    std::unique_ptr<std::FILE, int (*)(std::FILE*)> from(std::fopen(ran.c_str(), "r"), &std::fclose);
    REQUIRE(from);
    for (int byte = std::fgetc(from.get()); byte != EOF; byte = std::fgetc(from.get())) {
        if (byte != '\n') {
            line += static_cast<char>(byte);
            continue;
        }
        without += std::binary_search(words.begin(), words.end(), line) ? 0 : 1;
        line.clear();
    }
    CHECK(without == 0);
    MESSAGE(times, " kills, ", rows.size(), " records, ", began, " of them interrupted");
}
