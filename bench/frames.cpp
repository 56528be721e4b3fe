// How fast does 1 MiB of output become NDJSON?
#include "exec/wire/frames.h"

#include <functional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "harness/report.h"
#include "harness/rounds.h"
#include "harness/usage.h"

namespace {

constexpr std::size_t all = 1 << 20;
constexpr std::size_t piece = 1 << 16;  // what a pipe gives at a time, and what is in one frame
enum figure { speed, growth };

std::string filled(const std::vector<std::string_view>& lines) {
    std::mt19937 random(1);
    std::string text;
    while (text.size() < all + 64) text += lines[random() % lines.size()];
    // Cut where every corpus may be cut: at the end of a line.
    text.resize(text.rfind('\n', all) + 1);
    return text;
}

std::string random_bytes() {
    std::mt19937 random(1);
    std::string bytes(all, '\0');
    for (auto& byte : bytes) byte = static_cast<char>(random());
    return bytes;
}

struct corpus {
    const char* name;
    std::string bytes;
};

// GB/s of output taken in, and bytes written for each of them.
bench::turn writing(const std::string& bytes, const std::function<void(std::string&)>& once) {
    return [&bytes, once](bool) -> std::vector<double> {
        std::string out;
        const auto began = bench::now();
        const auto times = bench::repeat_for(bench::seconds(0.03), [&] {
            out.clear();
            once(out);
        });
        const auto took = bench::now() - began;
        if (out.size() < bytes.size()) return {0, 0};  // it lost something
        return {static_cast<double>(times * bytes.size()) / took / 1e9,
                static_cast<double>(out.size()) / static_cast<double>(bytes.size())};
    };
}

template <class Each>
void in_pieces(std::string_view bytes, Each&& each) {
    for (std::size_t at = 0; at < bytes.size(); at += piece) each(at, bytes.substr(at, piece));
}

}  // namespace

int main(int argc, char** argv) {
    bench::report report("frames", "1 MiB of output, in pieces of 64 KiB, as NDJSON frames", argc, argv);
    const corpus corpora[] = {
        {"plain text",
         filled({"the quick brown fox jumps over the lazy dog and runs on for as long as the line is wide, "
                 "as text without any mark in it does when nobody breaks it into lines\n"})},
        {"build log",
         filled({"[ 42%] Building CXX object src/CMakeFiles/exec_core.dir/process/supervisor.cpp.o\n",
                 "/usr/include/c++/12/bits/stl_vector.h:1123: warning: comparison of \"int\" and \"unsigned\"\n",
                 "make[2]: Entering directory '/srv/build/project/src'\n", "   ~~~^~~~~\n"})},
        {"ANSI log", filled({"\x1b[32mPASS\x1b[0m \x1b[2msrc/\x1b[22mparser.test\x1b[90m (12 ms)\x1b[0m\n",
                             "\x1b[1m\x1b[31mFAIL\x1b[39m\x1b[22m render: expected 3, got 4\n"})},
        {"mixed UTF-8", filled({"編集中のファイルを保存しました 漢字かな交じり文\n", "Сборка завершена без ошибок\n",
                                "naïve café – déjà vu 😀🎉 “ok”\n", "plain words between them\n"})},
        {"random bytes", random_bytes()}};

    std::vector<bench::turn> turns;
    for (const auto& one : corpora) {
        turns.push_back(writing(one.bytes, [&one](std::string& out) { out += one.bytes; }));
        turns.push_back(writing(one.bytes, [&one](std::string& out) {
            exec::wire::frame_writer frames;
            in_pieces(one.bytes, [&](std::size_t at, std::string_view bytes) {
                frames.output(exec::stream::out, at, bytes, out);
            });
            std::move(frames).end(out, [](std::string& to) { to += R"("exit_code":0)"; });
        }));
        // What it is given is replaced where it is no UTF-8: its frames do not give those bytes back.
        turns.push_back(writing(one.bytes, [&one](std::string& out) {
            in_pieces(one.bytes, [&](std::size_t at, std::string_view bytes) {
                const nlohmann::json frame{{"stream", "stdout"}, {"offset", at}, {"data", bytes}, {"truncated", false}};
                out += frame.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
                out += '\n';
            });
        }));
    }
    const auto got = bench::in_turns(report.rounds(7), turns);

    report.column("GB/s", 2);
    report.column("bytes a byte", 2);
    report.column("to nlohmann", 1);
    report.column("to memcpy", 3);
    const std::pair<const char*, bench::kind> sides[] = {{"copied", bench::kind::floor},
                                                         {"exec::wire::frame_writer", bench::kind::ours},
                                                         {"nlohmann-json, dump", bench::kind::peer}};
    for (std::size_t i = 0; i < turns.size(); ++i) {
        const auto first = i / 3 * 3;
        report.row(
            std::string(corpora[i / 3].name) + ": " + sides[i % 3].first, sides[i % 3].second,
            {bench::median(got[i][speed]), bench::median(got[i][growth]),
             bench::ratio(got[i][speed], got[first + 2][speed]), bench::ratio(got[i][speed], got[first][speed])});
    }
    report.at_least("plain text, GB/s", bench::median(got[1][speed]), 2);
    report.stretch("build log, GB/s", bench::median(got[4][speed]), 2, true);
    report.at_least("build log, to nlohmann", bench::ratio(got[4][speed], got[5][speed]), 4);
    report.at_least("mixed UTF-8, GB/s", bench::median(got[10][speed]), 0.3);
    report.at_least("random bytes, to nlohmann", bench::ratio(got[13][speed], got[14][speed]), 8);
    return report.finish();
}
