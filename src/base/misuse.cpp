#include "exec/assert.h"

#include <atomic>
#include <cstdlib>
#include <cstring>

#include <unistd.h>

namespace exec::inline v0 {
namespace {

std::atomic<misuse_handler> current{nullptr};

// write(2) only: the heap or the locale may be what is broken.
void say(const char* text) noexcept {
    const auto ignored = ::write(2, text, std::strlen(text));
    static_cast<void>(ignored);
}

}  // namespace

misuse_handler set_misuse_handler(misuse_handler handler) noexcept { return current.exchange(handler); }

namespace detail {

void report_misuse(const char* file, int line, const char* sentence) {
    if (auto* handler = current.load()) {
        handler(file, line, sentence);
    } else {
        char digits[16];
        char* at = digits + sizeof digits;
        *--at = '\0';
        for (unsigned rest = line > 0 ? static_cast<unsigned>(line) : 0U; rest != 0; rest /= 10) {
            *--at = static_cast<char>('0' + rest % 10);
        }
        say("exec: misuse: ");
        say(sentence);
        say(" (");
        say(file);
        say(":");
        say(at);
        say(")\n");
    }
    std::abort();
}

}  // namespace detail
}  // namespace exec::inline v0
