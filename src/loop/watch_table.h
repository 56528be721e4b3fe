// watch_table: which watch an event of the kernel is for, and whose turn it is.
//
// The kernel is given a slot and its generation, never an address: an event that outlived its watch names a
// generation that is over and is dropped, whether it waited in the kernel or in this turn.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "loop/watch.h"

namespace exec::inline v0::detail {

class watch_table {
   public:
    using ticket = std::uint64_t;  // generation << 32 | slot

    ticket admit(watch& who, loop_core& in, int fd, bool edge) {
        if (first_free_ == none) {
            slots_.push_back({});
            first_free_ = static_cast<std::uint32_t>(slots_.size() - 1);
        }
        who.slot_ = first_free_;
        who.core_ = &in;
        who.fd_ = fd;
        auto& its = slots_[who.slot_];
        first_free_ = its.next_free;
        its.who = &who;
        its.edge = edge;
        return ticket_of(who);
    }
    void dismiss(watch& who) noexcept {
        auto& its = slots_[who.slot_];
        its = {nullptr, its.generation + 1, 0, first_free_, false};
        first_free_ = who.slot_;
        who.core_ = nullptr;
    }
    ticket ticket_of(const watch& who) const noexcept { return ticket{slots_[who.slot_].generation} << 32 | who.slot_; }
    bool edge(const watch& who) const noexcept { return slots_[who.slot_].edge; }
    void set_edge(const watch& who, bool edge) noexcept { slots_[who.slot_].edge = edge; }
    void dismiss_all() noexcept {
        for (auto& its : slots_) {
            if (its.who != nullptr) dismiss(*its.who);
        }
    }

    // A turn begins with what was asked for by again(); the kernel's events are added to it.
    void begin_turn() noexcept {
        turn_.clear();
        std::swap(turn_, next_turn_);
        at_ = 0;
    }
    void report(ticket of, std::uint32_t events) { queue(turn_, of, events); }
    void again(const watch& who, std::uint32_t events) { queue(next_turn_, ticket_of(who), events); }
    bool owes_a_turn() const noexcept { return !next_turn_.empty(); }

    // The watch whose turn it is; nullptr at the end of the turn.
    watch* next() noexcept {
        for (; at_ < turn_.size(); ++at_) {
            if (auto* its = find(turn_[at_])) return its->who;
        }
        return nullptr;
    }
    // What next() is told. It moves on to the one after.
    std::uint32_t take() noexcept { return std::exchange(find(turn_[at_++])->events, 0U); }

   private:
    static constexpr std::uint32_t none = 0xffffffff;
    struct slot {
        watch* who = nullptr;  // nullptr: free
        std::uint32_t generation = 0;
        std::uint32_t events = 0;  // not 0: it waits in turn_ or next_turn_
        std::uint32_t next_free = none;
        bool edge = false;
    };

    slot* find(ticket of) noexcept {
        const auto index = static_cast<std::uint32_t>(of);
        if (index >= slots_.size()) return nullptr;
        auto& its = slots_[index];
        return its.who != nullptr && its.generation == static_cast<std::uint32_t>(of >> 32) ? &its : nullptr;
    }
    // A watch waits in one place at most, so it is called once a turn, with everything that there is to tell.
    void queue(std::vector<ticket>& in, ticket of, std::uint32_t events) {
        auto* its = find(of);
        if (its == nullptr || events == 0) return;
        if (std::exchange(its->events, its->events | events) == 0) in.push_back(of);
    }

    std::vector<slot> slots_;
    std::uint32_t first_free_ = none;
    std::vector<ticket> turn_;
    std::vector<ticket> next_turn_;
    std::size_t at_ = 0;
};

}  // namespace exec::inline v0::detail
