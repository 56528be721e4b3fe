#include "wire/decoded.h"

#include <doctest/doctest.h>

#include <algorithm>

namespace test {

std::string from_base64(std::string_view text) {
    constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string bytes;
    REQUIRE(text.size() % 4 == 0);
    for (; !text.empty(); text.remove_prefix(4)) {
        std::uint32_t four = 0;
        std::size_t pads = 0;
        for (const char digit : text.substr(0, 4)) {
            const auto value = digits.find(digit);
            if (value == std::string_view::npos) {
                REQUIRE(digit == '=');
                ++pads;
            } else {
                REQUIRE(pads == 0);
            }
            four = four << 6U | (value == std::string_view::npos ? 0U : static_cast<std::uint32_t>(value));
        }
        REQUIRE(pads <= 2);
        REQUIRE((pads == 0 || text.size() == 4));
        for (std::size_t i = 0; i < 3 - pads; ++i) bytes += static_cast<char>(four >> (16U - 8U * i) & 0xFFU);
    }
    return bytes;
}

namespace {

void take(heard& of, const nlohmann::json& frame) {
    REQUIRE_FALSE(of.truncated);  // that was the last one
    ++of.frames;
    REQUIRE(frame.at("offset").get<std::uint64_t>() == of.next);
    if (frame.contains("gap")) {
        REQUIRE(frame.at("truncated") == true);
        REQUIRE(frame.at("data") == "");
        const auto missing = frame.at("gap").get<std::uint64_t>();
        REQUIRE(missing > 0);
        of.gaps.emplace_back(of.next, missing);
        of.next += missing;
        return;
    }
    auto data = frame.at("data").get<std::string>();
    if (frame.contains("encoding")) {
        REQUIRE(frame.at("encoding") == "base64");
        of.texts_only = false;
        data = from_base64(data);
    }
    const auto began = of.next;
    of.bytes += data;
    of.next += data.size();
    of.largest = std::max(of.largest, data.size());
    if (frame.at("truncated") == true) {
        of.truncated = true;
        of.total = frame.at("total").get<std::uint64_t>();
        REQUIRE(of.total > began);  // a marker takes more bytes than it stands for
    } else {
        REQUIRE_FALSE(data.empty());
    }
}

}  // namespace

decoded decode(std::string_view body, const char* name) {
    decoded all;
    while (!body.empty()) {
        const auto end = body.find('\n');
        REQUIRE(end != std::string_view::npos);
        const auto line = body.substr(0, end);
        REQUIRE(std::all_of(line.begin(), line.end(), [](char byte) { return (byte & 0xE0) != 0 && byte != '\x7f'; }));
        body.remove_prefix(end + 1);
        const auto& frame = all.lines.emplace_back(nlohmann::json::parse(line));
        REQUIRE(frame.is_object());
        const auto which = frame.value(name, std::string());
        if (which == "stdout") take(all.out, frame);
        if (which == "stderr") take(all.err, frame);
    }
    return all;
}

}  // namespace test
