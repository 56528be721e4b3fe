#include <exec/error.h>

#include <doctest/doctest.h>

#include <cerrno>
#include <initializer_list>
#include <ios>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>

namespace {

using namespace exec;

struct expected_row {
    errc code;
    int number;
    advice what;
};
// Hosts branch on these and store the numbers: a change here is a change of the interface.
constexpr expected_row expected[] = {
    {errc::invalid_argument, 1, advice::fix_request},
    {errc::unsupported, 2, advice::fix_request},
    {errc::target_not_found, 3, advice::fix_request},
    {errc::target_unassigned, 4, advice::retry_later},
    {errc::target_not_ready, 5, advice::retry_later},
    {errc::wrong_state, 6, advice::fix_request},
    {errc::denied, 7, advice::ask_operator},
    {errc::too_busy, 8, advice::retry_later},
    {errc::start_failed, 9, advice::fix_request},
    {errc::start_timeout, 10, advice::retry_later},
    {errc::cancelled, 11, advice::give_up},
    {errc::host_key_mismatch, 12, advice::ask_operator},
    {errc::auth_failed, 13, advice::ask_operator},
    {errc::connect_failed, 14, advice::reconnect},
    {errc::audit_unavailable, 15, advice::retry_later},
    {errc::shutting_down, 16, advice::retry_later},
    {errc::broken_reply, 17, advice::give_up},
    {errc::caller_too_busy, 18, advice::retry_later},
};

constexpr stage every_stage[] = {stage::none,        stage::program,      stage::interpreter, stage::cwd,
                                 stage::credentials, stage::descriptors,  stage::limits,      stage::process,
                                 stage::containment, stage::queue,        stage::resolve,     stage::connect,
                                 stage::banner,      stage::key_exchange, stage::host_key,    stage::grant,
                                 stage::login,       stage::channel,      stage::request};

// No default: a new enumerator fails to compile here (-Wswitch), and then belongs in the table.
constexpr bool is_in_the_table(errc code) {
    switch (code) {
        case errc::invalid_argument:
        case errc::unsupported:
        case errc::target_not_found:
        case errc::target_unassigned:
        case errc::target_not_ready:
        case errc::wrong_state:
        case errc::denied:
        case errc::too_busy:
        case errc::start_failed:
        case errc::start_timeout:
        case errc::cancelled:
        case errc::host_key_mismatch:
        case errc::auth_failed:
        case errc::connect_failed:
        case errc::audit_unavailable:
        case errc::shutting_down:
        case errc::broken_reply:
        case errc::caller_too_busy: return true;
    }
    return false;
}

static_assert(std::is_error_code_enum_v<errc>);
static_assert(std::is_aggregate_v<failure>);

}  // namespace

TEST_CASE("errc: every code has its number, a sentence of its own and an advice") {
    std::set<std::string> sentences;
    int last = 0;
    for (const auto& row : expected) {
        CAPTURE(row.number);
        CHECK(static_cast<int>(row.code) == row.number);
        CHECK(row.number == last + 1);
        last = row.number;
        const std::error_code as_code = row.code;
        CHECK(as_code.category() == exec_category());
        CHECK(as_code.message() != "unknown exec error");
        CHECK(as_code.message().size() > 5);
        CHECK(sentences.insert(as_code.message()).second);
        CHECK(fail(row.code).advise() == row.what);
        CHECK(fail(row.code).kind() == row.code);
    }
    // One number further there is nothing: the table above is complete.
    CHECK_FALSE(is_in_the_table(static_cast<errc>(last + 1)));
    CHECK(exec_category().message(last + 1) == "unknown exec error");
    CHECK(exec_category().message(0) == "unknown exec error");
    CHECK(exec_category().message(-1) == "unknown exec error");
}

TEST_CASE("errc: the category is one object with a name, and compares with codes") {
    CHECK(&exec_category() == &exec_category());
    CHECK(std::string(exec_category().name()) == "exec");
    CHECK(fail(errc::denied).code == errc::denied);
    CHECK(fail(errc::denied).code != errc::too_busy);
    CHECK(fail(errc::denied).code != std::error_code(static_cast<int>(errc::denied), std::system_category()));
}

TEST_CASE("failure: fail() and os_failure() keep the true number, the stage and the object") {
    const auto ours = fail(errc::invalid_argument, "argument 3");
    CHECK(ours.code == errc::invalid_argument);
    CHECK(ours.context == "argument 3");
    CHECK(ours.at == stage::none);
    CHECK(ours.retry_after == milliseconds::zero());

    const auto theirs = os_failure(ENOENT, stage::cwd, "/srv/none");
    CHECK(theirs.code.value() == ENOENT);
    CHECK(theirs.code.category() == std::system_category());
    CHECK(theirs.code == std::errc::no_such_file_or_directory);
    CHECK(theirs.context == "/srv/none");
    CHECK(theirs.at == stage::cwd);
}

TEST_CASE("failure: kind() makes a foreign number ours") {
    for (const int number :
         {ECONNREFUSED, ECONNRESET, ECONNABORTED, EHOSTUNREACH, ENETUNREACH, ENETDOWN, ETIMEDOUT, ENOTCONN, EPIPE}) {
        CAPTURE(number);
        CHECK(os_failure(number, stage::none).kind() == errc::connect_failed);
        CHECK(os_failure(number, stage::none).advise() == advice::reconnect);
        // The same number out of a start is no connection.
        CHECK(os_failure(number, stage::process).kind() == errc::start_failed);
    }
    for (const int number : {ENOENT, EACCES, E2BIG, ENOEXEC, EAGAIN, ENOMEM}) {
        CHECK(os_failure(number, stage::program).kind() == errc::start_failed);
        CHECK(os_failure(number, stage::none).kind() == errc::start_failed);
    }
    // A category that nobody here knows.
    CHECK(failure{std::make_error_code(std::io_errc::stream)}.kind() == errc::start_failed);
    CHECK(failure{}.kind() == errc::start_failed);
}

TEST_CASE("failure: advise() tells a shortage, a missing permission and a wrong request apart") {
    struct row {
        int number;
        stage at;
        advice what;
    };
    for (const auto& each : std::initializer_list<row>{
             {ENOENT, stage::program, advice::fix_request},
             {EACCES, stage::program, advice::fix_request},
             {ENOEXEC, stage::interpreter, advice::fix_request},
             {ENOENT, stage::cwd, advice::fix_request},
             {E2BIG, stage::process, advice::fix_request},
             {EAGAIN, stage::process, advice::retry_later},
             {ENOMEM, stage::process, advice::retry_later},
             {EMFILE, stage::descriptors, advice::retry_later},
             {ENFILE, stage::descriptors, advice::retry_later},
             {ETXTBSY, stage::program, advice::retry_later},
             {ENOSPC, stage::containment, advice::retry_later},
             {EBUSY, stage::containment, advice::retry_later},
             {EPERM, stage::credentials, advice::ask_operator},
             {EINVAL, stage::credentials, advice::ask_operator},
             {EPERM, stage::limits, advice::ask_operator},
             {EINVAL, stage::none, advice::give_up},
         }) {
        CAPTURE(each.number);
        CAPTURE(to_string(each.at));
        CHECK(os_failure(each.number, each.at).advise() == each.what);
    }
    CHECK(failure{}.advise() == advice::give_up);
    CHECK(fail(static_cast<errc>(200)).advise() == advice::give_up);
}

TEST_CASE("failure: the message names the stage, the error and the object, which cannot write to a terminal") {
    CHECK(fail(errc::denied).message() == "denied");
    CHECK(fail(errc::denied, "signal").message() == "denied: signal");
    CHECK(os_failure(ENOENT, stage::cwd, "/srv/none").message() == "cwd: No such file or directory: /srv/none");
    CHECK(os_failure(ENOENT, stage::program).message() == "program: No such file or directory");
    const auto hostile = fail(errc::target_not_found, "a\x1B[2J\nb").message();
    CHECK(hostile.find('\x1B') == std::string::npos);
    CHECK(hostile.find('\n') == std::string::npos);
    CHECK(hostile.find("[2J") != std::string::npos);
}

TEST_CASE("stage, advice: every enumerator has a word of its own, and a wrong one is said to be unknown") {
    std::set<std::string_view> words;
    for (const auto each : every_stage) CHECK(words.insert(to_string(each)).second);
    CHECK(to_string(static_cast<stage>(static_cast<int>(stage::request) + 1)) == "unknown");
    for (const auto each :
         {advice::fix_request, advice::retry_later, advice::reconnect, advice::ask_operator, advice::give_up}) {
        CHECK(words.insert(to_string(each)).second);
    }
    CHECK(to_string(static_cast<advice>(static_cast<int>(advice::give_up) + 1)) == "unknown");
    CHECK(words.count("unknown") == 0);
}
