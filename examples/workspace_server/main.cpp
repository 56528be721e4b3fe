// workspace_server: POST /workspaces/{id}/exec, one command on one machine, its output as it comes (doc/wire.md has the bodies).
//   workspace_server --tokens FILE --machines FILE --audit FILE [--port N] [--address A]
// Also GET /metrics, GET /healthz, and GET /audit: the tenant's last calls. SIGTERM and SIGINT end it.
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "exec/local_runner.h"
#include "exec/loop_thread.h"
#include "exec/prometheus.h"
#include "exec/sqlite/audit_trail.h"
#include "exec/wire/workspace.h"
#include "http_server.h"
#include "settings.h"

namespace {

// One command on its way from the loop's thread to a handler's.
struct exchange {
    explicit exchange(std::chrono::seconds timeout) : stream(timeout) {}
    static constexpr std::size_t most_pending = 256 * exec::KiB;

    std::mutex guard{};
    std::condition_variable changed{};
    exec::wire::workspace_stream stream;
    bool paused = false;
};

class filling final : public exec::observer {
   public:
    explicit filling(std::shared_ptr<exchange> to) : to_(std::move(to)) {}
    exec::flow on_output(exec::stream from, std::uint64_t at, exec::bytes_view bytes) override {
        const std::lock_guard hold(to_->guard);
        to_->stream.output(from, at, bytes);
        to_->changed.notify_one();
        to_->paused = to_->stream.pending() > exchange::most_pending;
        return to_->paused ? exec::flow::pause : exec::flow::more;
    }
    void on_gap(exec::stream from, std::uint64_t at, std::uint64_t missing) override {
        const std::lock_guard hold(to_->guard);
        to_->stream.gap(from, at, missing);
    }
    void on_done(exec::result<exec::outcome> how) override {
        const std::lock_guard hold(to_->guard);
        to_->stream.done(how);
        to_->changed.notify_one();
    }

   private:
    std::shared_ptr<exchange> to_;
};

// Waits until `ready`, and looks after the client meanwhile. False: it has gone.
template <class Ready>
bool wait(exchange& on, std::unique_lock<std::mutex>& hold, Ready ready) {
    while (!on.changed.wait_for(hold, std::chrono::milliseconds(200), ready)) {
        if (http_server::client_gone()) return false;
    }
    return true;
}

void send(httplib::Response& to, const exec::wire::problem& what) {
    to.status = what.is.http;
    if (what.is.retry_after.count() > 0) to.set_header("Retry-After", std::to_string(what.is.retry_after.count()));
    to.set_content(exec::wire::workspace_error(what), "application/json");
}

struct server {
    tokens callers;
    std::shared_ptr<exec::dispatcher> front;
    exec::policy policy;
    exec::loop& loop;

    void run(const httplib::Request& from, httplib::Response& to) const {
        const auto* who = callers.find(from.get_header_value("Authorization"));
        if (who == nullptr) return send(to, exec::wire::problem_of(exec::wire::refusal::unauthenticated));
        const auto wanted = exec::wire::read_workspace_request(from.body);
        if (!wanted) return send(to, exec::wire::workspace_problem(wanted.error()));
        exec::call what{.who = who->who,
                        .target = exec::target_id(from.matches[1]),
                        .what = exec::wire::command_of(*wanted),
                        .within = exec::wire::limits_of(*wanted, policy, loop.now()),
                        .idempotency_key = from.get_header_value("Idempotency-Key")};
        what.who.request_id = from.get_header_value("X-Request-Id").substr(0, 128);
        what.who.trace_parent = from.get_header_value("traceparent").substr(0, 128);

        const auto going = std::make_shared<exchange>(wanted->timeout);
        // Shared: httplib copies a content provider. Dropped with it, which stops a command that still runs.
        const auto running =
            std::make_shared<exec::execution>(front->submit(std::move(what), std::make_unique<filling>(going)));
        std::unique_lock hold(going->guard);
        if (!wait(*going, hold, [&] { return going->stream.head().has_value(); })) return;
        const auto head = *going->stream.head();
        to.status = head.http;
        if (head.retry_after.count() > 0) to.set_header("Retry-After", std::to_string(head.retry_after.count()));
        if (head.http != 200) return to.set_content(going->stream.take(), std::string(head.content_type).c_str());
        to.set_chunked_content_provider(
            std::string(head.content_type), [going, running](std::size_t, httplib::DataSink& sink) {
                std::string bytes;
                bool over = false;
                {
                    std::unique_lock more(going->guard);
                    if (!wait(*going, more, [&] { return going->stream.pending() > 0 || going->stream.over(); }))
                        return false;
                    bytes = going->stream.take();
                    over = going->stream.over();
                    if (std::exchange(going->paused, false)) running->resume();
                }
                if (!sink.write(bytes.data(), bytes.size())) return false;
                if (over) sink.done();
                return true;
            });
    }
};

// One line a call, the newest first.
std::string audit_lines(const std::vector<exec::audit_row>& rows) {
    std::string lines;
    const auto text = [&lines](const char* name, std::string_view value) {
        lines.append(lines.empty() || lines.back() == '\n' ? "{\"" : ",\"").append(name).append("\":");
        exec::append_json_shown(lines, value);
    };
    const auto plain = [&lines](const char* name, const std::string& value) {
        lines.append(",\"").append(name).append("\":").append(value);
    };
    for (const auto& each : rows) {
        text("activity", "workspace_exec");
        text("id", each.id.text());
        text("actor", each.subject);
        text("workspace", each.target);
        plain("argv", each.argv);
        text("status", each.ended ? to_string(each.how.status) : std::string_view("running"));
        if (const auto code = each.how.exit.as_shells_do()) plain("exit_code", std::to_string(*code));
        plain("duration_ms", std::to_string(std::chrono::floor<exec::milliseconds>(each.how.took.total).count()));
        lines += "}\n";
    }
    return lines;
}

int fail(const exec::failure& why) {
    std::fprintf(stderr, "workspace_server: %s\n", why.message().c_str());
    return 1;
}

}  // namespace

int main(int count, char** words) {
    std::string files[3], address = "127.0.0.1";
    int port = 0;
    for (int at = 1; at + 1 < count; at += 2) {
        const std::string name = words[at], value = words[at + 1];
        if (name == "--tokens") files[0] = value;
        if (name == "--machines") files[1] = value;
        if (name == "--audit") files[2] = value;
        if (name == "--address") address = value;
        if (name == "--port") port = std::stoi(value);
    }
    if (files[0].empty() || files[1].empty() || files[2].empty()) {
        std::fprintf(stderr,
                     "usage: workspace_server --tokens FILE --machines FILE --audit FILE [--port N] [--address A]\n");
        return 2;
    }
    // Blocked here, so that every thread inherits it: sigwait below is who is told.
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    pthread_sigmask(SIG_BLOCK, &ends, nullptr);

    auto callers = tokens::read(files[0]);
    if (!callers) return fail(callers.error());
    const auto blocking = exec::make_thread_executor(3).value();
    const auto loop = exec::make_loop().value();
    exec::ssh::pool_options pooled;
    pooled.blocking = blocking.get();
    pooled.idle_timeout = pooled.max_age = std::chrono::seconds(50);  // shorter than a grant lives
    auto pool = exec::ssh::make_pool(*loop, pooled).value();
    std::shared_ptr<exec::runner> local = exec::make_local_runner(*loop).value();
    auto directory = machines::read(files[1], *pool, local);
    if (!directory) return fail(directory.error());
    auto trail = exec::make_sqlite_audit({.path = files[2], .blocking = blocking.get()});
    if (!trail) return fail(trail.error());
    const std::shared_ptr<exec::audit_trail> audit = *std::move(trail);
    const auto metrics = std::make_shared<exec::prometheus_metrics>();

    server on{*std::move(callers), nullptr, {}, *loop};
    on.policy.ceilings.run_timeout = std::chrono::seconds(120);
    on.policy.ceilings.start_timeout = std::chrono::seconds(120);
    on.front = exec::make_dispatcher({.loop = loop.get(),
                                      .directory = *directory,
                                      .gate = std::make_shared<tiers>(),
                                      .audit = audit,
                                      .policy = on.policy,
                                      .trace_variable = "TRACEPARENT",
                                      .metrics = metrics})
                   .value();

    const http_server::limits within;
    http_server http(within);
    http.set_pre_routing_handler([&on](const httplib::Request& from, httplib::Response& to) {
        if (from.path == "/healthz" || on.callers.find(from.get_header_value("Authorization")) != nullptr) {
            return httplib::Server::HandlerResponse::Unhandled;
        }
        to.set_header("WWW-Authenticate", "Bearer");
        to.set_header("Connection", "close");
        send(to, exec::wire::problem_of(exec::wire::refusal::unauthenticated));
        http_server::close_after_response();  // its body is not read
        return httplib::Server::HandlerResponse::Handled;
    });
    http.set_error_handler([](const httplib::Request&, httplib::Response& to) {
        if (!to.body.empty()) return;
        using exec::wire::refusal;
        if (to.status == 413) http_server::close_after_response();
        if (to.status == 413 || to.status == 404) {
            return send(to,
                        exec::wire::problem_of(to.status == 413 ? refusal::body_too_large : refusal::no_such_route));
        }
        const auto status = to.status;
        send(to, exec::wire::problem_of(exec::errc::invalid_argument));
        to.status = status;
    });
    http.Post(R"(/workspaces/([^/]+)/exec)",
              [&on](const httplib::Request& from, httplib::Response& to) { on.run(from, to); });
    http.Get("/healthz", [](const httplib::Request&, httplib::Response& to) { to.set_content("ok\n", "text/plain"); });
    http.Get("/metrics", [&metrics](const httplib::Request&, httplib::Response& to) {
        to.set_content(metrics->text(), std::string(exec::prometheus_metrics::content_type).c_str());
    });
    http.Get("/audit", [&on, &audit](const httplib::Request& from, httplib::Response& to) {
        std::promise<exec::result<std::vector<exec::audit_row>>> rows;
        audit->query({.tenant = on.callers.find(from.get_header_value("Authorization"))->who.tenant, .limit = 20},
                     [&rows](auto answer) { rows.set_value(std::move(answer)); });
        const auto found = rows.get_future().get();
        if (!found) return send(to, exec::wire::workspace_problem(found.error()));
        to.set_content(audit_lines(*found), "application/x-ndjson");
    });

    port = port == 0 ? http.bind_to_any_port(address) : (http.bind_to_port(address, port) ? port : -1);
    if (port < 0) return fail(exec::os_failure(errno, exec::stage::none, address));
    std::printf(
        "listening on http://%s:%d: %zu threads, request %lld s, write %lld s, keep-alive %lld s, body %zu bytes\n",
        address.c_str(), port, within.threads, static_cast<long long>(within.request.count()),
        static_cast<long long>(within.write.count()), static_cast<long long>(within.keep_alive.count()), within.body);
    std::fflush(stdout);

    auto driving = std::make_unique<exec::loop_thread>(*loop);
    std::thread serving([&http] { http.listen_after_bind(); });
    int which = 0;
    sigwait(&ends, &which);
    // No new connection; every command ends and is recorded; then the handlers that have waited for these answers.
    http.stop();
    driving.reset();
    loop->shutdown(std::chrono::seconds(5));
    driving = std::make_unique<exec::loop_thread>(*loop);
    serving.join();
    driving.reset();
    std::puts("ended");
    return 0;
}
