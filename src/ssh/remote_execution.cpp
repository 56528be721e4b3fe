#include "ssh/remote_execution.h"

#include <algorithm>
#include <utility>

#include "exec/capabilities.h"
#include "exec/detail/execution_id.h"
#include "exec/display.h"
#include "ssh/remote_kill.h"
#include "ssh/signal_names.h"

namespace exec::inline v0::ssh {
namespace {

using namespace std::chrono_literals;

// How long the far side looks whether a killed group has gone, before it answers.
constexpr milliseconds until_gone{1000};

}  // namespace

// Keeps the object alive through a call from outside, and does at its end what that has made necessary.
class remote_execution::turn {
   public:
    explicit turn(remote_execution& of) noexcept : of_(of) { of_.retain(); }
    ~turn() {
        if (of_.muted() && of_.phase_ != phase::over) of_.tell_.reset();
        of_.release();
    }
    turn(const turn&) = delete;
    turn& operator=(const turn&) = delete;

   private:
    remote_execution& of_;
};

execution remote_execution::start(std::shared_ptr<const remote_setup> setup, command what, limits within,
                                  std::unique_ptr<observer> tell, result<void> refused) {
    const auto core = setup->pool->loop();
    auto* made =
        new remote_execution(std::move(setup), std::move(what), std::move(within), std::move(tell), std::move(refused));
    execution handle(made);
    if (!core->notify(*made)) {
        made->phase_ = phase::over;
        made->tell_.reset();
        made->release();
    }
    return handle;
}

remote_execution::remote_execution(std::shared_ptr<const remote_setup> setup, command what, limits within,
                                   std::unique_ptr<observer> tell, result<void> refused)
    : setup_(std::move(setup)),
      id_(exec::detail::next_execution_id()),
      what_(std::move(what)),
      within_(std::move(within)),
      tell_(std::move(tell)),
      called_(setup_->pool->loop()->now()),
      kept_{capture(within_.out), capture(within_.err)} {
    if (!refused) refused_ = std::make_unique<const failure>(std::move(refused).error());
    if (what_.in.what() == input::kind::bytes) {
        input_ = what_.in.data();
        input_ends_ = true;
    } else if (what_.in.what() == input::kind::none) {
        input_ends_ = true;
    }
}

void remote_execution::release() noexcept {
    if (claims_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
}

// From the handle -------------------------------------------------------------------------------------------------------

std::size_t remote_execution::write_in(bytes_view bytes) {
    if (setup_->pool->loop()->inherited() || what_.in.what() != input::kind::streamed) return 0;
    std::size_t take = 0;
    {
        const std::lock_guard hold(guard_);
        if (deaf_ || input_ends_) return bytes.size();
        const auto waiting = input_.size() + unsent_;
        take = (std::min)(bytes.size(), within_.in_queue - (std::min)(within_.in_queue, waiting));
        input_.append(bytes.substr(0, take));
        if (take < bytes.size()) owes_room_ = true;
    }
    setup_->pool->loop()->notify(*this);
    return take;
}

void remote_execution::close_in() {
    if (setup_->pool->loop()->inherited() || what_.in.what() != input::kind::streamed) return;
    {
        const std::lock_guard hold(guard_);
        input_ends_ = true;
    }
    setup_->pool->loop()->notify(*this);
}

void remote_execution::resume() {
    resume_.store(true, std::memory_order_release);
    setup_->pool->loop()->notify(*this);
}

result<void> remote_execution::signal(int number) {
    const auto* name = signal_name(number);
    if (name == nullptr) return fail(errc::unsupported, "signal: SSH has no name for " + std::to_string(number));
    {
        const std::lock_guard hold(guard_);
        if (!reachable_) return fail(errc::wrong_state, "signal: the command does not run");
        signals_.append(name) += ' ';
    }
    setup_->pool->loop()->notify(*this);
    return {};
}

result<void> remote_execution::resize(terminal_size size) {
    if (!what_.terminal) return fail(errc::unsupported, "resize: no terminal");
    {
        const std::lock_guard hold(guard_);
        if (!reachable_) return fail(errc::wrong_state, "resize: the command does not run");
        size_ = size;
    }
    setup_->pool->loop()->notify(*this);
    return {};
}

void remote_execution::stop(milliseconds grace) {
    stop_.ask(grace);
    setup_->pool->loop()->notify(*this);
}

void remote_execution::let_go() {
    muted_.store(true, std::memory_order_release);
    stop(unlimited);
    release();
}

// Before it runs --------------------------------------------------------------------------------------------------------

void remote_execution::notified() noexcept {
    const turn here(*this);
    if (phase_ == phase::fresh) begin();
    if (phase_ == phase::over) return;
    if (phase_ == phase::waiting || phase_ == phase::requested) {
        if (stop_.asked()) stop_waiting(stop_reason::cancelled);
        return;
    }
    std::string names;
    std::optional<terminal_size> size;
    {
        const std::lock_guard hold(guard_);
        names = std::exchange(signals_, {});
        size = std::exchange(size_, std::nullopt);
    }
    if (channel_ != nullptr && size) channel_->resize(*size);
    while (!names.empty() && channel_ != nullptr) {
        const auto end = names.find(' ');
        channel_->send_signal(names.substr(0, end));
        if (pid_ != 0) ask_group(signal_number(names.substr(0, end)), 0ms);
        names.erase(0, end + 1);
    }
    const auto now = setup_->pool->loop()->now();
    if (clock_.paused() && resume_.exchange(false, std::memory_order_acq_rel)) {
        clock_.resume(now);
        if (channel_ != nullptr) channel_->resume();
    }
    feed();
    act();
}

void remote_execution::begin() {
    const auto& core = setup_->pool->loop();
    const auto now = core->now();
    if (refused_) return conclude(*refused_);
    if (stop_.asked()) return conclude(fail(errc::cancelled));
    if (!core->enroll(*this)) return conclude(fail(errc::shutting_down));
    const auto by = (std::min)(saturating_add(called_, within_.start_timeout), within_.deadline.value_or(never));
    if (now >= by) return conclude(fail(errc::start_timeout));
    if (setup_->options.with == wrapper::on) {
        const auto mark = make_nonce();
        if (!mark) return conclude(mark.error());
        auto made = wrap(what_, *mark);
        if (!made) return conclude(std::move(made).error());
        line_ = *std::move(made);
        out_filter_.emplace(*mark);
        if (!what_.terminal) err_filter_.emplace(*mark);
    } else {
        auto made = bare(what_);
        if (!made) return conclude(std::move(made).error());
        line_ = *std::move(made);
    }
    phase_ = phase::waiting;
    alarm_.set(*core, by);
    setup_->pool->wait_for(setup_->target, *this, by);
}

void remote_execution::denied(const failure& why) noexcept {
    const turn here(*this);
    conclude(why);
}

void remote_execution::granted(session& on) noexcept {
    const turn here(*this);
    placed_ = setup_->pool->loop()->now();
    on_ = on.shared_from_this();
    phase_ = phase::requested;
    setup_->pool->count_command();
    channel_ = &on.lend(*this, {line_.line, what_.terminal, setup_->options.terminal_type});
}

void remote_execution::accepted() noexcept {
    const turn here(*this);
    // Without a wrapper nobody says more than this.
    if (!out_filter_) begun(0, false);
    // The preamble goes up at once, except to a terminal that still echoes.
    if (!what_.terminal || line_.preamble.empty()) may_feed_ = true;
    feed();
}

// Stops one that is not known to run.
void remote_execution::stop_waiting(stop_reason why) {
    if (phase_ == phase::waiting) {
        setup_->pool->leave(*this);
        return conclude(fail(exec::detail::code_of_unbegun(why)));
    }
    // The request may be on its way: nobody can promise that it did not run.
    clock_ = timeline(within_, setup_->pool->loop()->now());
    clock_.stop(why, 0ms, setup_->pool->loop()->now());
    if (channel_ != nullptr) std::exchange(channel_, nullptr)->let_go();
    auto how = account();
    how.stopped_by = why;
    how.began = started::unknown;
    how.out.complete = how.err.complete = false;
    conclude(std::move(how));
}

// While it runs -----------------------------------------------------------------------------------------------------------

void remote_execution::begun(std::int64_t pid, bool leads) {
    if (phase_ != phase::requested) return;
    phase_ = phase::running;
    clock_ = timeline(within_, setup_->pool->loop()->now());
    if (pid != 0) {
        pid_ = pid;
        leads_ = leads;
    }
    {
        const std::lock_guard hold(guard_);
        reachable_ = true;
    }
    start_info info{pid_ != 0 ? std::optional<std::int64_t>(pid_) : std::nullopt, setup_->options.where, within_};
    tell([&](observer& to) {
        to.on_start(info);
        return flow::more;
    });
    alarm_.set(*setup_->pool->loop(), clock_.wake());
}

void remote_execution::marked(const report& said) {
    if (said.pid > 1) {
        pid_ = said.pid;
        leads_ = said.leads;
    }
    switch (said.what) {
        case report::kind::pid: break;
        case report::kind::ready: may_feed_ = true; break;
        case report::kind::go:
            may_feed_ = true;
            begun(said.pid, said.leads);
            break;
        case report::kind::refused:
        case report::kind::lost: never_ran_ = said; break;
    }
}

std::size_t remote_execution::output(stream from, bytes_view bytes) noexcept {
    const turn here(*this);
    if (phase_ == phase::over || cut_) return bytes.size();  // it was given up
    if (clock_.paused() && phase_ != phase::requested) return 0;
    auto& filter = from == stream::out ? out_filter_ : err_filter_;
    if (!filter) return show(from, bytes);
    std::size_t held_back = 0;
    filter->feed(
        bytes, [this](const report& said) { marked(said); },
        [&](bytes_view output) { held_back = output.size() - show(from, output); });
    return bytes.size() - held_back;
}

std::size_t remote_execution::show(stream from, bytes_view bytes) {
    // What was said before `go` on the other stream counts as said at the beginning.
    if (phase_ == phase::requested) begun(pid_, leads_);
    const auto index = static_cast<std::size_t>(from);
    const auto& policy = from == stream::out ? within_.out : within_.err;
    const auto at = kept_[index].total();
    clock_.activity(setup_->pool->loop()->now());
    kept_[index].append(bytes);
    if (shown_[index] == at && at < policy.show) {
        const auto part =
            bytes.substr(0, static_cast<std::size_t>((std::min)(policy.show - at, std::uint64_t{bytes.size()})));
        shown_[index] += part.size();
        resume_.store(false, std::memory_order_release);
        tell([&](observer& to) { return to.on_output(from, at, part); });
    }
    if (kept_[index].over() && policy.then == at_cap::stop) {
        clock_.stop(stop_reason::output_limit, unlimited, setup_->pool->loop()->now());
    }
    setup_->pool->loop()->notify(*this);  // to look at the clock, outside of libssh
    return bytes.size();
}

template <class F>
void remote_execution::tell(F&& call) {
    if (tell_ == nullptr || muted()) return;
    const auto now = setup_->pool->loop()->now();
    auto wish = flow::more;
#if defined(__cpp_exceptions)
    try {
        wish = call(*tell_);
    } catch (...) {
        observer_failed_ = true;
        clock_.stop(stop_reason::observer_failed, unlimited, now);
        return;
    }
#else
    wish = call(*tell_);
#endif
    if (wish == flow::stop) clock_.stop(stop_reason::cancelled, unlimited, now);
    if (wish == flow::pause && !resume_.load(std::memory_order_acquire)) clock_.pause(now);
}

void remote_execution::writable() noexcept {
    const turn here(*this);
    feed();
}

void remote_execution::feed() {
    if (channel_ == nullptr || phase_ == phase::over) return;
    if (may_feed_ && preamble_sent_ < line_.preamble.size()) {
        preamble_sent_ += channel_->write(bytes_view(line_.preamble).substr(preamble_sent_));
        if (preamble_sent_ < line_.preamble.size()) return;
    }
    if (preamble_sent_ < line_.preamble.size()) return;
    const bool streams = phase_ != phase::requested || (!what_.terminal || line_.preamble.empty());
    if (!may_feed_ || !streams) return;
    // Not under the lock: a write may read as well, and what is read is told to the observer, who may write.
    bool room = false;
    bool end = false;
    for (;;) {
        {
            const std::lock_guard hold(guard_);
            if (channel_->is_deaf()) {
                deaf_ = true;
                input_ = {};
                sending_ = {};
                sent_ = 0;
            }
            if (sent_ == sending_.size()) {
                sending_ = std::exchange(input_, {});
                sent_ = 0;
            }
            unsent_ = sending_.size() - sent_;
            room = owes_room_ && (deaf_ || input_.size() + unsent_ < within_.in_queue);
            if (room) owes_room_ = false;
            end = input_ends_ && unsent_ == 0;
        }
        if (unsent_ == 0) break;
        const auto now = channel_->write(bytes_view(sending_).substr(sent_));
        sent_ += now;
        taken_ += now;
        if (now == 0 || channel_ == nullptr) break;
    }
    if (channel_ == nullptr) return;
    if (end) channel_->end_of_input();
    if (room) {
        tell([](observer& to) {
            to.on_room();
            return flow::more;
        });
    }
}

// The clock -----------------------------------------------------------------------------------------------------------------

void remote_execution::due() noexcept {
    const turn here(*this);
    if (phase_ == phase::waiting || phase_ == phase::requested) {
        const bool whole_call = setup_->pool->loop()->now() >= within_.deadline.value_or(never);
        return stop_waiting(whole_call ? stop_reason::deadline : stop_reason::start_timeout);
    }
    act();
}

void remote_execution::act() {
    if (phase_ != phase::running) return;
    const auto now = setup_->pool->loop()->now();
    if (const auto grace = stop_.take()) clock_.stop(stop_reason::cancelled, *grace, now);
    for (bool more = true; more && phase_ == phase::running;) {
        switch (clock_.next(now)) {
            case timeline::action::none: more = false; break;
            case timeline::action::heartbeat: {
                const auto running = std::chrono::duration_cast<milliseconds>(now - clock_.began_at());
                tell([&](observer& to) { return to.on_heartbeat(running); });
                break;
            }
            case timeline::action::ask:
                if (channel_ != nullptr) {
                    if (const auto* name = signal_name(within_.stop.polite)) channel_->send_signal(name);
                }
                ask_group(within_.stop.polite, 0ms);
                break;
            case timeline::action::kill:
                if (channel_ != nullptr) channel_->send_signal("KILL");
                ask_group(9, until_gone);
                break;
            case timeline::action::cut:
            case timeline::action::give_up: cut_ = true; break;
        }
    }
    if (phase_ == phase::running && clock_.over()) return settle();
    alarm_.set(*setup_->pool->loop(), clock_.wake());
}

void remote_execution::ask_group(int signal, milliseconds wait) {
    if (pid_ == 0 || side_ || on_ == nullptr || !on_->ready()) return;
    auto* on = setup_->pool->for_control(setup_->target);
    if (on == nullptr) return;
    kill_order order{pid_, leads_, signal, within_.stop.and_continue, wait};
    retain();
    side_ = std::make_unique<side_command>(*on, kill_line(order), [this](std::string said) {
        const turn here(*this);
        release();
        group_answered(parse_kill_answer(said));
    });
}

void remote_execution::group_answered(std::optional<group_state> said) {
    const auto answered = std::move(side_);
    if (said)
        left_ = *said == group_state::gone ? (leads_ ? tree_state::group_gone : tree_state::unknown)
                                           : tree_state::may_survive;
    if (phase_ != phase::settling) return act();
    // What was asked before the end tells nothing of the end.
    if (!std::exchange(last_asked_, true)) return ask_last();
    conclude(account());
}

// Whether anybody of the group is left, and their end if the policy says so.
void remote_execution::settle() {
    phase_ = phase::settling;
    alarm_.clear();
    if (side_) return;  // one answer at a time: the last question follows it
    last_asked_ = true;
    ask_last();
}

void remote_execution::ask_last() {
    const bool kill = within_.stop.after_exit == survivors::kill;
    if (pid_ != 0) ask_group(kill ? 9 : 0, kill ? until_gone : 0ms);
    if (!side_) conclude(account());
}

// Its end ---------------------------------------------------------------------------------------------------------------------

void remote_execution::exited(std::uint32_t status) noexcept {
    const turn here(*this);
    exit_ = exit_status::exited(static_cast<int>(status));
    known_ = true;
    if (phase_ == phase::running) clock_.exited(setup_->pool->loop()->now());
    act();
}

void remote_execution::signaled(std::string_view name, bool core) noexcept {
    const turn here(*this);
    exit_ = exit_status::signaled(signal_number(name), core);
    known_ = true;
    if (phase_ == phase::running) clock_.exited(setup_->pool->loop()->now());
    act();
}

void remote_execution::output_ended() noexcept {
    const turn here(*this);
    ended_[0] = ended_[1] = true;
    clock_.closed();
    act();
}

void remote_execution::closed() noexcept {
    const turn here(*this);
    channel_ = nullptr;
    ended_[0] = ended_[1] = true;
    if (never_ran_) {
        if (never_ran_->what == report::kind::refused) return conclude(ssh::refused(*never_ran_, what_));
        return conclude(fail(errc::start_failed, "no shell there that speaks of itself"));
    }
    if (phase_ == phase::requested) {
        // The wrapper ended without a word: whatever the login did, the command did not begin.
        const auto words = err_filter_ ? err_filter_->last_words() : out_filter_ ? out_filter_->last_words() : "";
        auto why = fail(errc::start_failed, display(words.substr(0, 256)));
        why.at = stage::request;
        return conclude(std::move(why));
    }
    if (phase_ != phase::running) return;
    const auto now = setup_->pool->loop()->now();
    clock_.closed();
    if (!clock_.has_exited()) {
        clock_.exited(now);
        if (!known_) broke_ = make_error_code(errc::connect_failed);
    }
    act();
}

void remote_execution::refused(failure why) noexcept {
    const turn here(*this);
    channel_ = nullptr;
    conclude(std::move(why));
}

void remote_execution::lost(const failure& why, bool handed_over) noexcept {
    const turn here(*this);
    channel_ = nullptr;
    if (!handed_over) return conclude(why);
    if (phase_ == phase::over) return;
    const bool was_begun = phase_ != phase::requested;
    auto how = account();
    how.began = was_begun ? started::yes : started::unknown;
    how.broke = why.code;
    how.out.complete = how.err.complete = false;
    if (!known_) how.exit = {};
    conclude(std::move(how));
}

outcome remote_execution::account() {
    const auto now = setup_->pool->loop()->now();
    for (std::size_t index = 0; index < 2; ++index) {
        const auto total = kept_[index].total();
        if (shown_[index] >= total) continue;
        tell([&](observer& to) {
            to.on_gap(index == 0 ? stream::out : stream::err, shown_[index], total - shown_[index]);
            return flow::more;
        });
    }
    outcome how;
    how.exit = exit_;
    how.stopped_by = clock_.cause();
    if (observer_failed_ && how.stopped_by == stop_reason::nobody) how.stopped_by = stop_reason::observer_failed;
    how.broke = broke_;
    how.out = std::move(kept_[0]).take(ended_[0] && !cut_);
    how.err = std::move(kept_[1]).take(ended_[1] && !cut_);
    how.in_taken = taken_;
    how.tree = left_;
    // The group is empty and still somebody holds the channel open: a descendant that left the group.
    if (cut_ && channel_ != nullptr && left_ == tree_state::group_gone) how.tree = tree_state::may_survive;
    how.where = setup_->options.where;
    const auto began = clock_.began_at();
    const auto exited = clock_.has_exited() ? clock_.exited_at() : now;
    how.took.queue = placed_ - called_;
    how.took.run = exited - began;
    how.took.drain = now - exited;
    how.took.total = now - called_;
    how.within = within_;
    return how;
}

void remote_execution::conclude(result<outcome> how) {
    if (phase_ == phase::over) return;
    phase_ = phase::over;
    alarm_.clear();
    {
        const std::lock_guard hold(guard_);
        reachable_ = false;
        deaf_ = true;
        input_ = {};
    }
    if (channel_ != nullptr) std::exchange(channel_, nullptr)->let_go();
    if (side_) {
        side_.reset();
        release();
    }
    on_.reset();
    client::leave();
    if (const auto last = std::move(tell_); last && !muted()) {
        exec::detail::at_the_border(*setup_->pool->loop(), "observer::on_done", [&] { last->on_done(std::move(how)); });
    }
    release();
}

void remote_execution::shut_down(milliseconds within) noexcept {
    const turn here(*this);
    if (phase_ == phase::waiting || phase_ == phase::requested) return stop_waiting(stop_reason::shutdown);
    clock_.stop(stop_reason::shutdown, within, setup_->pool->loop()->now());
    act();
}

void remote_execution::abandon() noexcept {
    const turn here(*this);
    if (phase_ == phase::waiting || phase_ == phase::requested) return stop_waiting(stop_reason::shutdown);
    clock_.stop(stop_reason::shutdown, 0ms, setup_->pool->loop()->now());
    if (channel_ != nullptr) channel_->send_signal("KILL");
    conclude(account());
}

}  // namespace exec::inline v0::ssh
