// A descriptor and its one owner.
//
// Closing is never retried: on Linux the number is free again whatever close() says. A descriptor that is watched by an
// epoll is taken out of it by the loop before it is closed here.
#pragma once

#include <utility>

#include "exec/export.h"
#include "exec/result.h"

namespace exec::inline v0::posix {

class fd {
   public:
    fd() noexcept = default;
    explicit fd(int number) noexcept : number_(number) {}
    fd(fd&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
    fd& operator=(fd&& other) noexcept {
        if (this != &other) reset(std::exchange(other.number_, -1));
        return *this;
    }
    ~fd() { reset(); }

    int get() const noexcept { return number_; }
    explicit operator bool() const noexcept { return number_ >= 0; }
    // Gives the number up without closing it.
    int release() noexcept { return std::exchange(number_, -1); }
    // Closes what it held. errno is left as it was.
    EXEC_API void reset(int number = -1) noexcept;

   private:
    int number_ = -1;
};

// The same open file under a number of at least 3. A host that runs with 0, 1 or 2 closed is given those numbers for
// its next descriptors, and a child that arranges its standard streams would then overwrite one source with another.
// Fails with: EMFILE, at stage::descriptors; `from` is closed then.
EXEC_API result<fd> above_stdio(fd from);

// Sets or clears O_NONBLOCK on the open file description, which every duplicate shares: for our own ends only.
EXEC_API result<void> set_nonblocking(int descriptor, bool on);

}  // namespace exec::inline v0::posix
