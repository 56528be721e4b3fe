// How fast is 1 MiB of arguments quoted?
#include "exec/quote.h"

#include <string>

#include "harness/report.h"
#include "harness/rounds.h"
#include "harness/usage.h"
#include "sides/quoting_peers.h"

namespace {

constexpr std::size_t all = 1 << 20;
enum figure { speed, heap };

// Arguments of `size` bytes that begin like `text` repeated.
std::vector<std::string> arguments(std::size_t size, const std::string& text) {
    std::string word;
    while (word.size() < size) word += text;
    word.resize(size);
    return std::vector<std::string>(all / size, word);
}

struct subject {
    const char* name;
    exec::argv words;
    std::vector<std::string> same;
};

bench::turn quoting(const std::function<std::size_t()>& once) {
    return [once](bool) -> std::vector<double> {
        const auto before = bench::allocations();
        const auto began = bench::now();
        std::size_t written = 0;
        const auto times = bench::repeat_for(bench::seconds(0.03), [&] { written += once(); });
        const auto took = bench::now() - began;
        if (written < times * all) return {0, 0};  // not built, or it lost something
        const auto each = static_cast<double>(times);
        return {each * static_cast<double>(all) / took / 1e9,
                static_cast<double>(bench::allocations() - before) / each};
    };
}

subject make(const char* name, std::size_t size, const std::string& text) {
    auto same = arguments(size, text);
    return {name, exec::argv::make(same, {.max_words = all, .max_word_bytes = 2 * all, .max_bytes = 4 * all}).value(),
            std::move(same)};
}

}  // namespace

int main(int argc, char** argv) {
    bench::report report("quote", "1 MiB of arguments as one line for a shell", argc, argv);
    const subject subjects[] = {make("plain text, 64 KiB words", 65536, "the quick brown fox jumps over the lazy dog "),
                                make("plain text, 64 B words", 64, "the quick brown fox jumps over the lazy dog "),
                                make("a quote in ten bytes", 65536, "it's  it's")};
    std::vector<bench::turn> turns;
    for (const auto& one : subjects) {
        turns.push_back(quoting([&] {
            std::string copy;
            copy.reserve(2 * all);
            for (const auto& word : one.same) copy += word;
            return copy.size();
        }));
        turns.push_back(quoting([&] { return exec::join(one.words, exec::dialect::posix).value().size(); }));
        turns.push_back(quoting([&] { return exec::join(one.words).value().size(); }));
        turns.push_back(quoting([&] { return bench::quote_by_glib(one.same); }));
    }
    const auto got = bench::in_turns(report.rounds(7), turns);

    report.column("GB/s", 2);
    report.column("allocations", 1);
    const std::pair<const char*, bench::kind> sides[] = {{"copied", bench::kind::floor},
                                                         {"exec::join, posix", bench::kind::ours},
                                                         {"exec::join, universal", bench::kind::ours},
                                                         {"GLib, g_shell_quote", bench::kind::peer}};
    for (std::size_t i = 0; i < turns.size(); ++i) {
        if (bench::median(got[i][speed]) == 0) continue;
        report.row(std::string(subjects[i / 4].name) + ": " + sides[i % 4].first, sides[i % 4].second,
                   {bench::median(got[i][speed]), bench::median(got[i][heap])});
    }
    report.at_least("plain text, 64 KiB words, GB/s", bench::median(got[2][speed]), 1);
    report.at_least("plain text, 64 B words, GB/s", bench::median(got[6][speed]), 1);
    report.at_most("allocations", bench::median(got[2][heap]), 1);
    return report.finish();
}
