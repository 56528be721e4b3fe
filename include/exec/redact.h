// redactor: what argv looks like outside the library, in trails, lists, contexts, logs, metrics and wire errors.
//
// The default one hides the values of secret-like options (--password x, --password=x, and -pX where the program is known
// for it), assignments (TOKEN=x), headers and keys (Authorization: Bearer x, "password": "x"), also in scripts behind
// `sh -c`; URL user info; private keys in PEM; tokens that bear their maker's prefix. The rest stays as it is.
// What it hides reads <hidden:7f3a09c1>, a keyed hash: under one key, the same secret reads the same, and nobody can try
// out guesses without the key.
// It knows names and shapes, so it is a net and no wall: a secret that bears neither passes. A host that cannot live with
// that derives its own, or shows the program alone.
// Threads: members are called from any thread, several at once. Nothing here blocks. What is returned is bytes of the
// caller's still: show it through display().
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "exec/argv.h"
#include "exec/assert.h"
#include "exec/bytes.h"
#include "exec/detail/secret_text.h"
#include "exec/detail/secret_words.h"
#include "exec/detail/sha256.h"
#include "exec/export.h"
#include "exec/result.h"

namespace exec::inline v0 {

class redactor {
   public:
    virtual ~redactor() = default;

    // As many words as there were.
    virtual std::vector<std::string> words(std::span<const std::string_view> words) const = 0;
    // Of any other text that may quote a command: an error's context, a line of a log.
    virtual std::string text(std::string_view any) const = 0;

    std::vector<std::string> argv(const exec::argv& of) const { return words_of(of); }
    std::vector<std::string> argv(const std::vector<std::string>& of) const { return words_of(of); }

   private:
    template <class Words>
    std::vector<std::string> words_of(const Words& of) const {
        std::vector<std::string_view> views;
        views.reserve(of.size());
        for (const auto& word : of) views.emplace_back(word);
        return words(views);
    }
};

// How a secret reads.
class hidden_words {
   public:
    // REQUIRES: at least 16 bytes, of which nobody knows any.
    explicit hidden_words(bytes_view key) : keyed_(key) {
        EXEC_ASSERT(key.size() >= 16, "redactor: the key is shorter than 16 bytes, so that it can be guessed");
    }
    // "<hidden:7f3a09c1>"; the digits are the beginning of an HMAC-SHA-256.
    std::string operator()(bytes_view secret) const {
        return "<hidden:" + detail::hex_of(keyed_(secret), hash_bytes) + ">";
    }

   private:
    static constexpr std::size_t hash_bytes = 4;  // to compare by, not to look up

    detail::hmac_sha256 keyed_;
};

// The rules at the top of this file. Linear time: a word of 1 MiB costs milliseconds, whatever is in it. The result is at
// most 4 times as long as what it is of, plus 16 KiB: behind the first 1024 secrets of a call, one reads <hidden>.
class default_redactor : public redactor {
   public:
    // REQUIRES: as hidden_words.
    explicit default_redactor(bytes_view key) : hidden_(key) {}

    std::vector<std::string> words(std::span<const std::string_view> words) const override {
        std::vector<std::string> shown;
        shown.reserve(words.size());
        std::vector<detail::hidden_span> spans;
        detail::word_scan reading(spans);
        auto left = most_hashes;
        for (const auto word : words) {
            spans.clear();
            detail::text_scan(word, spans).run();
            reading.word(word, 0);
            shown.push_back(without(word, spans, left));
        }
        return shown;
    }

    std::string text(std::string_view any) const override {
        std::vector<detail::hidden_span> spans;
        detail::text_scan(any, spans).run();
        detail::word_scan(spans).script(any, 0);
        auto left = most_hashes;
        return without(any, spans, left);
    }

   private:
    static constexpr std::size_t most_hashes = 1024;

    std::string without(std::string_view text, std::vector<detail::hidden_span>& spans, std::size_t& left) const {
        detail::merge(spans);
        std::string shown;
        std::size_t done = 0;
        for (const auto [begin, end] : spans) {
            shown += text.substr(done, begin - done);
            shown += left > 0 ? hidden_(text.substr(begin, end - begin)) : std::string("<hidden>");
            if (left > 0) --left;
            done = end;
        }
        shown += text.substr(done);
        return shown;
    }

    hidden_words hidden_;
};

// Shows the program; hides every argument, and any other text, whole.
class program_only_redactor : public redactor {
   public:
    // REQUIRES: as hidden_words.
    explicit program_only_redactor(bytes_view key) : hidden_(key) {}

    std::vector<std::string> words(std::span<const std::string_view> words) const override {
        std::vector<std::string> shown;
        shown.reserve(words.size());
        for (const auto word : words) shown.push_back(shown.empty() ? std::string(word) : hidden_(word));
        return shown;
    }
    std::string text(std::string_view any) const override { return any.empty() ? std::string() : hidden_(any); }

   private:
    hidden_words hidden_;
};

// A default_redactor with a key of its own from getrandom(2), so that hashes compare within this object's life alone. A
// host that compares over restarts keeps a key and makes the object itself.
// Fails with: what getrandom answers.
EXEC_API result<std::unique_ptr<redactor>> make_redactor();

}  // namespace exec::inline v0
