#include "ssh/trust.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>

#include "exec/display.h"
#include "exec/error.h"
#include "ssh/host_key.h"

namespace exec::inline v0::ssh {
namespace {

constexpr std::size_t most_named = 3;

// Short signatures and little work first; SHA-1 with RSA (RFC 8332) never.
constexpr std::array<std::string_view, 4> in_order{"ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384",
                                                   "ecdsa-sha2-nistp521"};

std::ptrdiff_t rank(const std::string& algorithm) {
    return std::find(in_order.begin(), in_order.end(), algorithm) - in_order.begin();
}

std::string words_for(const host_key& key) {
    const auto fingerprint = key.fingerprint.empty() ? fingerprint_of(key.blob) : key.fingerprint;
    return key.algorithm.empty() ? fingerprint : display(key.algorithm, 64) + " " + fingerprint;
}

// `state`, what was shown, and up to three of those `known` that `names` picks.
template <class Names>
failure refusal(errc code, const host_name& of, std::string_view state, const host_key& shown,
                std::string_view introduction, const std::vector<known_key>& known, Names names) {
    std::string text = display(file_name_of(of), 128);
    text.append(": ").append(state).append(": it showed ").append(words_for({shown.algorithm, shown.blob, {}}));
    std::size_t named = 0, left_out = 0;
    for (const auto& each : known) {
        if (!names(each)) continue;
        if (named == most_named) {
            ++left_out;
            continue;
        }
        text.append(named++ == 0 ? introduction : ", ").append(words_for(each.key));
        text.append(" (").append(display(each.where, 160)).append(")");
    }
    if (left_out > 0) text.append(" and ").append(std::to_string(left_out)).append(" more");
    auto made = fail(code, std::move(text));
    made.at = stage::host_key;
    return made;
}

}  // namespace

bool is_same(const known_key& known, const host_key& shown) {
    return known.key.blob.empty() ? known.key.fingerprint == fingerprint_of(shown.blob) : known.key.blob == shown.blob;
}

result<void> judge(const host_name& of, const host_key& shown, const std::vector<known_key>& known) {
    const auto revokes = [&](const known_key& each) { return each.mark == marking::revoked && is_same(each, shown); };
    const auto is_plain = [](const known_key& each) { return each.mark == marking::none; };
    const auto is_authority = [](const known_key& each) { return each.mark == marking::cert_authority; };
    const auto any = [&](const auto& is) { return std::any_of(known.begin(), known.end(), is); };

    if (any(revokes)) {
        return refusal(errc::host_key_mismatch, of, "the host key is revoked", shown, ", revoked is ", known, revokes);
    }
    if (any([&](const known_key& each) { return is_plain(each) && is_same(each, shown); })) return {};
    if (any(is_plain)) {
        // A fingerprint does not say of which type its key is.
        const bool may_be_its_place = any([&](const known_key& each) {
            return is_plain(each) && (each.key.algorithm.empty() || each.key.algorithm == shown.algorithm);
        });
        return refusal(errc::host_key_mismatch, of,
                       may_be_its_place ? "the host key has changed" : "a host key of another type is known", shown,
                       ", expected is ", known, is_plain);
    }
    if (any(is_authority)) {
        return refusal(errc::unsupported, of,
                       "only a certificate authority is known, and host certificates are not read", shown,
                       ", the authority is ", known, is_authority);
    }
    return refusal(errc::host_key_mismatch, of, "the host key is not known", shown, {}, known,
                   [](const known_key&) { return false; });
}

std::vector<std::string> algorithms_of(const std::vector<known_key>& known) {
    std::vector<std::string> names;
    for (const auto& each : known) {
        if (each.mark != marking::none) continue;
        if (each.key.algorithm.empty()) return {};
        const bool revoked = std::any_of(known.begin(), known.end(), [&](const known_key& other) {
            return other.mark == marking::revoked && is_same(other, each.key);
        });
        if (!revoked && std::find(names.begin(), names.end(), each.key.algorithm) == names.end()) {
            names.push_back(each.key.algorithm);
        }
    }
    std::stable_sort(names.begin(), names.end(),
                     [](const auto& one, const auto& other) { return rank(one) < rank(other); });
    // A key of this name signs with either of these.
    if (const auto rsa = std::find(names.begin(), names.end(), "ssh-rsa"); rsa != names.end()) {
        *rsa = "rsa-sha2-512";
        names.insert(rsa + 1, "rsa-sha2-256");
    }
    return names;
}

}  // namespace exec::inline v0::ssh
