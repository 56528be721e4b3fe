#include "dispatch/answers.h"

#include <exec/assert.h>
#include <exec/detail/execution_id.h>

#include <atomic>
#include <utility>

namespace exec::inline v0::dispatch {

// One who waits for the answer of somebody else's call. The handle and the entry share it.
class answers::listener final : public execution::control, public std::enable_shared_from_this<listener> {
   public:
    listener(std::shared_ptr<detail::loop_core> on, std::unique_ptr<observer> tell) noexcept
        : on_(std::move(on)), tell_(std::move(tell)) {}

    execution hand_out() {
        claim_ = shared_from_this();
        return execution(this);
    }
    void answer(result<outcome> how) {
        detail::post(*on_, [self = shared_from_this(), how = std::move(how)]() mutable { self->end(std::move(how)); });
    }

    std::size_t write_in(bytes_view /*bytes*/) override { return 0; }
    void close_in() override {}
    void resume() override {}
    result<void> signal(int /*number*/) override {
        return fail(errc::unsupported, "signal: the command is another call's");
    }
    result<void> resize(terminal_size /*size*/) override {
        return fail(errc::unsupported, "resize: the command is another call's");
    }
    // Stops listening, not the command.
    void stop(milliseconds /*grace*/) override { answer(fail(errc::cancelled)); }
    std::uint64_t id() const override { return id_; }
    void detach() override { const auto last = std::move(claim_); }
    void let_go() override {
        const auto last = std::move(claim_);
        last->muted_.store(true, std::memory_order_release);
        last->stop({});
    }

   private:
    void end(result<outcome> how) {
        const auto last = std::move(tell_);
        const auto listens = [this, &last] { return last != nullptr && !muted_.load(std::memory_order_acquire); };
        // Of what it said, nothing was shown here: that is a gap and not silence.
        if (how && how->began == started::yes) {
            if (listens()) last->on_start({std::nullopt, how->where, how->within});
            if (listens() && how->out.total > 0) last->on_gap(stream::out, 0, how->out.total);
            if (listens() && how->err.total > 0) last->on_gap(stream::err, 0, how->err.total);
        }
        if (listens()) last->on_done(std::move(how));
    }

    const std::shared_ptr<detail::loop_core> on_;
    const std::uint64_t id_ = detail::next_execution_id();
    std::unique_ptr<observer> tell_;
    std::atomic<bool> muted_{false};
    std::shared_ptr<listener> claim_{};  // of the handle, which does not use it twice
};

answers::~answers() {
    for (auto& each : of_) bytes_.give_back(each.second.bytes);
}

std::string answers::name_of(const audit_record& of) {
    std::string name;
    for (const auto& part : {of.who.subject, of.who.tenant, of.target.name(), of.idempotency_key}) {
        name.append(std::to_string(part.size())).append(":").append(part);
    }
    return name.append(to_string(of.what));
}

answers::known answers::look(const std::string& name, const std::string& digest, time_point now) {
    trim(now);
    const auto found = of_.find(name);
    if (found == of_.end()) return known::fresh;
    return found->second.digest == digest ? known::same : known::other_request;
}

void answers::begin(const std::string& name, const std::string& digest) { of_[name].digest = digest; }

execution answers::join(const std::string& name, std::unique_ptr<observer> tell) {
    auto& of = of_.at(name);
    auto one = std::make_shared<listener>(on_, std::move(tell));
    if (of.how) {
        one->answer(*of.how);
    } else {
        of.joined.push_back(one);
    }
    return one->hand_out();
}

void answers::settle(const std::string& name, const result<outcome>& how, time_point now) {
    const auto found = of_.find(name);
    EXEC_ASSERT(found != of_.end() && !found->second.how, "answers: this one has its answer, or was never begun");
    auto& of = found->second;
    for (const auto& one : std::exchange(of.joined, {})) one->answer(how);
    // What is kept: an outcome and its output.
    const auto size = how ? sizeof(entry) + name.size() + how->out.bytes.size() + how->err.bytes.size() : 0;
    if (!how || size > within_.bytes || !bytes_.take(size)) {
        of_.erase(found);
        return;
    }
    of.how = *how;
    of.bytes = size;
    of.until = saturating_add(now, within_.age);
    of.age = answered_.insert(answered_.end(), name);
    held_ += size;
    trim(now);
}

void answers::forget(entries::iterator which) {
    bytes_.give_back(which->second.bytes);
    held_ -= which->second.bytes;
    answered_.erase(which->second.age);
    of_.erase(which);
}

void answers::trim(time_point now) {
    while (!answered_.empty()) {
        const auto oldest = of_.find(answered_.front());
        const bool too_many = answered_.size() > within_.answers || held_ > within_.bytes;
        if (!too_many && oldest->second.until > now) return;
        forget(oldest);
    }
}

}  // namespace exec::inline v0::dispatch
