// Replies on a thread of the executor's.
#pragma once

#include <utility>

#include "exec/reply.h"
#include "exec/result.h"

namespace exec::inline v0::sqlite {

// What a handler throws has nobody to go to, and ends neither the batch nor the thread.
template <class T>
void answer(reply<T>& to, result<T> with) noexcept {
#if defined(__cpp_exceptions)
    try {
        to(std::move(with));
    } catch (...) {
    }
#else
    to(std::move(with));
#endif
}

}  // namespace exec::inline v0::sqlite
