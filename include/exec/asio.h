// async_run and asio_drive: commands as asynchronous operations of Boost.Asio, and an io_context that drives a loop.
//
// Needs Boost 1.81 in the host; nothing else of the library does. A handler is called through its associated executor, which
// counts as having work until then. A handler may still be waiting when the loop ends, so let the loop end before the
// io_context: declare them in the order io_context, loop, asio_drive.
// Threads: async_run() may be called on any thread and never calls the handler inside. Observers are called on the loop.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_allocator.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/system/error_code.hpp>
#include <memory>
#include <type_traits>
#include <utility>

#include "exec/command.h"
#include "exec/detail/answering_observer.h"
#include "exec/detail/kept_execution.h"
#include "exec/limits.h"
#include "exec/loop.h"
#include "exec/observer.h"
#include "exec/outcome.h"
#include "exec/result.h"
#include "exec/runner.h"

namespace exec::inline v0 {

namespace detail {

// The handler and its argument, on their way to its executor.
template <class Handler>
struct asio_delivery {
    Handler handler;
    result<outcome> how;

    using allocator_type = boost::asio::associated_allocator_t<Handler>;
    allocator_type get_allocator() const noexcept { return boost::asio::get_associated_allocator(handler); }

    void operator()() {
        if (auto slot = boost::asio::get_associated_cancellation_slot(handler); slot.is_connected()) slot.clear();
        std::move(handler)(std::move(how));
    }
};

// Starts the command when the completion token says so, which may be later or never.
struct asio_start {
    template <class Handler>
    void operator()(Handler&& handler, runner* where, command what, limits within,
                    std::unique_ptr<observer> tell) const {
        using held = std::decay_t<Handler>;
        const auto running = std::make_shared<kept_execution>();
        if (auto slot = boost::asio::get_associated_cancellation_slot(handler); slot.is_connected()) {
            slot.assign([running](boost::asio::cancellation_type_t asked) {
                if (asked != boost::asio::cancellation_type::none) running->stop();
            });
        }
        auto executor = boost::asio::prefer(boost::asio::get_associated_executor(handler),
                                            boost::asio::execution::outstanding_work.tracked);
        auto end = [running, executor, handler = held(std::forward<Handler>(handler))](result<outcome> how) mutable {
            running->release();
            boost::asio::dispatch(executor, asio_delivery<held>{std::move(handler), std::move(how)});
        };
        running->keep(where->start(std::move(what), std::move(within),
                                   std::make_unique<answering_observer>(std::move(end), std::move(tell))));
    }
};

}  // namespace detail

// Runs a command and completes with void(result<outcome>): what never ran is the failure in the result, never an exception.
// Any completion token will do: a callback, use_future, use_awaitable, deferred.
// Cancellation of every type means stop(): the stop policy begins, and the handler is told how the command really ended
// (`op || timer` in a coroutine asks for `terminal`, and a handler must be called in any case: a command that was given
// up silently would have to be reported as one that never ran). limits::stop.grace bounds how long that takes.
// `tell`, if any, is told what happens before the end, on the loop; its on_done is not called, and it is gone before the
// handler is called. Input that is streamed needs the handle: use runner::start.
// The runner must live until the token starts the operation.
template <class CompletionToken>
auto async_run(runner& where, command what, limits within, std::unique_ptr<observer> tell, CompletionToken&& token) {
    return boost::asio::async_initiate<CompletionToken, void(result<outcome>)>(
        detail::asio_start{}, token, &where, std::move(what), std::move(within), std::move(tell));
}
template <class CompletionToken>
auto async_run(runner& where, command what, limits within, CompletionToken&& token) {
    return async_run(where, std::move(what), std::move(within), std::unique_ptr<observer>(),
                     std::forward<CompletionToken>(token));
}

// Lets an Asio executor drive a loop for as long as this object lives: its poll_fd() is watched, and run_ready() called when
// it is readable. Meanwhile the executor's context has work, so its run() does not return before stop().
// Threads: one thread of the executor at a time drives. Where several threads run the context, hand in a strand, and
// create, stop and destroy this on it, or while nobody runs the context.
class asio_drive {
   public:
    // `each` bounds what one turn may do before the executor's other work has its turn.
    // Throws boost::system::system_error if Asio cannot watch the descriptor.
    explicit asio_drive(loop& drives, const boost::asio::any_io_executor& on, budget each = {})
        : watched_(std::make_shared<watched>(drives, on, each)) {
        wait(watched_);
    }
    ~asio_drive() { stop(); }
    asio_drive(const asio_drive&) = delete;
    asio_drive& operator=(const asio_drive&) = delete;

    // Stops driving; callbacks of the loop may call it too. Again: nothing. What runs on the loop stays as it is.
    void stop() {
        if (std::exchange(watched_->drives, nullptr) != nullptr) watched_->descriptor.release();
    }

   private:
    struct watched {
        watched(loop& of, const boost::asio::any_io_executor& on, budget upto)
            : drives(&of), each(upto), descriptor(on, of.poll_fd()) {}
        ~watched() = default;
        loop* drives;  // nullptr once it was stopped
        budget each;
        boost::asio::posix::stream_descriptor descriptor;  // never closes: stop() takes the descriptor out of it
    };

    static void wait(const std::shared_ptr<watched>& what) {
        what->descriptor.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                                    [what](const boost::system::error_code& failed) {
                                        if (what->drives == nullptr || failed) return;
                                        what->drives->run_ready(what->each);
                                        if (what->drives != nullptr) wait(what);
                                    });
    }

    std::shared_ptr<watched> watched_;
};

}  // namespace exec::inline v0
