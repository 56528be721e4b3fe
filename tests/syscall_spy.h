// Looks at the library's own system calls, and makes one of them fail: through its table, from outside of a test's code.
#pragma once

#include <atomic>
#include <cerrno>
#include <type_traits>

#include "posix/syscalls.h"

namespace test {

// How often the entry was called, and at which of these calls it fails, with which errno.
struct spied {
    std::atomic<int> calls{0};
    std::atomic<int> fails_at{0};  // 0 = never; -1 = always
    std::atomic<int> error{0};

    // Counts this call. The errno that it is to fail with; 0 = let it through.
    int meet() noexcept {
        const int number = ++calls;
        const int at = fails_at.load();
        return at == -1 || at == number ? error.load() : 0;
    }
    void reset() noexcept { calls = fails_at = error = 0; }
};

// One for each entry of the table: spy<&posix::syscalls::read>.
template <auto Entry>
inline spied spy{};

namespace detail {

template <auto Entry, class Function>
struct hook;
template <auto Entry, class R, class... Args>
struct hook<Entry, R (*)(Args...)> {
    static R call(Args... args) {
        const int error = spy<Entry>.meet();
        // A close that fails has closed all the same.
        if (error == 0 ||
            std::is_same_v<
                std::integral_constant<decltype(Entry), Entry>,
                std::integral_constant<decltype(&exec::posix::syscalls::close), &exec::posix::syscalls::close>>) {
            const R answer = (exec::posix::kernel_syscalls().*Entry)(args...);
            if (error == 0) return answer;
        }
        errno = error;
        if constexpr (std::is_pointer_v<R>) {
            return reinterpret_cast<R>(-1L);  // MAP_FAILED
        } else {
            return R{-1};
        }
    }
};

template <auto Entry>
void install(exec::posix::syscalls& into) {
    into.*Entry = &hook<Entry, std::remove_reference_t<decltype(into.*Entry)>>::call;
}

}  // namespace detail

// Puts a counting entry in place of each of these, with nothing counted and nothing failing, for as long as it lives.
template <auto... Entries>
class watched_syscalls {
   public:
    watched_syscalls() : table_(exec::posix::kernel_syscalls()), in_use_(prepared()) {}

   private:
    const exec::posix::syscalls& prepared() {
        (detail::install<Entries>(table_), ...);
        (spy<Entries>.reset(), ...);
        return table_;
    }

    exec::posix::syscalls table_;
    exec::posix::replaced_syscalls in_use_;
};

}  // namespace test
