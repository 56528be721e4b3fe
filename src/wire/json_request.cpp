#include "exec/wire/json_request.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include <nlohmann/json.hpp>

#include "exec/display.h"
#include "exec/utf8.h"

namespace exec::inline v0::wire {
namespace {

using kind = json_value::kind;

failure malformed(std::string_view why, std::size_t byte) {
    return fail(errc::invalid_argument, "body: " + std::string(why) + " (byte " + std::to_string(byte) + ")");
}

constexpr std::string_view article_and_name(kind what) noexcept {
    switch (what) {
        case kind::null: return "null";
        case kind::boolean: return "a boolean";
        case kind::number: return "a number";
        case kind::string: return "a string";
        case kind::array: return "an array";
        case kind::object: return "an object";
    }
    return "unknown";
}

// As much of a name as a failure quotes.
std::string_view short_name(std::string_view name) {
    return name.empty() ? R"("")" : name.substr(0, utf8_cut(name, 64));
}

std::size_t first_that_is_no_utf8(bytes_view text) noexcept {
    std::size_t at = exec::detail::utf8_ascii_run(text);
    while (const auto bytes = exec::detail::first_code_point(text.substr(at)).bytes) at += bytes;
    return at;
}

}  // namespace

// Builds the document out of the parser's events. The parser tells no places, so that the text is gone through a second
// time, one token an event.
class json_reader {
   public:
    using number_integer_t = nlohmann::json::number_integer_t;
    using number_unsigned_t = nlohmann::json::number_unsigned_t;
    using number_float_t = nlohmann::json::number_float_t;
    using string_t = nlohmann::json::string_t;
    using binary_t = nlohmann::json::binary_t;

    json_reader(bytes_view text, const json_bounds& within) : text_(text), within_(within) {}

    bool null() { return add(kind::null, 4); }
    bool boolean(bool value) { return add(kind::boolean, value ? 4 : 5) && (last().number = value, true); }
    bool number_integer(number_integer_t value) { return number(value); }
    bool number_unsigned(number_unsigned_t value) {
        if (value > static_cast<number_unsigned_t>((std::numeric_limits<std::int64_t>::max)())) return number({});
        return number(static_cast<std::int64_t>(value));
    }
    bool number_float(number_float_t, const string_t&) { return number({}); }
    bool string(string_t& value) {
        skip_to_token();
        if (!add(kind::string, string_token())) return false;
        if (value.find('\0') != string_t::npos) return refuse_in(newest(), "a NUL", last().byte);
        last().text = static_cast<std::uint32_t>(made_.text_.size());
        last().text_size = static_cast<std::uint32_t>(value.size());
        made_.text_ += value;
        return true;
    }
    bool start_object(std::size_t) { return open(kind::object); }
    bool start_array(std::size_t) { return open(kind::array); }
    bool end_object() { return close(); }
    bool end_array() { return close(); }
    bool key(string_t& name) {
        skip_to_token();
        const auto began = at_;
        at_ += string_token();
        const auto parent = open_.back().node;
        if (name.find('\0') != string_t::npos) return refuse_in(parent, "a NUL in a name", began);
        if (open_.back().children == within_.max_members) {
            return refuse_in(parent, "more than " + std::to_string(within_.max_members) + " members", began);
        }
        for (auto child = made_.nodes_[parent].first; child != 0; child = made_.nodes_[child].next) {
            const auto& known = made_.nodes_[child];
            if (made_.slice(known.name, known.name_size) == name) {
                return refuse_in(parent, "a name twice: " + std::string(short_name(name)), began);
            }
        }
        name_at_ = static_cast<std::uint32_t>(made_.text_.size());
        name_size_ = static_cast<std::uint32_t>(name.size());
        made_.text_ += name;
        return true;
    }
    bool binary(binary_t&) { return false; }  // not in JSON
    template <class Exception>
    bool parse_error(std::size_t position, const std::string& /*token*/, const Exception& /*why*/) {
        const bool behind = open_.empty() && !made_.nodes_.empty();
        return refuse(behind ? "bytes behind the document" : "not JSON",
                      (std::min)(position == 0 ? 0 : position - 1, text_.size()));
    }

    result<json_document> take(bool accepted) && {
        if (why_) return *std::move(why_);
        if (!accepted) return malformed("not JSON", at_);
        return std::move(made_);
    }

   private:
    using form = json_document::form;
    struct bracket {
        std::uint32_t node;
        std::uint32_t last_child = 0;
        std::uint32_t children = 0;
    };

    json_document::node& last() { return made_.nodes_.back(); }

    bool refuse(const std::string& why, std::size_t byte) {
        if (!why_) why_ = malformed(why, byte);
        return false;
    }
    bool refuse_in(std::uint32_t node, const std::string& why, std::size_t byte) {
        if (!why_) why_ = json_value(made_, node).wrong(why, byte);
        return false;
    }
    std::uint32_t newest() const { return static_cast<std::uint32_t>(made_.nodes_.size() - 1); }

    // What separates tokens is nothing else, because the parser has taken the text up to here.
    void skip_to_token() { at_ = (std::min)(text_.find_first_not_of(" \t\n\r,:", at_), text_.size()); }
    // The length of the string that begins here, quotes included.
    std::size_t string_token() const {
        auto end = at_ + 1;
        while (end < text_.size() && text_[end] != '"') end += text_[end] == '\\' ? 2 : 1;
        return (std::min)(end + 1, text_.size()) - at_;
    }

    bool add(kind what, std::size_t token) {
        skip_to_token();
        if (made_.nodes_.size() == within_.max_values) {
            return refuse("more than " + std::to_string(within_.max_values) + " values", at_);
        }
        const auto index = static_cast<std::uint32_t>(made_.nodes_.size());
        auto& node = made_.nodes_.emplace_back();
        node.what = what;
        node.byte = static_cast<std::uint32_t>(at_);
        at_ += token;
        if (open_.empty()) return true;
        auto& parent = open_.back();
        node.parent = parent.node;
        node.index = parent.children++;
        node.name = name_at_;
        node.name_size = std::exchange(name_size_, 0);
        (node.index == 0 ? made_.nodes_[parent.node].first : made_.nodes_[parent.last_child].next) = index;
        parent.last_child = index;
        return true;
    }
    bool number(std::optional<std::int64_t> value) {  // empty: none of 64 bits
        skip_to_token();
        const auto end = (std::min)(text_.find_first_not_of("0123456789+-.eE", at_), text_.size());
        const auto token = text_.substr(at_, end - at_);
        if (!add(kind::number, token.size())) return false;
        if (value) {
            last().number = *value;
        } else {
            const bool is_integer = token.find_first_of(".eE") == std::string_view::npos;
            last().written = is_integer ? form::too_large : form::fraction;
        }
        return true;
    }
    bool open(kind what) {
        if (!add(what, 1)) return false;
        if (open_.size() == within_.max_depth) {
            return refuse("more than " + std::to_string(within_.max_depth) + " levels deep", last().byte);
        }
        open_.push_back({newest()});
        return true;
    }
    bool close() {
        skip_to_token();
        ++at_;
        open_.pop_back();
        return true;
    }

    bytes_view text_;
    json_bounds within_;
    std::size_t at_ = 0;  // behind the last token
    std::vector<bracket> open_{};
    std::uint32_t name_at_ = 0, name_size_ = 0;  // of the member whose value comes next
    json_document made_{};
    std::optional<failure> why_{};
};

result<json_document> json_document::parse(bytes_view text, const json_bounds& within) {
    const auto most = (std::min)(within.max_bytes, std::size_t{(std::numeric_limits<std::uint32_t>::max)()});
    if (text.size() > most) {
        return fail(errc::invalid_argument,
                    "body: " + std::to_string(text.size()) + " bytes, at most " + std::to_string(most));
    }
    if (text.starts_with("\xEF\xBB\xBF")) return malformed("a byte order mark", 0);
    if (!utf8_valid(text)) return malformed("not UTF-8", first_that_is_no_utf8(text));
    // The parser would take it for the end of the text.
    if (const auto nul = text.find('\0'); nul != bytes_view::npos) return malformed("not JSON", nul);
    if (text.find_first_not_of(" \t\n\r") == bytes_view::npos) return malformed("empty", text.size());
    json_reader reader(text, within);
    const bool accepted = nlohmann::json::sax_parse(text.begin(), text.end(), &reader);
    return std::move(reader).take(accepted);
}

std::string json_value::path() const {
    constexpr std::size_t longest = 128;
    std::vector<std::uint32_t> way;
    for (auto at = index_; at != 0; at = in_->nodes_[at].parent) way.push_back(at);
    if (way.empty()) return "body";
    std::string path;
    for (auto each = way.rbegin(); each != way.rend(); ++each) {
        const auto& node = in_->nodes_[*each];
        if (in_->nodes_[node.parent].what == kind::array) {
            path += '[' + std::to_string(node.index) + ']';
        } else {
            if (!path.empty()) path += '.';
            path += short_name(in_->slice(node.name, node.name_size));
        }
    }
    if (path.size() > longest) path.replace(utf8_cut(path, longest), std::string::npos, "...");
    return path;
}

failure json_value::wrong(std::string_view why) const { return wrong(why, byte()); }

failure json_value::wrong(std::string_view why, std::size_t byte) const {
    return fail(errc::invalid_argument, path() + ": " + std::string(why) + " (byte " + std::to_string(byte) + ")");
}

failure json_value::is_no(std::string_view wanted) const {
    return wrong("must be " + std::string(wanted) + ", is " + std::string(article_and_name(what())));
}

result<std::string_view> json_value::string() const {
    if (what() != kind::string) return is_no("a string");
    const auto& node = in_->nodes_[index_];
    return in_->slice(node.text, node.text_size);
}

result<bool> json_value::boolean() const {
    if (what() != kind::boolean) return is_no("a boolean");
    return in_->nodes_[index_].number != 0;
}

result<std::int64_t> json_value::integer(std::int64_t least, std::int64_t most) const {
    if (what() != kind::number) return is_no("an integer");
    const auto& node = in_->nodes_[index_];
    if (node.written == json_document::form::fraction) return wrong("must be an integer, without a point or exponent");
    if (node.written == json_document::form::too_large || node.number < least || node.number > most) {
        return wrong("must be from " + std::to_string(least) + " to " + std::to_string(most));
    }
    return node.number;
}

result<std::vector<json_value>> json_value::elements() const {
    if (what() != kind::array) return is_no("an array");
    std::vector<json_value> all;
    for (auto at = in_->nodes_[index_].first; at != 0; at = in_->nodes_[at].next) all.push_back({*in_, at});
    return all;
}

result<std::vector<std::string_view>> json_value::strings() const {
    const auto all = elements();
    if (!all) return all.error();
    std::vector<std::string_view> texts;
    texts.reserve(all->size());
    for (const auto& each : *all) {
        auto text = each.string();
        if (!text) return std::move(text).error();
        texts.push_back(*text);
    }
    return texts;
}

result<void> json_value::only(std::initializer_list<std::string_view> names) const {
    if (what() != kind::object) return is_no("an object");
    for (auto at = in_->nodes_[index_].first; at != 0; at = in_->nodes_[at].next) {
        const auto name = in_->slice(in_->nodes_[at].name, in_->nodes_[at].name_size);
        if (name.starts_with("x-") || std::find(names.begin(), names.end(), name) != names.end()) continue;
        return json_value(*in_, at).wrong("is not known here");
    }
    return {};
}

std::optional<json_value> json_value::find(std::string_view name) const {
    if (what() != kind::object) return std::nullopt;
    for (auto at = in_->nodes_[index_].first; at != 0; at = in_->nodes_[at].next) {
        if (in_->slice(in_->nodes_[at].name, in_->nodes_[at].name_size) == name) return json_value(*in_, at);
    }
    return std::nullopt;
}

}  // namespace exec::inline v0::wire
