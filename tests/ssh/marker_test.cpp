#include "ssh/marker.h"

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

namespace {

using exec::ssh::marker_filter;
using exec::ssh::nonce;
using exec::ssh::refusal;
using exec::ssh::report;
using kind = exec::ssh::report::kind;

nonce mark_of(std::string_view hex) {
    nonce mark{};
    REQUIRE(hex.size() == mark.size());
    hex.copy(mark.data(), mark.size());
    return mark;
}

const std::string hex = "0123456789abcdef0123456789abcdef";
const std::string prefix = "\036" + hex + " ";

struct heard {
    std::vector<report> reports{};
    std::string output{};
    std::string order{};  // 'r' for a report, 'b' for a call with bytes
    std::string last_words{};

    bool operator==(const heard& other) const { return reports == other.reports && output == other.output; }
};

heard hear(const std::vector<std::string_view>& chunks) {
    marker_filter filter(mark_of(hex));
    heard all;
    for (const auto chunk : chunks) {
        filter.feed(
            chunk,
            [&](const report& said) {
                all.reports.push_back(said);
                all.order += 'r';
            },
            [&](exec::bytes_view bytes) {
                CHECK_FALSE(bytes.empty());
                CHECK(bytes.data() >= chunk.data());
                CHECK(bytes.data() + bytes.size() == chunk.data() + chunk.size());
                all.output += bytes;
                all.order += 'b';
            });
    }
    all.last_words = filter.last_words();
    return all;
}

report process(kind what, std::int64_t pid, bool leads) {
    report said;
    said.what = what;
    said.pid = pid;
    said.leads = leads;
    return said;
}

}  // namespace

TEST_CASE("marker: noise, pid, ready, go and output are told apart wherever the stream is cut") {
    // With bytes that begin like a marker in the noise, and markers in the output.
    const std::string noise = "motd \036\036" + hex.substr(0, 31) + "\n\036" + prefix.substr(0, 20) + "\n";
    const std::string output = std::string("a\0b\r\n", 5) + prefix + "go 5 leader\n" + prefix + "fail cwd none\n\036";
    const std::string stream = noise + prefix + "pid 4711 shared\r\nmore noise\036" + prefix + "ready 4711 shared\n" +
                               prefix + "go\n" + output;
    const heard whole = hear({stream});
    REQUIRE(whole.reports == std::vector<report>{process(kind::pid, 4711, false), process(kind::ready, 4711, false),
                                                 process(kind::go, 0, false)});
    REQUIRE(whole.output == output);
    CHECK(whole.order == "rrrb");

    const std::string_view all = stream;
    for (std::size_t first = 0; first <= all.size(); ++first) {
        for (std::size_t second = first; second <= all.size(); ++second) {
            const auto cut = hear({all.substr(0, first), all.substr(first, second - first), all.substr(second)});
            if (!(cut == whole)) {
                CAPTURE(first);
                CAPTURE(second);
                FAIL("cut differently");
            }
        }
    }
    std::vector<std::string_view> bytes;
    for (std::size_t at = 0; at < all.size(); ++at) bytes.push_back(all.substr(at, 1));
    CHECK(hear(bytes) == whole);
}

TEST_CASE("marker: go carries the pid where there was nothing to prepare") {
    CHECK(hear({prefix + "go 4711 leader\n"}).reports == std::vector<report>{process(kind::go, 4711, true)});
    CHECK(hear({prefix + "go 4711 shared\r\n"}).reports == std::vector<report>{process(kind::go, 4711, false)});
}

TEST_CASE("marker: a refusal names what and why, and nothing after it is output") {
    const auto refused = [](const std::string& words) {
        const auto all = hear({prefix + words + "\nsh: gone\n" + prefix + "go\nout"});
        CHECK(all.output == "");
        REQUIRE(all.reports.size() == 1);
        CHECK(all.reports[0].what == kind::refused);
        return std::make_pair(all.reports[0].at, all.reports[0].os_error);
    };
    CHECK(refused("fail program none") == std::make_pair(refusal::program, ENOENT));
    CHECK(refused("fail program denied") == std::make_pair(refusal::program, EACCES));
    CHECK(refused("fail cwd notdir") == std::make_pair(refusal::cwd, ENOTDIR));
    CHECK(refused("fail terminal none") == std::make_pair(refusal::terminal, ENOENT));
    CHECK(refused("fail environment denied") == std::make_pair(refusal::environment, EACCES));
}

TEST_CASE("marker: the nonce with other words around it, as a shell that traces itself prints, is noise") {
    for (const std::string words : {"go $$ $exec_m\" >&2; exec \"$@\"",
                                    "go\"; exec",
                                    "go 12x leader",
                                    "go 12 leade",
                                    "go 12 leader ",
                                    "go  12 leader",
                                    "go 12",
                                    "go -12 leader",
                                    "go 0 leader",
                                    "go 1 leader",
                                    "go +12 leader",
                                    "go 99999999999999999999 leader",
                                    "pid",
                                    "pid 12",
                                    "ready",
                                    "ready 12",
                                    "Go",
                                    "",
                                    "fail",
                                    "fail program",
                                    "fail program maybe",
                                    "fail x none",
                                    "go\r\r",
                                    "go 12 leader\r\r",
                                    "pid 12 leader extra"}) {
        CAPTURE(words);
        const auto all = hear({prefix + words + "\n", prefix + "go 12 leader\nout"});
        CHECK(all.reports == std::vector<report>{process(kind::go, 12, true)});
        CHECK(all.output == "out");
    }
    const auto foreign = "\036ffffffffffffffffffffffffffffffff go 12 leader\n";
    CHECK(hear({foreign}).reports.empty());
    const auto endless = prefix + std::string(5000, 'x') + prefix + "go\nout";
    CHECK(hear({endless}).output == "out");
}

TEST_CASE("marker: the last words are the end of the noise, those between pid and go included, and gone at go") {
    CHECK(hear({"sh: no such\n"}).last_words == "sh: no such\n");
    CHECK(hear({"a\n" + prefix + "pid 12 leader\nb\n"}).last_words == "a\nb\n");
    CHECK(hear({prefix + "fail cwd none\n"}).last_words == "");
    CHECK(hear({"a\n" + prefix + "go\n"}).last_words == "");
    CHECK(hear({"a\n" + prefix.substr(0, 5) + "\n"}).last_words == "a\n" + prefix.substr(0, 5) + "\n");
    std::string much;
    for (int line = 0; line < 3000; ++line) much += std::to_string(line) + "\n";
    std::vector<std::string_view> pieces;
    for (std::size_t at = 0; at < much.size(); at += 7) pieces.push_back(std::string_view(much).substr(at, 7));
    for (const auto& all : {hear({much}), hear(pieces)}) {
        CHECK(all.last_words == much.substr(much.size() - marker_filter::max_last_words));
    }
}

TEST_CASE("marker: a megabyte of noise is too much, said once, and nothing is output after it") {
    const std::string most(marker_filter::max_noise, 'n');
    const auto enough = hear({most, prefix + "go\nout"});
    CHECK(enough.output == "out");

    const auto lost = hear({most, "n", prefix + "go\nout"});
    REQUIRE(lost.reports.size() == 1);
    CHECK(lost.reports[0] == report{});
    CHECK(lost.reports[0].what == kind::lost);
    CHECK(lost.output == "");
    CHECK(lost.last_words.size() == marker_filter::max_last_words);

    // Also noise that never stops to look like a marker.
    std::string teasing;
    while (teasing.size() <= marker_filter::max_noise + 100) teasing += "\036";
    CHECK(hear({teasing}).reports == std::vector<report>{report{}});
}
