#include <doctest/doctest.h>

#include <exec/audit.h>

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

using exec::audit_status;

namespace {

audit_status status_of(const exec::outcome& how) { return exec::audit_end_of(how).status; }
audit_status status_of(exec::errc code) { return exec::audit_end_of(exec::fail(code)).status; }

exec::outcome exited(int code) {
    exec::outcome how;
    how.exit = exec::exit_status::exited(code);
    return how;
}

exec::audit_id numbered(std::uint8_t number) { return exec::audit_id({number}); }

// A sink that writes down what it was asked and answers as it is told.
class noting_sink final : public exec::audit_sink {
   public:
    exec::result<void> begun{};
    bool drops = false;
    std::vector<std::string> said{};

    void begin(const exec::audit_record& what, exec::reply<void> answer) override {
        said.push_back("begin " + what.id.text().substr(0, 2));
        if (!drops) answer(begun);
    }
    void finish(const exec::audit_id& of, const exec::audit_end& how, exec::reply<void> answer) override {
        said.push_back("finish " + of.text().substr(0, 2) + " " + std::string(to_string(how.status)));
        answer({});
    }
};

}  // namespace

TEST_CASE("audit: the word for an outcome follows the recorded cause, whatever the exit says") {
    CHECK(status_of(exited(0)) == audit_status::ok);
    CHECK(status_of(exited(3)) == audit_status::error);
    CHECK(status_of(exited(255)) == audit_status::error);

    exec::outcome how;
    how.exit = exec::exit_status::signaled(9);
    CHECK(status_of(how) == audit_status::error);

    for (const auto& [cause, word] : std::vector<std::pair<exec::stop_reason, audit_status>>{
             {exec::stop_reason::start_timeout, audit_status::timeout},
             {exec::stop_reason::run_timeout, audit_status::timeout},
             {exec::stop_reason::idle_timeout, audit_status::timeout},
             {exec::stop_reason::deadline, audit_status::timeout},
             {exec::stop_reason::cancelled, audit_status::cancelled},
             {exec::stop_reason::consumer, audit_status::cancelled},
             {exec::stop_reason::observer_failed, audit_status::cancelled},
             {exec::stop_reason::shutdown, audit_status::cancelled},
             {exec::stop_reason::output_limit, audit_status::error}}) {
        how = exited(0);
        how.stopped_by = cause;
        CAPTURE(std::string(to_string(how.stopped_by)));
        CHECK(status_of(how) == word);
        how.exit = exec::exit_status::signaled(15);
        CHECK(status_of(how) == word);
        how.broke = std::make_error_code(std::errc::connection_reset);
        CHECK(status_of(how) == audit_status::lost);
    }
}

TEST_CASE("audit: what nobody knows is lost, never ok") {
    CHECK(status_of(exec::outcome{}) == audit_status::lost);
    auto how = exited(0);
    how.began = exec::started::unknown;
    CHECK(status_of(how) == audit_status::lost);
    how = exited(0);
    how.broke = std::make_error_code(std::errc::broken_pipe);
    CHECK(status_of(how) == audit_status::lost);
}

TEST_CASE("audit: a failure says that nothing ran, and why") {
    CHECK(status_of(exec::errc::denied) == audit_status::denied);
    CHECK(status_of(exec::errc::start_timeout) == audit_status::timeout);
    CHECK(status_of(exec::errc::cancelled) == audit_status::cancelled);
    CHECK(status_of(exec::errc::shutting_down) == audit_status::cancelled);
    for (const auto code : {exec::errc::invalid_argument, exec::errc::target_not_found, exec::errc::too_busy,
                            exec::errc::start_failed, exec::errc::connect_failed, exec::errc::broken_reply}) {
        CHECK(status_of(code) == audit_status::error);
    }
    const auto end = exec::audit_end_of(exec::os_failure(2, exec::stage::program, "/srv/tool"));
    CHECK_FALSE(end.ran);
    CHECK(end.code == std::error_code(2, std::system_category()));
    CHECK(end.context == "/srv/tool");
    CHECK(end.exit == exec::exit_status{});
}

TEST_CASE("audit: the end of a run holds sizes, and not a byte of what was said") {
    auto how = exited(7);
    how.where = "host";
    how.in_taken = 5;
    how.out = {.bytes = "secret", .gap_at = 3, .total = 1000, .truncated = true, .complete = true};
    how.err = {.bytes = "more", .gap_at = 4, .total = 4, .truncated = false, .complete = true};
    how.tree = exec::tree_state::group_gone;
    how.took.run = exec::nanoseconds(17);
    how.used.max_rss = 99;
    auto end = exec::audit_end_of(how);
    CHECK(end.ran);
    CHECK(end.exit == exec::exit_status::exited(7));
    CHECK(end.in_bytes == 5);
    CHECK(end.out_bytes == 1000);
    CHECK(end.err_bytes == 4);
    CHECK(end.truncated);
    CHECK(end.complete);
    CHECK(end.where == "host");
    CHECK(end.context.empty());
    CHECK(end.tree == exec::tree_state::group_gone);
    CHECK(end.took.run == exec::nanoseconds(17));
    CHECK(end.used.max_rss == 99);

    how.err.complete = false;
    how.out.truncated = false;
    end = exec::audit_end_of(how);
    CHECK_FALSE(end.complete);
    CHECK_FALSE(end.truncated);
}

TEST_CASE("audit: a note is begun and finished under its own id, with the answer of the finish") {
    noting_sink sink;
    exec::audit_record refusal;
    refusal.id = numbered(0x2a);
    exec::audit_end end;
    end.status = audit_status::denied;
    std::optional<bool> written;
    sink.note(refusal, end, [&](exec::result<void> answer) { written = answer.has_value(); });
    CHECK(sink.said == std::vector<std::string>{"begin 2a", "finish 2a denied"});
    CHECK(written == true);
}

TEST_CASE("audit: a note that could not be begun is not finished, and its writer learns why") {
    noting_sink sink;
    std::optional<exec::failure> why;
    const auto keep_why = [&](exec::result<void> answer) { why = answer.error(); };
    sink.begun = exec::fail(exec::errc::audit_unavailable, "disk full");
    sink.note({}, {}, keep_why);
    REQUIRE(why.has_value());
    CHECK(why->context == "disk full");
    CHECK(sink.said.size() == 1);

    sink.drops = true;
    sink.note({}, {}, keep_why);
    CHECK(why->code == exec::errc::broken_reply);
    CHECK(sink.said.size() == 2);
}

TEST_CASE("audit: a trail that cannot be searched says so, instead of saying that a key is new") {
    noting_sink sink;
    std::optional<exec::errc> code;
    sink.find({}, [&](exec::result<std::optional<exec::audit_seen>> answer) {
        REQUIRE_FALSE(answer.has_value());
        code = answer.error().kind();
    });
    CHECK(code == exec::errc::unsupported);
}
