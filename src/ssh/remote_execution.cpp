#include "ssh/remote_execution.h"

#include <algorithm>
#include <utility>

#include "exec/capabilities.h"
#include "exec/detail/execution_id.h"
#include "exec/display.h"
#include "ssh/remote_kill.h"
#include "ssh/signal_names.h"

#include <csignal>

namespace exec::inline v0::ssh {
namespace {

using namespace std::chrono_literals;

// As the local runner gives a killed group.
constexpr milliseconds settle_for = timeline::unreaped_after;
constexpr milliseconds first_look{5};
// Places that turn out to be none: refused channels, sessions that end. Each is taken for the last one soon.
constexpr int most_moves = 8;
// An order that needs a login of its own may take so long.
constexpr milliseconds ahead_of_limit{5'000};
constexpr std::size_t most_signals = 64;

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
      input_(what_.in, what_.terminal.has_value(), within_.in_queue),
      tell_(std::move(tell)),
      called_(setup_->pool->loop()->now()),
      kept_{capture(within_.out), capture(within_.err)} {
    if (!refused) refused_ = std::make_unique<const failure>(std::move(refused).error());
}

void remote_execution::release() noexcept {
    if (claims_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
}

// From the handle -------------------------------------------------------------------------------------------------------

std::size_t remote_execution::write_in(bytes_view bytes) {
    if (setup_->pool->loop()->inherited()) return 0;
    const auto taken = input_.push(bytes);
    setup_->pool->loop()->notify(*this);
    return taken;
}

void remote_execution::close_in() {
    if (setup_->pool->loop()->inherited()) return;
    input_.finish();
    setup_->pool->loop()->notify(*this);
}

void remote_execution::resume() {
    resume_.store(true, std::memory_order_release);
    setup_->pool->loop()->notify(*this);
}

result<void> remote_execution::signal(int number) {
    const auto* named = find_signal(number);
    const bool wrapped = setup_->options.with == wrapper::on;
    if (named == nullptr || (!wrapped && !named->of_ssh)) {
        return fail(errc::unsupported, "signal: there is no name for " + std::to_string(number));
    }
    {
        const std::lock_guard hold(guard_);
        if (!reachable_) return fail(errc::wrong_state, "signal: the command does not run");
        if (signals_.size() >= most_signals) return fail(errc::too_busy, "signal: too many are waiting");
        signals_.push_back(number);
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
    std::vector<int> signals;
    {
        const std::lock_guard hold(guard_);
        signals = std::exchange(signals_, {});
    }
    for (const auto each : signals) send_signal(each, false);
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
    start_by_ = (std::min)(saturating_add(called_, within_.start_timeout), within_.deadline.value_or(never));
    if (now >= start_by_) return conclude(fail(errc::start_timeout));
    auto made = result<remote_command>(remote_command{});
    if (setup_->options.with == wrapper::on) {
        const auto mark = make_nonce();
        if (!mark) return conclude(mark.error());
        made = wrap(what_, *mark);
        out_filter_.emplace(*mark);
        if (!what_.terminal) err_filter_.emplace(*mark);
    } else {
        made = bare(what_);
    }
    if (!made) return conclude(std::move(made).error());
    line_ = std::move(made->line);
    input_.precede(std::move(made->preamble));
    // It may outlive this one by the orders that it owes, and has forgotten it then.
    group_ = std::make_shared<remote_group>(setup_->pool, id_,
                                            [this](std::optional<group_state> said) { group_answered(said); });
    phase_ = phase::waiting;
    alarm_.set(*core, start_by_);
    setup_->pool->wait_for(setup_->target, *this, start_by_);
}

void remote_execution::denied(const failure& why) noexcept {
    const turn here(*this);
    conclude(why);
}

void remote_execution::granted(session& on) noexcept {
    const turn here(*this);
    placed_ = setup_->pool->loop()->now();
    connected_in_ = (std::max)(nanoseconds::zero(), on.ready_at() - (std::max)(called_, on.opened_at()));
    group_->is_on(on.shared_from_this());
    ends_early_ = on.closes_with_leader();
    phase_ = phase::requested;
    channel_ = &on.lend(*this, {line_, what_.terminal, setup_->options.terminal_type});
}

void remote_execution::asked() noexcept {
    const turn here(*this);
    setup_->pool->count_command();
    line_ = {};  // from here on it goes to no other place
    // Except to a terminal that still echoes.
    if (!what_.terminal || !input_.has_preamble()) input_.may_send(true);
    feed();
}

void remote_execution::accepted() noexcept {
    const turn here(*this);
    // Without a wrapper nobody says more than this.
    if (!out_filter_) begun(0, false);
    feed();
}

// Stops one that is not known to run.
void remote_execution::stop_waiting(stop_reason why) {
    if (phase_ == phase::waiting) {
        setup_->pool->leave(*this);
        return conclude(fail(exec::detail::code_of_unbegun(why)));
    }
    if (channel_ == nullptr || !channel_->handed_over()) return conclude(fail(exec::detail::code_of_unbegun(why)));
    // The request is on its way, and nobody can promise that it did not run: what it has begun is killed as soon as it says
    // who it is.
    if (std::exchange(hurried_, true)) return;
    const auto now = setup_->pool->loop()->now();
    clock_ = timeline(within_, now);
    clock_.stop(why, 0ms, now);
    act();
}

// While it runs -----------------------------------------------------------------------------------------------------------

void remote_execution::begun(std::int64_t pid, bool leads) {
    if (phase_ != phase::requested) return;
    phase_ = phase::running;
    begun_ = true;
    const auto now = setup_->pool->loop()->now();
    if (!hurried_) clock_ = timeline(within_, now);
    group_->is(pid, leads);
    {
        const std::lock_guard hold(guard_);
        reachable_ = true;
    }
    start_info info{group_->pid() != 0 ? std::optional<std::int64_t>(group_->pid()) : std::nullopt,
                    setup_->options.where, within_};
    tell([&](observer& to) {
        to.on_start(info);
        return flow::more;
    });
    const auto limit = (std::min)(saturating_add(now, within_.run_timeout), within_.deadline.value_or(never));
    prepare_at_ = limit == never ? never : saturating_add(limit, -ahead_of_limit);
    if (channel_ != nullptr) channel_->remind();
}

void remote_execution::marked(const report& said) {
    group_->is(said.pid, said.leads);
    switch (said.what) {
        case report::kind::pid: break;
        case report::kind::ready: input_.may_send(false); break;
        case report::kind::go:
            input_.may_send(true);
            begun(said.pid, said.leads);
            break;
        case report::kind::refused:
        case report::kind::lost: never_ran_ = said; break;
    }
    if (channel_ != nullptr) channel_->remind();
}

std::size_t remote_execution::output(stream from, bytes_view bytes) noexcept {
    const turn here(*this);
    auto& filter = from == stream::out ? out_filter_ : err_filter_;
    if (phase_ == phase::over || cut_ || channel_ == nullptr) {  // it was given up
        if (listens_on_ && filter)
            filter->feed(
                bytes, [this](const report& said) { marked(said); }, [](bytes_view) {});
        return bytes.size();
    }
    // What the wrapper says is heard through a pause of the other stream.
    if (!filter || filter->is_open()) return clock_.paused() ? 0 : show(from, bytes);
    std::size_t held_back = 0;
    filter->feed(
        bytes, [this](const report& said) { marked(said); },
        [&](bytes_view output) { held_back = output.size() - (clock_.paused() ? 0 : show(from, output)); });
    return bytes.size() - held_back;
}

std::size_t remote_execution::show(stream from, bytes_view bytes) {
    // What was said before `go` on the other stream counts as said at the beginning.
    if (phase_ == phase::requested) begun(0, false);
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
    if (channel_ != nullptr) channel_->remind();  // to look at the clock, outside of libssh
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

void remote_execution::reminded() noexcept {
    const turn here(*this);
    group_->send_owed();
    if (listens_on_ && !group_->owes()) return listen_no_more();
    // The way for orders is made while the command runs, and not when its end waits for it.
    if (begun_ && setup_->options.confirm_end && group_->can_be_asked() && !std::exchange(prepared_, true)) {
        setup_->pool->prepare_to_ask(*group_->where(), false);
    }
    feed();
    act();
}

void remote_execution::feed() {
    if (channel_ == nullptr || phase_ == phase::over) return;
    std::optional<terminal_size> size;
    {
        const std::lock_guard hold(guard_);
        size = std::exchange(size_, std::nullopt);
    }
    if (size) channel_->resize(*size);
    input_.flush(*channel_);
    if (!input_.room()) return;
    tell([](observer& to) {
        to.on_room();
        return flow::more;
    });
}

// The clock -----------------------------------------------------------------------------------------------------------------

void remote_execution::due() noexcept {
    const turn here(*this);
    if (phase_ == phase::settling) return look();
    if (!hurried_ && (phase_ == phase::waiting || phase_ == phase::requested)) {
        const bool whole_call = setup_->pool->loop()->now() >= within_.deadline.value_or(never);
        return stop_waiting(whole_call ? stop_reason::deadline : stop_reason::start_timeout);
    }
    act();
}

// One way, or a command would hear it twice. The group's reaches more; the channel's is there where no group is known.
void remote_execution::send_signal(int number, bool and_continue) {
    if (setup_->options.with == wrapper::on) {
        on_its_way_ = number;
        return group_->signal(number, and_continue);
    }
    const auto* named = find_signal(number);
    if (channel_ != nullptr && named != nullptr && named->of_ssh) channel_->send_signal(named->name);
}

void remote_execution::act() {
    if (phase_ != phase::running && !(phase_ == phase::requested && hurried_)) return;
    const auto now = setup_->pool->loop()->now();
    if (const auto grace = stop_.take()) clock_.stop(stop_reason::cancelled, *grace, now);
    for (bool more = true; more && phase_ != phase::settling && phase_ != phase::over;) {
        switch (clock_.next(now)) {
            case timeline::action::none: more = false; break;
            case timeline::action::heartbeat: {
                const auto running = std::chrono::duration_cast<milliseconds>(now - clock_.began_at());
                tell([&](observer& to) { return to.on_heartbeat(running); });
                break;
            }
            case timeline::action::ask: send_signal(within_.stop.polite, within_.stop.and_continue); break;
            case timeline::action::kill:
                if (channel_ != nullptr) channel_->send_signal("KILL");
                group_->signal(SIGKILL, false);
                break;
            case timeline::action::cut:
            case timeline::action::give_up: cut_ = true; break;
        }
    }
    if (phase_ == phase::settling || phase_ == phase::over) return;
    // Nobody waits for this observer any more. A server may hold the exit back behind what it holds for him.
    if (clock_.cause() == stop_reason::consumer && !std::exchange(cut_, true) && channel_ != nullptr)
        channel_->resume();
    if (clock_.over()) return settle();
    set_alarm();
}

void remote_execution::set_alarm() {
    const auto now = setup_->pool->loop()->now();
    if (const auto on = group_->where(); on != nullptr && now >= prepare_at_) {
        prepare_at_ = never;
        setup_->pool->prepare_to_ask(*on, true);
    }
    alarm_.set(*setup_->pool->loop(), (std::min)(clock_.wake(), prepare_at_));
}

// Whether anybody of the group is left, and their end if the policy says so.
void remote_execution::settle() {
    phase_ = phase::settling;
    look_until_ = saturating_add(setup_->pool->loop()->now(), settle_for);
    left_ = tree_state::unknown;
    if (!group_->can_be_asked()) return conclude(account());
    const bool kill = within_.stop.after_exit == survivors::kill;
    if (!setup_->options.confirm_end && known_ && clock_.cause() == stop_reason::nobody) {
        if (kill) group_->signal(SIGKILL, false);
        return conclude(account());
    }
    alarm_.set(*setup_->pool->loop(), look_until_);
    if (!group_->is_asked()) look();
}

void remote_execution::look() {
    const bool kill = within_.stop.after_exit == survivors::kill;
    if (looking_ || group_->is_asked() || setup_->pool->loop()->now() >= look_until_) return conclude(account());
    looking_ = true;
    alarm_.set(*setup_->pool->loop(), look_until_);
    // Who was killed a moment ago is a member until he is reaped; only who stays is looked at closely.
    group_->look(kill, !kill || looks_ > 0);
    ++looks_;
}

void remote_execution::group_answered(std::optional<group_state> said) {
    const turn here(*this);
    if (phase_ != phase::settling) {
        const auto* unheard = said ? nullptr : find_signal(on_its_way_);
        if (unheard != nullptr && unheard->of_ssh && channel_ != nullptr) channel_->send_signal(unheard->name);
        on_its_way_ = 0;
        return act();
    }
    // What was asked before the end tells nothing of the end.
    if (!std::exchange(looking_, false)) return look();
    if (!said) return conclude(account());
    if (*said == group_state::gone) {
        left_ = group_->leads() ? tree_state::group_gone : tree_state::unknown;
        return conclude(account());
    }
    left_ = tree_state::may_survive;
    survived_ = true;
    const auto again = saturating_add(setup_->pool->loop()->now(), first_look * (1 << (std::min)(looks_ - 1, 6U)));
    if (again >= look_until_ || within_.stop.after_exit == survivors::leave) return conclude(account());
    alarm_.set(*setup_->pool->loop(), again);
}

// Its end ---------------------------------------------------------------------------------------------------------------------

void remote_execution::exited(std::uint32_t status) noexcept {
    const turn here(*this);
    if (std::exchange(known_, true)) return;  // the first word counts
    exit_ = exit_status::exited(static_cast<int>(status));
    if (phase_ == phase::running || hurried_) clock_.exited(setup_->pool->loop()->now());
    act();
}

void remote_execution::signaled(std::string_view name, bool core) noexcept {
    const turn here(*this);
    if (std::exchange(known_, true)) return;
    exit_ = exit_status::signaled(signal_number(name), core);
    if (phase_ == phase::running || hurried_) clock_.exited(setup_->pool->loop()->now());
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
    if (phase_ == phase::over) return listen_no_more();
    ended_[0] = ended_[1] = true;
    if (never_ran_) {
        if (never_ran_->what == report::kind::refused) return conclude(ssh::refused(*never_ran_, what_));
        return conclude(fail(errc::start_failed, "no shell there that speaks of itself"));
    }
    if (phase_ == phase::requested && !hurried_ && out_filter_ && known_) {
        // The login ended without a word of the wrapper's: the command did not begin. What is said instead is on either stream.
        auto words = err_filter_ ? err_filter_->last_words() : std::string_view();
        if (words.empty()) words = out_filter_->last_words();
        auto why = fail(errc::start_failed, display(words.substr(0, 256)));
        why.at = stage::request;
        return conclude(std::move(why));
    }
    if (phase_ != phase::running && phase_ != phase::requested) return;
    const auto now = setup_->pool->loop()->now();
    clock_.closed();
    if (!clock_.has_exited()) {
        clock_.exited(now);
        if (!known_) broke_ = make_error_code(errc::connect_failed);
    }
    // Without a wrapper nobody knows whether it had begun; that it is over is known.
    phase_ = phase::running;
    act();
}

// Nothing was handed over: another place is as good.
void remote_execution::wait_again(const failure& why) {
    channel_ = nullptr;
    group_->is_on(nullptr);
    if (++moves_ > most_moves || why.code == errc::shutting_down) return conclude(why);
    phase_ = phase::waiting;
    setup_->pool->wait_for(setup_->target, *this, start_by_, true);
}

void remote_execution::not_opened(const failure& why) noexcept {
    const turn here(*this);
    setup_->pool->refused(*group_->where());
    wait_again(why);
}

void remote_execution::refused(failure why) noexcept {
    const turn here(*this);
    if (begun_ || phase_ == phase::over) return lost(why, true);  // whatever the server says: it has spoken
    channel_ = nullptr;
    conclude(std::move(why));
}

void remote_execution::lost(const failure& why, bool handed_over) noexcept {
    const turn here(*this);
    channel_ = nullptr;
    if (phase_ == phase::over) return listen_no_more();
    if (!handed_over) return wait_again(why);
    group_->is_on(nullptr);
    auto how = account();
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
    how.began = begun_ ? started::yes : started::unknown;
    how.stopped_by = clock_.cause();
    if (observer_failed_ && how.stopped_by == stop_reason::nobody) how.stopped_by = stop_reason::observer_failed;
    how.broke = broke_;
    // Where the server closes a channel when the leader ends, what the others would have said is lost.
    const bool heard_all = !cut_ && !(survived_ && ends_early_);
    how.out = std::move(kept_[0]).take(ended_[0] && heard_all);
    how.err = std::move(kept_[1]).take(ended_[1] && heard_all);
    how.in_taken = input_.taken();
    how.tree = left_;
    // The group is empty and still somebody holds the channel open: a descendant that left the group.
    if (cut_ && channel_ != nullptr && left_ == tree_state::group_gone) how.tree = tree_state::may_survive;
    how.where = setup_->options.where;
    const auto began = clock_.began_at();
    const auto exited = clock_.has_exited() ? clock_.exited_at() : now;
    how.took.queue = placed_ - called_ - connected_in_;
    how.took.connect = connected_in_;
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
    }
    input_.close();
    if (group_) group_->forget();
    // A command that is to be killed and has not said yet who it is: the order waits for its word.
    listens_on_ = channel_ != nullptr && group_->owes();
    if (listens_on_) {
        retain();
        if (clock_.paused()) channel_->resume();
    } else if (channel_ != nullptr) {
        std::exchange(channel_, nullptr)->let_go();
    }
    client::leave();
    if (const auto last = std::move(tell_); last && !muted()) {
        exec::detail::at_the_border(*setup_->pool->loop(), "observer::on_done", [&] { last->on_done(std::move(how)); });
    }
    release();
}

void remote_execution::listen_no_more() {
    if (!std::exchange(listens_on_, false)) return;
    if (channel_ != nullptr) std::exchange(channel_, nullptr)->let_go();
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
    if (phase_ == phase::waiting || (phase_ == phase::requested && !hurried_)) stop_waiting(stop_reason::shutdown);
    if (phase_ == phase::over) return;
    clock_.stop(stop_reason::shutdown, 0ms, setup_->pool->loop()->now());
    if (channel_ != nullptr) channel_->send_signal("KILL");
    if (begun_ && phase_ != phase::settling) group_->signal(SIGKILL, false);
    conclude(account());
}

}  // namespace exec::inline v0::ssh
