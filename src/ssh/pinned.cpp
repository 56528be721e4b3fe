// host_keys that are written down in the host's own configuration.
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "exec/error.h"
#include "exec/ssh/host_keys.h"
#include "ssh/digest.h"
#include "ssh/host_key.h"
#include "ssh/trust.h"

namespace exec::inline v0::ssh {
namespace {

class pins final : public host_keys {
   public:
    explicit pins(std::vector<known_key> known) noexcept : known_(std::move(known)) {}

    std::vector<std::string> algorithms(const host_name&) const override { return algorithms_of(known_); }
    void check(const host_name& of, const host_key& shown, reply<void> trusted) override {
        trusted(judge(of, shown, known_));
    }

   private:
    std::vector<known_key> known_;  // never changed
};

result<host_key> read_fingerprint(std::string_view text) {
    constexpr std::size_t digest_size = 32;
    const auto digest = from_base64(std::string(text.substr(text.find(':') + 1)) + "=");
    if (!digest || digest->size() != digest_size) {
        return fail(errc::invalid_argument, "a fingerprint is SHA256: and 43 letters of base64");
    }
    return host_key{{}, {}, std::string(text)};
}

}  // namespace

result<std::shared_ptr<host_keys>> pinned(const std::vector<std::string>& keys) {
    if (keys.empty()) return fail(errc::invalid_argument, "pinned: no key is given");
    std::vector<known_key> known;
    for (const auto& text : keys) {
        const auto where = "pin " + std::to_string(known.size() + 1);
        auto key = text.starts_with("SHA256:") ? read_fingerprint(text) : parse_host_key(text);
        if (!key) return fail(errc::invalid_argument, where + ": " + key.error().context);
        known.push_back({marking::none, *std::move(key), where});
    }
    return std::shared_ptr<host_keys>(std::make_shared<pins>(std::move(known)));
}

}  // namespace exec::inline v0::ssh
