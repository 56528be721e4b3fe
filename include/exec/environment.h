// The environment of a command: a clean base, and what is said here on top of it.
//
// The base is PATH, HOME, USER and LANG as the runner defines them; nothing else of the host reaches a child unless it
// is named. Names are non-empty, without '=' and NUL; values without NUL. Entries live in one packed block, each a
// NUL-terminated "NAME=value", so that a spawner can point into it instead of copying.
// Threads: a value. Never reads or changes the environment of the host.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "exec/assert.h"
#include "exec/error.h"
#include "exec/result.h"

namespace exec::inline v0 {

class environment {
   public:
    enum class origin : char {
        given = '=',      // NAME=value, as said here
        inherited = '<',  // the host's value, if the host has one
        absent = '-',     // not there, even if the base has it
    };
    struct entry {
        origin from;
        std::string_view name;
        std::string_view value;  // empty unless given
        const char* text;        // "NAME=value" or "NAME", NUL-terminated, valid while the environment is not changed
    };

    environment() = default;
    // For names that you wrote. REQUIRES: each would be taken by set(), and none stands twice.
    environment(std::initializer_list<std::pair<std::string_view, std::string_view>> variables) {
        for (const auto& [name, value] : variables) {
            const auto added = add(name, value);
            EXEC_ASSERT(added.has_value(), "environment: a name is empty, has '=' or NUL, or stands twice");
        }
    }

    // Adds a variable that is not there yet. For names that came from outside: a duplicate is refused rather than decided.
    // Fails with: errc::invalid_argument, naming the variable (never its value).
    result<void> add(std::string_view name, std::string_view value) {
        if (find(name) != npos) return fail(errc::invalid_argument, "environment: twice: " + std::string(name));
        return set(name, value);
    }
    // Gives a variable this value, in place of whatever was said of it before.
    // Fails with: errc::invalid_argument.
    result<void> set(std::string_view name, std::string_view value) {
        if (auto bad = refused(name); !bad) return bad;
        if (value.find('\0') != std::string_view::npos) {
            return fail(errc::invalid_argument, "environment: NUL in the value of " + std::string(name));
        }
        put(origin::given, name, value);
        return {};
    }
    // Lets the host's value through. The host's environment is read when its runner is made (a blocking run without a
    // runner: when it is called).
    // Fails with: errc::invalid_argument.
    result<void> inherit(std::string_view name) { return mark(origin::inherited, name); }
    // Takes a variable away, the base's included.
    // Fails with: errc::invalid_argument.
    result<void> unset(std::string_view name) { return mark(origin::absent, name); }

    // Starts from nothing instead of the base.
    environment& without_base() noexcept {
        base_ = false;
        return *this;
    }
    bool has_base() const noexcept { return base_; }
    bool empty() const noexcept { return block_.empty(); }
    std::size_t bytes() const noexcept { return block_.size(); }

    class iterator {
       public:
        explicit iterator(const char* at) noexcept : at_(at) {}
        entry operator*() const noexcept {
            const std::string_view text(at_ + 1);
            const auto from = static_cast<origin>(*at_);
            if (from != origin::given) return {from, text, {}, at_ + 1};
            const auto equals = text.find('=');
            return {from, text.substr(0, equals), text.substr(equals + 1), at_ + 1};
        }
        iterator& operator++() noexcept {
            at_ += std::string_view(at_).size() + 1;
            return *this;
        }
        bool operator==(const iterator&) const = default;

       private:
        const char* at_;
    };
    iterator begin() const noexcept { return iterator(block_.data()); }
    iterator end() const noexcept { return iterator(block_.data() + block_.size()); }

    bool operator==(const environment&) const = default;

   private:
    static constexpr auto npos = std::string::npos;

    static result<void> refused(std::string_view name) {
        if (name.empty()) return fail(errc::invalid_argument, "environment: an empty name");
        if (name.find('=') != npos) return fail(errc::invalid_argument, "environment: '=' in a name");
        if (name.find('\0') != npos) return fail(errc::invalid_argument, "environment: NUL in a name");
        return {};
    }
    std::size_t find(std::string_view name) const noexcept {
        for (auto at = begin(); at != end(); ++at) {
            const auto found = *at;
            if (found.name == name) return static_cast<std::size_t>(found.text - 1 - block_.data());
        }
        return npos;
    }
    void put(origin from, std::string_view name, std::string_view value) {
        // Whole before anything moves: name and value may be views into the block.
        std::string text(1, static_cast<char>(from));
        text += name;
        if (from == origin::given) {
            text += '=';
            text += value;
        }
        text += '\0';
        if (const auto at = find(name); at != npos) {
            block_.erase(at, std::string_view(block_.data() + at).size() + 1);
        }
        block_ += text;
    }
    result<void> mark(origin from, std::string_view name) {
        if (auto bad = refused(name); !bad) return bad;
        put(from, name, {});
        return {};
    }

    std::string block_{};
    bool base_ = true;
};

}  // namespace exec::inline v0
