// callback<R(Args...)>: a move-only callable, the library's only type-erased function.
//
// std::function demands copies and std::move_only_function is C++23. Three pointers' worth of captures live inside the
// object; larger ones cost one allocation. A moved-from or default one is empty; calling it is misuse.
// Threads: none of its own; call it where its documentation says.
#pragma once

#include <cstddef>
#include <new>
#include <type_traits>
#include <utility>

#include "exec/assert.h"

namespace exec::inline v0 {

template <class Signature>
class callback;

template <class R, class... Args>
class callback<R(Args...)> {
   public:
    callback() noexcept = default;
    callback(std::nullptr_t) noexcept {}  // NOLINT: same meaning as {}

    template <class F>
    requires(!std::is_same_v<std::remove_cvref_t<F>, callback> && std::is_invocable_r_v<R, std::decay_t<F>&, Args...>)
        callback(F&& f) {  // NOLINT: a lambda is passed where a callback is taken
        using held = std::decay_t<F>;
        if constexpr (fits<held>) {
            ::new (static_cast<void*>(&storage_)) held(std::forward<F>(f));
            table_ = &inside<held>;
        } else {
            ::new (static_cast<void*>(&storage_)) held*(new held(std::forward<F>(f)));
            table_ = &outside<held>;
        }
    }
    callback(callback&& other) noexcept { take(other); }
    callback& operator=(callback&& other) noexcept {
        if (this != &other) {
            reset();
            take(other);
        }
        return *this;
    }
    ~callback() { reset(); }

    explicit operator bool() const noexcept { return table_ != nullptr; }
    void reset() noexcept {
        if (const auto* table = std::exchange(table_, nullptr)) table->destroy(&storage_);
    }
    // REQUIRES: not empty. May be called again unless the callable says otherwise.
    R operator()(Args... args) {
        EXEC_ASSERT(table_ != nullptr, "callback: an empty one was called");
        return table_->call(&storage_, std::forward<Args>(args)...);
    }

   private:
    struct operations {
        R (*call)(void*, Args&&...);
        void (*relocate)(void* to, void* from) noexcept;
        void (*destroy)(void*) noexcept;
    };
    struct alignas(void*) buffer {
        std::byte bytes[3 * sizeof(void*)];
    };

    template <class F>
    static constexpr bool fits = sizeof(F) <= sizeof(buffer) &&
                                 alignof(F) <= alignof(buffer) && std::is_nothrow_move_constructible_v<F>;

    template <class F>
    static R invoke(F& f, Args&&... args) {
        if constexpr (std::is_void_v<R>) {
            static_cast<void>(f(std::forward<Args>(args)...));
        } else {
            return f(std::forward<Args>(args)...);
        }
    }

    template <class F>
    static constexpr operations inside{
        [](void* at, Args&&... args) -> R { return invoke(*static_cast<F*>(at), std::forward<Args>(args)...); },
        [](void* to, void* from) noexcept {
            ::new (to) F(std::move(*static_cast<F*>(from)));
            static_cast<F*>(from)->~F();
        },
        [](void* at) noexcept { static_cast<F*>(at)->~F(); }};
    template <class F>
    static constexpr operations outside{
        [](void* at, Args&&... args) -> R { return invoke(**static_cast<F**>(at), std::forward<Args>(args)...); },
        [](void* to, void* from) noexcept { ::new (to) F*(*static_cast<F**>(from)); },
        [](void* at) noexcept { delete *static_cast<F**>(at); }};

    void take(callback& other) noexcept {
        if (other.table_ == nullptr) return;
        other.table_->relocate(&storage_, &other.storage_);
        table_ = std::exchange(other.table_, nullptr);
    }

    buffer storage_;
    const operations* table_ = nullptr;
};

}  // namespace exec::inline v0
