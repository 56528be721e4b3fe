// SHA-256 (FIPS 180-4) and HMAC-SHA-256 (RFC 2104): the digest behind audit chains and hidden words.
//
// For records and names of at most some KiB. A compiler may evaluate it. Leaves copies of what it was fed in its own
// memory, so it is nothing to check a password with. Bulk data and anything with a certificate belong to a crypto library.
// Threads: values.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "exec/bytes.h"

namespace exec::inline v0::detail {

class sha256 {
   public:
    static constexpr std::size_t block_bytes = 64;
    using digest = std::array<std::uint8_t, 32>;

    constexpr sha256& update(bytes_view data) noexcept {
        fed_ += data.size();
        while (!data.empty()) {
            if (waiting_ == 0 && data.size() >= block_bytes) {
                compress(data.data());
                data.remove_prefix(block_bytes);
                continue;
            }
            const auto taken = (std::min)(block_bytes - waiting_, data.size());
            std::copy_n(data.begin(), taken, block_.begin() + static_cast<std::ptrdiff_t>(waiting_));
            waiting_ += taken;
            data.remove_prefix(taken);
            if (waiting_ == block_bytes) flush();
        }
        return *this;
    }

    // Of all that was fed. REQUIRES: nothing is fed or asked for afterwards.
    constexpr digest finish() noexcept {
        const std::uint64_t bits = fed_ * 8;
        block_[waiting_++] = static_cast<char>(0x80);
        if (waiting_ > length_at) {
            std::fill(block_.begin() + static_cast<std::ptrdiff_t>(waiting_), block_.end(), '\0');
            flush();
        }
        std::fill(block_.begin() + static_cast<std::ptrdiff_t>(waiting_), block_.end(), '\0');
        for (std::size_t i = 0; i < 8; ++i) block_[length_at + i] = static_cast<char>(bits >> (56 - 8 * i) & 0xFFU);
        flush();
        digest made{};
        for (std::size_t i = 0; i < made.size(); ++i) {
            made[i] = static_cast<std::uint8_t>(state_[i / 4] >> (24 - 8 * (i % 4)) & 0xFFU);
        }
        return made;
    }

    static constexpr digest of(bytes_view data) noexcept { return sha256().update(data).finish(); }

   private:
    static constexpr std::size_t length_at = block_bytes - 8;

    // The first 32 bits of the fractional parts of the cube roots of the first 64 primes.
    static constexpr std::array<std::uint32_t, 64> rounds{
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
        0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
        0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
        0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
        0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
        0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
        0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
        0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

    constexpr void flush() noexcept {
        compress(block_.data());
        waiting_ = 0;
    }

    // FIPS 180-4, 6.2.2, in its names.
    constexpr void compress(const char* block) noexcept {
        std::array<std::uint32_t, 64> w{};
        for (std::size_t t = 0; t < 16; ++t) {
            for (std::size_t i = 0; i < 4; ++i) w[t] = w[t] << 8U | static_cast<unsigned char>(block[4 * t + i]);
        }
        for (std::size_t t = 16; t < w.size(); ++t) {
            const auto x = w[t - 15];
            const auto y = w[t - 2];
            w[t] = w[t - 16] + (std::rotr(x, 7) ^ std::rotr(x, 18) ^ x >> 3U) + w[t - 7] +
                   (std::rotr(y, 17) ^ std::rotr(y, 19) ^ y >> 10U);
        }
        auto [a, b, c, d, e, f, g, h] = state_;
        for (std::size_t t = 0; t < w.size(); ++t) {
            const auto t1 =
                h + (std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25)) + ((e & f) ^ (~e & g)) + rounds[t] + w[t];
            const auto t2 = (std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
            h = g;
            g = f;
            f = e;
            e = d + t1;
            d = c;
            c = b;
            b = a;
            a = t1 + t2;
        }
        const std::array<std::uint32_t, 8> added{a, b, c, d, e, f, g, h};
        for (std::size_t i = 0; i < state_.size(); ++i) state_[i] += added[i];
    }

    // The same of the square roots of the first 8 primes.
    std::array<std::uint32_t, 8> state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                        0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    std::array<char, block_bytes> block_{};
    std::size_t waiting_ = 0;  // bytes of block_ that are not compressed yet; less than all of it
    std::uint64_t fed_ = 0;
};

// One key, many messages: the two blocks of the key are compressed once.
class hmac_sha256 {
   public:
    explicit constexpr hmac_sha256(bytes_view key) noexcept {
        std::array<char, sha256::block_bytes> pad{};
        if (key.size() > pad.size()) {
            const auto shorter = sha256::of(key);
            for (std::size_t i = 0; i < shorter.size(); ++i) pad[i] = static_cast<char>(shorter[i]);
        } else {
            std::copy(key.begin(), key.end(), pad.begin());
        }
        for (auto& byte : pad) byte = static_cast<char>(byte ^ 0x36);
        inner_.update({pad.data(), pad.size()});
        for (auto& byte : pad) byte = static_cast<char>(byte ^ 0x36 ^ 0x5c);
        outer_.update({pad.data(), pad.size()});
    }

    constexpr sha256::digest operator()(bytes_view message) const noexcept {
        auto inner = inner_;
        const auto first = inner.update(message).finish();
        std::array<char, first.size()> again{};
        for (std::size_t i = 0; i < first.size(); ++i) again[i] = static_cast<char>(first[i]);
        auto outer = outer_;
        return outer.update({again.data(), again.size()}).finish();
    }

   private:
    sha256 inner_{};
    sha256 outer_{};
};

// The first `bytes` of a digest in lower-case hexadecimal.
inline std::string hex_of(const sha256::digest& of, std::size_t bytes = sizeof(sha256::digest)) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string text;
    text.reserve(2 * bytes);
    for (std::size_t i = 0; i < (std::min)(bytes, of.size()); ++i) {
        text += digits[of[i] >> 4U];
        text += digits[of[i] & 0xFU];
    }
    return text;
}

}  // namespace exec::inline v0::detail
