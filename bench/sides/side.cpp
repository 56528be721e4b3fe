#include "sides/side.h"

#include <cstdio>
#include <cstdlib>

namespace bench {

bool flight::run(words what, std::size_t total, std::size_t at_once, const heard& expected) {
    next_ = what;
    wrong_ = 0;
    expected_ = expected;
    const auto target = ended_ + total;
    const auto first = at_once < total ? at_once : total;
    to_start_ = total - first;
    for (std::size_t i = 0; i < first; ++i) start(what);
    drive_until(target);
    next_ = nullptr;
    return wrong_ == 0;
}

void flight::one_ended(const heard& how) {
    ++ended_;
    last_ = how;
    if (next_ == nullptr) return;
    if (how != expected_) ++wrong_;
    if (to_start_ != 0) {
        --to_start_;
        start(next_);
    }
}

void side::must_say(words what, const heard& expected) const {
    if (run(what) == expected) return;
    std::fprintf(stderr, "%s: did not hear what the child said\n", name.c_str());
    std::_Exit(2);
}

heard run_in(flight& loop, words what) {
    loop.start(what);
    loop.drive_until(loop.ended() + 1);
    return loop.last();
}

std::vector<side> all_sides() {
    std::vector<side> all{bare_floor(), contract_floor(), ours_blocking(), ours_on_a_loop()};
    add_peers(all);
    return all;
}

}  // namespace bench
