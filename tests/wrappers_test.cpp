#include <exec/wrappers.h>

#include <memory>
#include <stop_token>
#include <string>
#include <utility>

#include <doctest/doctest.h>

#include "misuse.h"

namespace {

using namespace exec;

// Says what reached it, with every argument.
class recording_runner final : public runner {
   public:
    explicit recording_runner(std::string& said) : said_(said) {}

    using runner::run;
    execution start(command what, limits within, std::unique_ptr<observer> tell) override {
        said_ += "start " + std::string(what.program_and_args.program()) + ' ' +
                 std::to_string(within.run_timeout.count()) + ", ";
        tell->on_done(fail(errc::denied));
        return {};
    }
    result<outcome> run(command what, limits within, observer& tell, std::stop_token stop) override {
        said_ += "run " + std::string(what.program_and_args.program()) + ' ' +
                 std::to_string(within.run_timeout.count()) + (stop.stop_possible() ? " stoppable, " : ", ");
        tell.on_room();
        return fail(errc::too_busy);
    }
    capabilities can() const override {
        capabilities all;
        all.max_words = 17;
        return all;
    }

   private:
    std::string& said_;
};

class recording_observer final : public observer {
   public:
    explicit recording_observer(std::string& said) : said_(said) {}
    ~recording_observer() override { said_ += "gone"; }

    void on_start(const start_info& what) override { said_ += "start " + std::string(what.where) + ", "; }
    flow on_output(stream from, std::uint64_t at, bytes_view bytes) override {
        said_ += (from == stream::err ? "err " : "out ") + std::to_string(at) + ' ' + std::string(bytes) + ", ";
        return flow::stop;
    }
    void on_gap(stream from, std::uint64_t at, std::uint64_t missing) override {
        said_ +=
            (from == stream::err ? "gap err " : "gap out ") + std::to_string(at) + ' ' + std::to_string(missing) + ", ";
    }
    void on_room() override { said_ += "room, "; }
    flow on_heartbeat(milliseconds running) override {
        said_ += "beat " + std::to_string(running.count()) + ", ";
        return flow::pause;
    }
    void on_done(result<outcome> how) override {
        said_ += how ? "done, " : "failed " + how.error().code.message() + ", ";
    }

   private:
    std::string& said_;
};

command anything() { return {.program_and_args = argv("anything")}; }

limits in_seven() {
    limits within;
    within.run_timeout = milliseconds(7);
    return within;
}

}  // namespace

TEST_CASE("runner_wrapper: start, run and can reach the inner runner unchanged, and so do their answers") {
    std::string said;
    const auto inner = std::make_shared<recording_runner>(said);
    class plain final : public runner_wrapper {
       public:
        using runner_wrapper::runner_wrapper;
    } wrapper(inner);
    std::string told;
    wrapper.start(anything(), in_seven(), std::make_unique<recording_observer>(told));
    CHECK(told == "failed denied, gone");
    std::stop_source source;
    std::string shown;
    recording_observer tell(shown);
    CHECK(wrapper.run(anything(), in_seven(), tell, source.get_token()).error().code == errc::too_busy);
    CHECK(shown == "room, ");
    CHECK(wrapper.run(anything(), in_seven()).error().code == errc::too_busy);
    CHECK(said == "start anything 7, run anything 7 stoppable, run anything 7, ");
    CHECK(wrapper.can().max_words == 17);
}

TEST_CASE("runner_wrapper: keeps the inner runner alive, and refuses to wrap nothing") {
    std::string said;
    auto inner = std::make_shared<recording_runner>(said);
    const std::weak_ptr<runner> watched = inner;
    {
        const runner_wrapper wrapper(std::move(inner));
        CHECK_FALSE(watched.expired());
    }
    CHECK(watched.expired());
    const test::misuse_throws guard;
    CHECK_THROWS_AS(runner_wrapper(nullptr), test::misuse);
}

TEST_CASE("observer_wrapper: every call reaches the inner observer unchanged, and so does its wish") {
    std::string said;
    {
        observer_wrapper wrapper(std::make_unique<recording_observer>(said));
        const limits within;
        wrapper.on_start({{}, "here", within});
        CHECK(wrapper.on_output(stream::err, 5, "abc") == flow::stop);
        wrapper.on_gap(stream::out, 8, 9);
        wrapper.on_room();
        CHECK(wrapper.on_heartbeat(milliseconds(4)) == flow::pause);
        wrapper.on_done(outcome{});
    }
    CHECK(said == "start here, err 5 abc, gap out 8 9, room, beat 4, done, gone");
}

TEST_CASE("observer_wrapper: with nobody behind it a command goes on") {
    observer_wrapper wrapper(nullptr);
    const limits within;
    wrapper.on_start({{}, "here", within});
    CHECK(wrapper.on_output(stream::out, 0, "abc") == flow::more);
    wrapper.on_gap(stream::out, 3, 1);
    wrapper.on_room();
    CHECK(wrapper.on_heartbeat(milliseconds(1)) == flow::more);
    wrapper.on_done(fail(errc::cancelled));
}

TEST_CASE("observer_wrapper: what is overridden changes that and nothing else") {
    class upper_case final : public observer_wrapper {
       public:
        using observer_wrapper::observer_wrapper;
        flow on_output(stream from, std::uint64_t at, bytes_view bytes) override {
            std::string loud(bytes);
            for (auto& each : loud) each = static_cast<char>(each - 'a' + 'A');
            return observer_wrapper::on_output(from, at, loud);
        }
    };
    std::string said;
    {
        upper_case wrapper(std::make_unique<recording_observer>(said));
        CHECK(wrapper.on_output(stream::out, 0, "abc") == flow::stop);
        wrapper.on_room();
    }
    CHECK(said == "out 0 ABC, room, gone");
}
