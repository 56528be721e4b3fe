#include "harness/report.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "harness/json.h"
#include "harness/known.h"
#include "harness/machine.h"

namespace bench {
namespace {

const char* name(kind what) noexcept {
    switch (what) {
        case kind::floor: return "floor";
        case kind::peer: return "peer";
        case kind::ours: return "ours";
    }
    return "";
}

std::string digits(double value, int count) {
    char text[64];
    std::snprintf(text, sizeof text, "%.*f", count, value);
    return text;
}

// Characters, not bytes: continuation bytes of UTF-8 take no room.
int width(std::string_view text) noexcept {
    return static_cast<int>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

}  // namespace

report::report(std::string name, std::string title, int argc, char** argv)
    : name_(std::move(name)), title_(std::move(title)) {
    for (int i = 1; i < argc; ++i) {
        const std::string_view option(argv[i]);
        if (option == "--json" && i + 1 < argc) {
            json_ = argv[++i];
        } else if (option == "--rounds" && i + 1 < argc && std::atoi(argv[i + 1]) > 0) {
            rounds_ = static_cast<std::size_t>(std::atoi(argv[++i]));
        } else {
            std::fprintf(stderr, "usage: %s [--json FILE] [--rounds N]\n", argv[0]);
            std::exit(2);
        }
    }
}

void report::column(std::string text, int digits) { columns_.push_back({std::move(text), digits}); }

void report::row(std::string side, kind what, std::vector<std::optional<double>> values) {
    values.resize(columns_.size());
    rows_.push_back({std::move(side), what, std::move(values)});
}

void report::target(std::string what, double got, double wanted, bool at_least) {
    auto is = verdict::met;
    if (at_least ? got < wanted : got > wanted) {
        const auto accepted = accepted_by_known(name_ + ": " + what);
        is = accepted && (at_least ? got >= *accepted : got <= *accepted) ? verdict::known : verdict::missed;
    }
    aims_.push_back({std::move(what), got, wanted, at_least, is});
}

void report::stretch(std::string what, double got, double wanted, bool at_least) {
    const bool met = at_least ? got >= wanted : got <= wanted;
    aims_.push_back({std::move(what), got, wanted, at_least, met ? verdict::met : verdict::stretch});
}

void report::print() const {
    std::printf("%s: %s\n\n", name_.c_str(), title_.c_str());
    int first = 0;
    for (const auto& row : rows_) first = (std::max)(first, width(row.side));
    std::vector<int> widths;
    for (const auto& column : columns_) widths.push_back((std::max)(width(column.text), 8));

    std::printf("       %-*s", first, "");
    for (std::size_t i = 0; i < columns_.size(); ++i) {
        std::printf("  %*s%s", widths[i] - width(columns_[i].text), "", columns_[i].text.c_str());
    }
    std::printf("\n");
    for (const auto& row : rows_) {
        std::printf("%-5s  %s%*s", name(row.what), row.side.c_str(), first - width(row.side), "");
        for (std::size_t i = 0; i < row.values.size(); ++i) {
            const auto text = row.values[i] ? digits(*row.values[i], columns_[i].digits) : "-";
            std::printf("  %*s", widths[i], text.c_str());
        }
        std::printf("\n");
    }
    std::printf("\n");
    for (const auto& aim : aims_) {
        static constexpr const char* words[] = {"met", "known", "MISSED", "stretch"};
        std::printf("%-7s  %s: %s, wanted %s %s\n", words[static_cast<int>(aim.is)], aim.what.c_str(),
                    digits(aim.got, 3).c_str(), aim.at_least ? ">=" : "<=", digits(aim.wanted, 2).c_str());
    }
    for (const auto& line : notes_) std::printf("note     %s\n", line.c_str());
    std::printf("\n");
}

void report::write_json() const {
    json out;
    out.begin('{').key("bench").text(name_).key("title").text(title_);
    write_machine(out.key("machine"));
    out.key("columns").begin('[');
    for (const auto& column : columns_) out.text(column.text);
    out.end(']').key("rows").begin('[');
    for (const auto& row : rows_) {
        out.begin('{').key("side").text(row.side).key("kind").text(name(row.what)).key("values").begin('[');
        for (const auto& value : row.values) value ? out.number(*value) : out.null();
        out.end(']').end('}');
    }
    out.end(']').key("targets").begin('[');
    for (const auto& aim : aims_) {
        static constexpr const char* words[] = {"met", "known", "missed", "stretch"};
        out.begin('{').key("what").text(aim.what).key("got").number(aim.got);
        out.key("wanted").text((aim.at_least ? ">= " : "<= ") + digits(aim.wanted, 2));
        out.key("verdict").text(words[static_cast<int>(aim.is)]).end('}');
    }
    out.end(']').key("notes").begin('[');
    for (const auto& line : notes_) out.text(line);
    out.end(']').end('}');

    std::FILE* file = std::fopen(json_.c_str(), "w");
    if (file == nullptr || std::fputs((out.str() + "\n").c_str(), file) < 0 || std::fclose(file) != 0) {
        std::perror(json_.c_str());
        std::exit(2);
    }
}

int report::finish() {
    const double load = load_of_machine();
    const double cores = static_cast<double>(::sysconf(_SC_NPROCESSORS_ONLN));
    if (load > cores) {
        note("load " + digits(load, 1) + " on " + digits(cores, 0) +
             " cores: others were measured as well, most of all where a child has a session and so a scheduling group "
             "of "
             "its own");
    }
    print();
    if (!json_.empty()) write_json();
    const bool missed =
        std::any_of(aims_.begin(), aims_.end(), [](const goal& one) { return one.is == verdict::missed; });
    return missed ? 1 : 0;
}

void report::skip(const std::string& why) const {
    std::printf("%s: %s\nSKIP: %s\n", name_.c_str(), title_.c_str(), why.c_str());
    std::exit(0);
}

}  // namespace bench
