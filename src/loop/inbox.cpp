#include "loop/inbox.h"

#include <utility>

namespace exec::inline v0::detail {

inbox::pushed inbox::push(note& what) noexcept {
    // Release: what the notifier wrote before is seen by the call of notified() that answers it, also when another
    // notifier has queued the note already.
    if (what.pending_.exchange(true, std::memory_order_acq_rel)) return pushed::already_pending;
    what.retain();
    auto* head = head_.load(std::memory_order_relaxed);
    do {
        if (head == closed_mark()) {
            what.pending_.store(false, std::memory_order_release);
            what.release();
            return pushed::closed;
        }
        what.next_ = head;
    } while (!head_.compare_exchange_weak(head, &what, std::memory_order_seq_cst, std::memory_order_relaxed));
    return pushed::first_time;
}

bool inbox::empty() const noexcept {
    const auto* head = head_.load(std::memory_order_seq_cst);
    return head == nullptr || head == closed_mark();
}

note* inbox::close() noexcept {
    auto* head = head_.exchange(closed_mark(), std::memory_order_seq_cst);
    return head == closed_mark() ? nullptr : reverse(head);
}

note* inbox::open(note& what) noexcept {
    auto* next = std::exchange(what.next_, nullptr);
    what.pending_.exchange(false, std::memory_order_acq_rel);
    return next;
}

note* inbox::reverse(note* newest) noexcept {
    note* oldest = nullptr;
    while (newest != nullptr) {
        auto* next = std::exchange(newest->next_, oldest);
        oldest = std::exchange(newest, next);
    }
    return oldest;
}

}  // namespace exec::inline v0::detail
