#include "dispatch/refusals.h"

#include <algorithm>
#include <utility>

namespace exec::inline v0::dispatch {

bool refusals::admit(const audit_record& what, const failure& why, time_point now) {
    auto found = of_.find(what.who.subject);
    if (found == of_.end()) {
        if (of_.size() >= within_.subjects) {
            // Those who were refused some time ago, and of whom nothing is left to be said.
            std::erase_if(of_,
                          [now](const auto& each) { return each.second.until <= now && each.second.left_out == 0; });
        }
        found = of_.try_emplace(of_.size() < within_.subjects ? what.who.subject : std::string()).first;
    }
    auto& of = found->second;
    if (of.until <= now && of.left_out == 0) of = count{saturating_add(now, within_.window)};
    if (of.written < within_.records) {
        ++of.written;
        return true;
    }
    ++of.left_out;
    of.last = {what, why};
    next_ = (std::min)(next_, of.until);
    return false;
}

std::vector<refusals::summary> refusals::due(time_point upto) {
    std::vector<summary> all;
    next_ = never;
    for (auto each = of_.begin(); each != of_.end();) {
        auto& of = each->second;
        if (of.until > upto) {
            if (of.left_out > 0) next_ = (std::min)(next_, of.until);
            ++each;
            continue;
        }
        if (of.left_out > 0) {
            of.last.what.stands_for = of.left_out;
            all.push_back(std::move(of.last));
        }
        each = of_.erase(each);
    }
    return all;
}

}  // namespace exec::inline v0::dispatch
