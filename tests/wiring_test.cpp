// The faces of the wiring, judged as a whole: a dispatcher written from them alone.
#include <doctest/doctest.h>

#include <exec/audit.h>
#include <exec/call.h>
#include <exec/directory.h>
#include <exec/dispatcher.h>
#include <exec/gate.h>
#include <exec/loop.h>
#include <exec/policy.h>
#include <exec/relay.h>
#include <exec/wrappers.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "poll_host.h"
#include "threaded_runner.h"

namespace {

using said = std::vector<std::string>;

// The host's parts: each writes down what it was asked, and answers at once.
struct machines final : exec::directory {
    explicit machines(said& to) : log(to) {}
    void find(const exec::caller& who, const exec::target_id& target, exec::reply<exec::route> answer) override {
        log.push_back("find " + target.name() + " for " + who.tenant);
        if (who.tenant != "acme") return answer(exec::fail(exec::errc::target_not_found, "no such machine"));
        answer(exec::route{.run = run, .kind = "machine", .labels = {{"rack", "7"}}});
    }
    said& log;
    std::shared_ptr<exec::runner> run{};
};
struct roles final : exec::gate {
    explicit roles(said& to) : log(to) {}
    void check(const exec::caller& who, exec::verb what, const exec::target_id& target, const exec::route& way,
               exec::reply<void> answer) override {
        log.push_back("check " + who.subject + " " + std::string(to_string(what)) + " " + target.name() + " rack " +
                      way.labels.at(0).second);
        if (who.roles.empty()) return answer(exec::fail(exec::errc::denied, "you may not run commands here"));
        answer({});
    }
    said& log;
};
struct trail final : exec::audit_sink {
    explicit trail(said& to) : log(to) {}
    void begin(const exec::audit_record& what, exec::reply<void> answer) override {
        log.push_back("begin " + what.who.request_id);
        full ? answer(exec::fail(exec::errc::audit_unavailable, "disk full")) : answer({});
    }
    void finish(const exec::audit_id&, const exec::audit_end& how, exec::reply<void> answer) override {
        log.push_back("finish " + std::string(to_string(how.status)));
        answer({});
    }
    said& log;
    bool full = false;
};

// The order of a call, and nothing that makes a dispatcher good: no admission, no budget, no second question.
class plain_dispatcher final : public exec::dispatcher {
   public:
    struct parts {
        exec::loop& loop;
        exec::directory& directory;
        exec::gate& gate;
        exec::audit_sink& audit;
        exec::policy policy{};
    };
    explicit plain_dispatcher(parts of) : of_(std::move(of)) {}

    using exec::dispatcher::run;
    exec::execution submit(exec::call what, std::unique_ptr<exec::observer> tell) override {
        auto within = exec::apply(of_.policy, what.what, what.within);
        auto made = exec::relay::make(of_.loop, std::move(what.what), within.value_or(exec::limits{}), std::move(tell));
        if (!within) {
            made.link.fail(std::move(within).error());
            return std::move(made.handle);
        }
        auto asked = std::make_shared<exec::audit_record>();
        asked->id = exec::audit_id({1});
        asked->who = std::move(what.who);
        asked->target = std::move(what.target);
        asked->within = *std::move(within);
        find(asked, std::move(made.link));
        return std::move(made.handle);
    }
    void start_job(exec::call, std::string, exec::reply<exec::job_info> answer) override { answer(no_jobs()); }
    void jobs(exec::caller, exec::target_id, exec::reply<std::vector<exec::job_info>> answer) override {
        answer(no_jobs());
    }
    exec::execution attach(exec::caller, exec::target_id, exec::job_selector, exec::attach_at,
                           std::unique_ptr<exec::observer>) override {
        return {};
    }
    void signal_job(exec::caller, exec::target_id, exec::job_selector, int, exec::reply<void> answer) override {
        answer(no_jobs());
    }
    void forget_job(exec::caller, exec::target_id, exec::job_selector, exec::reply<void> answer) override {
        answer(no_jobs());
    }

   private:
    using record = std::shared_ptr<exec::audit_record>;
    static exec::failure no_jobs() { return exec::fail(exec::errc::unsupported, "no jobs"); }

    void find(const record& asked, exec::relay link) {
        of_.directory.find(asked->who, asked->target,
                           [this, asked, link = std::move(link)](exec::result<exec::route> way) mutable {
                               if (!way) return link.fail(std::move(way).error());
                               asked->labels = way->labels;
                               check(asked, *std::move(way), std::move(link));
                           });
    }
    void check(const record& asked, exec::route way, exec::relay link) {
        const auto run = way.run;
        of_.gate.check(asked->who, asked->what, asked->target, way,
                       [this, asked, run, link = std::move(link)](exec::result<void> may) mutable {
                           if (may) return begin(asked, run, std::move(link));
                           auto why = std::move(may).error();
                           of_.audit.note(*asked, exec::audit_end_of(why), [](exec::result<void>) {});
                           link.fail(std::move(why));
                       });
    }
    void begin(const record& asked, const std::shared_ptr<exec::runner>& run, exec::relay link) {
        of_.audit.begin(*asked, [this, asked, run, link = std::move(link)](exec::result<void> begun) mutable {
            if (!begun) return link.fail(std::move(begun).error());
            link.start([&](exec::command what, exec::limits within, std::unique_ptr<exec::observer> tell) {
                return run->start(std::move(what), std::move(within),
                                  std::make_unique<audited>(of_.audit, asked->id, std::move(tell)));
            });
        });
    }

    class audited final : public exec::observer_wrapper {
       public:
        audited(exec::audit_sink& in, const exec::audit_id& of, std::unique_ptr<exec::observer> tell)
            : observer_wrapper(std::move(tell)), in_(in), of_(of) {}
        void on_done(exec::result<exec::outcome> how) override {
            in_.finish(of_, exec::audit_end_of(how), [](exec::result<void>) {});
            observer_wrapper::on_done(std::move(how));
        }

       private:
        exec::audit_sink& in_;
        exec::audit_id of_;
    };

    parts of_;
};

// A host with its parts, a loop and a caller who may do everything.
struct host {
    said log{};
    std::unique_ptr<exec::loop> loop = exec::make_loop().value();
    machines directory{log};
    roles gate{log};
    trail audit{log};
    plain_dispatcher front{{*loop, directory, gate, audit}};
    exec::caller ada{.subject = "ada", .tenant = "acme", .roles = {"dev"}, .request_id = "r1"};

    host() {
        directory.run = std::make_shared<threaded_runner>(
            [this](exec::observer&, const std::stop_token&) -> exec::result<exec::outcome> {
                log.push_back("run");
                return exited_with(0);
            },
            threaded_runner::returns::after_the_end);
    }

    std::optional<exec::result<exec::outcome>> ask(const exec::caller& who, exec::command what) {
        struct listener final : exec::observer {
            explicit listener(std::optional<exec::result<exec::outcome>>& into) : end(into) {}
            void on_done(exec::result<exec::outcome> how) override { end.emplace(std::move(how)); }
            std::optional<exec::result<exec::outcome>>& end;
        };
        std::optional<exec::result<exec::outcome>> end;
        const auto running = front.submit({.who = who, .target = exec::target_id("build-7"), .what = std::move(what)},
                                          std::make_unique<listener>(end));
        REQUIRE(test::drive_until(*loop, [&end] { return end.has_value(); }));
        return end;
    }
    exec::errc refusal(const exec::caller& who, exec::command what = {.program_and_args = exec::argv("uname")}) {
        const auto end = ask(who, std::move(what));
        REQUIRE_FALSE(end->has_value());
        return end->error().kind();
    }
};

}  // namespace

TEST_CASE("wiring: directory, gate and audit are asked in this order, and the runner between the halves of a record") {
    host on;
    const auto end = on.ask(on.ada, {.program_and_args = exec::argv("uname")});
    REQUIRE(end->has_value());
    CHECK((*end)->ok());
    CHECK(on.log == said{"find build-7 for acme", "check ada run build-7 rack 7", "begin r1", "run", "finish ok"});
}

TEST_CASE("wiring: what the policy refuses is asked of nobody and recorded nowhere") {
    host on;
    exec::command what{.program_and_args = exec::argv("uname")};
    REQUIRE(what.env.set("LD_PRELOAD", "x").has_value());
    CHECK(on.refusal(on.ada, std::move(what)) == exec::errc::invalid_argument);
    CHECK(on.log.empty());
}

TEST_CASE("wiring: another tenant's target is not found, and the gate never hears of it") {
    host on;
    on.ada.tenant = "evil";
    CHECK(on.refusal(on.ada) == exec::errc::target_not_found);
    CHECK(on.log == said{"find build-7 for evil"});
}

TEST_CASE("wiring: a refusal of the gate is a record of its own, and nothing runs") {
    host on;
    on.ada.roles.clear();
    CHECK(on.refusal(on.ada) == exec::errc::denied);
    CHECK(on.log == said{"find build-7 for acme", "check ada run build-7 rack 7", "begin r1", "finish denied"});
}

TEST_CASE("wiring: without a record nothing runs") {
    host on;
    on.audit.full = true;
    CHECK(on.refusal(on.ada) == exec::errc::audit_unavailable);
    CHECK(on.log == said{"find build-7 for acme", "check ada run build-7 rack 7", "begin r1"});
}
