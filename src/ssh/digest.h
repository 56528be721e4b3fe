// Digests and base64, from libcrypto.
#pragma once

#include <optional>
#include <string>
#include <string_view>

struct evp_mac_ctx_st;  // libcrypto's

namespace exec::inline v0::ssh {

// Raw bytes. Nothing: libcrypto refuses, for want of memory or because its provider lacks the digest.
std::optional<std::string> sha256(std::string_view text);

// HMAC-SHA1, for many questions: most of the time of one goes into finding the algorithm. For one thread at a time.
class hmac_sha1 {
   public:
    hmac_sha1();
    hmac_sha1(const hmac_sha1&) = delete;
    hmac_sha1& operator=(const hmac_sha1&) = delete;
    ~hmac_sha1();

    // Raw bytes, or nothing, as above. REQUIRES: a key.
    std::optional<std::string> operator()(std::string_view key, std::string_view text);

   private:
    evp_mac_ctx_st* context_;
};

// With padding. REQUIRES: less than 1 GiB.
std::string to_base64(std::string_view bytes);
// Takes only what to_base64() writes: no blanks, no bits that say nothing, padding to the end.
std::optional<std::string> from_base64(std::string_view text);

// Overwrites all that the string has room for, in a way that no compiler leaves out, and empties it.
void wipe(std::string& secret) noexcept;

}  // namespace exec::inline v0::ssh
