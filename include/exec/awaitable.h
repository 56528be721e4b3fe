// awaitable_run: a command that a C++20 coroutine awaits. Works in any coroutine type that lets foreign awaitables through;
// brings no framework of its own.
//
//     exec::command make{.program_and_args = exec::argv("make")};
//     exec::result<exec::outcome> how = co_await exec::awaitable_run(runner, std::move(make));
//
// Name the command first, as here: an aggregate that is written in braces inside a co_await expression is copied byte by
// byte by g++ 12, and destroyed twice.
// Threads: the coroutine is suspended wherever it runs and resumed on the runner's loop, inside run_ready(): until its
// next suspension it must not block. A coroutine that is destroyed while it waits drops the command: it is stopped, and
// nobody is told. Destroy it on the loop's thread, since on another one it might just be resumed.
#pragma once

#include <atomic>
#include <coroutine>
#include <memory>
#include <optional>
#include <stop_token>
#include <utility>

#include "exec/command.h"
#include "exec/detail/answering_observer.h"
#include "exec/detail/kept_execution.h"
#include "exec/limits.h"
#include "exec/observer.h"
#include "exec/outcome.h"
#include "exec/result.h"
#include "exec/runner.h"

namespace exec::inline v0 {

namespace detail {

// What the waiting coroutine and the command share: either may be gone before the other.
class awaited_run {
   public:
    kept_execution handle{};

    void suspend(std::coroutine_handle<> waiting) noexcept { waiting_.store(waiting.address()); }
    void finish(result<outcome> how) {
        handle.release();
        if (void* waiting = waiting_.exchange(nullptr)) {
            how_.emplace(std::move(how));
            std::coroutine_handle<>::from_address(waiting).resume();
        }
    }
    void abandon() {
        waiting_.store(nullptr);
        handle.release();
    }
    result<outcome> take() { return std::move(*how_); }

   private:
    std::atomic<void*> waiting_ = nullptr;
    std::optional<result<outcome>> how_{};
};

}  // namespace detail

// What awaitable_run returns: awaited once, or dropped and nothing has happened.
class [[nodiscard]] run_awaitable {
   public:
    run_awaitable(runner& where, command what, limits within, std::stop_token stop, std::unique_ptr<observer> tell)
        : where_(where),
          what_(std::move(what)),
          within_(std::move(within)),
          stop_(std::move(stop)),
          tell_(std::move(tell)) {}
    run_awaitable(run_awaitable&&) = default;
    run_awaitable& operator=(run_awaitable&&) = delete;
    ~run_awaitable() {
        if (run_ != nullptr) run_->abandon();
    }

    bool await_ready() const noexcept { return false; }
    // The loop may resume the coroutine, and the coroutine destroy *this, before start() returns: everything that is
    // used from there on is local. Not inlined, because clang would put the locals into the coroutine's frame.
    [[gnu::noinline]] void await_suspend(std::coroutine_handle<> waiting) {
        const auto run = run_ = std::make_shared<detail::awaited_run>();
        auto stop = std::move(stop_);
        auto tell = std::make_unique<detail::answering_observer>(
            [run](result<outcome> how) { run->finish(std::move(how)); }, std::move(tell_));
        run->suspend(waiting);
        run->handle.keep(where_.start(std::move(what_), std::move(within_), std::move(tell)), std::move(stop));
    }
    result<outcome> await_resume() { return run_->take(); }

   private:
    runner& where_;
    command what_;
    limits within_;
    std::stop_token stop_;
    std::unique_ptr<observer> tell_;
    std::shared_ptr<detail::awaited_run> run_{};
};

// The runner must live until the coroutine is suspended. A stop request stops the command, and the coroutine learns how that
// ended. `tell`, if any, is told what happens before the end; its on_done is not called, the result of co_await is it.
inline run_awaitable awaitable_run(runner& where, command what, limits within = {}, std::stop_token stop = {},
                                   std::unique_ptr<observer> tell = nullptr) {
    return {where, std::move(what), std::move(within), std::move(stop), std::move(tell)};
}

}  // namespace exec::inline v0
