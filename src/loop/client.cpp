#include "loop/client.h"

#include <utility>

namespace exec::inline v0::detail {

void client::leave() noexcept {
    auto* from = std::exchange(list_, nullptr);
    if (from == nullptr) return;
    (before_ != nullptr ? before_->after_ : from->first_) = after_;
    (after_ != nullptr ? after_->before_ : from->last_) = before_;
    before_ = after_ = nullptr;
    --from->size_;
}

void client_list::add(client& last) noexcept {
    last.list_ = this;
    last.before_ = last_;
    (last_ != nullptr ? last_->after_ : first_) = &last;
    last_ = &last;
    ++size_;
}

}  // namespace exec::inline v0::detail
