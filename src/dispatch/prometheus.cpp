#include "exec/prometheus.h"

#include <exec/utf8.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

namespace exec::inline v0 {
namespace {

constexpr std::size_t most_labels = 8;
constexpr std::size_t most_value_bytes = 128;
constexpr std::size_t cache_line = 64;

constexpr metric dropped_records{"exec_metrics_dropped_total",
                                 "Records that fit no series: a bad name or number, or too many families.",
                                 metric::kind::counter,
                                 {}};

// ---- numbers -----------------------------------------------------------------------------------------------------------

// A sum to which many threads add at once. Whole numbers, which nearly all are, never have to try again.
class sum {
   public:
    void add(double value) noexcept {
        constexpr double exact = 9'007'199'254'740'992;  // 2^53: whole numbers beyond it have gaps
        if (std::fabs(value) <= exact && std::trunc(value) == value) {
            whole_.fetch_add(static_cast<std::int64_t>(value), std::memory_order_relaxed);
        } else {
            rest_.fetch_add(value, std::memory_order_relaxed);
        }
    }
    double value() const noexcept {
        return static_cast<double>(whole_.load(std::memory_order_relaxed)) + rest_.load(std::memory_order_relaxed);
    }

   private:
    std::atomic<std::int64_t> whole_{0};
    std::atomic<double> rest_{0};
};

// ---- labels ------------------------------------------------------------------------------------------------------------

bool is_name(std::string_view name, bool colons) noexcept {
    const auto fits = [colons](char byte) {
        return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || byte == '_' || (colons && byte == ':') ||
               (byte >= '0' && byte <= '9');
    };
    return !name.empty() && !(name.front() >= '0' && name.front() <= '9') &&
           std::all_of(name.begin(), name.end(), fits);
}

// Sorted by name. Borrowed: valid during one record().
class label_set {
   public:
    explicit label_set(std::span<const metric_label> given) noexcept {
        for (const auto& each : given) {
            if (each.value.empty()) continue;  // to a server that is the same as none
            fit_ = count_ < most_labels && each.value.size() <= most_value_bytes && insert(each);
            if (!fit_) break;
        }
    }
    // Whether a series can have so many, of that size. Of those that one has, the next question is answered as well.
    bool fit() const noexcept { return fit_; }
    bool may_be_told(metric::kind of) const noexcept {
        return std::all_of(all().begin(), all().end(),
                           [of](const metric_label& each) { return may_be_told(each, of); });
    }
    std::span<const metric_label> all() const noexcept { return {all_.data(), count_}; }
    std::size_t hash() const noexcept {
        std::size_t mixed = 0;
        for (const auto& [name, value] : all()) {
            mixed = mixed * 31 + std::hash<std::string_view>{}(value);
            mixed ^= name.size() * 0x9E37'79B9;
        }
        return mixed;
    }

   private:
    static bool may_be_told(const metric_label& each, metric::kind of) noexcept {
        return is_name(each.name, false) && !each.name.starts_with("__") && each.name != "overflow" &&
               !(of == metric::kind::histogram && each.name == "le") && utf8_valid(each.value) &&
               each.value.find('\0') == std::string_view::npos;
    }
    // False, if its name is there already.
    bool insert(const metric_label& each) noexcept {
        auto at = count_++;
        for (; at > 0 && each.name < all_[at - 1].name; --at) all_[at] = all_[at - 1];
        all_[at] = each;
        return at == 0 || all_[at - 1].name != each.name;
    }

    std::array<metric_label, most_labels> all_{};
    std::size_t count_ = 0;
    bool fit_ = true;
};

// ---- text --------------------------------------------------------------------------------------------------------------

void append_number(std::string& out, double value) {
    std::array<char, 32> text;  // the shortest form that reads back has at most 24
    out.append(text.data(), std::to_chars(text.data(), text.data() + text.size(), value).ptr);
}
void append_number(std::string& out, std::uint64_t value) {
    std::array<char, 20> text;  // 18446744073709551615
    out.append(text.data(), std::to_chars(text.data(), text.data() + text.size(), value).ptr);
}

// Backslash and line feed, and in a label's value the quote.
void append_escaped(std::string& out, std::string_view text, bool quoted) {
    for (const char byte : text) {
        switch (byte) {
            case '\\': out += "\\\\"; break;
            case '\n': out += "\\n"; break;
            case '"': out += quoted ? "\\\"" : "\""; break;
            default: out += byte; break;
        }
    }
}

std::string told(std::span<const metric_label> labels) {
    std::string text;
    for (const auto& [name, value] : labels) {
        text.append(text.empty() ? "" : ",").append(name).append("=\"");
        append_escaped(text, value, true);
        text += '"';
    }
    return text;
}

// `name{labels,more} `: what stands before a number.
void append_sample(std::string& out, std::string_view name, std::string_view suffix, std::string_view labels,
                   std::string_view more = {}) {
    out.append(name).append(suffix);
    if (!labels.empty() || !more.empty()) {
        out.append("{").append(labels).append(labels.empty() || more.empty() ? "" : ",").append(more) += '}';
    }
    out += ' ';
}

// ---- series ------------------------------------------------------------------------------------------------------------

// One combination of label values. A neighbour's adding does not slow its own.
class alignas(cache_line) series {
   public:
    series(std::span<const metric_label> labels, std::size_t buckets) : buckets_(buckets), text_(told(labels)) {
        for (const auto& [name, value] : labels) labels_.emplace_back(name, value);
    }
    static series overflow(std::size_t buckets) {
        constexpr std::array mark{metric_label{"overflow", "true"}};
        return series(mark, buckets);
    }

    bool has(std::span<const metric_label> labels) const noexcept {
        return std::equal(
            labels.begin(), labels.end(), labels_.begin(), labels_.end(),
            [](const metric_label& a, const auto& b) { return a.value == b.second && a.name == b.first; });
    }
    const std::string& text() const noexcept { return text_; }

    void add(double value) noexcept { total_.add(value); }
    void observe(std::size_t bucket, double value) noexcept {
        buckets_[bucket].fetch_add(1, std::memory_order_relaxed);
        total_.add(value);
    }
    double total() const noexcept { return total_.value(); }
    std::uint64_t seen(std::size_t bucket) const noexcept { return buckets_[bucket].load(std::memory_order_relaxed); }

   private:
    sum total_{};
    std::vector<std::atomic<std::uint64_t>> buckets_;
    std::vector<std::pair<std::string, std::string>> labels_{};
    std::string text_;
};

// Things that are found without a lock, and never taken out: one that was found stays good. Slots are twice as many as
// things, so a search ends at an empty one.
template <class Thing>
class found_by_hash {
   public:
    explicit found_by_hash(std::size_t most) : slots_(std::bit_ceil(2 * most + 1)) {}

    template <class Same>
    Thing* find(std::size_t hash, Same&& same) const noexcept {
        for (auto at = slot(hash);; at = (at + 1) & (slots_.size() - 1)) {
            auto* there = slots_[at].load(std::memory_order_acquire);
            if (there == nullptr || same(*there)) return there;
        }
    }
    // REQUIRES: one caller at a time, no more than `most` in all.
    void add(std::size_t hash, Thing& thing) noexcept {
        auto at = slot(hash);
        while (slots_[at].load(std::memory_order_relaxed) != nullptr) at = (at + 1) & (slots_.size() - 1);
        slots_[at].store(&thing, std::memory_order_release);
    }

   private:
    std::size_t slot(std::size_t hash) const noexcept {
        constexpr std::uint64_t golden = 0x9E37'79B9'7F4A'7C15;
        return static_cast<std::size_t>(hash * golden >> 32U) & (slots_.size() - 1);
    }

    std::vector<std::atomic<Thing*>> slots_;
};

// ---- families ----------------------------------------------------------------------------------------------------------

class family {
   public:
    family(const metric& of, std::size_t most)
        : name_(of.name),
          help_(of.help),
          kind_(of.what),
          bounds_(of.bounds.begin(), of.bounds.end()),
          most_(most),
          overflow_(series::overflow(buckets())),
          by_labels_(most) {}

    const std::string& name() const noexcept { return name_; }
    bool is(const metric& other) const noexcept {
        return other.name == name_ && other.what == kind_ &&
               std::equal(bounds_.begin(), bounds_.end(), other.bounds.begin(), other.bounds.end());
    }
    // Whether a line of the one could be taken for a line of the other.
    bool clashes_with(const metric& other) const noexcept {
        return other.name == name_ || (kind_ == metric::kind::histogram && is_part(other.name, name_)) ||
               (other.what == metric::kind::histogram && is_part(name_, other.name));
    }

    // False, if there is no such value.
    bool record(double value, std::span<const metric_label> given) {
        if (!std::isfinite(value) || (kind_ == metric::kind::counter && value < 0)) return false;
        auto& to = series_of(label_set(given));
        if (kind_ != metric::kind::histogram) {
            to.add(value);
        } else {
            const auto bound = std::lower_bound(bounds_.begin(), bounds_.end(), value);
            to.observe(static_cast<std::size_t>(bound - bounds_.begin()), value);
        }
        return true;
    }

    void append_text(std::string& out) const {
        constexpr std::array<std::string_view, 3> words{"counter", "gauge", "histogram"};
        out.append("# HELP ").append(name_) += ' ';
        append_escaped(out, help_, false);
        out.append("\n# TYPE ").append(name_) += ' ';
        out.append(words[static_cast<std::size_t>(kind_)]) += '\n';
        for (const auto* each : in_order()) append_text(out, *each);
    }

   private:
    static bool is_part(std::string_view name, std::string_view histogram) noexcept {
        if (!name.starts_with(histogram)) return false;
        name.remove_prefix(histogram.size());
        return name == "_bucket" || name == "_sum" || name == "_count";
    }
    // One more than bounds, for what is above them all.
    std::size_t buckets() const noexcept { return kind_ == metric::kind::histogram ? bounds_.size() + 1 : 0; }

    series& series_of(const label_set& labels) {
        if (!labels.fit()) return overflowed();
        const auto hash = labels.hash();
        const auto same = [&](const series& there) { return there.has(labels.all()); };
        if (auto* there = by_labels_.find(hash, same)) return *there;
        if (full_.load(std::memory_order_relaxed) || !labels.may_be_told(kind_)) return overflowed();
        const std::lock_guard hold(making_);
        if (auto* there = by_labels_.find(hash, same)) return *there;
        if (all_.size() == most_) {
            full_.store(true, std::memory_order_relaxed);
            return overflowed();
        }
        auto& made = all_.emplace_back(labels.all(), buckets());
        by_labels_.add(hash, made);
        return made;
    }
    series& overflowed() noexcept {
        overflows_.store(true, std::memory_order_relaxed);
        return overflow_;
    }

    std::vector<const series*> in_order() const {
        std::vector<const series*> sorted;
        {
            const std::lock_guard hold(making_);
            for (const auto& each : all_) sorted.push_back(&each);
        }
        std::sort(sorted.begin(), sorted.end(), [](const auto* a, const auto* b) { return a->text() < b->text(); });
        if (overflows_.load(std::memory_order_relaxed)) sorted.push_back(&overflow_);
        return sorted;
    }

    void append_text(std::string& out, const series& of) const {
        if (kind_ != metric::kind::histogram) {
            append_sample(out, name_, "", of.text());
            append_number(out, of.total());
            out += '\n';
            return;
        }
        std::uint64_t so_far = 0;
        for (std::size_t i = 0; i < buckets(); ++i) {
            std::string bound = "le=\"";
            if (i < bounds_.size()) append_number(bound, bounds_[i]);
            bound += i < bounds_.size() ? "\"" : "+Inf\"";
            so_far += of.seen(i);
            append_sample(out, name_, "_bucket", of.text(), bound);
            append_number(out, so_far);
            out += '\n';
        }
        append_sample(out, name_, "_sum", of.text());
        append_number(out, of.total());
        out += '\n';
        append_sample(out, name_, "_count", of.text());
        append_number(out, so_far);
        out += '\n';
    }

    const std::string name_;
    const std::string help_;
    const metric::kind kind_;
    const std::vector<double> bounds_;
    const std::size_t most_;
    series overflow_;
    found_by_hash<series> by_labels_;
    std::atomic<bool> full_{false};
    std::atomic<bool> overflows_{false};

    mutable std::mutex making_{};
    std::deque<series> all_{};  // guarded; those that are in it never move
};

bool is_good(const metric& which) noexcept {
    const auto& bounds = which.bounds;
    if (!is_name(which.name, true) || !utf8_valid(which.help) || which.what > metric::kind::histogram) return false;
    if (which.what != metric::kind::histogram) return true;
    return std::all_of(bounds.begin(), bounds.end(), [](double bound) { return std::isfinite(bound); }) &&
           std::adjacent_find(bounds.begin(), bounds.end(), std::greater_equal<>()) == bounds.end();
}

}  // namespace

class prometheus_metrics::state {
   public:
    explicit state(prometheus_options bounds)
        : most_((std::min)(bounds.families, std::size_t{4096})),
          most_series_((std::min)(bounds.series, std::size_t{65'536})),
          by_address_(most_addresses()),
          dropped_(dropped_records, 1) {
        dropped_.record(0, {});
    }

    void record(const metric& which, double value, std::span<const metric_label> labels) {
        auto* to = family_of(which);
        if (to == nullptr || !to->record(value, labels)) dropped_.record(1, {});
    }

    std::string text() const {
        std::vector<const family*> sorted{&dropped_};
        {
            const std::lock_guard hold(making_);
            for (const auto& each : all_) sorted.push_back(&each);
        }
        std::sort(sorted.begin(), sorted.end(), [](const auto* a, const auto* b) { return a->name() < b->name(); });
        std::string out;
        for (const auto* each : sorted) each->append_text(out);
        return out;
    }

   private:
    // What is known of an object's address: its family, or that it has none.
    struct known {
        const metric* address;
        family* to;
    };
    // Several objects may have one name, one in each shared library, and bad ones are remembered as such.
    std::size_t most_addresses() const noexcept { return 4 * most_; }

    family* family_of(const metric& which) {
        const auto hash = std::hash<const metric*>{}(&which);
        const auto same = [&](const known& there) { return there.address == &which; };
        if (const auto* there = by_address_.find(hash, same)) return there->to;
        if (full_.load(std::memory_order_relaxed)) return nullptr;
        const std::lock_guard hold(making_);
        if (const auto* there = by_address_.find(hash, same)) return there->to;
        if (addresses_.size() == most_addresses()) {
            full_.store(true, std::memory_order_relaxed);
            return nullptr;
        }
        by_address_.add(hash, addresses_.emplace_back(known{&which, named(which)}));
        return addresses_.back().to;
    }
    family* named(const metric& which) {
        if (!is_good(which) || dropped_.clashes_with(which)) return nullptr;
        for (auto& each : all_) {
            if (each.is(which)) return &each;
            if (each.clashes_with(which)) return nullptr;
        }
        return all_.size() < most_ ? &all_.emplace_back(which, most_series_) : nullptr;
    }

    const std::size_t most_;
    const std::size_t most_series_;
    found_by_hash<known> by_address_;
    std::atomic<bool> full_{false};
    family dropped_;

    mutable std::mutex making_{};
    std::deque<known> addresses_{};  // guarded, as is the next; those that are in them never move
    std::deque<family> all_{};
};

prometheus_metrics::prometheus_metrics(prometheus_options bounds) : state_(std::make_unique<state>(bounds)) {}
prometheus_metrics::~prometheus_metrics() = default;

void prometheus_metrics::record(const metric& which, double value, std::span<const metric_label> labels) {
    state_->record(which, value, labels);
}
std::string prometheus_metrics::text() const { return state_->text(); }

}  // namespace exec::inline v0
