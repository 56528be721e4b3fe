#include "process/births.h"

#include <array>
#include <atomic>
#include <cstddef>

namespace exec::inline v0::process {
namespace {

// More starts than this at one moment are not told apart: each then counts as the oldest.
constexpr std::size_t places = 64;

constinit std::atomic<std::uint64_t> begun{0};
constinit std::array<std::atomic<std::uint64_t>, places> in_progress{};  // its number; 0 = free
constinit std::atomic<std::uint64_t> without_place{0};

}  // namespace

birth_in_progress::birth_in_progress() noexcept : place_(-1) {
    // The place is taken before the number is: whoever is told a number finds its place taken.
    constexpr std::uint64_t oldest = 1;
    for (std::size_t place = 0; place < places; ++place) {
        std::uint64_t free = 0;
        if (in_progress[place].load(std::memory_order_relaxed) != 0 ||
            !in_progress[place].compare_exchange_strong(free, oldest)) {
            continue;
        }
        in_progress[place].store(begun.fetch_add(1) + 1);
        place_ = static_cast<int>(place);
        return;
    }
    without_place.fetch_add(1);
    begun.fetch_add(1);
}

birth_in_progress::~birth_in_progress() {
    if (place_ < 0) {
        without_place.fetch_sub(1);
    } else {
        in_progress[static_cast<std::size_t>(place_)].store(0);
    }
}

std::uint64_t births_begun() noexcept { return begun.load(); }

bool any_birth_among(std::uint64_t of) noexcept {
    if (without_place.load() != 0) return true;
    for (const auto& one : in_progress) {
        const auto number = one.load();
        if (number != 0 && number <= of) return true;
    }
    return false;
}

}  // namespace exec::inline v0::process
