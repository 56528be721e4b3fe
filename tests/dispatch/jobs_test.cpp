#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <vector>

#include "dispatch/front.h"

using namespace exec;
using namespace std::chrono_literals;
using exec::testing::script;
using test::front;
using test::heard;

namespace {

// Writes down what it is asked; attachments are played by scripts.
struct registry final : job_registry {
    explicit registry(loop& on) : plays(on) {}
    void start(command what, limits within, std::string tag, reply<job_info> answer) override {
        asked.push_back("start " + std::string(what.program_and_args.program()) + " " + tag + " " +
                        (within.run_timeout == unlimited ? "unlimited" : "limited"));
        job_info info;
        info.id = job_id({7});
        info.tag = tag;
        info.where = "script";
        answer(std::move(info));
    }
    void list(reply<std::vector<job_info>> answer) override {
        asked.push_back("list");
        answer(std::vector<job_info>(2));
    }
    execution attach(job_selector which, attach_at from, std::unique_ptr<observer> tell) override {
        asked.push_back("attach " + which.text() + " " + std::to_string(from.out));
        command like{.program_and_args = argv("job")};
        if (from.interact) like.in = input::streamed();
        return plays.start(std::move(like), limits::for_job(), std::move(tell));
    }
    void signal(job_selector which, int number, reply<void> answer) override {
        asked.push_back("signal " + which.text() + " " + std::to_string(number));
        answer(fail(errc::target_not_found, "no such job"));
    }
    void forget(job_selector which, reply<void> answer) override {
        asked.push_back("forget " + which.text());
        answer({});
    }
    std::vector<std::string> asked{};
    testing::scripted_runner plays;
};

struct house {
    front on{};
    std::shared_ptr<registry> jobs = std::make_shared<registry>(*on.loop);
    caller ada{.subject = "ada", .tenant = "acme"};
    target_id there{"build-7"};

    house() { on.directory->add("acme", "build-7", route{.run = on.runner, .jobs = jobs, .kind = "machine"}); }

    template <class T>
    struct answer {
        std::optional<result<T>> is{};
        operator reply<T>() {
            return [this](result<T> how) { is.emplace(std::move(how)); };
        }
    };
};

}  // namespace

TEST_CASE("dispatch jobs: each verb asks the gate under its own name, and all but a look at the list are recorded") {
    house h;
    house::answer<job_info> started;
    house::answer<std::vector<job_info>> listed;
    house::answer<void> signalled, forgotten;
    auto what = front::ask();
    what.within = limits::for_job();
    h.on.desk->start_job(what, "web", started);
    CHECK_FALSE(started.is.has_value());  // never inside the call
    h.on.turn();
    h.on.desk->jobs(h.ada, h.there, listed);
    h.on.desk->signal_job(h.ada, h.there, job_selector::tagged("web"), 15, signalled);
    h.on.desk->forget_job(h.ada, h.there, job_selector::with_pid(17), forgotten);
    h.on.turn();
    REQUIRE(started.is.has_value());
    CHECK(started.is->value().tag == "web");
    CHECK(listed.is->value().size() == 2);
    CHECK(signalled.is->error().kind() == errc::target_not_found);
    CHECK(forgotten.is->has_value());
    CHECK(h.jobs->asked == std::vector<std::string>{"start uname web unlimited", "list", "signal web 15", "forget 17"});
    std::vector<verb> verbs;
    for (const auto& each : h.on.gate->questions()) verbs.push_back(each.what);
    CHECK(verbs == std::vector<verb>{verb::start_job, verb::list, verb::signal, verb::forget});

    const auto rows = h.on.audit->rows();
    REQUIRE(rows.size() == 3);
    CHECK(rows[0].what.tag == "web");
    CHECK(rows[0].how->job == job_id({7}));
    CHECK(rows[0].how->status == audit_status::ok);
    CHECK(rows[1].what.signal_number == 15);
    CHECK(rows[1].how->status == audit_status::error);
    CHECK(rows[2].what.job == job_selector::with_pid(17));
}

TEST_CASE("dispatch jobs: what the policy refuses is refused before the directory is asked") {
    house h;
    house::answer<job_info> started;
    house::answer<void> signalled;
    h.on.desk->start_job(front::ask(), "-bad", started);
    h.on.desk->signal_job(h.ada, h.there, job_selector::tagged("web"), 11, signalled);
    h.on.turn();
    CHECK(started.is->error().kind() == errc::invalid_argument);
    CHECK(signalled.is->error().kind() == errc::invalid_argument);
    CHECK(h.on.directory->questions().empty());
    CHECK(h.on.audit->rows().empty());
}

TEST_CASE("dispatch jobs: a target without a registry says so, and a directory that hangs is given up") {
    house h;
    house::answer<std::vector<job_info>> listed, waited;
    h.on.directory->add("acme", "bare", route{.run = h.on.runner});
    h.on.desk->jobs(h.ada, target_id("bare"), listed);
    h.on.turn();
    CHECK(listed.is->error().kind() == errc::unsupported);
    h.on.directory->hold();
    h.on.desk->jobs(h.ada, h.there, waited);
    h.on.turn();
    h.on.pass(10s);
    REQUIRE(waited.is.has_value());
    CHECK(waited.is->error().kind() == errc::start_timeout);
    h.on.directory->let_go();
    h.on.turn();
    CHECK(h.jobs->asked.empty());
}

TEST_CASE("dispatch jobs: to watch and to interact are two permissions, and signals of a watcher go by the policy") {
    house h;
    h.jobs->plays.otherwise([](const command& what) {
        return what.in.what() == input::kind::streamed ? script().copies_input().exits(0)
                                                       : script().says("log").hangs();
    });
    auto& watched = h.on.hear();
    auto& spoken = h.on.hear();
    auto watching = h.on.desk->attach(h.ada, h.there, job_selector::tagged("web"), {.out = 3},
                                      std::make_unique<test::listener>(watched));
    auto speaking = h.on.desk->attach(h.ada, h.there, job_selector::tagged("web"), {.interact = true},
                                      std::make_unique<test::listener>(spoken));
    h.on.turn();
    CHECK(watched.out == "log");
    CHECK(watching.write_in("x") == 0);
    CHECK(watching.signal(15).error().kind() == errc::denied);
    CHECK(speaking.signal(11).error().kind() == errc::invalid_argument);
    CHECK(speaking.write_in("typed") == 5);
    speaking.close_in();
    h.on.turn();
    h.on.pass(1s);
    CHECK(spoken.out == "typed");
    REQUIRE(spoken.over());
    watching.stop();
    h.on.turn();
    h.on.pass(5s);
    REQUIRE(watched.over());
    CHECK(h.on.gate->questions()[0].what == verb::watch);
    CHECK(h.on.gate->questions()[1].what == verb::interact);
    for (const auto& row : h.on.audit->rows()) CHECK(row.how.has_value());
}

TEST_CASE("dispatch jobs: a reply that throws is counted by the loop and harms nobody") {
    house h;
    h.on.desk->jobs(h.ada, h.there, [](result<std::vector<job_info>>) { throw 1; });
    house::answer<std::vector<job_info>> listed;
    h.on.desk->jobs(h.ada, h.there, listed);
    h.on.turn();
    CHECK(h.on.loop->exceptions() == 1);
    CHECK(listed.is->has_value());
}
