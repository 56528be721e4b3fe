#include "loop/core.h"

#include <cerrno>
#include <utility>

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

#include "loop/border.h"
#include "loop/tickets.h"
#include "posix/syscalls.h"

namespace exec::inline v0::detail {

namespace {

// What a system call gave, or its failure. Never 0, 1 or 2: a host that closed those would write its messages into it.
result<posix::fd> owned(int descriptor, const char* what) {
    if (descriptor < 0) return os_failure(errno, stage::descriptors, what);
    return posix::above_stdio(posix::fd(descriptor));
}

}  // namespace

// Making one ------------------------------------------------------------------------------------------------------------

result<std::shared_ptr<loop_core>> loop_core::make(loop_options options) {
    auto made = std::make_shared<loop_core>(std::move(options));
    if (auto opened = made->open(); !opened) return std::move(opened).error();
    return made;
}

loop_core::loop_core(loop_options options) noexcept : clock_(options.clock), log_(std::move(options.log)) {}

result<void> loop_core::open() {
    const auto& sys = posix::sys();
    if (const int number = memory_.map(scratch_bytes)) return os_failure(number, stage::none, "loop: memory");

    auto epoll = owned(sys.epoll_create(EPOLL_CLOEXEC), "loop: epoll");
    if (!epoll) return std::move(epoll).error();
    epoll_ = *std::move(epoll);

    auto eventfd = owned(sys.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "loop: eventfd");
    if (!eventfd) return std::move(eventfd).error();
    waker_.adopt(*std::move(eventfd));
    if (auto added = control(EPOLL_CTL_ADD, waker_.fd(), EPOLLIN | EPOLLET, wake_ticket); !added) return added;
    if (clock_ != nullptr) return {};

    auto timer = owned(sys.timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK), "loop: timerfd");
    if (!timer) return std::move(timer).error();
    timer_ = *std::move(timer);
    // Edge-triggered like the waker: an expiry is one event, and setting the timer again is all the acknowledgement.
    return control(EPOLL_CTL_ADD, timer_.get(), EPOLLIN | EPOLLET, timer_ticket);
}

result<void> loop_core::control(int operation, int fd, std::uint32_t events, std::uint64_t data) {
    epoll_event what{};
    what.events = events;
    what.data.u64 = data;
    if (posix::sys().epoll_ctl(epoll_.get(), operation, fd, &what) == 0) return {};
    return os_failure(errno, stage::descriptors, "loop: epoll_ctl");
}

// Descriptors -----------------------------------------------------------------------------------------------------------

result<void> loop_core::add(watch& by, int fd, std::uint32_t events) {
    EXEC_ASSERT(driven_here(), "loop: a watch was added outside the driving thread");
    EXEC_ASSERT(!by.watching(), "loop: a watch was added twice");
    if (inherited()) return fail(errc::shutting_down, "loop: of the parent process");
    const auto ticket = watches_.admit(by, *this, fd, (events & EPOLLET) != 0);
    auto added = control(EPOLL_CTL_ADD, fd, events, ticket);
    if (!added) watches_.dismiss(by);
    return added;
}

result<void> loop_core::modify(watch& by, std::uint32_t events) {
    EXEC_ASSERT(driven_here(), "loop: a watch was modified outside the driving thread");
    EXEC_ASSERT(by.core_ == this, "loop: a watch was modified that is not watching");
    if (inherited()) return fail(errc::shutting_down, "loop: of the parent process");
    watches_.set_edge(by, (events & EPOLLET) != 0);
    return control(EPOLL_CTL_MOD, by.fd_, events, watches_.ticket_of(by));
}

void loop_core::remove(watch& by) noexcept {
    if (!by.watching()) return;
    EXEC_ASSERT(driven_here() || inherited(), "loop: a watch was removed outside the driving thread");
    watches_.dismiss(by);
    if (inherited()) return;  // the kernel's list is the parent's
    epoll_event ignored{};
    static_cast<void>(posix::sys().epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, by.fd_, &ignored));
}

void loop_core::retire(watch& by) noexcept {
    if (!by.watching()) return;
    EXEC_ASSERT(driven_here() || inherited(), "loop: a watch was retired outside the driving thread");
    EXEC_ASSERT(watches_.edge(by), "loop: a level-triggered watch was retired; remove it");
    watches_.dismiss(by);
}

void loop_core::again(watch& by, std::uint32_t events) {
    EXEC_ASSERT(driven_here(), "loop: a watch was called again outside the driving thread");
    EXEC_ASSERT(by.core_ == this, "loop: a watch was called again that is not watching");
    watches_.again(by, events);
}

watch::~watch() {
    if (core_ != nullptr) core_->remove(*this);
}

// Alarms ----------------------------------------------------------------------------------------------------------------

void loop_core::set(alarm& what, time_point when) {
    EXEC_ASSERT(driven_here(), "loop: an alarm was set outside the driving thread");
    EXEC_ASSERT(what.core_ == nullptr || what.core_ == this, "loop: an alarm was set in two loops");
    alarms_.set(what, *this, when);
}

void alarm::set(loop_core& in, time_point when) {
    if (when == never) {
        clear();
    } else {
        in.set(*this, when);
    }
}

void alarm::clear() noexcept {
    if (core_ == nullptr) return;
    EXEC_ASSERT(core_->driven_here() || core_->inherited(), "loop: an alarm was cleared outside the driving thread");
    core_->alarms_.clear(*this);
}

// Other threads ---------------------------------------------------------------------------------------------------------

bool loop_core::notify(note& what) noexcept {
    if (inherited()) return false;
    const auto how = inbox_.push(what);
    if (how == inbox::pushed::first_time) waker_.wake();
    return how != inbox::pushed::closed;
}

bool loop_core::driven_here() const noexcept {
    return driver_.load(std::memory_order_relaxed) == std::this_thread::get_id();
}

// Clients and exceptions ------------------------------------------------------------------------------------------------

bool loop_core::enroll(client& who) noexcept {
    EXEC_ASSERT(driven_here(), "loop: a client was enrolled outside the driving thread");
    EXEC_ASSERT(!who.enrolled(), "loop: a client was enrolled twice");
    if (closing()) return false;
    clients_.add(who);
    return true;
}

void loop_core::swallowed(std::string_view where) noexcept {
    exceptions_.fetch_add(1, std::memory_order_relaxed);
#if defined(__cpp_exceptions)
    tell_thrown(log_, where);
#else
    static_cast<void>(where);
#endif
}

}  // namespace exec::inline v0::detail
