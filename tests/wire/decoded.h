// NDJSON, read back by somebody else's parser.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace test {

// What a reader of the frames of one stream knows at the end.
struct heard {
    std::string bytes{};  // without what is missing
    std::uint64_t next = 0;
    std::vector<std::pair<std::uint64_t, std::uint64_t>> gaps{};  // in the middle: offset, length
    bool truncated = false;                                       // at the end
    std::uint64_t total = 0;                                      // set if it is
    bool texts_only = true;                                       // no frame was base64
    std::size_t frames = 0;
    std::size_t largest = 0;  // raw bytes of one frame
};

struct decoded {
    heard out{}, err{};
    std::vector<nlohmann::json> lines{};  // all of them
    const nlohmann::json& last() const { return lines.back(); }
};

// Fails the test case where a line is no JSON, is not one line, or says what cannot be.
// `name`: the member that names the stream.
decoded decode(std::string_view body, const char* name = "stream");

std::string from_base64(std::string_view text);

}  // namespace test
