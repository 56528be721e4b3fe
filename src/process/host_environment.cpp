#include "process/host_environment.h"

#include <algorithm>
#include <array>
#include <cstring>

#include <unistd.h>

namespace exec::inline v0::process {
namespace {

bool names(const char* entry, std::string_view name) noexcept {
    return std::strncmp(entry, name.data(), name.size()) == 0 && entry[name.size()] == '=';
}

// Of several entries of one name the last one stands.
void put(pointer_list& into, std::string_view name, const char* entry) {
    const auto at = std::find_if(into.begin(), into.end(), [&](const char* old) { return names(old, name); });
    if (at == into.end()) {
        if (entry != nullptr) into.push_back(entry);
    } else if (entry != nullptr) {
        *at = entry;
    } else {
        into.erase(at);
    }
}

void apply(const environment& asked, const host_environment& host, pointer_list& into) {
    for (const auto entry : asked) {
        switch (entry.from) {
            case environment::origin::given: put(into, entry.name, entry.text); break;
            case environment::origin::absent: put(into, entry.name, nullptr); break;
            case environment::origin::inherited: {
                if (const auto* value = host.find(entry.name)) put(into, entry.name, value);
                break;
            }
        }
    }
}

}  // namespace

host_environment host_environment::snapshot() {
    host_environment made;
    for (auto** at = environ; at != nullptr && *at != nullptr; ++at) {
        made.block_ += *at;
        made.block_ += '\0';
    }
    return made;
}

host_environment host_environment::borrowed() {
    host_environment made;
    made.entries_ = environ;
    return made;
}

const char* host_environment::find(std::string_view name) const noexcept {
    for (const auto* at = entries_; at != nullptr && *at != nullptr; ++at) {
        if (names(*at, name)) return *at;
    }
    for (std::size_t at = 0; at < block_.size(); at += std::strlen(block_.data() + at) + 1) {
        if (names(block_.data() + at, name)) return block_.data() + at;
    }
    return nullptr;
}

void list_environment(const environment& asked, const base_environment& base, const host_environment& host,
                      pointer_list& into) {
    static constexpr const char* path_entry = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    static_assert(std::string_view(path_entry).substr(5) == default_path);
    if (asked.has_base()) {
        if (base.instead != nullptr) {
            apply(*base.instead, host, into);
        } else {
            const auto* path = host.find("PATH");
            into.push_back(path != nullptr ? path : path_entry);
            for (const std::string_view name : {"HOME", "USER", "LANG"}) {
                if (!base.own_user && name != "LANG") continue;
                if (const auto* value = host.find(name)) into.push_back(value);
            }
        }
    }
    apply(asked, host, into);
}

}  // namespace exec::inline v0::process
