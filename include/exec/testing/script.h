// script: what a scripted command does, written down in the order in which it does it.
//
//     script().says("ready\n").waits(10ms).says("careful\n", stream::err).exits(3)
//     script().on_signal(15, script().says("bye\n").exits(0)).hangs()
//     script().answers([](std::string_view line) { return "you said " + std::string(line) + '\n'; })
//     script::fails(os_failure(ENOENT, stage::program, "git"))
//
// Steps come one after the other, as in a program: one that waits, reads, or writes into a full pipe holds up those after
// it. After the last one the command exits with 0. All time is the time of whoever plays it.
// Threads: a value. The functions in it are called by whoever plays it, and must not throw.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "exec/assert.h"
#include "exec/bytes.h"
#include "exec/error.h"
#include "exec/outcome.h"
#include "exec/time.h"

namespace exec::inline v0::testing {

namespace scripted {
class child;
class supervisor;
}  // namespace scripted

class script {
   public:
    // Says nothing and exits with 0.
    script() = default;

    // Its steps ------------------------------------------------------------------------------------------------------

    // One call of on_output, if there are at most 64 KiB and nobody holds the output: a pipe is not larger.
    // A merged or terminal command says everything on stream::out. A terminal adds nothing: write "\r\n" where it would.
    script& says(std::string bytes, stream on = stream::out) {
        return add({.what = step::kind::say, .on = on, .bytes = std::move(bytes)});
    }
    script& waits(milliseconds so_long) { return add({.what = step::kind::wait, .so_long = so_long}); }
    // Until somebody ends it.
    script& hangs() { return waits(unlimited); }
    // From the first step again, after a pause, without end.
    // REQUIRES: pause > 0: what takes no time would never be over.
    script& repeats_after(milliseconds pause) {
        EXEC_ASSERT(pause > milliseconds::zero(), "script: repeated without a pause");
        return add({.what = step::kind::repeat, .so_long = pause});
    }
    script& exits(int code) { return add({.what = step::kind::end, .how = exit_status::exited(code)}); }
    // Killed by a signal that nobody here has sent, as a crash is.
    script& dies(int signal, bool core = false) {
        return add({.what = step::kind::end, .how = exit_status::signaled(signal, core)});
    }
    // The link or the agent breaks: outcome::broke, an unknown exit, and output that is not complete.
    script& loses_contact(std::error_code why) { return add({.what = step::kind::lose, .broke = why}); }

    // Steps that read. The end of the input satisfies each of them.

    // Takes input up to and with `text`.
    script& reads_until(std::string text) { return add({.what = step::kind::expect, .bytes = std::move(text)}); }
    script& reads_all() { return add({.what = step::kind::drain}); }
    // As cat does.
    script& copies_input() { return add({.what = step::kind::copy}); }
    // Says what the function makes of each line, which it is given without its line feed.
    script& answers(std::function<std::string(std::string_view line)> function) {
        return add({.what = step::kind::answer, .answer = std::move(function)});
    }
    // Reads no more. Whoever writes is not held up by it.
    script& closes_input() { return add({.what = step::kind::close_in}); }

    // How it takes signals, whenever they come -------------------------------------------------------------------------

    // The steps of `reaction` come between two steps of its own, or in the middle of a wait. Without a reaction a signal
    // kills, but for those that do nothing to most programs: 17, 18, 23, 28, and, for simplicity's sake, the
    // ones that stop a process, 19 to 22. A resize comes as 28 (SIGWINCH).
    // REQUIRES: signal is not 9.
    script& on_signal(int signal, script reaction) {
        return react({signal, std::make_shared<const script>(std::move(reaction))});
    }
    script& ignores(int signal) { return react({signal, nullptr}); }
    // Even KILL does not end it, as in a system call on a dead mount.
    script& survives_kill() {
        survives_kill_ = true;
        return *this;
    }

    // What is around it ------------------------------------------------------------------------------------------------

    // A descendant that holds both pipes and goes on when the command itself has ended.
    script& leaves_behind(script descendant) {
        descendant_ = std::make_shared<const script>(std::move(descendant));
        return *this;
    }
    // What the kernel charged to it: outcome::used, where capabilities::resource_use is offered.
    script& uses(const resource_use& charged) {
        used_ = charged;
        return *this;
    }
    // The way to it takes so long: limits::start_timeout counts, and it can be stopped before it runs.
    script& begins_after(milliseconds so_long) {
        connect_ = so_long;
        return *this;
    }
    // It never ran.
    static script fails(failure why) {
        script none;
        none.failure_ = std::move(why);
        return none;
    }
    // It was handed over and the link broke before anybody confirmed: an outcome with started::unknown, no on_start.
    static script unconfirmed(std::error_code broke) {
        script none;
        none.unconfirmed_ = broke;
        return none;
    }

   private:
    friend class scripted::child;
    friend class scripted::supervisor;

    struct step {
        enum class kind : std::uint8_t { say, wait, repeat, end, lose, expect, drain, copy, answer, close_in };
        kind what;
        stream on = stream::out;
        milliseconds so_long{};
        exit_status how{};
        std::error_code broke{};
        std::string bytes{};
        std::function<std::string(std::string_view)> answer{};
    };
    struct trap {
        int signal;
        std::shared_ptr<const script> steps;  // null: it is ignored
    };

    script& add(step last) {
        steps_.push_back(std::move(last));
        return *this;
    }
    // The last word on a signal counts.
    script& react(trap to) {
        EXEC_ASSERT(to.signal != 9, "script: nothing reacts to KILL");
        traps_.insert(traps_.begin(), std::move(to));
        return *this;
    }

    std::vector<step> steps_{};
    std::vector<trap> traps_{};
    std::shared_ptr<const script> descendant_{};
    bool survives_kill_ = false;
    milliseconds connect_{};
    std::optional<failure> failure_{};
    std::error_code unconfirmed_{};
    resource_use used_{};
};

}  // namespace exec::inline v0::testing
