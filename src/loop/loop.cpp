#include "exec/loop.h"

#include <algorithm>
#include <utility>

#include "loop/core.h"
#include "loop/deferral.h"

namespace exec::inline v0 {
namespace {

// Lives from post() to its call.
class posted final : public detail::note {
   public:
    posted(detail::loop_core& in, callback<void()> what) noexcept : in_(in), what_(std::move(what)) {}

    void notified() noexcept override { detail::at_the_border(in_, "post", what_); }
    void retain() noexcept override {}
    void release() noexcept override { delete this; }

   private:
    detail::loop_core& in_;
    callback<void()> what_;
};

}  // namespace

result<std::unique_ptr<loop>> make_loop(loop_options options) {
    auto core = detail::loop_core::make(std::move(options));
    if (!core) return std::move(core).error();
    return std::unique_ptr<loop>(new loop(*std::move(core)));
}

loop::~loop() { core_->end(); }

int loop::poll_fd() const noexcept { return core_->poll_fd(); }
std::size_t loop::run_ready(budget upto) { return core_->run_ready(upto); }
void loop::run(std::stop_token stop) { core_->run(stop); }
void loop::shutdown(milliseconds within) { core_->shutdown(within); }
bool loop::closing() const noexcept { return core_->closing(); }
bool loop::driven_here() const noexcept { return core_->driven_here(); }
time_point loop::now() const noexcept { return core_->now(); }
std::uint64_t loop::exceptions() const noexcept { return core_->exceptions(); }

void loop::post(callback<void()> what) {
    EXEC_ASSERT(static_cast<bool>(what), "loop: an empty callback was posted");
    detail::post(*core_, std::move(what));
}

deferred loop::after(milliseconds delay, callback<void()> what) {
    EXEC_ASSERT(static_cast<bool>(what), "loop: an empty callback was deferred");
    const auto wait = (std::max)(delay, milliseconds::zero());
    auto* made = new detail::deferral(core_, saturating_add(core_->now(), wait), std::move(what));
    made->begin();
    return deferred(made);
}

deferred& deferred::operator=(deferred&& other) noexcept {
    if (this != &other) {
        cancel();
        of_ = std::exchange(other.of_, nullptr);
    }
    return *this;
}

deferred::~deferred() { cancel(); }

void deferred::cancel() noexcept {
    auto* of = std::exchange(of_, nullptr);
    if (of == nullptr) return;
    of->cancel();
    of->release();
}

void deferred::detach() noexcept {
    if (auto* of = std::exchange(of_, nullptr)) of->release();
}

namespace detail {

void post(loop_core& to, callback<void()> what) {
    if (to.inherited()) return;
    to.notify(*new posted(to, std::move(what)));  // one that comes too late is released, and so deleted, at once
}

const std::shared_ptr<loop_core>& core_of(const loop& of) noexcept { return of.core_; }

}  // namespace detail

}  // namespace exec::inline v0
