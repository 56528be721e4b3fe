#include "process/local_execution.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "exec/detail/execution_id.h"

#include <sys/epoll.h>

namespace exec::inline v0::process {
namespace {

using namespace std::chrono_literals;

bool must_run_elsewhere(const local_setup& setup) noexcept { return setup.options.spawn_on != nullptr; }

// A child that was made after its caller had been told that it would not be waited for. No loop waits for this thread, so a
// killed child may take its time on a busy machine.
void end_unwanted(launched late, const limits& within) {
    child unwanted;
    unwanted.adopt(std::move(late.process), within.contain, std::move(late.own_cgroup), {});
    unwanted.kill();
    unwanted.wait_for_exit(1s);
    if (unwanted.look()) {
        unwanted.close_down(survivors::kill);
    } else {
        unwanted.give_up();
    }
}

}  // namespace

class local_execution::turn {
   public:
    explicit turn(local_execution& of) noexcept : of_(of) { of_.retain(); }
    ~turn() {
        if (of_.run_.muted()) of_.tell_.reset();
        of_.release();
    }
    turn(const turn&) = delete;
    turn& operator=(const turn&) = delete;

   private:
    local_execution& of_;
};

class local_execution::launch_order {
   public:
    explicit launch_order(local_execution& of) noexcept : of_(&of) { of.retain(); }
    launch_order(launch_order&& other) noexcept : of_(std::exchange(other.of_, nullptr)) {}
    launch_order& operator=(launch_order&&) = delete;
    ~launch_order() {
        if (of_ != nullptr) answer(fail(errc::broken_reply, "the executor dropped the start"));
    }
    void operator()() {
        auto expected = answer_state::pending;
        // Not wanted any more: then it is not begun either, and the destructor gives the claim back.
        if (!of_->launch_state_.compare_exchange_strong(expected, answer_state::begun)) return;
        const auto& setup = *of_->setup_;
        answer(launch(of_->run_.what(), of_->run_.within(), setup, setup.options.spawning_thread_stays));
    }

   private:
    void answer(result<launched> how) {
        auto& to = *std::exchange(of_, nullptr);
        to.launch_answer_ = std::make_unique<result<launched>>(std::move(how));
        auto before = to.launch_state_.load();
        while (before != answer_state::unwanted &&
               !to.launch_state_.compare_exchange_weak(before, answer_state::there)) {
        }
        if (before != answer_state::unwanted) {
            // False: the loop has ended, and took the answer as it abandoned us.
            static_cast<void>(to.core_->notify(to));
        } else if (*to.launch_answer_) {
            end_unwanted(*std::move(*to.launch_answer_), to.run_.within());
        }
        to.release();
    }

    local_execution* of_;
};

execution local_execution::start(std::shared_ptr<detail::loop_core> core, std::shared_ptr<const local_setup> setup,
                                 command what, limits within, std::unique_ptr<observer> tell, result<void> refused) {
    auto* made = new local_execution(std::move(core), std::move(setup), std::move(what), std::move(within),
                                     std::move(tell), std::move(refused));
    execution handle(made);
    if (!made->core_->notify(*made)) {
        // The loop has ended: nobody is left to tell.
        made->phase_ = phase::over;
        made->tell_.reset();
        made->release();
    }
    return handle;
}

local_execution::local_execution(std::shared_ptr<detail::loop_core> core, std::shared_ptr<const local_setup> setup,
                                 command what, limits within, std::unique_ptr<observer> tell, result<void> refused)
    : core_(std::move(core)),
      setup_(std::move(setup)),
      id_(detail::next_execution_id()),
      tell_(std::move(tell)),
      called_(core_->now()),
      run_(std::move(what), std::move(within), tell_.get(), this, called_) {
    if (!refused) refused_ = std::make_unique<const failure>(std::move(refused).error());
}

local_execution::~local_execution() = default;

void local_execution::release() noexcept {
    if (claims_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
}

// From the handle -------------------------------------------------------------------------------------------------------

// In a copy of the host made by fork the command is the parent's: what would reach it does nothing there. The locks that it
// would take may be held by a thread that the copy does not have.

std::size_t local_execution::write_in(bytes_view bytes) {
    if (core_->inherited()) return 0;
    const auto taken = run_.write_in(bytes);
    if (taken != 0 || !bytes.empty()) core_->notify(*this);
    return taken;
}

void local_execution::close_in() {
    if (core_->inherited()) return;
    run_.close_in();
    core_->notify(*this);
}

void local_execution::resume() {
    run_.ask_resume();
    core_->notify(*this);
}

result<void> local_execution::signal(int number) {
    if (core_->inherited()) return fail(errc::wrong_state, "signal: it is the parent process's");
    return run_.signal(number);
}

result<void> local_execution::resize(terminal_size size) {
    if (core_->inherited()) return fail(errc::wrong_state, "resize: it is the parent process's");
    return run_.resize(size);
}

void local_execution::stop(milliseconds grace) {
    stop_.ask(grace);
    core_->notify(*this);
}

void local_execution::let_go() {
    run_.mute();
    stop(unlimited);
    release();
}

// On the loop -----------------------------------------------------------------------------------------------------------

void local_execution::notified() noexcept {
    const turn here(*this);
    if (phase_ == phase::queued) begin();
    if (phase_ == phase::launching && launch_state_.load() == answer_state::there) {
        launched_as(std::move(*launch_answer_));
    }
    if (phase_ == phase::launching && stop_.asked()) start_abandoned(stop_reason::cancelled);
    if (phase_ != phase::running) return;
    apply_stop();
    if (run_.look_at_resume(core_->now())) {
        // Whatever came during the pause was reported then, and is not reported again.
        if (out_.watching()) core_->again(out_, EPOLLIN | EPOLLHUP);
        if (err_.watching()) core_->again(err_, EPOLLIN | EPOLLHUP);
    }
    run_.input_ready(core_->now());
    after_event();
}

void local_execution::begin() {
    const auto now = core_->now();
    const auto& within = run_.within();
    if (refused_) return fail_with(*refused_);
    if (stop_.asked()) return fail_with(fail(errc::cancelled));
    if (!core_->enroll(*this)) return fail_with(fail(errc::shutting_down));
    const auto latest = (std::min)(saturating_add(called_, within.start_timeout), within.deadline.value_or(never));
    if (now >= latest) return fail_with(fail(errc::start_timeout));
    if (!must_run_elsewhere(*setup_)) {
        return launched_as(launch(run_.what(), within, *setup_, setup_->options.spawning_thread_stays));
    }
    phase_ = phase::launching;
    alarm_.set(*core_, latest);
    detail::at_the_border(*core_, "executor::execute",
                          [this] { setup_->options.spawn_on->execute(launch_order(*this)); });
}

void local_execution::launched_as(result<launched> how) {
    alarm_.clear();
    if (!how) return fail_with(std::move(how).error());
    phase_ = phase::running;
    run_.begin(*std::move(how), setup_->options.where, core_->now());
    for (auto [watch, fd] :
         {std::pair<detail::watch*, int>{&out_, run_.out_fd()}, {&err_, run_.err_fd()}, {&exit_, run_.exit_fd()}}) {
        if (fd < 0) continue;
        if (!core_->add(*watch, fd, EPOLLIN | EPOLLET))
            run_.stop(stop_reason::shutdown, milliseconds::zero(), core_->now());
    }
    apply_stop();
    after_event();
}

void local_execution::apply_stop() {
    if (const auto grace = stop_.take()) run_.stop(stop_reason::cancelled, *grace, core_->now());
}

void local_execution::after_event() {
    if (phase_ != phase::running) return;
    run_.tick(core_->scratch(), core_->now());
    if (run_.finished()) return conclude(run_.take(core_->now()));
    if (!in_.watching() && run_.in_fd() >= 0) static_cast<void>(core_->add(in_, run_.in_fd(), EPOLLOUT | EPOLLET));
    alarm_.set(*core_, run_.wake());
}

void local_execution::output_ready(stream from, std::uint32_t events) noexcept {
    const turn here(*this);
    const bool more = run_.output_ready(from, (events & EPOLLIN) != 0, (events & (EPOLLHUP | EPOLLERR)) != 0,
                                        core_->scratch(), core_->now());
    auto& watch = from == stream::out ? static_cast<detail::watch&>(out_) : err_;
    if (more && watch.watching()) core_->again(watch, events);
    after_event();
}

void local_execution::in_ready(std::uint32_t /*events*/) noexcept {
    const turn here(*this);
    run_.input_ready(core_->now());
    after_event();
}

void local_execution::exit_ready(std::uint32_t /*events*/) noexcept {
    const turn here(*this);
    run_.exit_ready(core_->now());
    after_event();
}

void local_execution::due() noexcept {
    const turn here(*this);
    if (phase_ == phase::launching) {
        const bool whole_call = core_->now() >= run_.within().deadline.value_or(never);
        return start_abandoned(whole_call ? stop_reason::deadline : stop_reason::start_timeout);
    }
    after_event();
}

void local_execution::forget(source which, bool at_end) noexcept {
    detail::watch* watch = nullptr;
    switch (which) {
        case source::out: watch = &out_; break;
        case source::err: watch = &err_; break;
        case source::in: watch = &in_; break;
        case source::exit: watch = &exit_; break;
    }
    if (at_end) {
        core_->retire(*watch);
    } else {
        core_->remove(*watch);
    }
}

// The end -----------------------------------------------------------------------------------------------------------------

void local_execution::start_abandoned(stop_reason why) {
    auto before = launch_state_.load();
    while (before != answer_state::there && !launch_state_.compare_exchange_weak(before, answer_state::unwanted)) {
    }
    // It came in this very moment.
    if (before == answer_state::there) return launched_as(std::move(*launch_answer_));
    // Nobody has begun it, and now nobody will.
    if (before == answer_state::pending) return fail_with(fail(detail::code_of_unbegun(why)));
    outcome unknown;
    unknown.stopped_by = why;
    unknown.began = started::unknown;
    unknown.where = setup_->options.where;
    unknown.within = run_.within();
    unknown.out.complete = unknown.err.complete = false;
    unknown.took.total = unknown.took.queue = core_->now() - called_;
    conclude(std::move(unknown));
}

void local_execution::fail_with(failure why) { conclude(std::move(why)); }

void local_execution::conclude(result<outcome> how) {
    phase_ = phase::over;
    alarm_.clear();
    leave();
    if (const auto last = std::move(tell_); last && !run_.muted()) {
#if defined(__cpp_exceptions)
        try {
            last->on_done(std::move(how));
        } catch (...) {
            core_->swallowed("observer::on_done");
        }
#else
        last->on_done(std::move(how));
#endif
    }
    release();
}

void local_execution::shut_down(milliseconds within) noexcept {
    const turn here(*this);
    if (phase_ == phase::launching) start_abandoned(stop_reason::shutdown);
    if (phase_ != phase::running) return;
    run_.stop(stop_reason::shutdown, within, core_->now());
    after_event();
}

void local_execution::abandon() noexcept {
    const turn here(*this);
    if (phase_ == phase::launching) start_abandoned(stop_reason::shutdown);
    if (phase_ != phase::running) return;
    run_.abandon(core_->scratch(), core_->now());
    conclude(run_.take(core_->now()));
}

}  // namespace exec::inline v0::process
