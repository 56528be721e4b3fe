// Any body, then any end of the command that it asks for: a refusal names its place, a response has one end.
#include <exec/utf8.h>
#include <exec/wire/workspace.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace {

using namespace exec;
using nlohmann::json;

void demand(bool condition) {
    if (!condition) std::abort();
}

result<outcome> end_of(std::uint8_t choice, std::string_view text) {
    if (choice % 4 == 0) {
        failure why = fail(static_cast<errc>(choice % 20), std::string(text));
        if (choice % 8 == 0) why = os_failure(choice, static_cast<stage>(choice % 9), std::string(text));
        return why;
    }
    outcome how;
    how.exit = choice % 4 == 1   ? exit_status::exited(choice)
               : choice % 4 == 2 ? exit_status::signaled(choice % 70)
                                 : exit_status{};
    how.stopped_by = static_cast<stop_reason>(choice / 4 % 10);
    if (choice % 5 == 0) how.broke = std::make_error_code(std::errc::connection_reset);
    how.out.complete = choice % 3 != 0;
    return how;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) return 0;
    const std::string_view text(reinterpret_cast<const char*>(data) + 2, size - 2);
    const auto wanted = wire::read_workspace_request(text);
    auto timeout = std::chrono::seconds{30};
    if (wanted) {
        timeout = wanted->timeout;
        demand(timeout.count() >= 1 && timeout.count() <= 120);
        demand(!wanted->words.blank() && wanted->words.size() <= 256);
        demand(apply(policy{}, wire::command_of(*wanted), wire::limits_of(*wanted, policy{}, {})).has_value());
        const auto summary = wire::workspace_summary(wanted->words);
        demand(summary.size() <= 200 && utf8_valid(summary));
    } else {
        const auto error = json::parse(wire::workspace_error(wire::workspace_problem(wanted.error())), nullptr, false);
        demand(error.is_object() && error.at("code") == "invalid_argument");
        demand(wanted.error().context.size() < 400);
    }

    wire::workspace_stream response(timeout, {.classic_marker = data[0] % 2 == 1});
    const bool spoke = data[0] % 3 != 0 && !text.empty();
    if (spoke) response.output(stream::out, 0, text);
    if (data[0] % 5 == 0) response.gap(stream::out, spoke ? text.size() : 0, data[0]);
    demand(response.head().has_value() == spoke);
    const auto how = end_of(data[1], text);
    response.done(how);
    demand(response.over() && response.head().has_value());
    const auto body = response.take();
    if (response.head()->http != 200) {
        demand(!spoke);
        const auto error = json::parse(body, nullptr, false);
        demand(error.is_object() && error.contains("error") && error.contains("code") && !error.contains("exit_code"));
        return 0;
    }
    std::size_t ends = 0;
    for (std::string_view rest = body; !rest.empty();) {
        const auto end = rest.find('\n');
        demand(end != rest.npos && ends == 0);
        const auto frame = json::parse(rest.substr(0, end), nullptr, false);
        demand(frame.is_object());
        rest.remove_prefix(end + 1);
        if (frame.contains("stream")) continue;
        ++ends;
        const bool well = how && wire::status_of(*how).http == 200;
        demand(frame.contains("exit_code") == well && frame.contains("code") != well);
    }
    demand(ends == 1);
    return 0;
}
