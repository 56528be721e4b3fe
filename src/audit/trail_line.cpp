#include "audit/trail_line.h"

#include <exec/json_text.h>
#include <exec/utf8.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <utility>
#include <vector>

namespace exec::inline v0::audit {
namespace {

// Bytes before they are escaped, which makes at most 6 of one.
constexpr std::size_t most_text = 1 * KiB;   // of a single text
constexpr std::size_t most_word = 8 * KiB;   // of a word of argv
constexpr std::size_t most_argv = 32 * KiB;  // of all its words
constexpr std::size_t most_list = 8 * KiB;   // of roles, labels, environment names: each list
constexpr std::size_t most_items = 1024;     // of each list

constexpr std::size_t usual_body = 1 * KiB;

// What most texts are: their own JSON.
bool is_plain(std::string_view text) noexcept {
    for (std::uint64_t word = 0; text.size() >= sizeof word; text.remove_prefix(sizeof word)) {
        word = detail::json_word(text.data());
        if ((word & detail::json_high) != 0 || detail::json_ascii_specials(word) != 0) return false;
    }
    return std::all_of(text.begin(), text.end(),
                       [](char byte) { return byte >= ' ' && byte <= '~' && byte != '"' && byte != '\\'; });
}

// A text that was cut ends in "...+17 bytes".
void append_text(std::string& out, std::string_view text, std::size_t most = most_text) {
    if (text.size() <= most && is_plain(text)) {
        out.append(1, '"').append(text).append(1, '"');
        return;
    }
    if (text.size() <= most) return append_json_shown(out, text);
    const auto kept = utf8_cut(text, most);
    append_json_shown(out, text.substr(0, kept));
    out.pop_back();
    out += "...+";
    append_json_number(out, text.size() - kept);
    out += " bytes\"";
}
void member(std::string& out, std::string_view name, std::string_view text) {
    if (text.empty()) return;
    out += name;
    append_text(out, text);
}
void word(std::string& out, std::string_view name, std::string_view word) {
    out.append(name).append("\"").append(word) += '"';
}
void number(std::string& out, std::string_view name, std::uint64_t value) {
    if (value == 0) return;
    out += name;
    append_json_number(out, value);
}
void milliseconds_of(std::string& out, std::string_view name, milliseconds value) {
    if (value == unlimited) return;
    out += name;
    append_json_number(out, value.count());
}
void microseconds_of(std::string& out, std::string_view name, nanoseconds value) {
    if (value == nanoseconds::zero()) return;
    out += name;
    append_json_number(out, std::chrono::duration_cast<std::chrono::microseconds>(value).count());
}

// [...] of as many items as fit; the others are counted in a member of their own.
void list(std::string& out, std::string_view name, const std::vector<std::string>& items, std::size_t each,
          std::size_t all) {
    if (items.empty()) return;
    out.append(",\"").append(name).append("\":[");
    std::size_t told = 0;
    for (const auto& item : items) {
        if (told == most_items || all == 0) break;
        if (told++ > 0) out += ',';
        const auto most = (std::min)(each, all);
        append_text(out, item, most);
        all -= (std::min)(all, (std::min)(item.size(), most) + 1);
    }
    out += ']';
    if (told == items.size()) return;
    out.append(",\"").append(name).append("_left_out\":");
    append_json_number(out, items.size() - told);
}

void append_labels(std::string& out, const std::vector<std::pair<std::string, std::string>>& labels) {
    std::vector<std::string> shown;  // as a list: a key may come twice
    shown.reserve(labels.size());
    for (const auto& [key, value] : labels) shown.push_back(key + "=" + value);
    list(out, "labels", shown, most_text, most_list);
}

std::string_view word_of(containment how) noexcept {
    switch (how) {
        case containment::session: return "session";
        case containment::cgroup: return "cgroup";
        case containment::pid_namespace: return "pid_namespace";
    }
    return "invalid";
}

void append_limits(std::string& out, const limits& within) {
    milliseconds_of(out, ",\"run_timeout_ms\":", within.run_timeout);
    milliseconds_of(out, ",\"start_timeout_ms\":", within.start_timeout);
    milliseconds_of(out, ",\"idle_timeout_ms\":", within.idle_timeout);
    milliseconds_of(out, ",\"grace_ms\":", within.stop.grace);
    number(out, ",\"out_cap\":", within.out.cap);
    number(out, ",\"err_cap\":", within.err.cap);
    word(out, ",\"contain\":", word_of(within.contain));
    word(out, ",\"if_orphaned\":", within.if_orphaned == orphan::stop ? "stop" : "run_on");
}

void append_id(std::string& out, const audit_id::bits& bits) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::array<char, 2 * sizeof(audit_id::bits)> text{};
    for (std::size_t at = 0; at < bits.size(); ++at) {
        text[2 * at] = digits[bits[at] >> 4U];
        text[2 * at + 1] = digits[bits[at] & 0xFU];
    }
    out.append(text.data(), text.size());
}

// Takes a fixed part off the front of a line.
bool take(std::string_view& line, std::string_view part) noexcept {
    if (!line.starts_with(part)) return false;
    line.remove_prefix(part.size());
    return true;
}
// What stands before the next quote.
std::string_view take_quoted(std::string_view& line) noexcept {
    const auto end = line.find('"');
    if (end == std::string_view::npos) return {};
    const auto text = line.substr(0, end);
    line.remove_prefix(end + 1);
    return text;
}

constexpr std::string_view line_start = R"({"v":1,"t":")";

// Whether the braces close with the last byte and not before.
bool is_whole(std::string_view line) noexcept {
    std::size_t depth = 0;
    bool quoted = false;
    for (std::size_t at = 0; at < line.size(); ++at) {
        switch (line[at]) {
            case '\\': at += quoted ? 1 : 0; break;
            case '"': quoted = !quoted; break;
            case '{': depth += quoted ? 0 : 1; break;
            case '}':
                if (!quoted && --depth == 0) return at + 1 == line.size();
                break;
            default: break;
        }
    }
    return false;
}

}  // namespace

void append_begin(std::string& out, const audit_record& what) {
    out.reserve(usual_body);
    out += "\"begin\":{\"id\":\"";
    append_id(out, what.id.raw());
    word(out, "\",\"verb\":", to_string(what.what));
    member(out, ",\"subject\":", what.who.subject);
    member(out, ",\"tenant\":", what.who.tenant);
    list(out, "roles", what.who.roles, most_text, most_list);
    member(out, ",\"request\":", what.who.request_id);
    member(out, ",\"trace_parent\":", what.who.trace_parent);
    member(out, ",\"target\":", what.target.name());
    append_labels(out, what.labels);
    list(out, "argv", what.redacted_argv, most_word, most_argv);
    list(out, "env_names", what.env_names, most_text, most_list);
    member(out, ",\"cwd\":", what.cwd);
    append_limits(out, what.within);
    if (what.job) member(out, ",\"job\":", what.job->text());
    member(out, ",\"tag\":", what.tag);
    if (what.signal_number) {
        out += ",\"signal\":";
        append_json_number(out, *what.signal_number);
    }
    member(out, ",\"idempotency_key\":", what.idempotency_key);
    member(out, ",\"request_digest\":", what.request_digest);
    if (what.stands_for != 1) number(out, ",\"stands_for\":", what.stands_for);
    out += '}';
}

void append_end(std::string& out, const audit_id& of, const audit_end& how) {
    out.reserve(usual_body);
    out += "\"end\":{\"id\":\"";
    append_id(out, of.raw());
    word(out, "\",\"status\":", to_string(how.status));
    if (how.ran) word(out, ",\"began\":", how.began == started::yes ? "yes" : "unknown");
    if (!how.ran) out += ",\"ran\":false";
    if (how.exit.what == exit_status::kind::exited) {
        out += ",\"exit_code\":";
        append_json_number(out, how.exit.number);
    } else if (how.exit.what == exit_status::kind::signaled) {
        out += ",\"exit_signal\":";
        append_json_number(out, how.exit.number);
        if (how.exit.core) out += ",\"core\":true";
    }
    if (how.stopped_by != stop_reason::nobody) word(out, ",\"stopped_by\":", to_string(how.stopped_by));
    if (how.code) {
        member(out, ",\"code\":", std::string(how.code.category().name()) + ":" + std::to_string(how.code.value()));
        member(out, ",\"error\":", how.code.message());
    }
    member(out, ",\"context\":", how.context);
    member(out, ",\"where\":", how.where);
    if (how.ran) word(out, ",\"tree\":", to_string(how.tree));
    number(out, ",\"in_bytes\":", how.in_bytes);
    number(out, ",\"out_bytes\":", how.out_bytes);
    number(out, ",\"err_bytes\":", how.err_bytes);
    if (how.truncated) out += ",\"truncated\":true";
    if (how.ran) out += how.complete ? ",\"complete\":true" : ",\"complete\":false";
    microseconds_of(out, ",\"queue_us\":", how.took.queue);
    microseconds_of(out, ",\"connect_us\":", how.took.connect);
    microseconds_of(out, ",\"run_us\":", how.took.run);
    microseconds_of(out, ",\"drain_us\":", how.took.drain);
    microseconds_of(out, ",\"total_us\":", how.took.total);
    microseconds_of(out, ",\"user_us\":", how.used.user);
    microseconds_of(out, ",\"system_us\":", how.used.system);
    number(out, ",\"max_rss\":", how.used.max_rss);
    if (how.job) {
        out += ",\"job\":\"id:";
        append_id(out, how.job->raw());
        out += '"';
    }
    out += '}';
}

void append_writer(std::string& out, const writer_id& who) {
    out += "\"writer\":{\"boot\":";
    append_text(out, who.boot);
    out += ",\"pid\":";
    append_json_number(out, who.pid);
    out += ",\"start_time\":";
    append_json_number(out, who.start_time);
    out += '}';
}

void line_clock::append_now(std::string& out) {
    using namespace std::chrono;
    const auto now = floor<microseconds>(system_clock::now());
    const auto second = floor<seconds>(now);
    if (second.time_since_epoch().count() != second_) {
        const auto day = floor<days>(second);
        const year_month_day date(day);
        const hh_mm_ss time(second - day);
        char text[48];
        const int size =
            std::snprintf(text, sizeof text, "%04d-%02u-%02uT%02d:%02d:%02d.", static_cast<int>(date.year()),
                          static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                          static_cast<int>(time.hours().count()), static_cast<int>(time.minutes().count()),
                          static_cast<int>(time.seconds().count()));
        shown_.assign(text, static_cast<std::size_t>(size));
        second_ = second.time_since_epoch().count();
    }
    out += shown_;
    auto rest = static_cast<unsigned>((now - second).count());
    char micros[7]{'0', '0', '0', '0', '0', '0', 'Z'};
    for (int at = 5; at >= 0; --at, rest /= 10) micros[at] = static_cast<char>('0' + rest % 10);
    out.append(micros, sizeof micros);
}

std::optional<line_facts> read_line(std::string_view line) {
    // In no string of ours a quote stands without a backslash before it.
    const auto start = line.rfind(line_start);
    if (start == std::string_view::npos || !is_whole(line.substr(start))) return std::nullopt;
    line_facts facts;
    facts.text = line.substr(start);
    line.remove_prefix(start + line_start.size());
    take_quoted(line);
    if (!take(line, ",\"w\":\"")) return std::nullopt;
    const auto writer = take_quoted(line);
    const auto read = std::from_chars(writer.data(), writer.data() + writer.size(), facts.writer, 16);
    if (read.ec != std::errc{} || read.ptr != writer.data() + writer.size() || facts.writer == 0 ||
        facts.writer >> 62U) {
        return std::nullopt;
    }
    if (!take(line, ",\"seq\":")) return std::nullopt;
    while (!line.empty() && line.front() >= '0' && line.front() <= '9') line.remove_prefix(1);
    if (take(line, ",\"prev\":\"")) take_quoted(line);
    if (take(line, ",\"writer\":{")) {
        facts.what = line_facts::kind::writer;
        return facts;
    }
    if (take(line, ",\"begin\":{\"id\":\""))
        facts.what = line_facts::kind::begin;
    else if (take(line, ",\"end\":{\"id\":\""))
        facts.what = line_facts::kind::end;
    else
        return std::nullopt;
    const auto id = audit_id::parse(take_quoted(line));
    if (!id) return std::nullopt;
    facts.id = *id;
    return facts;
}

}  // namespace exec::inline v0::audit
