// Any text: what the strict reader takes, nlohmann-json takes too and reads alike; what it refuses, it refuses with a short
// context that is UTF-8.
#include <exec/utf8.h>
#include <exec/wire/json_request.h>
#include <exec/wire/shell.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include <nlohmann/json.hpp>

namespace {

using namespace exec;
using nlohmann::json;
using wire::json_value;

void demand(bool condition) {
    if (!condition) std::abort();
}

void compare(const json_value& ours, const json& theirs) {
    switch (ours.what()) {
        case json_value::kind::null: return demand(theirs.is_null());
        case json_value::kind::boolean: return demand(ours.boolean().value() == theirs.get<bool>());
        case json_value::kind::string: return demand(ours.string().value() == theirs.get<std::string>());
        case json_value::kind::number: {
            demand(theirs.is_number());
            const auto number = ours.integer(INT64_MIN, INT64_MAX);
            if (number) demand(theirs.is_number_integer() && theirs.get<std::int64_t>() == *number);
            return demand(utf8_valid(ours.path()));
        }
        case json_value::kind::array: {
            const auto all = ours.elements().value();
            demand(all.size() == theirs.size());
            for (std::size_t i = 0; i < all.size(); ++i) compare(all[i], theirs[i]);
            return;
        }
        case json_value::kind::object: {
            std::size_t count = 0;
            for (const auto& [name, value] : theirs.items()) {
                const auto found = ours.find(name);
                demand(found.has_value());
                compare(*found, value);
                ++count;
            }
            return demand(count == theirs.size());
        }
    }
}

void demand_fit(const failure& why) {
    demand(why.code == errc::invalid_argument || why.code == errc::unsupported);
    demand(utf8_valid(why.context) && why.context.size() < 400);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const auto document = wire::json_document::parse(text, {.max_bytes = 4096, .max_values = 64, .max_members = 8});
    if (document) {
        const auto theirs = json::parse(text, nullptr, false);
        demand(!theirs.is_discarded());
        demand(text.find('\0') == text.npos);
        compare(document->root(), theirs);
        if (const auto known = document->root().only({"a"}); !known) demand_fit(known.error());
    } else {
        demand_fit(document.error());
    }
    const auto line = wire::read_shell_line(text);
    if (!line.request) demand_fit(line.request.error());
    demand(!line.request || !line.id.empty());
    return 0;
}
