// Misuse: what a host's programmer did wrong, as opposed to what a host's user asked for.
//
// A broken precondition (an empty word in argv("..."), run_ready() on two threads at once, value() of a
// failure in a build without exceptions) is reported through one replaceable hook and never continues. Input that came from outside is never misuse: it is
// a `failure` (error.h).
// Threads: the hook may be called on any thread; setting it is atomic.
#pragma once

#include "exec/export.h"

namespace exec::inline v0 {

// Called with the place and a sentence. May throw (tests do) or end the process; if it returns, the process aborts.
using misuse_handler = void (*)(const char* file, int line, const char* sentence);

// Replaces the hook and returns the one before. nullptr restores the default, which writes one line to descriptor 2.
EXEC_API misuse_handler set_misuse_handler(misuse_handler handler) noexcept;

namespace detail {
[[noreturn]] EXEC_API void report_misuse(const char* file, int line, const char* sentence);
}  // namespace detail

}  // namespace exec::inline v0

// Stays on in release builds: each use guards something that would otherwise corrupt the host.
#define EXEC_ASSERT(condition, sentence) \
    ((condition) ? static_cast<void>(0) : ::exec::detail::report_misuse(__FILE__, __LINE__, sentence))
