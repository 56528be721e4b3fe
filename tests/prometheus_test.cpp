#include <doctest/doctest.h>

#include <exec/prometheus.h>
#include <exec/utf8.h>

#include <array>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

using exec::metric;
using exec::metric_label;
using exec::prometheus_metrics;

namespace {

constexpr std::array bounds{0.1, 1.0, 300.0};
constexpr metric calls{"t_calls_total", "Calls.", metric::kind::counter, {}};
constexpr metric running{"t_running", "Run now.", metric::kind::gauge, {}};
constexpr metric all_at_once{"t_all_at_once_total", "By many threads.", metric::kind::counter, {}};
constexpr metric took{"t_took_seconds", "How long.", metric::kind::histogram, bounds};

using labels = std::vector<metric_label>;

// What a server reads out of it. One mistake, and a server refuses all of it.
class scraped {
   public:
    explicit scraped(std::string_view text) {
        if (!exec::utf8_valid(text)) complain("no UTF-8", text);
        if (!text.empty() && text.back() != '\n') complain("the last line has no end", text);
        while (!text.empty()) {
            const auto end = text.find('\n');
            line(text.substr(0, end));
            text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
        }
    }
    const std::string& wrong() const noexcept { return wrong_; }
    std::size_t size() const noexcept { return samples_.size(); }
    // REQUIRES: written as it was told, `name{a="x",b="y"}`.
    double at(const std::string& sample) const {
        const auto there = samples_.find(sample);
        return there == samples_.end() ? std::nan("") : there->second;
    }
    // Of all samples of this name.
    double sum(const std::string& name) const {
        double all = 0;
        for (const auto& [sample, value] : samples_) {
            if (sample == name || sample.starts_with(name + "{")) all += value;
        }
        return all;
    }

   private:
    void complain(std::string_view what, std::string_view line) {
        wrong_.append(what).append(": ").append(line.substr(0, 200)) += "\n";
    }
    static bool name(std::string_view text, bool colons) {
        if (text.empty() || (text.front() >= '0' && text.front() <= '9')) return false;
        for (const char byte : text) {
            const bool letter = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || byte == '_';
            if (!letter && !(byte >= '0' && byte <= '9') && !(colons && byte == ':')) return false;
        }
        return true;
    }
    void line(std::string_view text) {
        if (text.starts_with("# HELP ")) return header(text, helps_);
        if (text.starts_with("# TYPE ")) return header(text, types_);
        if (text.starts_with("#") || text.empty()) return complain("neither HELP nor TYPE", text);
        const auto whole = text;
        const auto name_end = text.find_first_of("{ ");
        if (name_end == std::string_view::npos || !name(text.substr(0, name_end), true)) return complain("name", whole);
        if (!of_family(std::string(text.substr(0, name_end)))) complain("outside its family", whole);
        text.remove_prefix(name_end);
        if (text.front() == '{' && !take_labels(text)) return complain("labels", whole);
        if (text.empty() || text.front() != ' ') return complain("no blank before the value", whole);
        const std::string value(text.substr(1));
        char* end = nullptr;
        const double number = std::strtod(value.c_str(), &end);
        if (value.empty() || *end != '\0') complain("value", whole);
        const auto sample = whole.substr(0, whole.size() - value.size() - 1);
        if (!samples_.emplace(sample, number).second) complain("twice", whole);
    }
    void header(std::string_view text, std::set<std::string>& seen) {
        const auto rest = text.substr(7);
        family_ = rest.substr(0, rest.find(' '));
        if (!name(family_, true)) complain("name", text);
        if (!seen.insert(family_).second) complain("twice", text);
    }
    bool of_family(const std::string& name) const {
        if (name == family_) return true;
        for (const auto* part : {"_bucket", "_sum", "_count"}) {
            if (name == family_ + part) return true;
        }
        return false;
    }
    static bool take_labels(std::string_view& text) {
        std::set<std::string> names;
        do {
            text.remove_prefix(1);
            const auto equals = text.find('=');
            if (equals == std::string_view::npos || !name(text.substr(0, equals), false)) return false;
            if (!names.emplace(text.substr(0, equals)).second) return false;
            text.remove_prefix(equals + 1);
            if (text.empty() || text.front() != '"') return false;
            for (text.remove_prefix(1); !text.empty() && text.front() != '"'; text.remove_prefix(1)) {
                if (text.front() != '\\') continue;
                text.remove_prefix(1);
                if (text.empty() || std::string_view("\\\"n").find(text.front()) == std::string_view::npos)
                    return false;
            }
            if (text.empty()) return false;
            text.remove_prefix(1);
        } while (!text.empty() && text.front() == ',');
        if (text.empty() || text.front() != '}') return false;
        text.remove_prefix(1);
        return true;
    }

    std::string family_{};
    std::set<std::string> helps_{};
    std::set<std::string> types_{};
    std::map<std::string, double> samples_{};
    std::string wrong_{};
};

scraped read(const prometheus_metrics& from) {
    scraped page(from.text());
    CHECK(page.wrong() == "");
    return page;
}
double dropped(const prometheus_metrics& from) { return read(from).at("exec_metrics_dropped_total"); }

}  // namespace

TEST_CASE("prometheus: the page is this one, byte for byte") {
    prometheus_metrics counts;
    counts.record(running, 3, {});
    counts.record(running, -1, {});
    counts.record(calls, 1, labels{{"verb", "run"}, {"result", "ok"}});
    counts.record(calls, 2.5, labels{{"verb", "run"}, {"result", "ok"}});
    counts.record(calls, 0, labels{{"verb", "list"}, {"result", "denied"}});
    for (const double seconds : {0.05, 0.1, 0.5, 1e6}) counts.record(took, seconds, labels{{"kind", "ssh"}});
    CHECK(counts.text() ==
          "# HELP exec_metrics_dropped_total Records that fit no series: a bad name or number, or too many families.\n"
          "# TYPE exec_metrics_dropped_total counter\n"
          "exec_metrics_dropped_total 0\n"
          "# HELP t_calls_total Calls.\n"
          "# TYPE t_calls_total counter\n"
          "t_calls_total{result=\"denied\",verb=\"list\"} 0\n"
          "t_calls_total{result=\"ok\",verb=\"run\"} 3.5\n"
          "# HELP t_running Run now.\n"
          "# TYPE t_running gauge\n"
          "t_running 2\n"
          "# HELP t_took_seconds How long.\n"
          "# TYPE t_took_seconds histogram\n"
          "t_took_seconds_bucket{kind=\"ssh\",le=\"0.1\"} 2\n"
          "t_took_seconds_bucket{kind=\"ssh\",le=\"1\"} 3\n"
          "t_took_seconds_bucket{kind=\"ssh\",le=\"300\"} 3\n"
          "t_took_seconds_bucket{kind=\"ssh\",le=\"+Inf\"} 4\n"
          "t_took_seconds_sum{kind=\"ssh\"} 1000000.65\n"
          "t_took_seconds_count{kind=\"ssh\"} 4\n");
}

TEST_CASE("prometheus: one combination of labels is one series, in whatever order and with whatever empty labels") {
    prometheus_metrics counts;
    counts.record(calls, 1, labels{{"a", "x"}, {"b", "y"}});
    counts.record(calls, 1, labels{{"b", "y"}, {"a", "x"}});
    counts.record(calls, 1, labels{{"b", "y"}, {"c", ""}, {"a", "x"}});
    counts.record(calls, 1, labels{{"a", "y"}, {"b", "x"}});
    counts.record(calls, 1, labels{{"a", "x"}, {"c", "y"}});
    counts.record(calls, 1, labels{{"c", ""}});
    counts.record(calls, 1, {});
    const auto page = read(counts);
    CHECK(page.at("t_calls_total{a=\"x\",b=\"y\"}") == 3);
    CHECK(page.at("t_calls_total{a=\"y\",b=\"x\"}") == 1);
    CHECK(page.at("t_calls_total{a=\"x\",c=\"y\"}") == 1);
    CHECK(page.at("t_calls_total") == 2);
    CHECK(page.size() == 5);
}

TEST_CASE("prometheus: quotes, backslashes and line ends in a value or a help text end neither") {
    static constexpr metric odd{"t_odd", "a \\ b\nc \"d\"", metric::kind::gauge, {}};
    prometheus_metrics counts;
    counts.record(odd, 1, labels{{"v", "\"} 7\nt_odd{v=\\"}});
    CHECK(counts.text().find("# HELP t_odd a \\\\ b\\nc \"d\"\n") != std::string::npos);
    CHECK(read(counts).at("t_odd{v=\"\\\"} 7\\nt_odd{v=\\\\\"}") == 1);
}

TEST_CASE("prometheus: whoever makes up label values fills one series, and the sum of the family stays right") {
    prometheus_metrics counts({.families = 4, .series = 16});
    for (int i = 0; i < 10'000; ++i) {
        const auto made_up = std::to_string(i);
        counts.record(calls, 1, labels{{"who", made_up}});
        counts.record(took, 1, labels{{"who", made_up}});
    }
    const auto page = read(counts);
    CHECK(page.sum("t_calls_total") == 10'000);
    CHECK(page.at("t_calls_total{overflow=\"true\"}") == 10'000 - 16);
    CHECK(page.at("t_took_seconds_count{overflow=\"true\"}") == 10'000 - 16);
    CHECK(page.size() == 1 + 17 + 17 * 6);

    counts.record(calls, 5, labels{{"who", "3"}});
    CHECK(read(counts).at("t_calls_total{who=\"3\"}") == 6);
}

TEST_CASE("prometheus: labels that no series can have cost neither the page nor the count") {
    const std::string nine_names[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i"};
    labels nine;
    for (const auto& name : nine_names) nine.push_back({name, "x"});
    const std::string too_long(129, 'x');
    const std::vector<labels> hostile{
        {{"twice", "x"}, {"twice", "y"}},
        {{"twice", "x"}, {"other", "z"}, {"twice", "x"}},
        {{"", "x"}},
        {{"7up", "x"}},
        {{"a-b", "x"}},
        {{"a:b", "x"}},
        {{"a\n", "x"}},
        {{"__name__", "x"}},
        {{"overflow", "true"}},
        {{"v", "\xff"}},
        {{"v", "\xe2\x80"}},
        {{"v", std::string_view("\0", 1)}},
        {{"v", too_long}},
        nine,
    };
    prometheus_metrics counts;
    for (const auto& each : hostile) counts.record(calls, 1, each);
    const auto page = read(counts);
    CHECK(page.at("t_calls_total{overflow=\"true\"}") == static_cast<double>(hostile.size()));
    CHECK(page.size() == 2);

    counts.record(calls, 1, labels{{"le", "x"}});
    counts.record(took, 1, labels{{"le", "0.1"}});
    CHECK(read(counts).at("t_calls_total{le=\"x\"}") == 1);
    CHECK(read(counts).at("t_took_seconds_count{overflow=\"true\"}") == 1);
    nine.pop_back();
    counts.record(calls, 1, nine);
    counts.record(calls, 1, labels{{"v", std::string_view(too_long).substr(1)}});
    CHECK(read(counts).at("t_calls_total{overflow=\"true\"}") == static_cast<double>(hostile.size()));
}

TEST_CASE("prometheus: a number that is none changes nothing but the count of what was dropped") {
    constexpr auto infinite = std::numeric_limits<double>::infinity();
    prometheus_metrics counts;
    for (const auto* each : {&calls, &running, &took}) {
        counts.record(*each, 1, {});
        for (const double bad : {std::nan(""), infinite, -infinite}) counts.record(*each, bad, {});
    }
    counts.record(calls, -1, {});
    counts.record(took, -1, {});
    const auto page = read(counts);
    CHECK(page.at("t_calls_total") == 1);
    CHECK(page.at("t_running") == 1);
    CHECK(page.at("t_took_seconds_count") == 2);
    CHECK(page.at("t_took_seconds_sum") == 0);
    CHECK(page.at("exec_metrics_dropped_total") == 10);
}

TEST_CASE("prometheus: a family that would spoil the page is dropped as a whole") {
    static constexpr std::array falling{1.0, 0.5};
    static constexpr std::array twice{1.0, 1.0};
    static const std::array no_number{1.0, std::nan("")};
    static const std::vector<metric> bad{
        {"", "", metric::kind::counter, {}},
        {"a b", "", metric::kind::counter, {}},
        {"9a", "", metric::kind::counter, {}},
        {"t_help", "\xff", metric::kind::counter, {}},
        {"t_falling", "", metric::kind::histogram, falling},
        {"t_twice", "", metric::kind::histogram, twice},
        {"t_nan", "", metric::kind::histogram, no_number},
        {"exec_metrics_dropped_total", "", metric::kind::counter, {}},
        {"t_calls_total", "another kind", metric::kind::gauge, {}},
        {"t_took_seconds", "other bounds", metric::kind::histogram, std::span(bounds).first(1)},
        {"t_took_seconds_count", "a part of a histogram", metric::kind::counter, {}},
    };
    static constexpr metric part{"t_later_sum", "", metric::kind::gauge, {}};
    static constexpr metric later{"t_later", "its sum has a name already", metric::kind::histogram, bounds};
    prometheus_metrics counts;
    counts.record(calls, 1, {});
    counts.record(took, 1, {});
    counts.record(part, 1, {});
    counts.record(later, 1, {});
    for (const auto& each : bad) counts.record(each, 1, {});
    const auto page = read(counts);
    CHECK(page.at("exec_metrics_dropped_total") == static_cast<double>(bad.size()) + 1);
    CHECK(page.size() == 1 + 1 + 1 + 6);
}

TEST_CASE("prometheus: a name that two objects have, one in each library, is one family") {
    static constexpr metric again{"t_calls_total", "Calls.", metric::kind::counter, {}};
    prometheus_metrics counts;
    counts.record(calls, 1, {});
    counts.record(again, 1, {});
    CHECK(read(counts).at("t_calls_total") == 2);
}

TEST_CASE("prometheus: families beyond the bound are dropped, and those within it go on") {
    std::vector<std::string> names;
    for (int i = 0; i < 100; ++i) names.push_back("t_family_" + std::to_string(i));
    std::vector<metric> many;
    for (const auto& name : names) many.push_back({name, "", metric::kind::counter, {}});
    prometheus_metrics counts({.families = 3, .series = 1});
    for (int round = 0; round < 2; ++round) {
        for (const auto& each : many) counts.record(each, 1, {});
    }
    CHECK(dropped(counts) == 2 * 97);
    CHECK(read(counts).at("t_family_2") == 2);
    CHECK(read(counts).size() == 4);
}

TEST_CASE("prometheus: with no room at all it still counts what it drops") {
    prometheus_metrics no_families({.families = 0});
    no_families.record(calls, 1, {});
    CHECK(dropped(no_families) == 1);
    prometheus_metrics no_series({.series = 0});
    no_series.record(calls, 1, {});
    CHECK(read(no_series).at("t_calls_total{overflow=\"true\"}") == 1);
}

TEST_CASE("prometheus: many threads lose nothing, and a page that is read meanwhile is whole") {
    constexpr int threads = 8;
    constexpr int each = 5'000;
    constexpr int values = 24;  // more than there is room for
    prometheus_metrics counts({.families = 8, .series = 16});
    std::atomic<int> left{threads};
    std::vector<std::thread> all;
    for (int thread = 0; thread < threads; ++thread) {
        all.emplace_back([&, thread] {
            for (int i = 0; i < each; ++i) {
                const auto value = std::to_string((i + thread) % values);
                counts.record(calls, 1, labels{{"v", value}});
                counts.record(running, i % 2 == 0 ? 1.5 : -1.5, {});
                counts.record(took, 0.25 * (i % 8), labels{{"v", value}});
            }
            for (int i = 0; i < 20 * each; ++i) counts.record(all_at_once, 1, {});
            --left;
        });
    }
    std::string wrong;
    double before = 0;
    while (left > 0) {
        const scraped page(counts.text());
        wrong += page.wrong();
        if (page.sum("t_calls_total") < before) wrong += "a counter went back\n";
        before = page.sum("t_calls_total");
        for (int v = 0; v < values; ++v) {
            const auto value = std::to_string(v);
            const auto inf = page.at("t_took_seconds_bucket{v=\"" + value + "\",le=\"+Inf\"}");
            const auto count = page.at("t_took_seconds_count{v=\"" + value + "\"}");
            if (!(inf == count || (std::isnan(inf) && std::isnan(count)))) wrong += "buckets do not fit the count\n";
        }
    }
    for (auto& thread : all) thread.join();
    CHECK(wrong == "");
    const auto page = read(counts);
    CHECK(page.sum("t_calls_total") == threads * each);
    CHECK(page.at("t_running") == 0);
    CHECK(page.at("t_all_at_once_total") == threads * 20 * each);
    CHECK(page.sum("t_took_seconds_count") == threads * each);
    CHECK(page.sum("t_took_seconds_sum") == threads * each / 8 * 7.0);
    CHECK(dropped(counts) == 0);
}
