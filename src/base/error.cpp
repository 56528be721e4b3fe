#include "exec/error.h"

#include "exec/display.h"

namespace exec::inline v0 {
namespace {

// One row a code: its sentence, and what its receiver should do. Walked by a test over every enumerator.
struct row {
    errc code;
    const char* sentence;
    advice what;
};
constexpr row rows[] = {
    {errc::invalid_argument, "invalid argument", advice::fix_request},
    {errc::unsupported, "not supported by this runner", advice::fix_request},
    {errc::target_not_found, "target not found", advice::fix_request},
    {errc::target_unassigned, "nobody serves this target", advice::retry_later},
    {errc::target_not_ready, "target not ready", advice::retry_later},
    {errc::wrong_state, "not possible in this state", advice::fix_request},
    {errc::denied, "denied", advice::ask_operator},
    {errc::too_busy, "too busy", advice::retry_later},
    {errc::start_failed, "could not be started", advice::fix_request},
    {errc::start_timeout, "did not start in time", advice::retry_later},
    {errc::cancelled, "cancelled before it began", advice::give_up},
    {errc::host_key_mismatch, "host key mismatch", advice::ask_operator},
    {errc::auth_failed, "authentication failed", advice::ask_operator},
    {errc::connect_failed, "connection failed", advice::reconnect},
    {errc::audit_unavailable, "no audit record could be begun", advice::retry_later},
    {errc::shutting_down, "shutting down", advice::retry_later},
    {errc::broken_reply, "the answer was dropped by whoever owed it", advice::give_up},
    {errc::caller_too_busy, "too many calls of this caller", advice::retry_later},
};

const row* find(int code) noexcept {
    for (const auto& entry : rows) {
        if (static_cast<int>(entry.code) == code) return &entry;
    }
    return nullptr;
}

class category final : public std::error_category {
   public:
    const char* name() const noexcept override { return "exec"; }
    std::string message(int code) const override {
        const auto* entry = find(code);
        return entry != nullptr ? entry->sentence : "unknown exec error";
    }
};

bool is_connection_trouble(const std::error_code& code) noexcept {
    for (const auto trouble :
         {std::errc::connection_refused, std::errc::connection_reset, std::errc::connection_aborted,
          std::errc::host_unreachable, std::errc::network_unreachable, std::errc::network_down, std::errc::timed_out,
          std::errc::not_connected, std::errc::broken_pipe}) {
        if (code == trouble) return true;
    }
    return false;
}

// The kernel ran out of something that others give back.
bool is_shortage(const std::error_code& code) noexcept {
    for (const auto shortage :
         {std::errc::too_many_files_open, std::errc::too_many_files_open_in_system, std::errc::not_enough_memory,
          std::errc::resource_unavailable_try_again, std::errc::text_file_busy, std::errc::device_or_resource_busy,
          std::errc::no_space_on_device}) {
        if (code == shortage) return true;
    }
    return false;
}

}  // namespace

const std::error_category& exec_category() noexcept {
    static const category only;
    return only;
}

std::string_view to_string(stage step) noexcept {
    switch (step) {
        case stage::none: return "none";
        case stage::program: return "program";
        case stage::interpreter: return "interpreter";
        case stage::cwd: return "cwd";
        case stage::credentials: return "credentials";
        case stage::descriptors: return "descriptors";
        case stage::limits: return "limits";
        case stage::process: return "process";
        case stage::containment: return "containment";
        case stage::queue: return "queue";
        case stage::resolve: return "resolve";
        case stage::connect: return "connect";
        case stage::banner: return "banner";
        case stage::key_exchange: return "key exchange";
        case stage::host_key: return "host key";
        case stage::grant: return "grant";
        case stage::login: return "login";
        case stage::channel: return "channel";
        case stage::request: return "request";
    }
    return "unknown";
}

std::string_view to_string(advice what) noexcept {
    switch (what) {
        case advice::fix_request: return "fix_request";
        case advice::retry_later: return "retry_later";
        case advice::reconnect: return "reconnect";
        case advice::ask_operator: return "ask_operator";
        case advice::give_up: return "give_up";
    }
    return "unknown";
}

errc failure::kind() const noexcept {
    if (code.category() == exec_category()) return static_cast<errc>(code.value());
    if (is_of_connection(at) || (at == stage::none && is_connection_trouble(code))) return errc::connect_failed;
    return errc::start_failed;
}

exec::advice failure::advise() const noexcept {
    if (code.category() == exec_category()) {
        const auto* entry = find(code.value());
        return entry != nullptr ? entry->what : advice::give_up;
    }
    if (at == stage::none && is_connection_trouble(code)) return advice::reconnect;
    if (is_of_connection(at) && !is_shortage(code)) return advice::reconnect;
    if (is_shortage(code)) return advice::retry_later;
    if (code == std::errc::operation_not_permitted || at == stage::credentials) return advice::ask_operator;
    return at == stage::none ? advice::give_up : advice::fix_request;
}

std::string failure::message() const {
    std::string text;
    if (at != stage::none) {
        text += to_string(at);
        text += ": ";
    }
    text += code.message();
    if (!context.empty()) {
        text += ": ";
        text += display(context);
    }
    return text;
}

}  // namespace exec::inline v0
