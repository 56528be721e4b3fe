#include "exec/local_runner.h"

#include <utility>

#include "loop/core.h"
#include "process/blocking_run.h"
#include "process/launch.h"
#include "process/local_execution.h"

#include <unistd.h>

namespace exec::inline v0 {
namespace {

// MAX_ARG_STRLEN: 32 pages, with the final NUL.
std::size_t longest_string() noexcept { return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)) * 32 - 1; }

// A quarter of the stack limit, asked at run time, without what execve itself needs beside the strings.
std::size_t longest_list() noexcept {
    constexpr std::size_t margin = 4 * KiB;
    const auto all = ::sysconf(_SC_ARG_MAX);
    return all > static_cast<long>(2 * margin) ? static_cast<std::size_t>(all) - margin : 128 * KiB - margin;
}

capabilities of_this_host(const local_options& options, bool has_loop) {
    capabilities can;
    const bool plain = options.spawn == spawn_kind::posix_spawn;
    can.input_bytes = true;
    can.input_streamed = has_loop;
    can.terminal = !plain;
    can.merge = true;
    can.environment = true;
    can.cwd = !plain;
    can.signals = true;
    can.kills_group = true;
    can.cgroup = !options.cgroup.empty() && !plain;
    can.pid_namespace = options.pid_namespace && !plain;
    can.stops_orphans = options.spawning_thread_stays && !plain;
    can.leaves_orphans = true;
    can.leaves_survivors = true;
    can.resource_use = true;
    can.pauses = has_loop;
    can.max_word_bytes = longest_string();
    can.max_bytes = longest_list();
    return can;
}

class local_runner final : public runner {
   public:
    local_runner(std::shared_ptr<detail::loop_core> core, process::local_setup setup)
        : core_(std::move(core)),
          setup_(std::make_shared<const process::local_setup>(std::move(setup))),
          on_loop_(of_this_host(setup_->options, true)),
          in_place_(of_this_host(setup_->options, false)) {}

    execution start(command what, limits within, std::unique_ptr<observer> tell) override {
        auto refused = check(what, within, on_loop_);
        return process::local_execution::start(core_, setup_, std::move(what), std::move(within), std::move(tell),
                                               std::move(refused));
    }
    using runner::run;
    result<outcome> run(command what, limits within, observer& tell, std::stop_token stop) override {
        if (auto refused = check(what, within, in_place_); !refused) return std::move(refused).error();
        return process::blocking_run(std::move(what), std::move(within), *setup_, &tell, std::move(stop));
    }
    capabilities can() const override { return on_loop_; }

   private:
    const std::shared_ptr<detail::loop_core> core_;
    const std::shared_ptr<const process::local_setup> setup_;
    // Asked once: a bound of the kernel's that changes later is the kernel's to enforce.
    const capabilities on_loop_;
    const capabilities in_place_;
};

result<std::shared_ptr<runner>> make(std::shared_ptr<detail::loop_core> core, local_options options) {
    auto setup = process::make_setup(std::move(options));
    if (!setup) return std::move(setup).error();
    return std::shared_ptr<runner>(std::make_shared<local_runner>(std::move(core), *std::move(setup)));
}

result<outcome> run_here(command what, limits within, observer* tell, std::stop_token stop) {
    process::local_setup setup;
    setup.host = process::host_environment::borrowed();
    if (auto refused = check(what, within, of_this_host(setup.options, false)); !refused)
        return std::move(refused).error();
    return process::blocking_run(std::move(what), std::move(within), setup, tell, std::move(stop));
}

}  // namespace

result<std::shared_ptr<runner>> make_local_runner(loop& on, local_options options) {
    return make(detail::core_of(on), std::move(options));
}

result<outcome> run(command what, limits within, observer& tell, std::stop_token stop) {
    return run_here(std::move(what), std::move(within), &tell, std::move(stop));
}

// Nobody, not a deaf observer: what is not kept either never leaves the kernel.
result<outcome> run(command what, limits within, std::stop_token stop) {
    return run_here(std::move(what), std::move(within), nullptr, std::move(stop));
}

}  // namespace exec::inline v0
