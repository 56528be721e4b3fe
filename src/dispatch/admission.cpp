#include "dispatch/admission.h"

#include <exec/assert.h>

#include <iterator>
#include <utility>

namespace exec::inline v0::dispatch {

failure admission::refusal(errc code, const char* what) const {
    auto why = fail(code, what);
    why.retry_after = within_.retry_after;
    return why;
}

result<void> admission::arrive(place& who, const std::string& subject, const target_id& target) {
    EXEC_ASSERT(who.state_ == place::state::outside, "admission: it is inside already");
    if (inside_ >= within_.running + within_.waiting) return refusal(errc::too_busy, "too many calls at once");
    auto& share = callers_[subject];
    if (share.inside >= within_.running_per_caller + within_.waiting_per_caller) {
        return refusal(errc::caller_too_busy, "too many calls of this caller at once");
    }
    ++inside_;
    ++share.inside;
    who.subject_ = subject;
    who.target_ = target;
    who.state_ = place::state::arrived;
    return {};
}

result<bool> admission::enter(place& who, std::size_t bytes) {
    EXEC_ASSERT(who.state_ == place::state::arrived, "admission: it has not arrived, or has entered before");
    if (bytes > bytes_.all()) return refusal(errc::too_busy, "it needs more bytes than there are for all calls");
    auto& share = callers_[who.subject_];
    who.bytes_ = bytes;
    // Who comes new does not pass those who wait for the same thing.
    if (share.waiting.empty() && !short_of_bytes_) {
        const auto may = may_run(who, share);
        if (may == verdict::yes) {
            run(who, share);
            return true;
        }
    }
    if (waiting_ >= within_.waiting) return refusal(errc::too_busy, "too many calls wait");
    if (share.waiting.size() >= within_.waiting_per_caller) {
        return refusal(errc::caller_too_busy, "too many calls of this caller wait");
    }
    if (share.waiting.empty()) share.turn = turns_.insert(turns_.end(), who.subject_);
    who.at_ = share.waiting.insert(share.waiting.end(), &who);
    who.state_ = place::state::waiting;
    ++waiting_;
    return false;
}

void admission::leave(place& who) {
    if (who.state_ == place::state::outside) return;
    const auto found = callers_.find(who.subject_);
    auto& share = found->second;
    if (who.state_ == place::state::waiting) {
        share.waiting.erase(who.at_);
        if (share.waiting.empty()) turns_.erase(share.turn);
        --waiting_;
    } else if (who.state_ == place::state::running) {
        bytes_.give_back(who.bytes_);
        --running_;
        --share.running;
        const auto target = running_on_.find(who.target_);
        if (--target->second == 0) running_on_.erase(target);
    }
    --inside_;
    who.state_ = place::state::outside;
    if (--share.inside == 0) callers_.erase(found);
    let_in();
}

// Takes the bytes where it says yes.
admission::verdict admission::may_run(const place& who, const caller_share& of) {
    if (running_ >= within_.running) return verdict::nobody;
    if (of.running >= within_.running_per_caller) return verdict::not_here;
    const auto on = running_on_.find(who.target_);
    if (on != running_on_.end() && on->second >= within_.running_per_target) return verdict::not_here;
    if (bytes_.take(who.bytes_)) return verdict::yes;
    short_of_bytes_ = true;
    return verdict::nobody;
}

void admission::run(place& who, caller_share& of) {
    ++running_;
    ++of.running;
    ++running_on_[who.target_];
    who.state_ = place::state::running;
}

// Who is let in may leave at once, and is then not answered from inside that call: a thousand that fail one after the other
// would need the stack of a thousand.
void admission::let_in() {
    once_more_ = true;
    if (std::exchange(letting_in_, true)) return;
    while (std::exchange(once_more_, false)) {
        short_of_bytes_ = false;
        while (let_one_in()) {
        }
    }
    letting_in_ = false;
}

// Goes once around the callers who wait, until one of their calls may run.
bool admission::let_one_in() {
    for (auto left = turns_.size(); left > 0; --left) {
        auto& share = callers_.at(turns_.front());
        for (auto* each : share.waiting) {
            const auto may = may_run(*each, share);
            if (may == verdict::nobody) return false;
            if (may == verdict::not_here) continue;
            share.waiting.erase(each->at_);
            --waiting_;
            turns_.splice(turns_.end(), turns_, share.turn);
            if (share.waiting.empty()) turns_.erase(share.turn);
            run(*each, share);
            each->admitted();
            return true;
        }
        turns_.splice(turns_.end(), turns_, share.turn);
    }
    return false;
}

}  // namespace exec::inline v0::dispatch
