#include "ssh/known_hosts.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "exec/display.h"
#include "exec/error.h"
#include "ssh/digest.h"
#include "ssh/host_key.h"

namespace exec::inline v0::ssh {
namespace {

constexpr std::size_t longest_line = std::size_t{64} * 1024;
constexpr std::size_t longest_pattern = 1024;  // OpenSSH takes no longer one for a match
constexpr std::size_t hash_size = 20;          // of SHA-1, and of the salt with it

std::string_view take_until(std::string_view& rest, char end) noexcept {
    const auto part = rest.substr(0, rest.find(end));
    rest.remove_prefix((std::min)(part.size() + 1, rest.size()));
    return part;
}

// * is any number of bytes, ? is one. Goes back to the last * alone: linear in the product of both sizes.
bool matches_pattern(std::string_view text, std::string_view pattern) noexcept {
    std::size_t at = 0, in = 0;
    std::size_t star = std::string_view::npos, star_took = 0;
    while (at < text.size()) {
        if (in < pattern.size() && pattern[in] == '*') {
            star = in++;
            star_took = at;
        } else if (in < pattern.size() && (pattern[in] == '?' || pattern[in] == text[at])) {
            ++at, ++in;
        } else if (star != std::string_view::npos) {
            in = star + 1;
            at = ++star_took;
        } else {
            return false;
        }
    }
    return pattern.find_first_not_of('*', in) == std::string_view::npos;
}

// A pattern with ! in front takes the host out of the line, whatever the others say.
bool matches_list(std::string_view name, std::string_view patterns) noexcept {
    bool matched = false;
    while (!patterns.empty()) {
        auto pattern = take_until(patterns, ',');
        const bool negated = pattern.starts_with('!');
        if (negated) pattern.remove_prefix(1);
        if (pattern.empty() || !matches_pattern(name, pattern)) continue;
        if (negated) return false;
        matched = true;
    }
    return matched;
}

}  // namespace

std::string_view known_hosts_file::read_names(std::string_view field, line& into) {
    if (field.starts_with('|')) {
        field.remove_prefix(1);
        if (take_until(field, '|') != "1") return "this kind of hashed name is not known";
        auto salt = from_base64(take_until(field, '|'));
        auto hash = from_base64(field);
        if (!salt || !hash || salt->size() != hash_size || hash->size() != hash_size)
            return "the hashed name is broken";
        into.salt = *std::move(salt);
        into.hash = *std::move(hash);
        return {};
    }
    for (auto rest = field; !rest.empty();) {
        auto pattern = take_until(rest, ',');
        if (pattern.size() > longest_pattern) return "a pattern is longer than 1 KiB";
        if (pattern.starts_with('!')) pattern.remove_prefix(1);
        if (pattern.starts_with('|')) return "a hashed name stands in a list";
    }
    into.names = lower_case(field);
    return {};
}

std::string_view known_hosts_file::read_line(std::string_view text, line& into) {
    if (text.size() > longest_line) return "it is longer than 64 KiB";
    if (text.find('\0') != std::string_view::npos) return "it has a NUL byte";
    auto field = take_word(text);
    if (field.starts_with('@')) {
        if (field == "@revoked") {
            into.mark = marking::revoked;
        } else if (field == "@cert-authority") {
            into.mark = marking::cert_authority;
        } else {
            return "the marker is not known";
        }
        field = take_word(text);
    }
    if (const auto wrong = read_names(field, into); !wrong.empty()) return wrong;
    const auto algorithm = take_word(text);
    const auto base64 = take_word(text);
    if (base64.empty()) return "it has no names, algorithm and key";
    auto blob = from_base64(base64);
    if (!blob) return "the key is not base64";
    if (algorithm_in(*blob) != algorithm) return "the key is not of the algorithm that stands before it";
    into.algorithm = algorithm;
    into.blob = *std::move(blob);
    return {};
}

result<known_hosts_file> known_hosts_file::parse(std::string_view text, std::string origin) {
    if (text.size() > most) return fail(errc::invalid_argument, display(origin, 128) + ": larger than 16 MiB");
    known_hosts_file made;
    made.origin_ = std::move(origin);
    for (std::size_t number = 1; !text.empty(); ++number) {
        auto whole = take_until(text, '\n');
        if (whole.ends_with('\r')) whole.remove_suffix(1);
        auto rest = whole;
        const auto first = take_word(rest);
        if (first.empty() || first.starts_with('#')) continue;
        line read;
        read.number = number;
        if (const auto wrong = read_line(whole, read); !wrong.empty()) {
            return fail(errc::invalid_argument, display(made.origin_, 128) + ":" + std::to_string(number) +
                                                    ": the line cannot be read: " + std::string(wrong));
        }
        made.lines_.push_back(std::move(read));
    }
    return made;
}

result<std::vector<known_key>> known_hosts_file::find(const host_name& of) const {
    const auto name = file_name_of(of);
    std::vector<known_key> found;
    std::optional<hmac_sha1> hash_of;
    for (const auto& each : lines_) {
        if (each.salt.empty()) {
            if (!matches_list(name, each.names)) continue;
        } else {
            if (!hash_of) hash_of.emplace();
            const auto hash = (*hash_of)(each.salt, name);
            if (!hash) {
                return fail(errc::unsupported, origin_ + ":" + std::to_string(each.number) +
                                                   ": the name is hashed, and libcrypto refuses HMAC-SHA1");
            }
            if (*hash != each.hash) continue;
        }
        found.push_back({each.mark, {each.algorithm, each.blob, {}}, origin_ + ":" + std::to_string(each.number)});
    }
    return found;
}

}  // namespace exec::inline v0::ssh
