// result<T>: a value, or the failure that took its place.
//
// Member names are those of std::expected, which neither GCC 12 nor clang 14 has in C++20. Nothing here throws except value(), which throws bad_result (or, where the library was built without exceptions, reports misuse).
// Threads: a value like any other.
#pragma once

#include <optional>
#include <system_error>
#include <type_traits>
#include <utility>
#include <variant>

#include "exec/assert.h"
#include "exec/error.h"
#include "exec/export.h"

namespace exec::inline v0 {

#if defined(__cpp_exceptions)
// What value() throws: the failure, with the standard's type around its code.
class EXEC_API bad_result : public std::system_error {
   public:
    explicit bad_result(failure why) : std::system_error(why.code, why.message()), why_(std::move(why)) {}
    const failure& why() const noexcept { return why_; }

   private:
    failure why_;
};
#endif

namespace detail {
[[noreturn]] EXEC_API void throw_bad_result(failure why);
}

template <class T>
class [[nodiscard]] result {
   public:
    using value_type = T;
    using error_type = failure;

    result(T value) : state_(std::in_place_index<0>, std::move(value)) {}    // NOLINT: `return value;` is the point
    result(failure why) : state_(std::in_place_index<1>, std::move(why)) {}  // NOLINT

    bool has_value() const noexcept { return state_.index() == 0; }
    explicit operator bool() const noexcept { return has_value(); }

    // REQUIRES: has_value().
    T& operator*() & { return checked(); }
    const T& operator*() const& { return checked(); }
    T&& operator*() && { return std::move(checked()); }
    T* operator->() { return &checked(); }
    const T* operator->() const { return &checked(); }

    // Throws bad_result if there is none.
    T& value() & { return *demand(); }
    const T& value() const& { return *demand(); }
    T&& value() && { return std::move(*demand()); }
    template <class U>
    T value_or(U&& instead) const& {
        return has_value() ? **this : static_cast<T>(std::forward<U>(instead));
    }
    template <class U>
    T value_or(U&& instead) && {
        return has_value() ? std::move(**this) : static_cast<T>(std::forward<U>(instead));
    }

    // REQUIRES: !has_value().
    const failure& error() const& { return checked_error(); }
    failure& error() & { return checked_error(); }
    failure&& error() && { return std::move(checked_error()); }

   private:
    T& checked() {
        EXEC_ASSERT(has_value(), "result: a value was taken where there is a failure");
        return *std::get_if<0>(&state_);
    }
    const T& checked() const { return const_cast<result*>(this)->checked(); }
    failure& checked_error() {
        EXEC_ASSERT(!has_value(), "result: a failure was asked for where there is a value");
        return *std::get_if<1>(&state_);
    }
    const failure& checked_error() const { return const_cast<result*>(this)->checked_error(); }
    T* demand() {
        if (!has_value()) detail::throw_bad_result(*std::get_if<1>(&state_));
        return std::get_if<0>(&state_);
    }
    const T* demand() const { return const_cast<result*>(this)->demand(); }

    std::variant<T, failure> state_;
};

template <>
class [[nodiscard]] result<void> {
   public:
    using value_type = void;
    using error_type = failure;

    result() = default;
    result(failure why) : why_(std::move(why)) {}  // NOLINT

    bool has_value() const noexcept { return !why_.has_value(); }
    explicit operator bool() const noexcept { return has_value(); }
    void value() const {
        if (why_) detail::throw_bad_result(*why_);
    }
    const failure& error() const& {
        EXEC_ASSERT(why_.has_value(), "result: a failure was asked for where there is a value");
        return *why_;
    }
    failure&& error() && { return std::move(const_cast<failure&>(static_cast<const result&>(*this).error())); }

   private:
    std::optional<failure> why_{};
};

}  // namespace exec::inline v0
