#include <doctest/doctest.h>

#include <exec/dispatcher.h>

#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "misuse.h"
#include "threaded_runner.h"

namespace {

exec::call ask(std::string target) {
    exec::call what;
    what.who.subject = "user:ada";
    what.target = exec::target_id(std::move(target));
    what.what.program_and_args = exec::argv("uname");
    return what;
}

// The least a host has to write.
class empty_dispatcher : public exec::dispatcher {
   public:
    using exec::dispatcher::run;
    exec::execution submit(exec::call, std::unique_ptr<exec::observer>) override { return {}; }
    void start_job(exec::call, std::string, exec::reply<exec::job_info>) override {}
    void jobs(exec::caller, exec::target_id, exec::reply<std::vector<exec::job_info>>) override {}
    exec::execution attach(exec::caller, exec::target_id, exec::job_selector, exec::attach_at,
                           std::unique_ptr<exec::observer>) override {
        return {};
    }
    void signal_job(exec::caller, exec::target_id, exec::job_selector, int, exec::reply<void>) override {}
    void forget_job(exec::caller, exec::target_id, exec::job_selector, exec::reply<void>) override {}
};

// What a host's handler does with a dispatcher, and all that it does: this is the code under a host's test.
std::pair<int, std::string> handle_exec_request(exec::dispatcher& front, const std::string& target,
                                                std::stop_token client_gone = {}) {
    struct body final : exec::observer {
        std::string text{};
        exec::flow on_output(exec::stream, std::uint64_t, exec::bytes_view bytes) override {
            text += bytes;
            return exec::flow::more;
        }
    } sent;
    const auto how = front.run(ask(target), sent, std::move(client_gone));
    if (how) return {how->ok() ? 200 : 500, sent.text};
    switch (how.error().kind()) {
        case exec::errc::target_not_found: return {404, how.error().context};
        case exec::errc::broken_reply: return {502, how.error().context};
        default: return {500, how.error().context};
    }
}

// A host's mock: one target, one answer, and it writes down who asked.
class mock_dispatcher final : public empty_dispatcher {
   public:
    explicit mock_dispatcher(threaded_runner::script plays) : plays_(std::move(plays)) {}
    ~mock_dispatcher() override = default;

    exec::execution submit(exec::call what, std::unique_ptr<exec::observer> tell) override {
        subjects.push_back(what.who.subject);
        if (what.target.name() != "build-7") {
            return nowhere_.start({}, {}, std::move(tell));
        }
        return plays_.start(std::move(what.what), std::move(what.within), std::move(tell));
    }

    std::vector<std::string> subjects{};

   private:
    threaded_runner plays_;
    threaded_runner nowhere_{[](exec::observer&, const std::stop_token&) -> exec::result<exec::outcome> {
        return exec::fail(exec::errc::target_not_found, "no such machine");
    }};
};

}  // namespace

TEST_CASE("dispatcher: a mock that returns {} and keeps no reply is complete: nobody waits for ever") {
    empty_dispatcher nothing;
    CHECK(handle_exec_request(nothing, "build-7").first == 502);
    CHECK_FALSE(static_cast<bool>(nothing.submit(ask("build-7"), std::make_unique<exec::observer>())));

    const auto is_broken = [](const auto& answer) {
        return !answer.has_value() && answer.error().code == exec::errc::broken_reply;
    };
    int answers = 0;
    const auto counts = [&](auto answer) { answers += is_broken(answer) ? 1 : 100; };
    nothing.start_job(ask("build-7"), "web", counts);
    nothing.jobs({}, exec::target_id("build-7"), counts);
    nothing.signal_job({}, exec::target_id("build-7"), exec::job_selector::tagged("web"), 15, counts);
    nothing.forget_job({}, exec::target_id("build-7"), exec::job_selector::tagged("web"), counts);
    CHECK(answers == 4);
}

TEST_CASE("dispatcher: a blocking handler is tested against a mock, with output, failure and the caller's name") {
    mock_dispatcher front([](exec::observer& tell, const std::stop_token&) -> exec::result<exec::outcome> {
        tell.on_start({4711, "build-7:22", {}});
        tell.on_output(exec::stream::out, 0, "Li");
        tell.on_output(exec::stream::out, 2, "nux\n");
        return exited_with(0);
    });
    CHECK(handle_exec_request(front, "build-7") == std::pair<int, std::string>(200, "Linux\n"));
    CHECK(handle_exec_request(front, "build-8") == std::pair<int, std::string>(404, "no such machine"));
    CHECK(front.subjects == std::vector<std::string>{"user:ada", "user:ada"});
}

TEST_CASE("dispatcher: the default run() calls the observer in the caller's thread only, and never on_done") {
    mock_dispatcher front([](exec::observer& tell, const std::stop_token&) -> exec::result<exec::outcome> {
        tell.on_start({{}, "here", {}});
        for (std::uint64_t at = 0; at < 1000; ++at) tell.on_output(exec::stream::err, at, "x");
        tell.on_gap(exec::stream::err, 1000, 24);
        tell.on_heartbeat(exec::milliseconds(7));
        return exited_with(0);
    });
    struct watcher final : exec::observer {
        std::thread::id here = std::this_thread::get_id();
        std::uint64_t bytes = 0;
        bool elsewhere = false, done = false, gap = false, beat = false, in_order = true;
        std::string where{};
        void note() { elsewhere = elsewhere || std::this_thread::get_id() != here; }
        void on_start(const exec::start_info& what) override { note(), where = std::string(what.where); }
        exec::flow on_output(exec::stream, std::uint64_t at, exec::bytes_view data) override {
            note();
            in_order = in_order && at == bytes;
            bytes += data.size();
            return exec::flow::more;
        }
        void on_gap(exec::stream, std::uint64_t, std::uint64_t missing) override { note(), gap = missing == 24; }
        exec::flow on_heartbeat(exec::milliseconds running) override {
            note();
            beat = running == exec::milliseconds(7);
            return exec::flow::more;
        }
        void on_done(exec::result<exec::outcome>) override { done = true; }
    } seen;
    const auto how = front.run(ask("build-7"), seen, {});
    REQUIRE(how.has_value());
    CHECK(how->ok());
    CHECK(seen.bytes == 1000);
    CHECK(seen.in_order);
    CHECK((seen.gap && seen.beat));
    CHECK(seen.where == "here");
    CHECK_FALSE(seen.elsewhere);
    CHECK_FALSE(seen.done);
}

TEST_CASE("dispatcher: a client that goes away ends a blocking run through its stop token") {
    mock_dispatcher front(until_stopped);
    std::stop_source gone;
    exec::observer nobody;
    std::jthread client([&gone] { gone.request_stop(); });
    const auto how = front.run(ask("build-7"), nobody, gone.get_token());
    REQUIRE(how.has_value());
    CHECK(how->how() == exec::ended::cancelled);
}

TEST_CASE("dispatcher: run() on the thread that the dispatcher delivers on is misuse, not a wait for ever") {
    class on_this_thread final : public empty_dispatcher {
       protected:
        bool needs_this_thread() const override { return true; }
    } front;
    const test::misuse_throws report;
    CHECK_THROWS_AS(static_cast<void>(front.run(ask("build-7"))), test::misuse);
}

TEST_CASE("dispatcher_wrapper: passes every verb on with every argument, and only what is overridden changes") {
    class recording final : public empty_dispatcher {
       public:
        std::vector<std::string> heard{};
        exec::execution submit(exec::call what, std::unique_ptr<exec::observer>) override {
            return heard.push_back("submit " + what.target.name()), exec::execution();
        }
        exec::result<exec::outcome> run(exec::call what, exec::observer&, std::stop_token) override {
            heard.push_back("run " + what.target.name());
            return exited_with(0);
        }
        void start_job(exec::call what, std::string tag, exec::reply<exec::job_info>) override {
            heard.push_back("start_job " + what.target.name() + " " + tag);
        }
        void jobs(exec::caller who, exec::target_id target, exec::reply<std::vector<exec::job_info>>) override {
            heard.push_back("jobs " + who.subject + " " + target.name());
        }
        exec::execution attach(exec::caller who, exec::target_id target, exec::job_selector which, exec::attach_at from,
                               std::unique_ptr<exec::observer>) override {
            heard.push_back("attach " + who.subject + " " + target.name() + " " + which.text() + " " +
                            std::to_string(from.out) + " " + std::to_string(from.err) + (from.interact ? " rw" : " r"));
            return {};
        }
        void signal_job(exec::caller who, exec::target_id target, exec::job_selector which, int number,
                        exec::reply<void>) override {
            heard.push_back("signal " + who.subject + " " + target.name() + " " + which.text() + " " +
                            std::to_string(number));
        }
        void forget_job(exec::caller who, exec::target_id target, exec::job_selector which,
                        exec::reply<void>) override {
            heard.push_back("forget " + who.subject + " " + target.name() + " " + which.text());
        }
    };
    class no_jobs final : public exec::dispatcher_wrapper {
       public:
        using exec::dispatcher_wrapper::dispatcher_wrapper;
        void start_job(exec::call, std::string, exec::reply<exec::job_info> answer) override {
            answer(exec::fail(exec::errc::denied, "no jobs today"));
        }
    };
    const auto inner = std::make_shared<recording>();
    const exec::caller ada{.subject = "ada"};
    const exec::target_id target("t");
    const auto web = exec::job_selector::tagged("web");
    exec::observer nobody;

    const auto speak_to = [&](exec::dispatcher& front) {
        static_cast<void>(front.submit(ask("t"), nullptr));
        CHECK(front.run(ask("t"), nobody, {}).has_value());
        CHECK(front.run(ask("t")).has_value());
        front.start_job(ask("t"), "web", {});
        front.jobs(ada, target, {});
        static_cast<void>(front.attach(ada, target, web, {.out = 3, .err = 4, .interact = true}, nullptr));
        front.signal_job(ada, target, web, 15, {});
        front.forget_job(ada, target, web, {});
    };
    exec::dispatcher_wrapper plain(inner);
    speak_to(plain);
    CHECK(inner->heard == std::vector<std::string>{"submit t", "run t", "run t", "start_job t web", "jobs ada t",
                                                   "attach ada t web 3 4 rw", "signal ada t web 15",
                                                   "forget ada t web"});
    inner->heard.clear();
    no_jobs changed(inner);
    std::optional<std::string> why;
    changed.start_job(ask("t"), "web", [&why](exec::result<exec::job_info> answer) { why = answer.error().context; });
    CHECK(why == "no jobs today");
    CHECK(inner->heard.empty());
}

TEST_CASE("dispatcher_wrapper: there is nothing to wrap in a null one") {
    const test::misuse_throws report;
    CHECK_THROWS_AS(exec::dispatcher_wrapper(nullptr), test::misuse);
}
