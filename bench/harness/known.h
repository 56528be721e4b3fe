// known: the misses that known.md explains.
#pragma once

#include <optional>
#include <string>

namespace bench {

// The figure that known.md accepts for a target: what the line `accepted: N` below the heading `## <title>` says.
// Nothing where there is no such heading.
std::optional<double> accepted_by_known(const std::string& title);

}  // namespace bench
