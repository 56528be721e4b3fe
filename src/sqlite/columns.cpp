#include "sqlite/columns.h"

#include <exec/bytes.h>
#include <exec/detail/sha256.h>
#include <exec/display.h>
#include <exec/json_text.h>
#include <exec/utf8.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <limits>
#include <system_error>
#include <utility>
#include <vector>

#include "sqlite/schema.h"

namespace exec::inline v0::sqlite {
namespace {

constexpr std::size_t most_text = 1 * KiB;   // of a single text, as shown
constexpr std::size_t most_argv = 32 * KiB;  // of all words, before they are escaped
constexpr std::size_t most_list = 8 * KiB;   // of roles, labels, environment names: each list
constexpr std::size_t most_items = 1024;     // of each list

// Larger than SQLite's integers is nothing that was counted.
std::int64_t saturated(std::uint64_t value) noexcept {
    return static_cast<std::int64_t>((std::min)(value, std::uint64_t{(std::numeric_limits<std::int64_t>::max)()}));
}

// ---- to columns ------------------------------------------------------------------------------------------------------

// Takes from `room`, and says whether all of `text` was appended.
bool append_item(std::string& out, std::string_view text, std::size_t& room) {
    const auto kept = utf8_cut(text, room);
    append_json_shown(out, text.substr(0, kept));
    room -= (std::min)(room, kept + 1);
    if (kept == text.size()) return true;
    out.pop_back();
    out += "...\"";
    return false;
}

// [...] of what fits. Returns how many did not.
std::uint64_t append_list(std::string& out, const std::vector<std::string>& items, std::size_t room) {
    out += '[';
    std::size_t told = 0;
    for (; told < items.size() && told < most_items && room > 0; ++told) {
        if (told > 0) out += ',';
        append_item(out, items[told], room);
    }
    out += ']';
    return items.size() - told;
}
std::string list_of(const std::vector<std::string>& items) {
    std::string out;
    append_list(out, items, most_list);
    return out;
}

// A list of pairs: a name may come twice.
std::string labels_of(const std::vector<std::pair<std::string, std::string>>& labels) {
    std::string out = "[";
    auto room = most_list;
    for (const auto& [name, value] : labels) {
        if (room == 0) break;
        out += out.size() == 1 ? "[" : ",[";
        append_item(out, name, room);
        out += ',';
        append_item(out, value, room);
        out += ']';
    }
    return out += ']';
}

void append_member(std::string& out, std::string_view name, std::string_view json) {
    out.append(out.size() == 1 ? "\"" : ",\"").append(name).append("\":").append(json);
}
void append_time(std::string& out, std::string_view name, milliseconds value) {
    if (value != unlimited) append_member(out, name, std::to_string(value.count()));
}
std::string_view word_of(containment how) noexcept {
    switch (how) {
        case containment::session: return R"("session")";
        case containment::cgroup: return R"("cgroup")";
        case containment::pid_namespace: return R"("pid_namespace")";
    }
    return R"("invalid")";
}
std::string limits_of(const limits& within) {
    std::string out = "{";
    append_time(out, "run_timeout_ms", within.run_timeout);
    append_time(out, "start_timeout_ms", within.start_timeout);
    append_time(out, "idle_timeout_ms", within.idle_timeout);
    append_time(out, "grace_ms", within.stop.grace);
    append_member(out, "out_cap", std::to_string(within.out.cap));
    append_member(out, "err_cap", std::to_string(within.err.cap));
    append_member(out, "contain", word_of(within.contain));
    append_member(out, "if_orphaned", within.if_orphaned == orphan::stop ? R"("stop")" : R"("run_on")");
    return out += '}';
}

// Binds from left to right. What is empty or absent is NULL, which takes no room in a row.
class binder {
   public:
    explicit binder(statement& to) noexcept : to_(to) {}
    binder& number(std::int64_t value) noexcept {
        to_.bind(++at_, value);
        return *this;
    }
    binder& count(std::uint64_t value) noexcept { return number(saturated(value)); }
    binder& time(nanoseconds value) noexcept { return number(value.count()); }
    binder& maybe(const std::optional<std::int64_t>& value) noexcept { return value ? number(*value) : null(); }
    binder& text(std::string_view value) noexcept {
        to_.bind(++at_, value);
        return *this;
    }
    binder& word(std::string_view value) noexcept { return value.empty() ? null() : text(value); }
    binder& bytes(std::string_view value) noexcept {
        if (value.empty()) return null();
        to_.bind_bytes(++at_, value);
        return *this;
    }

   private:
    binder& null() noexcept {
        to_.bind_null(++at_);
        return *this;
    }
    statement& to_;
    int at_ = 0;
};

std::string_view bytes_of(const audit_id& id) noexcept {
    return {reinterpret_cast<const char*>(id.raw().data()), id.raw().size()};
}

// ---- from columns ----------------------------------------------------------------------------------------------------

// The value whose word stands in a column; `otherwise` where none has it.
template <class Enum>
Enum valued(std::string_view word, Enum last, Enum otherwise) noexcept {
    for (auto value = 0U; value <= static_cast<unsigned>(last); ++value) {
        if (to_string(static_cast<Enum>(value)) == word) return static_cast<Enum>(value);
    }
    return otherwise;
}

std::uint64_t counted(std::int64_t value) noexcept {
    return static_cast<std::uint64_t>((std::max)(value, std::int64_t{0}));
}

audit_id id_of(std::string_view bytes) noexcept {
    audit_id::bits bits{};
    if (bytes.size() == bits.size()) std::copy(bytes.begin(), bytes.end(), bits.begin());
    return audit_id(bits);
}

audit_time time_of(std::int64_t stamp) noexcept { return audit_time(std::chrono::microseconds(stamp)); }

std::error_code code_of(std::string_view category, int code, bool ran) noexcept {
    if (category.empty()) return {};
    if (category == exec_category().name()) return {code, exec_category()};
    if (category == std::system_category().name()) return {code, std::system_category()};
    if (category == std::generic_category().name()) return {code, std::generic_category()};
    return make_error_code(ran ? errc::connect_failed : errc::start_failed);
}

}  // namespace

std::string shown(std::string_view any) { return display(any, most_text); }

std::string lookup_of(const audit_record& what) {
    if (what.idempotency_key.empty()) return {};
    detail::sha256 all;
    for (const std::string_view part : {std::string_view(what.who.subject), std::string_view(what.who.tenant),
                                        std::string_view(what.target.name()), to_string(what.what)}) {
        all.update(std::to_string(part.size())).update(":").update(part);
    }
    const auto digest = all.update(what.idempotency_key).finish();
    return {digest.begin(), digest.end()};
}

std::int64_t stamp_now() {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::microseconds>(now).count();
}

begun_columns::begun_columns(const audit_record& from)
    : id(from.id),
      what(from.what),
      subject(shown(from.who.subject)),
      tenant(shown(from.who.tenant)),
      roles(list_of(from.who.roles)),
      request_id(shown(from.who.request_id)),
      trace_parent(shown(from.who.trace_parent)),
      target(shown(from.target.name())),
      labels(labels_of(from.labels)),
      words_left_out(append_list(argv, from.redacted_argv, most_argv)),
      env_names(list_of(from.env_names)),
      cwd(shown(from.cwd)),
      limits(limits_of(from.within)),
      job(from.job ? shown(from.job->text()) : std::string()),
      tag(shown(from.tag)),
      signal_number(from.signal_number),
      key(shown(from.idempotency_key)),
      digest(from.request_digest.substr(0, most_text)),
      lookup(lookup_of(from)),
      stands_for(from.stands_for) {}

void begun_columns::bind_to(statement& insert, std::int64_t writer) const {
    binder to(insert);
    to.bytes(bytes_of(id)).number(writer).number(began).text(to_string(what));
    to.text(subject).text(tenant).text(roles).word(request_id).word(trace_parent).text(target).text(labels);
    to.text(argv).count(words_left_out).text(env_names).word(cwd).text(limits).word(job).word(tag);
    to.maybe(signal_number).word(key).bytes(digest).bytes(lookup).count(stands_for);
}

ended_columns::ended_columns(const audit_end& from) : how(from) {
    how.context = shown(from.context);
    how.where = shown(from.where);
    if (from.job) job = "id:" + from.job->text();
    if (from.code) {
        error = std::string(from.code.category().name()) + ':' + std::to_string(from.code.value()) + ' ';
        error = shown(error + from.code.message());
    }
}

void ended_columns::bind_to(statement& update, std::int64_t row) const {
    using kind = exit_status::kind;
    const auto number_if = [&](kind is) {
        return how.exit.what == is ? std::optional<std::int64_t>(how.exit.number) : std::nullopt;
    };
    binder to(update);
    to.number(row).number(ended).text(to_string(how.status));
    to.word(!how.ran ? "" : how.began == started::yes ? "yes" : "unknown");
    to.maybe(number_if(kind::exited)).maybe(number_if(kind::signaled)).number(how.exit.core ? 1 : 0);
    to.text(to_string(how.stopped_by)).word(how.code ? how.code.category().name() : "").number(how.code.value());
    to.word(error).word(how.context).word(how.where).text(to_string(how.tree));
    to.count(how.in_bytes).count(how.out_bytes).count(how.err_bytes);
    to.number(how.truncated ? 1 : 0).number(how.complete ? 1 : 0);
    to.time(how.took.queue).time(how.took.connect).time(how.took.run).time(how.took.drain).time(how.took.total);
    to.time(how.used.user).time(how.used.system).count(how.used.max_rss);
    to.count(how.used.major_faults).count(how.used.minor_faults);
    to.count(how.used.voluntary_switches).count(how.used.involuntary_switches).word(job);
}

audit_end end_of(const statement& at, int first) {
    // The columns of an end, in their order.
    int column = first;
    const auto number = [&] { return at.number(column++); };
    const auto text = [&] { return at.text(column++); };
    const auto time = [&] { return nanoseconds(at.number(column++)); };
    audit_end how;
    how.status = valued(text(), audit_status::interrupted, audit_status::lost);
    const auto began = text();
    how.ran = !began.empty();
    how.began = began == "yes" ? started::yes : started::unknown;
    if (!how.ran) how.began = {};
    if (!at.is_null(column)) how.exit = exit_status::exited(static_cast<int>(at.number(column)));
    ++column;
    if (!at.is_null(column)) how.exit = exit_status::signaled(static_cast<int>(at.number(column)));
    ++column;
    how.exit.core = number() != 0;
    how.stopped_by = valued(text(), stop_reason::shutdown, stop_reason::nobody);
    const auto category = text();
    how.code = code_of(category, static_cast<int>(number()), how.ran);
    how.context = text();
    how.where = text();
    how.tree = valued(text(), tree_state::gone, tree_state::unknown);
    how.in_bytes = counted(number());
    how.out_bytes = counted(number());
    how.err_bytes = counted(number());
    how.truncated = number() != 0;
    how.complete = number() != 0;
    how.took.queue = time();
    how.took.connect = time();
    how.took.run = time();
    how.took.drain = time();
    how.took.total = time();
    how.used.user = time();
    how.used.system = time();
    how.used.max_rss = counted(number());
    how.used.major_faults = counted(number());
    how.used.minor_faults = counted(number());
    how.used.voluntary_switches = counted(number());
    how.used.involuntary_switches = counted(number());
    if (const auto job = at.text(column); job.size() > 3) {
        if (const auto id = job_id::parse(std::string_view(job).substr(3))) how.job = *id;
    }
    return how;
}

audit_row row_of(const statement& at) {
    // The columns of select_rows, in their order.
    int column = 0;
    const auto number = [&] { return at.number(column++); };
    const auto text = [&] { return at.text(column++); };
    audit_row row;
    row.id = id_of(at.bytes(column++));
    row.began = time_of(number());
    if (!at.is_null(column)) row.ended = time_of(at.number(column));
    ++column;
    row.what = valued(text(), verb::forget, verb::run);
    row.subject = text();
    row.tenant = text();
    row.roles = text();
    row.request_id = text();
    row.trace_parent = text();
    row.target = text();
    row.labels = text();
    row.argv = text();
    row.words_left_out = counted(number());
    row.env_names = text();
    row.cwd = text();
    row.limits = text();
    row.job = text();
    row.tag = text();
    if (!at.is_null(column)) row.signal_number = static_cast<int>(at.number(column));
    ++column;
    row.idempotency_key = text();
    row.request_digest = text();
    row.stands_for = counted(number());
    row.writer = text();
    row.error = text();
    if (row.ended) row.how = end_of(at, column);
    return row;
}

}  // namespace exec::inline v0::sqlite
