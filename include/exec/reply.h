// reply<T>: an answer that is owed.
//
// Whoever receives one must call it exactly once; one that is destroyed uncalled answers errc::broken_reply by itself,
// so an asker never waits for ever. Calling it again is misuse.
// Threads: may be moved to, called on and destroyed on any thread; the part that asks says where the answer is handled.
#pragma once

#include <type_traits>
#include <utility>

#include "exec/assert.h"
#include "exec/callback.h"
#include "exec/error.h"
#include "exec/result.h"

namespace exec::inline v0 {

template <class T>
class reply {
   public:
    reply() noexcept = default;
    template <class F>
    requires(!std::is_same_v<std::remove_cvref_t<F>, reply> && std::is_invocable_v<std::decay_t<F>&, result<T>>)
        reply(F&& f)
        : handler_(std::forward<F>(f)) {}  // NOLINT: a lambda is passed where a reply is taken
    reply(reply&&) noexcept = default;
    reply& operator=(reply&& other) noexcept {
        if (this != &other) {
            abandon();
            handler_ = std::move(other.handler_);
        }
        return *this;
    }
    ~reply() { abandon(); }

    // True until it was answered.
    explicit operator bool() const noexcept { return static_cast<bool>(handler_); }

    void operator()(result<T> answer) {
        EXEC_ASSERT(static_cast<bool>(handler_), "reply: it was answered before, or never owed");
        auto handler = std::move(handler_);
        handler(std::move(answer));
    }

   private:
    // What a handler throws here has nobody to go to: this may be a destructor.
    void abandon() noexcept {
        if (!handler_) return;
#if defined(__cpp_exceptions)
        try {
            (*this)(fail(errc::broken_reply));
        } catch (...) {
        }
#else
        (*this)(fail(errc::broken_reply));
#endif
    }

    callback<void(result<T>)> handler_{};
};

}  // namespace exec::inline v0
