#include "ssh/secret.h"

#include <libssh/libssh.h>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "exec/error.h"
#include "ssh/digest.h"
#include "ssh/host_key.h"
#include "ssh/wire_string.h"

namespace exec::inline v0::ssh::detail {
namespace {

constexpr std::size_t fewest_rsa_bits = 2048;  // NIST SP 800-131A
constexpr std::uint32_t user_certificate = 1;  // SSH2_CERT_TYPE_USER
constexpr std::string_view certificate_suffix = "-cert-v01@openssh.com";

struct free_key {
    void operator()(ssh_key key) const noexcept { ssh_key_free(key); }
};
using key_ptr = std::unique_ptr<ssh_key_struct, free_key>;

// libssh takes C strings: a copy that ends with NUL and is wiped.
class wiped_copy {
   public:
    explicit wiped_copy(std::string_view text) : text_(text) {}
    ~wiped_copy() { wipe(text_); }
    wiped_copy(const wiped_copy&) = delete;
    wiped_copy& operator=(const wiped_copy&) = delete;

    const char* c_str() const noexcept { return text_.c_str(); }

   private:
    std::string text_;
};

failure refused(std::string why) { return fail(errc::invalid_argument, std::move(why)); }

// Without it OpenSSL would open /dev/tty and ask whoever sits there.
int note_the_question(const char*, char*, std::size_t, int, int, void* asked) {
    *static_cast<bool*>(asked) = true;
    return SSH_ERROR;
}

result<std::string> public_blob(ssh_key key) {
    char* text = nullptr;
    if (ssh_pki_export_pubkey_base64(key, &text) != SSH_OK) return refused("the private key has no public half");
    auto blob = from_base64(text);
    ssh_string_free_char(text);
    if (!blob) return refused("the private key has no public half");
    return *std::move(blob);
}

// Of the modulus of an ssh-rsa key; nothing for any other.
std::optional<std::size_t> rsa_bits(std::string_view blob) {
    if (take_string(blob) != "ssh-rsa" || !take_string(blob)) return {};
    auto modulus = take_string(blob).value_or(std::string_view{});
    while (modulus.starts_with('\0')) modulus.remove_prefix(1);
    if (modulus.empty()) return 0;
    return (modulus.size() - 1) * 8 + static_cast<std::size_t>(std::bit_width(static_cast<unsigned char>(modulus[0])));
}

struct parsed_key {
    key_ptr key{};
    std::string blob{};
};

result<parsed_key> parse(std::string_view text, std::string_view passphrase) {
    if (text.find('\0') != std::string_view::npos || passphrase.find('\0') != std::string_view::npos) {
        return refused("a private key and its passphrase have no NUL byte");
    }
    const wiped_copy key_text(text), words(passphrase);
    bool asked = false;
    ssh_key read = nullptr;
    const int answer = ssh_pki_import_privkey_base64(key_text.c_str(), passphrase.empty() ? nullptr : words.c_str(),
                                                     note_the_question, &asked, &read);
    parsed_key made{key_ptr(read), {}};
    if (answer != SSH_OK || read == nullptr) {
        return refused(asked                ? "the private key is encrypted, and there is no passphrase"
                       : passphrase.empty() ? "no private key of a known format"
                                            : "no private key of a known format, or the passphrase does not fit");
    }
    auto blob = public_blob(read);
    if (!blob) return std::move(blob).error();
    made.blob = *std::move(blob);
    if (const auto bits = rsa_bits(made.blob); bits && *bits < fewest_rsa_bits) {
        return refused("an RSA key of " + std::to_string(*bits) + " bits; at least 2048 are taken");
    }
    return made;
}

// libssh lets any certificate stand with any key, and reads no further than the key in it. The parts are those of
// PROTOCOL.certkeys of OpenSSH.
result<void> is_certificate_for(std::string_view blob, std::string_view key_blob) {
    const auto key_type = take_string(key_blob).value_or(std::string_view{});
    const auto type = take_string(blob).value_or(std::string_view{});
    if (!type.ends_with(certificate_suffix)) return refused("no certificate");
    const bool has_nonce = take_string(blob).has_value();
    if (type.substr(0, type.size() - certificate_suffix.size()) != key_type || !has_nonce ||
        !blob.starts_with(key_blob)) {
        return refused("the certificate is for another key");
    }
    blob.remove_prefix(key_blob.size());
    const auto skip_strings = [&blob](int count) {
        while (count > 0 && take_string(blob)) --count;
        return count == 0;
    };
    const auto skip_bytes = [&blob](std::size_t count) {
        if (blob.size() < count) return false;
        blob.remove_prefix(count);
        return true;
    };
    constexpr std::size_t serial = 8, validity = 16;
    if (!skip_bytes(serial)) return refused("the certificate is cut off");
    if (take_number(blob) != user_certificate) return refused("the certificate is for a host");
    // Key id and principals; then options, extensions, a reserved part, the authority's key and its signature.
    if (!skip_strings(2) || !skip_bytes(validity) || !skip_strings(5)) return refused("the certificate is cut off");
    if (!blob.empty()) return refused("the certificate has more than a certificate has");
    return {};
}

}  // namespace

secret::~secret() {
    ssh_key_free(key_);  // wipes it
    wipe(text_);
}

credential secret::hold(secret* made) { return credential(std::shared_ptr<const secret>(made)); }

result<credential> secret::parse_key(std::string_view text, std::string_view passphrase) {
    auto parsed = parse(text, passphrase);
    if (!parsed) return std::move(parsed).error();
    auto line = read_host_key(parsed->blob);
    if (!line) return std::move(line).error();
    return hold(new secret(what::key, parsed->key.release(), line_of(*line), {}));
}

result<credential> secret::parse_certified_key(std::string_view text, std::string_view certificate,
                                               std::string_view passphrase) {
    const auto parsed_line = parse_host_key(certificate.substr(0, certificate.find_first_of("\r\n")));
    if (!parsed_line) return refused("the certificate: " + parsed_line.error().context);
    auto parsed = parse(text, passphrase);
    if (!parsed) return std::move(parsed).error();
    if (auto fits = is_certificate_for(parsed_line->blob, parsed->blob); !fits) return std::move(fits).error();

    ssh_key read = nullptr;
    const int answer = ssh_pki_import_cert_base64(to_base64(parsed_line->blob).c_str(),
                                                  ssh_key_type_from_name(parsed_line->algorithm.c_str()), &read);
    const key_ptr attached(read);
    if (answer != SSH_OK || ssh_pki_copy_cert_to_privkey(read, parsed->key.get()) != SSH_OK) {
        return refused("the certificate cannot be read");
    }
    auto line = read_host_key(parsed->blob);
    if (!line) return std::move(line).error();
    return hold(new secret(what::certified_key, parsed->key.release(), line_of(*line), {}));
}

result<credential> secret::make_key() {
    ssh_key made = nullptr;
    if (ssh_pki_generate(SSH_KEYTYPE_ED25519, 0, &made) != SSH_OK) {
        return fail(errc::too_busy, "no ed25519 key could be made");
    }
    key_ptr key(made);
    const auto blob = public_blob(made);
    if (!blob) return blob.error();
    const auto line = read_host_key(*blob);
    if (!line) return line.error();
    return hold(new secret(what::key, key.release(), line_of(*line), {}));
}

credential secret::of_password(std::string_view text) {
    return hold(new secret(what::password, nullptr, {}, std::string(text)));
}

credential secret::of_agent(std::string socket_path) {
    return hold(new secret(what::agent, nullptr, {}, std::move(socket_path)));
}

}  // namespace exec::inline v0::ssh::detail
