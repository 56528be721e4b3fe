// execution: the handle of one command in flight.
//
// Move-only, one pointer wide. A default, moved-from or finished one is inert: every member may be called and does
// nothing. It may outlive its runner, dispatcher and loop.
// Threads: every member may be called from any thread, at any time, inside any callback; none blocks and none calls back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "exec/bytes.h"
#include "exec/command.h"
#include "exec/result.h"
#include "exec/time.h"

namespace exec::inline v0 {

class execution {
   public:
    // What the author of a runner implements; one object for one command. Every verb keeps the promises of the member
    // of the same name below.
    class control {
       public:
        virtual std::size_t write_in(bytes_view bytes) = 0;
        virtual void close_in() = 0;
        virtual void resume() = 0;
        virtual result<void> signal(int number) = 0;
        virtual result<void> resize(terminal_size size) = 0;
        virtual void stop(milliseconds grace) = 0;
        virtual std::uint64_t id() const = 0;
        // The handle is gone and wants the command to go on. The handle's last call.
        virtual void detach() = 0;
        // The handle is gone: stop the command and say nothing more. The handle's last call; after it, or after detach,
        // the handle's claim on the object has ended and it may delete itself.
        virtual void let_go() = 0;

       protected:
        ~control() = default;
    };

    execution() noexcept = default;
    // Takes over the one claim on `of`, which ends with detach() or let_go().
    explicit execution(control* of) noexcept : control_(of) {}
    execution(execution&& other) noexcept : control_(std::exchange(other.control_, nullptr)) {}
    execution& operator=(execution&& other) noexcept {
        if (this != &other) drop(std::exchange(control_, std::exchange(other.control_, nullptr)));
        return *this;
    }
    // Drop: the command is stopped, and nobody is told. On the loop's thread no callback comes after it; on another
    // thread at most the one already in progress finishes. Never waits for it.
    ~execution() { drop(control_); }

    // False for an inert one that never had a command; a finished command's handle still says true.
    explicit operator bool() const noexcept { return control_ != nullptr; }

    // How many bytes were taken, at most limits::in_queue in waiting. Fewer than given: wait for observer::on_room, then
    // give the rest. A child that stopped reading takes everything; outcome::in_taken tells what it accepted.
    // 0 before and after: an execution whose input is not streamed takes nothing.
    std::size_t write_in(bytes_view bytes) { return control_ != nullptr ? control_->write_in(bytes) : 0; }
    // The end of input, after what is queued. Not a stop.
    void close_in() {
        if (control_ != nullptr) control_->close_in();
    }
    // Ends a pause, also one that is just being returned by a callback on another thread.
    void resume() {
        if (control_ != nullptr) control_->resume();
    }
    // Sends a signal to the whole group. Recorded nowhere: an outcome's cause is never guessed from it.
    // Fails with: errc::wrong_state (not begun, or ended), errc::unsupported, or the kernel's answer.
    result<void> signal(int number) {
        return control_ != nullptr ? control_->signal(number)
                                   : result<void>(fail(errc::wrong_state, "signal: no command"));
    }
    // Fails with: errc::wrong_state, errc::unsupported (no terminal).
    result<void> resize(terminal_size size) {
        return control_ != nullptr ? control_->resize(size)
                                   : result<void>(fail(errc::wrong_state, "resize: no command"));
    }
    // Begins the stop policy with cause `cancelled`; on_done tells how it ended. Again: the grace can only get shorter.
    void stop(milliseconds grace = unlimited) {
        if (control_ != nullptr) control_->stop(grace);
    }
    // Gives up the handle and keeps command and observer: they go on to their end.
    void detach() {
        if (auto* last = std::exchange(control_, nullptr)) last->detach();
    }
    // Unique within this process; 0 for an inert one.
    std::uint64_t id() const { return control_ != nullptr ? control_->id() : 0; }

   private:
    static void drop(control* last) {
        if (last != nullptr) last->let_go();
    }

    control* control_ = nullptr;
};

}  // namespace exec::inline v0
