#include "ssh/control_shell.h"

#include <cstddef>
#include <iterator>
#include <utility>
#include <vector>

namespace exec::inline v0::ssh {

control_shell::control_shell(session& on, callback<void(std::deque<control_question>, bool)> ended)
    : ended_(std::move(ended)), channel_(&on.lend(*this, {control_line(), {}, {}})) {}

control_shell::~control_shell() {
    if (channel_ != nullptr) channel_->let_go();
    for (auto& each : std::exchange(asked_, {})) each.tell(std::nullopt);
}

void control_shell::ask(control_question what) {
    unsent_ += order_line(first_ + asked_.size(), what.order);
    asked_.push_back(std::move(what));
    send();
}

void control_shell::send() {
    if (running_ && channel_ != nullptr && !unsent_.empty()) unsent_.erase(0, channel_->write(unsent_));
}

void control_shell::asked() noexcept {
    running_ = true;
    send();
}

void control_shell::writable() noexcept { send(); }

std::size_t control_shell::output(stream from, bytes_view bytes) noexcept {
    if (from == stream::err) return bytes.size();
    auto rest = bytes;
    while (const auto said = reader_.next(rest)) {
        // In the order of the questions; anything else is a profile's joke.
        if (answers_.size() == asked_.size() || said->id != first_ + answers_.size()) continue;
        answers_.push_back(said->is);
    }
    if (!answers_.empty() && channel_ != nullptr) channel_->remind();
    return bytes.size();
}

void control_shell::reminded() noexcept {
    served_ = true;
    const auto answers = std::exchange(answers_, {});
    const auto last = asked_.begin() + static_cast<std::ptrdiff_t>(answers.size());
    std::vector<control_question> answered(std::make_move_iterator(asked_.begin()), std::make_move_iterator(last));
    asked_.erase(asked_.begin(), last);
    first_ += answers.size();
    // Whoever is told may end everything, this included.
    for (std::size_t index = 0; index < answered.size(); ++index) answered[index].tell(answers[index]);
}

void control_shell::finish() {
    channel_ = nullptr;
    auto ended = std::move(ended_);
    ended(std::exchange(asked_, {}), served_);
}

}  // namespace exec::inline v0::ssh
