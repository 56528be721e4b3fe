// byte_budget: how many bytes a dispatcher and everything that runs through it may hold.
//
// What is taken is the bound of a buffer and not what lies in it just now, so that a promise once given holds.
// Threads: any.
#pragma once

#include <atomic>
#include <cstddef>

namespace exec::inline v0::dispatch {

class byte_budget {
   public:
    explicit byte_budget(std::size_t all) noexcept : all_(all) {}

    bool take(std::size_t bytes) noexcept {
        auto before = held_.load(std::memory_order_relaxed);
        do {
            if (bytes > all_ || before > all_ - bytes) return false;
        } while (!held_.compare_exchange_weak(before, before + bytes, std::memory_order_relaxed));
        return true;
    }
    void give_back(std::size_t bytes) noexcept { held_.fetch_sub(bytes, std::memory_order_relaxed); }
    std::size_t held() const noexcept { return held_.load(std::memory_order_relaxed); }
    std::size_t all() const noexcept { return all_; }

   private:
    const std::size_t all_;
    std::atomic<std::size_t> held_{0};
};

}  // namespace exec::inline v0::dispatch
