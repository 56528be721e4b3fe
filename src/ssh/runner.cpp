#include "exec/ssh/runner.h"

#include <utility>

#include "exec/capabilities.h"
#include "ssh/remote_execution.h"

namespace exec::inline v0::ssh {
namespace {

// Of one argument there: MAX_ARG_STRLEN of a Linux with pages of 4 KiB, without the NUL. Other systems allow more.
constexpr std::size_t longest_word = 32 * 4 * KiB - 1;

capabilities of_a_server(const runner_options& options) {
    const bool wrapped = options.with == wrapper::on;
    capabilities can;
    can.input_bytes = true;
    can.input_streamed = true;
    can.terminal = true;
    can.merge = wrapped;
    can.environment = wrapped;
    can.cwd = wrapped;
    can.signals = true;
    can.kills_group = wrapped;
    can.leaves_orphans = true;
    can.leaves_survivors = true;
    can.pauses = true;
    // What the wrapper's shell reads of its input before it becomes the command.
    can.max_word_bytes = wrapped ? longest_word : max_line;
    can.max_bytes = wrapped ? max_preamble / 4 : max_line;
    return can;
}

class remote_runner final : public runner {
   public:
    explicit remote_runner(std::shared_ptr<const remote_setup> setup)
        : setup_(std::move(setup)), can_(of_a_server(setup_->options)) {}

    execution start(command what, limits within, std::unique_ptr<observer> tell) override {
        auto refused = check(what, within, can_);
        return remote_execution::start(setup_, std::move(what), std::move(within), std::move(tell), std::move(refused));
    }
    using runner::run;
    capabilities can() const override { return can_; }

   protected:
    bool needs_this_thread() const override { return setup_->pool->loop()->driven_here(); }

   private:
    const std::shared_ptr<const remote_setup> setup_;
    const capabilities can_;
};

}  // namespace

result<std::shared_ptr<runner>> make_runner(pool& of, endpoint target, runner_options options) {
    if (target.user.empty()) return fail(errc::invalid_argument, "endpoint: no user");
    if (target.login == nullptr) return fail(errc::invalid_argument, "endpoint: no login");
    if (target.trust == nullptr) return fail(errc::invalid_argument, "endpoint: no trust");
    if (options.where.empty()) options.where = target.text();
    auto setup = std::make_shared<const remote_setup>(remote_setup{of.core(), std::move(target), std::move(options)});
    return std::shared_ptr<runner>(std::make_shared<remote_runner>(std::move(setup)));
}

}  // namespace exec::inline v0::ssh
