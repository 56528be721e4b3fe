#include "loop/deferral.h"

#include <utility>

namespace exec::inline v0::detail {

deferral::deferral(std::shared_ptr<loop_core> in, time_point when, callback<void()> what) noexcept
    : in_(std::move(in)), when_(when), what_(std::move(what)) {}

void deferral::retain() noexcept { holders_.fetch_add(1, std::memory_order_relaxed); }

void deferral::release() noexcept {
    if (holders_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
}

void deferral::begin() {
    if (in_->driven_here()) {
        set_alarm();
    } else {
        in_->notify(*this);
    }
}

void deferral::cancel() noexcept {
    if (over_.exchange(true, std::memory_order_acq_rel)) return;
    if (in_->driven_here()) {
        forget();
    } else {
        in_->notify(*this);  // too late for a loop that has ended: it has forgotten already
    }
}

void deferral::notified() noexcept {
    if (over_.load(std::memory_order_acquire)) {
        forget();
    } else {
        set_alarm();
    }
}

void deferral::set_alarm() {
    if (is_set() || when_ == never) return;
    retain();
    alarm::set(*in_, when_);
}

void deferral::forget() noexcept {
    const auto unwanted = std::move(what_);  // destroyed last: it may hold anything, this deferral's handle included
    if (!is_set()) return;
    alarm::clear();
    release();
}

void deferral::due() noexcept {
    if (!over_.exchange(true, std::memory_order_acq_rel)) {
        auto what = std::move(what_);
        at_the_border(*in_, "after", what);
    }
    release();
}

void deferral::loop_gone() noexcept {
    over_.store(true, std::memory_order_release);
    what_.reset();
    release();
}

}  // namespace exec::inline v0::detail
