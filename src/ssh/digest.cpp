#include "ssh/digest.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <climits>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace exec::inline v0::ssh {
namespace {

const unsigned char* as_bytes(std::string_view text) noexcept {
    return reinterpret_cast<const unsigned char*>(text.data());
}
unsigned char* as_bytes(std::string& text) noexcept { return reinterpret_cast<unsigned char*>(text.data()); }

}  // namespace

std::optional<std::string> sha256(std::string_view text) {
    std::string digest(EVP_MAX_MD_SIZE, '\0');
    unsigned size = 0;
    if (EVP_Digest(text.data(), text.size(), as_bytes(digest), &size, EVP_sha256(), nullptr) != 1) return {};
    digest.resize(size);
    return digest;
}

hmac_sha1::hmac_sha1() : context_(nullptr) {
    EVP_MAC* const mac = EVP_MAC_fetch(nullptr, OSSL_MAC_NAME_HMAC, nullptr);
    if (mac == nullptr) return;
    context_ = EVP_MAC_CTX_new(mac);
    EVP_MAC_free(mac);  // the context holds it
    char digest[] = OSSL_DIGEST_NAME_SHA1;
    const OSSL_PARAM parameters[]{OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                                  OSSL_PARAM_construct_end()};
    if (context_ != nullptr && EVP_MAC_CTX_set_params(context_, parameters) == 1) return;
    EVP_MAC_CTX_free(context_);
    context_ = nullptr;
}

hmac_sha1::~hmac_sha1() { EVP_MAC_CTX_free(context_); }

std::optional<std::string> hmac_sha1::operator()(std::string_view key, std::string_view text) {
    std::string digest(EVP_MAX_MD_SIZE, '\0');
    std::size_t size = 0;
    if (context_ == nullptr || EVP_MAC_init(context_, as_bytes(key), key.size(), nullptr) != 1 ||
        EVP_MAC_update(context_, as_bytes(text), text.size()) != 1 ||
        EVP_MAC_final(context_, as_bytes(digest), &size, digest.size()) != 1) {
        return {};
    }
    digest.resize(size);
    return digest;
}

std::string to_base64(std::string_view bytes) {
    std::string text((bytes.size() + 2) / 3 * 4 + 1, '\0');  // and the NUL that libcrypto writes
    const int size = EVP_EncodeBlock(as_bytes(text), as_bytes(bytes), static_cast<int>(bytes.size()));
    text.resize(static_cast<std::size_t>(size));
    return text;
}

std::optional<std::string> from_base64(std::string_view text) {
    if (text.empty() || text.size() % 4 != 0 || text.size() > INT_MAX) return {};
    std::string bytes(text.size() / 4 * 3, '\0');
    const int size = EVP_DecodeBlock(as_bytes(bytes), as_bytes(text), static_cast<int>(text.size()));
    if (size < 0) return {};
    // The padding is counted as bytes.
    const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
    bytes.resize(static_cast<std::size_t>(size) - padding);
    // libcrypto skips blanks at both ends and takes any bits before the padding.
    if (to_base64(bytes) != text) return {};
    return bytes;
}

void wipe(std::string& secret) noexcept {
    secret.resize(secret.capacity());  // within the capacity: allocates nothing
    OPENSSL_cleanse(secret.data(), secret.size());
    secret.clear();
}

}  // namespace exec::inline v0::ssh
