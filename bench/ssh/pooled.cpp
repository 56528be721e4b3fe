#include "ssh/pooled.h"

#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace bench {
namespace {

heard heard_of(const exec::result<exec::outcome>& how) {
    if (!how) {
        std::fprintf(stderr, "exec: %s\n", how.error().message().c_str());
        return {};
    }
    return {how->out.total, how->err.total, how->exit == exec::exit_status::exited(0)};
}

}  // namespace

exec::command command_of(words what) {
    std::vector<std::string> all;
    for (; *what != nullptr; ++what) all.emplace_back(*what);
    return {.program_and_args = exec::argv::make(all).value()};
}

// Of one of many.
class pooled::listener final : public exec::observer {
   public:
    explicit listener(pooled& of) : of_(of) {}
    void on_done(exec::result<exec::outcome> how) override {
        of_.one_ended(heard_of(how));
        if (of_.ended() >= of_.target_) of_.enough_.request_stop();
    }

   private:
    pooled& of_;
};

class pooled::last_word final : public exec::observer {
   public:
    last_word(pooled& of, std::optional<exec::result<exec::outcome>>& to) : of_(of), to_(to) {}
    void on_done(exec::result<exec::outcome> how) override {
        to_.emplace(std::move(how));
        of_.finished();
    }

   private:
    pooled& of_;
    std::optional<exec::result<exec::outcome>>& to_;
};

pooled::pooled(exec::ssh::endpoint to, exec::ssh::pool_options pool, exec::ssh::runner_options runner)
    : loop_(exec::make_loop().value()),
      pool_(exec::ssh::make_pool(*loop_, std::move(pool)).value()),
      runner_(exec::ssh::make_runner(*pool_, std::move(to), std::move(runner)).value()) {}

pooled::~pooled() { loop_->shutdown(exec::milliseconds(0)); }

void pooled::run_one(exec::command what, exec::limits within, std::unique_ptr<exec::observer> tell) {
    enough_ = std::stop_source();
    const auto handle = runner_->start(std::move(what), std::move(within), std::move(tell));
    loop_->run(enough_.get_token());
}

exec::outcome pooled::run_one(exec::command what, exec::limits within) {
    std::optional<exec::result<exec::outcome>> how;
    run_one(std::move(what), std::move(within), std::make_unique<last_word>(*this, how));
    if (!how->has_value()) {
        std::fprintf(stderr, "exec: %s\n", how->error().message().c_str());
        std::_Exit(2);
    }
    return std::move(**how);
}

void pooled::start(words what) {
    runner_->start(command_of(what), {.start_timeout = std::chrono::minutes(2)}, std::make_unique<listener>(*this))
        .detach();
}

void pooled::drive_until(std::size_t target) {
    if (ended() >= target) return;
    target_ = target;
    enough_ = std::stop_source();
    loop_->run(enough_.get_token());
}

}  // namespace bench
