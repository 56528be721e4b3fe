// Words that quoting has to survive: systematic ones, and random ones of four kinds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace test {

// Bytes that mean something to some shell, in some place.
inline constexpr std::string_view special =
    "'\"\\!$`*?[]{}()<>|&;~#=%^@+-:,./ \t\n\r\x01\x1b\x7f\x80\xa0\xc3\xa9\xff_0aA";

std::string utf8(char32_t code_point);

// Every byte but NUL: alone, doubled, between letters, and before and after every special one.
std::vector<std::string> every_byte_in_context();
// One word for each code point of the first plane but NUL, where shells keep their inner marks, and some of the others.
std::vector<std::string> every_code_point();
// What has been mistaken for something else before.
const std::vector<std::string>& notorious();

class random_words {
   public:
    explicit random_words(std::uint64_t seed) : engine_(seed) {}
    std::string word();
    std::vector<std::string> vector();  // 1 to 8 words
    std::size_t below(std::size_t bound) { return static_cast<std::size_t>(engine_() % bound); }

   private:
    std::mt19937_64 engine_;
};

// EXEC_TEST_SEED where it is set, else `fallback`.
std::uint64_t seed(std::uint64_t fallback);

}  // namespace test
