#include <doctest/doctest.h>
#include <exec/detail/sha256.h>

#include <cstddef>
#include <string>
#include <string_view>

namespace {

using exec::detail::hex_of;
using exec::detail::hmac_sha256;
using exec::detail::sha256;

std::string digest_of(std::string_view text) { return hex_of(sha256::of(text)); }

}  // namespace

TEST_CASE("sha256: the vectors of FIPS 180-4 come out") {
    CHECK(digest_of("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    CHECK(digest_of("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK(digest_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    CHECK(
        digest_of("abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmno"
                  "pqrstnopqrstu") == "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1");
    CHECK(digest_of(std::string(1'000'000, 'a')) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("sha256: it does not matter how the bytes were cut") {
    std::string text;
    for (int i = 0; i < 300; ++i) text += static_cast<char>(i * 7);
    for (std::size_t size = 0; size <= text.size(); ++size) {
        const auto message = std::string_view(text).substr(0, size);
        const auto whole = sha256::of(message);
        for (const std::size_t cut : {std::size_t{0}, size / 3, size / 2, size}) {
            CHECK(sha256().update(message.substr(0, cut)).update(message.substr(cut)).finish() == whole);
        }
        sha256 bytewise;
        for (const char& byte : message) bytewise.update({&byte, 1});
        CHECK(bytewise.finish() == whole);
    }
}

TEST_CASE("sha256: the compiler can do it") {
    static_assert(sha256::of("abc")[0] == 0xba && sha256::of("abc")[31] == 0xad);
    static_assert(hmac_sha256("Jefe")("what do ya want for nothing?")[0] == 0x5b);
}

TEST_CASE("hmac_sha256: the vectors of RFC 4231 come out, and one key serves many messages") {
    const hmac_sha256 first(std::string(20, '\x0b'));
    CHECK(hex_of(first("Hi There")) == "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    CHECK(hex_of(first("Hi There")) == "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    CHECK(hex_of(hmac_sha256("Jefe")("what do ya want for nothing?")) ==
          "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    CHECK(hex_of(hmac_sha256(std::string(20, '\xaa'))(std::string(50, '\xdd'))) ==
          "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
    const hmac_sha256 longer(std::string(131, '\xaa'));
    CHECK(hex_of(longer("Test Using Larger Than Block-Size Key - Hash Key First")) ==
          "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    CHECK(hex_of(longer("Hi There"), 4).size() == 8);
}
