// quoting_peers: other people's shell quoting.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace bench {

// Quotes every word and joins them by blanks; the size of the line. 0 where this build has no GLib.
std::size_t quote_by_glib(const std::vector<std::string>& what);

}  // namespace bench
