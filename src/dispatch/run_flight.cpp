#include "dispatch/run_flight.h"

#include <exec/dispatch_metrics.h>
#include <exec/policy.h>
#include <exec/redact.h>

#include <string_view>

#include "dispatch/request_digest.h"

namespace exec::inline v0::dispatch {
namespace {

std::size_t bytes_of_request(const command& what) noexcept {
    return what.program_and_args.packed().size() + what.env.bytes() + what.cwd.size() + what.in.data().size();
}

// What it may come to hold: captures, queued input here and at the runner, and what lies between two loops.
std::size_t bytes_of_run(const command& what, const limits& within) noexcept {
    const bool streamed = what.in.what() == input::kind::streamed;
    return within.out.cap + within.err.cap + (streamed ? 2 * within.in_queue : 0) + crossing::most_bytes;
}

// What a trail knows of a call that an earlier process, or a forgetful dispatcher, has run: how it ended, and nothing of what it
// said.
outcome remembered(const std::optional<audit_end>& how) {
    outcome was;
    was.out.complete = was.err.complete = false;
    if (!how || how->status == audit_status::interrupted) {
        was.began = started::unknown;
        was.broke = make_error_code(errc::broken_reply);
        return was;
    }
    was.exit = how->exit;
    was.stopped_by = how->stopped_by;
    was.broke = how->code;
    was.began = how->began;
    was.out.total = how->out_bytes;
    was.err.total = how->err_bytes;
    was.out.truncated = how->out_bytes > 0;
    was.err.truncated = how->err_bytes > 0;
    was.in_taken = how->in_bytes;
    was.tree = how->tree;
    was.where = how->where;
    was.took = how->took;
    was.used = how->used;
    return was;
}

// The label of exec_calls_total.
std::string_view word_for(const result<outcome>& how) noexcept {
    if (!how) {
        switch (how.error().kind()) {
            case errc::invalid_argument:
            case errc::unsupported: return "invalid";
            case errc::too_busy:
            case errc::caller_too_busy: return "busy";
            case errc::target_not_found: return "not_found";
            default: return to_string(detail::status_of(how.error()));
        }
    }
    return to_string(detail::status_of(*how));
}

}  // namespace

result<limits> run_flight::hold_to_policy(const command& asked, limits within, const std::string& key) {
    const auto& parts = core().parts;
    if (what().target.empty()) return fail(errc::invalid_argument, "target: empty");
    if (key.size() > parts.keys.max_key_bytes) return fail(errc::invalid_argument, "idempotency key: too long");
    auto held = apply(parts.policy, asked, std::move(within));
    if (!held) return held;
    const auto bytes = bytes_of_request(asked);
    if (!core().bytes.take(bytes)) {
        auto why = fail(errc::too_busy, "the bytes of all calls");
        why.retry_after = parts.policy.concurrency.retry_after;
        return why;
    }
    request_bytes_ = bytes;
    return held;
}

execution run_flight::submit(const std::shared_ptr<dispatcher_core>& to, call what, std::unique_ptr<observer> tell) {
    const auto flight = std::make_shared<run_flight>(to, std::move(what.who), std::move(what.target), std::move(tell));
    auto& record = flight->what();
    auto within = flight->hold_to_policy(what.what, what.within, what.idempotency_key);
    if (!within) {
        auto handle = flight->hand_out({}, {});
        flight->link().fail(std::move(within).error());
        return handle;
    }
    if (!what.idempotency_key.empty()) {
        record.request_digest = request_digest(what.what, *within, to->parts.digest_key);
        record.idempotency_key = std::move(what.idempotency_key);
        flight->key_name_ = answers::name_of(record);
    }
    record.redacted_argv = to->parts.redact->argv(what.what.program_and_args);
    for (const auto entry : what.what.env) record.env_names.emplace_back(entry.name);
    record.cwd = what.what.cwd;
    record.within = *within;
    flight->run_bytes_ = bytes_of_run(what.what, *within);
    flight->came_ = to->loop->now();
    if (!to->parts.trace_variable.empty() && !record.who.trace_parent.empty()) {
        // Refused only for a NUL, which no header can carry; the command then goes without.
        static_cast<void>(what.what.env.set(to->parts.trace_variable, record.who.trace_parent));
    }
    auto handle = flight->hand_out(std::move(what.what), *std::move(within));
    flight->set_out();
    return handle;
}

void run_flight::passed() {
    if (asked_again_) return record();
    if (!way().run) return refuse(fail(errc::unsupported, "this target runs no commands"));
    if (key_name_.empty()) return enter();
    look_for_key();
}

// Keys ----------------------------------------------------------------------------------------------------------------------

void run_flight::look_for_key() {
    auto& keys = core().keys;
    switch (keys.look(key_name_, what().request_digest, core().loop->now())) {
        case answers::known::other_request:
            return refuse(fail(errc::invalid_argument, "idempotency key: it was used for another request"));
        case answers::known::same: return join();
        case answers::known::fresh: break;
    }
    keys.begin(key_name_, what().request_digest);
    owns_key_ = true;
    ask<std::optional<audit_seen>>(
        [this](reply<std::optional<audit_seen>> how) { core().parts.audit->find(what(), std::move(how)); },
        &run_flight::seen);
}

void run_flight::seen(result<std::optional<audit_seen>> how) {
    if (is_over()) return;
    if (!how) return refuse(std::move(how).error());
    if (!*how) return enter();
    const auto& before = **how;
    if (before.request_digest != what().request_digest) {
        return refuse(fail(errc::invalid_argument, "idempotency key: it was used for another request"));
    }
    const bool never_ran = before.how && !before.how->ran && before.how->status != audit_status::interrupted;
    if (never_ran) return enter();
    owns_key_ = false;
    core().keys.settle(key_name_, remembered(before.how), core().loop->now());
    join();
}

void run_flight::join() {
    joined_ = true;
    link().start([this](command, limits, std::unique_ptr<observer> tell) {
        return core().keys.join(key_name_, std::move(tell));
    });
}

// A place ---------------------------------------------------------------------------------------------------------------------

void run_flight::enter() {
    waits_since_ = core().loop->now();
    auto in = core().places.enter(*this, run_bytes_);
    if (!in) return refuse(std::move(in).error());
    core().gauge_changes();
    if (*in) record();
}

void run_flight::admitted() {
    core().gauge_changes();
    if (core().loop->now() - waits_since_ > core().parts.gate_again_after) {
        asked_again_ = true;
        return check();
    }
    record();
}

// The run -----------------------------------------------------------------------------------------------------------------

void run_flight::act() {
    core().tell.count(dispatch_metrics::queue_wait, std::chrono::duration<double>(core().loop->now() - came_).count(),
                      {{"kind", way().kind}});
    link().start([this](command what, limits within, std::unique_ptr<observer> tell) {
        return way().run->start(std::move(what), std::move(within), std::move(tell));
    });
}

void run_flight::ended(result<outcome> how) {
    if (ended_before()) return;
    const auto& tell = core().tell;
    tell.count(dispatch_metrics::calls, 1,
               {{"verb", to_string(verb::run)}, {"result", joined_ ? std::string_view("joined") : word_for(how)}});
    if (how && !joined_) {
        tell.count(dispatch_metrics::duration, std::chrono::duration<double>(how->took.run).count(),
                   {{"kind", way().kind}});
        const auto said = [&](const captured& of, std::string_view which) {
            tell.count(dispatch_metrics::output_bytes, static_cast<double>(of.total), {{"stream", which}});
            if (of.truncated) tell.count(dispatch_metrics::truncated, 1, {{"stream", which}});
        };
        said(how->out, "out");
        said(how->err, "err");
    }
    if (std::exchange(owns_key_, false)) core().keys.settle(key_name_, how, core().loop->now());
    relayed_flight::ended(std::move(how));
}

}  // namespace exec::inline v0::dispatch
