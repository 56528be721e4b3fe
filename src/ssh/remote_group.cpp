#include "ssh/remote_group.h"

#include <cstddef>
#include <utility>

#include <csignal>

namespace exec::inline v0::ssh {
namespace {

constexpr milliseconds patience{500};
constexpr std::size_t most_owed = 64;

}  // namespace

void remote_group::send_owed() {
    if (!can_be_asked() || is_asked() || owed_.empty()) return;
    const auto next = owed_.front();
    owed_.erase(owed_.begin());
    send(next, elsewhere_);
}

void remote_group::signal(int number, bool and_continue) {
    const kill_order what{owner_, pid_, leads_, number, and_continue, false};
    if (can_be_asked() && !is_asked()) return send(what, elsewhere_);
    if (number == SIGKILL) {
        if (is_asked() && !elsewhere_ && pool_->loop()->now() >= saturating_add(asked_at_, patience)) {
            elsewhere_ = true;
            return send(what, true);
        }
        owed_.clear();
    }
    const bool said = !owed_.empty() && owed_.back().signal == number;
    if (!said && owed_.size() < most_owed) owed_.push_back(what);
}

void remote_group::look(bool kill, bool thorough) {
    send({owner_, pid_, leads_, kill ? SIGKILL : 0, false, thorough}, elsewhere_);
}

void remote_group::send(kill_order what, bool elsewhere) {
    what.pid = pid_;
    what.leads = leads_;
    ++asked_;
    asked_at_ = pool_->loop()->now();
    pool_->ask(*on_, elsewhere, {what, [self = shared_from_this()](std::optional<group_state> said) {
                                     --self->asked_;
                                     self->answered(said);
                                 }});
}

void remote_group::answered(std::optional<group_state> said) {
    send_owed();
    if (!is_asked() && answered_) answered_(said);
}

}  // namespace exec::inline v0::ssh
