// Any words around a secret in one of the known places: it never shows, and the result keeps to its bound.
#include <exec/redact.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace exec;

void demand(bool condition) {
    if (!condition) std::abort();
}

constexpr std::string_view secret = "Zq7Xw9Kv3Jh5Yb1Nt8Rp4Qm";  // no part of it is likely in an input

// In words of their own.
std::vector<std::string> planted_words(unsigned which) {
    const std::string hidden(secret);
    switch (which % 12) {
        case 0: return {"--password", hidden};
        case 1: return {"--client-secret=" + hidden};
        case 2: return {"GITHUB_TOKEN=" + hidden};
        case 3: return {"-H", "Authorization: Bearer " + hidden};
        case 4: return {"-HX-Api-Key: " + hidden};
        case 5: return {"https://u:" + hidden + "@host/x"};
        case 6: return {"ghp_" + hidden};
        case 7: return {"{\"password\": \"" + hidden + "\"}"};
        case 8: return {"sh", "-c", "x; TOKEN=" + hidden + " y"};
        case 9: return {"sh", "-c", "curl -H 'X-Auth-Token: " + hidden + "' u"};
        case 10: return {"mysql", "-p" + hidden};
        default: return {"sshpass", "-p", hidden};
    }
}
// In the middle of a text, whatever stands before it.
std::string planted_text(unsigned which) {
    const std::string hidden(secret);
    switch (which % 5) {
        case 0: return "TOKEN=" + hidden;
        case 1: return "\"password\":\"" + hidden + "\"";
        case 2: return "://u:" + hidden + "@host";
        case 3: return " github_pat_" + hidden;
        default: return "-----BEGIN PRIVATE KEY-----\n" + hidden + "\n-----END PRIVATE KEY-----";
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) return 0;
    const std::string_view input(reinterpret_cast<const char*>(data), size);
    if (input.find(secret) != std::string_view::npos) return 0;  // a comparison gave it away
    const auto which = static_cast<unsigned>(static_cast<unsigned char>(input[0]));
    const auto where = static_cast<unsigned char>(input[1]);
    std::vector<std::string> words{"program"};
    std::size_t bytes = 0;
    const auto body = input.substr(2);
    for (std::size_t at = 0; at <= body.size();) {
        const auto end = body.find('\0', at) == std::string_view::npos ? body.size() : body.find('\0', at);
        words.emplace_back(body.substr(at, end - at));
        at = end + 1;
    }
    const auto planted = planted_words(which);
    words.insert(words.begin() + 1 + where % static_cast<std::ptrdiff_t>(words.size()), planted.begin(), planted.end());

    const default_redactor with("the key of this fuzzer");
    std::size_t shown_bytes = 0;
    const auto shown = with.argv(words);
    demand(shown.size() == words.size());
    for (const auto& word : shown) {
        shown_bytes += word.size();
        demand(word.find(secret) == std::string::npos);
    }
    for (const auto& word : words) bytes += word.size();
    demand(shown_bytes <= 4 * bytes + 32 * KiB);

    const auto cut = where % (body.size() + 1);
    const auto text = std::string(body.substr(0, cut)) + planted_text(which) + std::string(body.substr(cut));
    const auto shown_text = with.text(text);
    demand(shown_text.find(secret) == std::string::npos);
    demand(shown_text.size() <= 4 * text.size() + 32 * KiB);
    return 0;
}
