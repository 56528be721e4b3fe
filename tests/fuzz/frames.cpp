// Any bytes in any pieces with any gaps: every line is JSON for nlohmann-json, and the frames give the bytes back.
#include <exec/utf8.h>
#include <exec/wire/frames.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace {

using namespace exec;

void demand(bool condition) {
    if (!condition) std::abort();
}

std::string from_base64(std::string_view text) {
    constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string bytes;
    std::uint32_t held = 0;
    unsigned bits = 0;
    for (const char digit : text) {
        const auto value = digits.find(digit);
        if (value == std::string_view::npos) break;
        held = held << 6U | static_cast<std::uint32_t>(value);
        bits += 6;
        if (bits >= 8) bytes += static_cast<char>(held >> (bits -= 8) & 0xFFU);
    }
    return bytes;
}

// What a reader of one stream has: all that was fed, with '?' for what is missing.
struct reader {
    std::string bytes{};
    bool ended = false;

    void take(const nlohmann::json& frame) {
        demand(!ended);
        demand(frame.at("offset") == bytes.size());
        if (frame.contains("gap")) bytes.append(frame.at("gap").get<std::size_t>(), '?');
        const auto data = frame.at("data").get<std::string>();
        bytes += frame.contains("encoding") ? from_base64(data) : data;
        if (frame.contains("total")) {
            ended = true;
            demand(frame.at("total") > bytes.size());
            bytes.resize(frame.at("total").get<std::size_t>(), '?');
        }
    }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 1) return 0;
    wire::frame_writer frames({.max_raw = data[0]});
    std::string out, fed[2];
    for (std::size_t i = 1; i < size;) {
        const auto which = data[i] & 1U;
        const auto from = static_cast<stream>(which);
        const std::size_t count = data[i] >> 2U;
        const bool is_gap = (data[i++] & 2U) != 0;
        if (is_gap) {
            frames.gap(from, fed[which].size(), count);
            fed[which].append(count, '?');
        } else {
            const std::string piece(reinterpret_cast<const char*>(data) + i, std::min(count, size - i));
            i += piece.size();
            frames.output(from, fed[which].size(), piece, out);
            fed[which] += piece;
        }
    }
    for (const auto which : {0U, 1U}) demand(frames.total(static_cast<stream>(which)) == fed[which].size());
    std::move(frames).end(out, [](std::string& to) { to += R"("end":true)"; });

    reader readers[2];
    std::size_t ends = 0;
    for (std::string_view rest = out; !rest.empty();) {
        const auto end = rest.find('\n');
        demand(end != rest.npos && ends == 0);
        demand(utf8_valid(rest.substr(0, end)));
        const auto frame = nlohmann::json::parse(rest.substr(0, end), nullptr, false);
        demand(frame.is_object());
        rest.remove_prefix(end + 1);
        if (frame.contains("end")) {
            ++ends;
        } else {
            readers[frame.at("stream") == "stderr"].take(frame);
        }
    }
    demand(ends == 1);
    demand(readers[0].bytes == fed[0] && readers[1].bytes == fed[1]);
    return 0;
}
