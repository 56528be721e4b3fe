// Any text, any host: known_hosts_file takes it or names the line, and what it finds is what a slower reading of the same
// lines finds.
#include "ssh/known_hosts.h"

#include <exec/error.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "ssh/host_key.h"

namespace {

using namespace exec;
using namespace exec::ssh;

void demand(bool condition) {
    if (!condition) std::abort();
}

// The line that an error names: "fuzz:12: ...".
std::size_t named_line(const failure& why) {
    const std::string_view start = "fuzz:";
    demand(why.context.starts_with(start));
    return static_cast<std::size_t>(std::strtoul(why.context.c_str() + start.size(), nullptr, 10));
}

std::string line_number(std::string_view text, std::size_t number) {
    for (; number > 1; --number) text.remove_prefix(text.find('\n') + 1);
    return std::string(text.substr(0, text.find('\n')));
}

}  // namespace

// The first line is the host and, behind a colon, its port; the rest is the file.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view all(reinterpret_cast<const char*>(data), size);
    const auto end = all.find('\n');
    if (end == std::string_view::npos) return 0;
    const auto colon = all.substr(0, end).find(':');
    host_name host{std::string(all.substr(0, (colon < end ? colon : end)))};
    if (colon < end)
        host.port =
            static_cast<std::uint16_t>(std::strtoul(std::string(all.substr(colon + 1, end)).c_str(), nullptr, 10));
    const auto text = all.substr(end + 1);

    const auto file = known_hosts_file::parse(text, "fuzz");
    if (!file) {
        // That line alone is wrong too, and none before it is.
        const auto number = named_line(file.error());
        demand(file.error().code == errc::invalid_argument && file.error().context.size() < 256);
        const auto alone = known_hosts_file::parse(line_number(text, number), "fuzz");
        demand(!alone && named_line(alone.error()) == 1);
        std::string before;
        for (std::size_t i = 1; i < number; ++i) before += line_number(text, i) + "\n";
        demand(known_hosts_file::parse(before, "fuzz").has_value());
        return 0;
    }
    const auto found = file->find(host);
    demand(found.has_value() && found->size() <= file->lines());
    for (const auto& each : *found) {
        // Each is found in its line alone, and is a key that survives being written.
        const auto number = std::strtoul(each.where.c_str() + std::string_view("fuzz:").size(), nullptr, 10);
        const auto alone = known_hosts_file::parse(line_number(text, number), "fuzz");
        demand(alone.has_value());
        const auto again = alone->find(host);
        demand(again.has_value() && again->size() == 1 && again->front().mark == each.mark);
        const auto key = parse_host_key(line_of(each.key));
        demand(key.has_value() && key->blob == each.key.blob && key->algorithm == each.key.algorithm);
    }
    return 0;
}
