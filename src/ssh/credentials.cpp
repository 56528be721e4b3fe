#include "exec/ssh/credentials.h"

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "exec/error.h"
#include "ssh/digest.h"
#include "ssh/read_text.h"
#include "ssh/secret.h"

namespace exec::inline v0::ssh {
namespace {

// The same for each connection. What was denied once is denied again, and servers count denials.
class one_credential final : public provider {
   public:
    explicit one_credential(credential what) noexcept : what_(std::move(what)) {}

    void obtain(const login_request&, reply<credential> answer) override { answer(what_); }
    bool renews() const noexcept override { return false; }

   private:
    const credential what_;
};

}  // namespace

result<credential> credential::private_key(std::string_view text, std::string_view passphrase) {
    return detail::secret::parse_key(text, passphrase);
}

result<credential> credential::certified_key(std::string_view text, std::string_view certificate,
                                             std::string_view passphrase) {
    return detail::secret::parse_certified_key(text, certificate, passphrase);
}

credential credential::password(std::string_view text) { return detail::secret::of_password(text); }

credential credential::agent(std::string socket_path) { return detail::secret::of_agent(std::move(socket_path)); }

result<credential> read_private_key(const std::string& path, std::string_view passphrase) {
    constexpr std::size_t most = std::size_t{64} * 1024;  // RSA of 16384 bits takes less than 16 KiB
    auto text = read_text(path, most);
    if (!text) return std::move(text).error();
    auto made = credential::private_key(*text, passphrase);
    wipe(*text);
    if (!made) made.error().context = path + ": " + made.error().context;
    return made;
}

std::shared_ptr<provider> always(credential what) { return std::make_shared<one_credential>(std::move(what)); }

}  // namespace exec::inline v0::ssh
