#include "loop/alarm_heap.h"

#include <algorithm>

namespace exec::inline v0::detail {

void alarm_heap::set(alarm& what, loop_core& in, time_point when) {
    if (what.is_set()) clear(what);
    // Not before the last turn: one that sets itself again and again in the past would always be the first.
    const entry added{(std::max)(when, opened_at_), ++set_count_, &what};
    heap_.push_back(added);
    what.core_ = &in;
    place(heap_.size() - 1, added);
    rise(heap_.size() - 1);
}

void alarm_heap::clear(alarm& what) noexcept {
    const auto at = what.place_;
    what.core_ = nullptr;
    const entry last = heap_.back();
    heap_.pop_back();
    if (at == heap_.size()) return;
    place(at, last);
    rise(at);
    sink(last.what->place_);
}

alarm& alarm_heap::take_due() noexcept {
    auto& first = *heap_.front().what;
    clear(first);
    return first;
}

alarm* alarm_heap::take_any() noexcept {
    if (heap_.empty()) return nullptr;
    auto* last = heap_.back().what;
    clear(*last);
    return last;
}

void alarm_heap::place(std::size_t at, const entry& what) noexcept {
    heap_[at] = what;
    what.what->place_ = at;
}

void alarm_heap::rise(std::size_t at) noexcept {
    const entry moving = heap_[at];
    while (at > 0) {
        const auto above = (at - 1) / 2;
        if (!moving.before(heap_[above])) break;
        place(at, heap_[above]);
        at = above;
    }
    place(at, moving);
}

void alarm_heap::sink(std::size_t at) noexcept {
    const entry moving = heap_[at];
    for (;;) {
        auto below = 2 * at + 1;
        if (below >= heap_.size()) break;
        if (below + 1 < heap_.size() && heap_[below + 1].before(heap_[below])) ++below;
        if (!heap_[below].before(moving)) break;
        place(at, heap_[below]);
        at = below;
    }
    place(at, moving);
}

}  // namespace exec::inline v0::detail
