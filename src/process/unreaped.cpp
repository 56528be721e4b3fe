#include "process/unreaped.h"

#include <array>
#include <atomic>
#include <cstddef>
#include <mutex>

#include "posix/pidfd.h"

namespace exec::inline v0::process {
namespace {

// Constant-initialised and never destroyed in a way that matters: descriptors as plain numbers.
constinit std::mutex guard;
constinit std::array<int, 64> waiting{};
constinit std::atomic<std::size_t> count{0};

void reap_locked() noexcept {
    std::size_t kept = 0;
    const auto had = count.load(std::memory_order_relaxed);
    for (std::size_t at = 0; at < had; ++at) {
        posix::fd pidfd(waiting[at]);
        if (!posix::look(pidfd.get(), posix::reap::yes)) waiting[kept++] = pidfd.release();
    }
    count.store(kept, std::memory_order_relaxed);
}

}  // namespace

void leave_unreaped(posix::fd pidfd) noexcept {
    if (!pidfd) return;
    const std::lock_guard hold(guard);
    reap_locked();
    const auto at = count.load(std::memory_order_relaxed);
    if (at == waiting.size()) {
        posix::fd oldest(waiting[0]);
        for (std::size_t next = 1; next < waiting.size(); ++next) waiting[next - 1] = waiting[next];
        waiting[at - 1] = pidfd.release();
        return;
    }
    waiting[at] = pidfd.release();
    count.store(at + 1, std::memory_order_relaxed);
}

void reap_unreaped() noexcept {
    if (count.load(std::memory_order_relaxed) == 0) return;
    const std::lock_guard hold(guard);
    reap_locked();
}

}  // namespace exec::inline v0::process
