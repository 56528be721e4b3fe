#include <exec/utf8.h>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace exec;

static_assert(utf8_valid(""));
static_assert(utf8_valid("plain text, longer than one machine word"));
static_assert(utf8_valid("gr\u00FC\u00DF, \u20AC, \U0001F600"));
static_assert(!utf8_valid("\xC0\x80"));
static_assert(utf8_complete_prefix("ab\xE2\x82") == 2);
static_assert(utf8_complete_prefix("ab\xE2\x82\xAC") == 5);
static_assert(utf8_torn_prefix("\x82\xAC ab") == 2);
static_assert(utf8_cut("ab\u20AC", 4) == 2);
static_assert(noexcept(utf8_valid("")) && noexcept(utf8_cut("", 0)) && noexcept(utf8_complete_prefix("")));

std::string encoded(std::uint32_t point) {
    const auto byte = [](std::uint32_t value) { return static_cast<char>(static_cast<unsigned char>(value)); };
    if (point < 0x80) return {byte(point)};
    if (point < 0x800) return {byte(0xC0 | point >> 6), byte(0x80 | (point & 0x3F))};
    if (point < 0x10000) {
        return {byte(0xE0 | point >> 12), byte(0x80 | (point >> 6 & 0x3F)), byte(0x80 | (point & 0x3F))};
    }
    return {byte(0xF0 | point >> 18), byte(0x80 | (point >> 12 & 0x3F)), byte(0x80 | (point >> 6 & 0x3F)),
            byte(0x80 | (point & 0x3F))};
}

// Everything that the functions are asked, answered from the definition: the set of the encodings of all code
// points, and the set of their proper beginnings. No table of byte ranges.
class every_character {
   public:
    every_character() {
        for (std::size_t n = 1; n <= 3; ++n) {
            begun_[n].resize(std::size_t{1} << (8 * n));
            whole_[n].resize(std::size_t{1} << (8 * n));
        }
        for (std::uint32_t point = 0; point <= 0x10FFFF; ++point) {
            if (point >= 0xD800 && point <= 0xDFFF) continue;
            const auto bytes = encoded(point);
            for (std::size_t n = 1; n < bytes.size(); ++n) begun_[n][number(bytes, n)] = true;
            if (bytes.size() <= 3) whole_[bytes.size()][number(bytes, bytes.size())] = true;
        }
    }

    // The beginning of a character that is longer.
    bool begun(bytes_view bytes) const {
        return !bytes.empty() && bytes.size() <= 3 && begun_[bytes.size()][number(bytes, bytes.size())];
    }
    // One character. One of four bytes is one of three that is begun, and any continuation.
    bool whole(bytes_view bytes) const {
        if (bytes.size() == 4) return begun(bytes.substr(0, 3)) && (bytes[3] & 0xC0) == 0x80;
        return !bytes.empty() && bytes.size() <= 3 && whole_[bytes.size()][number(bytes, bytes.size())];
    }

    // Length of the first unit: a character, or the longest broken beginning of one, or one byte of nothing.
    std::size_t first_unit(bytes_view bytes) const {
        std::size_t n = 1;
        while (n < bytes.size() && begun(bytes.substr(0, n)) &&
               (begun(bytes.substr(0, n + 1)) || whole(bytes.substr(0, n + 1)))) {
            ++n;
        }
        return n;
    }
    bool valid(bytes_view bytes) const {
        while (!bytes.empty()) {
            const auto n = first_unit(bytes);
            if (!whole(bytes.substr(0, n))) return false;
            bytes.remove_prefix(n);
        }
        return true;
    }
    std::size_t complete_prefix(bytes_view bytes) const {
        for (std::size_t held = 1; held <= 3 && held <= bytes.size(); ++held) {
            if (begun(bytes.substr(bytes.size() - held))) return bytes.size() - held;
        }
        return bytes.size();
    }
    std::size_t cut(bytes_view bytes, std::size_t most) const {
        std::size_t boundary = 0;
        while (boundary < bytes.size()) {
            const auto next = boundary + first_unit(bytes.substr(boundary));
            if (next > most) break;
            boundary = next;
        }
        return boundary;
    }

   private:
    static std::size_t number(bytes_view bytes, std::size_t n) {
        std::size_t all = 0;
        for (std::size_t i = 0; i < n; ++i) all = all << 8 | static_cast<unsigned char>(bytes[i]);
        return all;
    }

    std::vector<bool> begun_[4], whole_[4];  // by length
};

const every_character& characters() {
    static const every_character all;
    return all;
}

// Number of questions about `bytes` that were answered wrongly.
std::size_t wrong_answers(bytes_view bytes) {
    const auto& truth = characters();
    std::size_t wrong = 0;
    if (utf8_valid(bytes) != truth.valid(bytes)) ++wrong;
    if (utf8_complete_prefix(bytes) != truth.complete_prefix(bytes)) ++wrong;
    for (std::size_t most = 0; most <= bytes.size(); ++most) {
        if (utf8_cut(bytes, most) != truth.cut(bytes, most)) ++wrong;
    }
    return wrong;
}

// The first and the last byte of every range that means something in UTF-8, and one from the middle of the large ones.
constexpr std::string_view telling(
    "\x00\x41\x7F\x80\x88\x8F\x90\x9F\xA0\xB0\xBF\xC0\xC1\xC2\xD0\xDF\xE0\xE1\xEC\xED\xEE\xEF\xF0\xF1\xF3\xF4\xF5\xFE"
    "\xFF",
    29);

// A text of characters of every length, with all the first and last ones of each.
std::string sample_text() {
    std::string text;
    for (const std::uint32_t point : {0x41U, 0x0U, 0x7FU, 0x80U, 0x7FFU, 0x800U, 0xFFFU, 0x1000U, 0xD7FFU, 0xE000U,
                                      0xFFFFU, 0x10000U, 0x3FFFFU, 0x40000U, 0xFFFFFU, 0x100000U, 0x10FFFFU, 0x42U}) {
        text += encoded(point);
    }
    return text;
}

}  // namespace

TEST_CASE(
    "utf8: every sequence of 1 and 2 bytes, and with every telling third one, is judged as the set of all characters "
    "says") {
    std::size_t wrong = 0;
    for (unsigned first = 0; first <= 0xFF; ++first) {
        for (unsigned second = 0; second <= 0xFF; ++second) {
            const char bytes[] = {static_cast<char>(first), static_cast<char>(second)};
            wrong += wrong_answers({bytes, 2});
            for (const char third : telling) {
                const char longer[] = {bytes[0], bytes[1], third};
                const bytes_view all(longer, 3);
                if (utf8_valid(all) != characters().valid(all)) ++wrong;
                if (utf8_complete_prefix(all) != characters().complete_prefix(all)) ++wrong;
            }
        }
        const char alone = static_cast<char>(first);
        wrong += wrong_answers({&alone, 1});
    }
    wrong += wrong_answers("");
    CHECK(wrong == 0);
}

TEST_CASE("utf8: every sequence of 4 telling bytes, and every cut of it, is judged as the set of all characters says") {
    std::size_t wrong = 0, valid = 0;
    for (const char a : telling) {
        for (const char b : telling) {
            for (const char c : telling) {
                for (const char d : telling) {
                    const char bytes[] = {a, b, c, d};
                    const bytes_view all(bytes, 4);
                    wrong += wrong_answers(all);
                    valid += utf8_valid(all) ? 1U : 0U;
                }
            }
        }
    }
    CHECK(wrong == 0);
    CHECK(valid > 1000);
}

TEST_CASE("utf8: random mixtures of characters and rubbish, longer than a machine word, are judged alike") {
    std::mt19937 random(10646);
    std::size_t wrong = 0, valid = 0;
    for (int round = 0; round < 5000; ++round) {
        std::string text;
        const bool with_rubbish = random() % 2 == 0;
        for (auto n = random() % 20; n > 0; --n) {
            if (with_rubbish && random() % 4 == 0) {
                text += telling[random() % telling.size()];
            } else if (random() % 3 == 0) {
                text += std::string(random() % 20, 'a');
            } else {
                const std::uint32_t point = static_cast<std::uint32_t>(random() % 0x110000) >> (random() % 21);
                text += encoded(point >= 0xD800 && point <= 0xDFFF ? 0x20AC : point);
            }
        }
        wrong += wrong_answers(text);
        valid += utf8_valid(text) ? 1U : 0U;
    }
    CHECK(wrong == 0);
    CHECK(valid > 1000);
}

TEST_CASE("utf8_valid: one wrong byte is found at every place of a long plain text") {
    for (std::size_t size = 1; size <= 40; ++size) {
        for (std::size_t at = 0; at < size; ++at) {
            std::string text(size, 'a');
            text[at] = '\x80';
            CHECK_FALSE(utf8_valid(text));
        }
    }
}

TEST_CASE(
    "utf8_complete_prefix: a text that arrives in any two pieces is handed on in valid ones, 3 bytes late at most") {
    const auto text = sample_text();
    for (std::size_t at = 0; at <= text.size(); ++at) {
        const auto first = bytes_view(text).substr(0, at);
        const auto given = utf8_complete_prefix(first);
        CHECK(first.size() - given <= 3);
        CHECK(utf8_valid(first.substr(0, given)));
        CHECK(utf8_valid(bytes_view(text).substr(given)));
    }
}

TEST_CASE("utf8_complete_prefix: bytes that nothing can make valid are not held back") {
    for (const bytes_view broken : {"\x80", "\xC0", "\xC1", "\xF5", "\xFF", "\xE0\x80", "\xED\xA0", "\xF0\x80",
                                    "\xF4\x90", "\x80\x80\x80\x80", "\xC3\x80\x80", "\xE2\x82\xAC\x80"}) {
        CHECK(utf8_complete_prefix(broken) == broken.size());
    }
}

TEST_CASE(
    "utf8_torn_prefix: what is left of a text after any cut begins with a character once the torn bytes are gone") {
    const auto text = sample_text();
    for (std::size_t at = 0; at <= text.size(); ++at) {
        const auto rest = bytes_view(text).substr(at);
        const auto torn = utf8_torn_prefix(rest);
        CHECK(torn <= 3);
        CHECK(utf8_valid(rest.substr(torn)));
        if (utf8_valid(rest)) CHECK(torn == 0);
    }
    CHECK(utf8_torn_prefix("") == 0);
    CHECK(utf8_torn_prefix("\x80\x80\x80\x80\x80") == 3);
}

TEST_CASE("utf8_cut: gives the longest piece that fits, and all of it where all of it fits") {
    CHECK(utf8_cut("abc", 2) == 2);
    CHECK(utf8_cut("abc", 3) == 3);
    CHECK(utf8_cut("abc", static_cast<std::size_t>(-1)) == 3);
    CHECK(utf8_cut("", 0) == 0);
    CHECK(utf8_cut("\u20AC\u20AC", 5) == 3);
    CHECK(utf8_cut("\u20AC\u20AC", 2) == 0);
    CHECK(utf8_cut("ab\xE2\x82", 4) == 4);  // it fits
    CHECK(utf8_cut("a\xE2\x82z", 3) == 3);  // never a character: nothing is split
    CHECK(utf8_cut("a\xE2\x82\xACz", 3) == 1);
}

TEST_SUITE("soak") {
    TEST_CASE("utf8: every sequence of 3 and of 4 bytes is judged as the set of all characters says") {
        std::size_t wrong = 0;
        for (std::uint64_t number = 0; number <= 0xFFFF'FFFF; ++number) {
            const char bytes[] = {static_cast<char>(number), static_cast<char>(number >> 8),
                                  static_cast<char>(number >> 16), static_cast<char>(number >> 24)};
            for (std::size_t size = number <= 0xFF'FFFF ? 3 : 4; size <= 4; ++size) {
                const bytes_view all(bytes, size);
                if (utf8_valid(all) != characters().valid(all)) ++wrong;
                if (utf8_complete_prefix(all) != characters().complete_prefix(all)) ++wrong;
            }
        }
        CHECK(wrong == 0);
    }
}
