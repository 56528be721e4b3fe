// argv: a program and its arguments, checked once.
//
// Never a command line: a word stays one word whatever is in it, and no shell sees it (shell.h is the only way to one).
// What would break late or in silence is refused here: no program, a NUL (where C would cut the word), and words or
// totals that execve answers with E2BIG.
// The words lie one behind the other in a single block, each with its NUL, so that a spawner points its char*[] straight
// into it.
// Threads: a value.
#pragma once

#include <cstddef>
#include <cstring>
#include <initializer_list>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "exec/assert.h"
#include "exec/bytes.h"
#include "exec/error.h"
#include "exec/result.h"

namespace exec::inline v0 {

// What is refused up front. The defaults fit every Linux with its usual stack limit of 8 MiB; a runner that knows its
// kernel, or a policy, may be stricter (argv::check).
struct argv_bounds {
    std::size_t max_words = 65'536;        // program included; the kernel counts a pointer for each, 512 KiB in all
    std::size_t max_word_bytes = 131'071;  // without its NUL: the kernel's bound is 32 pages, here of 4 KiB
    std::size_t max_bytes = 1 * MiB;  // words with their NULs; of the kernel's 2 MiB, 512 KiB stay for the environment
};

namespace detail {

template <class Word>
concept written_word = std::is_convertible_v<const Word&, std::string_view> && !std::is_null_pointer_v<Word>;

// Not a bare string, which would be read as a list of characters.
template <class Words>
concept range_of_words = requires(const Words& words) {
    std::string_view(*std::begin(words));
    std::end(words);
};

// The rules of argv, asked word by word.
class argv_check {
   public:
    explicit argv_check(const argv_bounds& within) noexcept : within_(within) {}

    std::optional<failure> word(std::string_view word) {
        const auto index = words_++;
        bytes_ += word.size() + 1;
        if (index == 0 && word.find_first_not_of(" \t\n\v\f\r") == std::string_view::npos) {
            return refuse(index, "the program is blank");
        }
        if (index >= within_.max_words)
            return refuse(index, "more than " + std::to_string(within_.max_words) + " words");
        if (const auto nul = word.find('\0'); nul != std::string_view::npos) {
            return refuse(index, "a NUL at byte " + std::to_string(nul));
        }
        if (word.size() > within_.max_word_bytes) {
            return refuse(index, std::to_string(word.size()) + " bytes, at most " +
                                     std::to_string(within_.max_word_bytes) +
                                     "; long text belongs into the input or a file");
        }
        if (bytes_ > within_.max_bytes) {
            return refuse(index, "more than " + std::to_string(within_.max_bytes) + " bytes up to here");
        }
        return std::nullopt;
    }
    std::optional<failure> end() const {
        if (words_ == 0) return fail(errc::invalid_argument, "argv: empty");
        return std::nullopt;
    }
    std::size_t words() const noexcept { return words_; }
    std::size_t bytes() const noexcept { return bytes_; }

   private:
    static failure refuse(std::size_t index, const std::string& why) {
        return fail(errc::invalid_argument, "argv[" + std::to_string(index) + "]: " + why);
    }

    const argv_bounds within_;
    std::size_t words_ = 0;
    std::size_t bytes_ = 0;  // packed
};

}  // namespace detail

class argv {
   public:
    class iterator;

    // Blank: no program. Refused by every runner.
    argv() noexcept = default;

    // For words that you wrote: argv("git", "log", path). A bare string is one word and never split: argv("ls -la") is a
    // program with a blank in its name. REQUIRES: make() would take them.
    template <detail::written_word First, detail::written_word... Rest>
    explicit argv(const First& program, const Rest&... rest)
        : argv(written, {std::string_view(program), std::string_view(rest)...}) {}

    // For words that you were given, in any list of them: vector<string>, span<const string_view>, {"git", "log"}. One
    // allocation.
    // Fails with: errc::invalid_argument; the context is "argv[3]: ..." and quotes nothing of the word.
    template <detail::range_of_words Words>
    static result<argv> make(const Words& words, const argv_bounds& within = {}) {
        detail::argv_check check(within);
        for (const auto& word : words) {
            if (auto wrong = check.word(std::string_view(word))) return *std::move(wrong);
        }
        if (auto wrong = check.end()) return *std::move(wrong);
        argv made;
        made.packed_.reserve(check.bytes());
        for (const auto& word : words) made.append(std::string_view(word));
        return made;
    }
    static result<argv> make(std::initializer_list<std::string_view> words, const argv_bounds& within = {}) {
        return make<std::initializer_list<std::string_view>>(words, within);
    }
    // The inverse of packed(), without a copy.
    // Fails with: errc::invalid_argument, as make() does, and where the last NUL is missing.
    static result<argv> unpack(std::string packed, const argv_bounds& within = {});

    argv(const argv&) = default;
    argv& operator=(const argv&) = default;
    argv(argv&& other) noexcept : packed_(std::exchange(other.packed_, {})), size_(std::exchange(other.size_, 0)) {}
    argv& operator=(argv&& other) noexcept {
        packed_ = std::exchange(other.packed_, {});
        size_ = std::exchange(other.size_, 0);
        return *this;
    }
    ~argv() = default;

    // These words behind those of `prefix`, a program that runs them: sudo, nice, bwrap. Blank if either is: a wrapper that
    // got lost must not turn into a command that runs without it. The sum may exceed the bounds; runners check again.
    argv behind(const argv& prefix) const {
        argv both;
        if (blank() || prefix.blank()) return both;
        both.packed_.reserve(prefix.packed_.size() + packed_.size());
        both.packed_.append(prefix.packed_).append(packed_);
        both.size_ = prefix.size_ + size_;
        return both;
    }

    // Whether these words also keep to other bounds: a policy's, or a kernel's.
    // Fails with: errc::invalid_argument, as make() does.
    result<void> check(const argv_bounds& within = {}) const;

    bool blank() const noexcept { return size_ == 0; }
    std::size_t size() const noexcept { return size_; }  // words, program included
    // Empty if blank.
    std::string_view program() const noexcept { return {packed_.c_str(), std::strlen(packed_.c_str())}; }
    // Linear in the bytes before it. REQUIRES: index < size().
    std::string_view operator[](std::size_t index) const;
    iterator begin() const noexcept;
    iterator end() const noexcept;

    // Every word followed by its NUL; the views end with this object's life or next change.
    std::string_view packed() const noexcept { return packed_; }
    const char* block() const noexcept { return packed_.c_str(); }

    bool operator==(const argv& other) const noexcept { return packed_ == other.packed_; }

   private:
    enum written_tag { written };
    argv(written_tag, std::initializer_list<std::string_view> words) {
        auto made = make(words);
        EXEC_ASSERT(made.has_value(), made.error().context.c_str());
        *this = *std::move(made);
    }
    void append(std::string_view word) {
        packed_.append(word).push_back('\0');
        ++size_;
    }

    std::string packed_{};
    std::size_t size_ = 0;
};

// Yields string_views into the argv, program first.
class argv::iterator {
   public:
    using iterator_concept = std::forward_iterator_tag;
    using iterator_category = std::input_iterator_tag;
    using value_type = std::string_view;
    using difference_type = std::ptrdiff_t;
    using pointer = void;
    using reference = std::string_view;

    iterator() = default;
    std::string_view operator*() const noexcept { return word_; }
    iterator& operator++() noexcept {
        *this = iterator(word_.data() + word_.size() + 1, end_);
        return *this;
    }
    iterator operator++(int) noexcept { return std::exchange(*this, iterator(word_.data() + word_.size() + 1, end_)); }
    bool operator==(const iterator& other) const noexcept { return word_.data() == other.word_.data(); }

   private:
    friend class argv;
    iterator(const char* at, const char* end) noexcept : word_(at, at == end ? 0 : std::strlen(at)), end_(end) {}

    std::string_view word_{};
    const char* end_ = nullptr;
};

inline argv::iterator argv::begin() const noexcept { return {block(), block() + packed_.size()}; }
inline argv::iterator argv::end() const noexcept {
    const auto* end = block() + packed_.size();
    return {end, end};
}

inline std::string_view argv::operator[](std::size_t index) const {
    EXEC_ASSERT(index < size_, "argv: there is no word of this index");
    auto at = begin();
    while (index-- > 0) ++at;
    return *at;
}

inline result<void> argv::check(const argv_bounds& within) const {
    detail::argv_check check(within);
    for (const auto word : *this) {
        if (auto wrong = check.word(word)) return *std::move(wrong);
    }
    if (auto wrong = check.end()) return *std::move(wrong);
    return {};
}

inline result<argv> argv::unpack(std::string packed, const argv_bounds& within) {
    if (!packed.empty() && packed.back() != '\0') return fail(errc::invalid_argument, "argv: the last word has no NUL");
    argv made;
    made.packed_ = std::move(packed);
    detail::argv_check check(within);
    for (const auto word : made) {
        if (auto wrong = check.word(word)) return *std::move(wrong);
    }
    if (auto wrong = check.end()) return *std::move(wrong);
    made.size_ = check.words();
    return made;
}

}  // namespace exec::inline v0
