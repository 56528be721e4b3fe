#include "ssh/host_key.h"

#include <algorithm>
#include <utility>

#include "exec/error.h"
#include "ssh/digest.h"
#include "ssh/wire_string.h"

namespace exec::inline v0::ssh {
namespace {

constexpr std::string_view blanks = " \t";

}  // namespace

std::string_view take_word(std::string_view& rest) noexcept {
    rest.remove_prefix((std::min)(rest.find_first_not_of(blanks), rest.size()));
    const auto word = rest.substr(0, rest.find_first_of(blanks));
    rest.remove_prefix(word.size());
    return word;
}

std::string lower_case(std::string_view text) {
    std::string lower(text);
    for (char& byte : lower) {
        if (byte >= 'A' && byte <= 'Z') byte = static_cast<char>(byte - 'A' + 'a');
    }
    return lower;
}

std::string file_name_of(const host_name& of) {
    auto name = lower_case(of.host);
    return of.port == 22 ? name : "[" + name + "]:" + std::to_string(of.port);
}

std::string fingerprint_of(std::string_view blob) {
    const auto digest = sha256(blob);
    if (!digest) return {};
    auto text = to_base64(*digest);
    text.erase(text.find_last_not_of('=') + 1);
    return "SHA256:" + text;
}

std::string line_of(const host_key& key) { return key.algorithm + " " + to_base64(key.blob); }

std::string_view algorithm_in(std::string_view blob) noexcept {
    const auto algorithm = take_string(blob);
    // RFC 4251 section 6: names are printable US-ASCII, at most 64 bytes.
    const auto is_of_a_name = [](char byte) { return byte > ' ' && byte <= '~'; };
    if (!algorithm || algorithm->size() > 64 || blob.empty() ||
        !std::all_of(algorithm->begin(), algorithm->end(), is_of_a_name)) {
        return {};
    }
    return *algorithm;
}

result<host_key> read_host_key(std::string_view blob) {
    const auto algorithm = algorithm_in(blob);
    if (algorithm.empty()) {
        return fail(errc::invalid_argument, "the key does not begin with the name of its algorithm");
    }
    return host_key{std::string(algorithm), std::string(blob), fingerprint_of(blob)};
}

result<host_key> parse_host_key(std::string_view line) {
    const auto algorithm = take_word(line);
    const auto text = take_word(line);
    if (text.empty()) return fail(errc::invalid_argument, "a key is an algorithm and its base64");
    const auto blob = from_base64(text);
    if (!blob) return fail(errc::invalid_argument, "the key is not base64");
    auto key = read_host_key(*blob);
    if (key && key->algorithm != algorithm) {
        return fail(errc::invalid_argument, "the key is not of the algorithm that stands before it");
    }
    return key;
}

}  // namespace exec::inline v0::ssh
