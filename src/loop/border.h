// The border between our threads and a host's callback: what it throws ends here.
#pragma once

#include <string_view>

#include "exec/callback.h"

namespace exec::inline v0::detail {

// Tells `log`, unless it is empty, in one line about the exception being handled. What the log throws is dropped: there is
// nobody left to tell. REQUIRES: called inside a catch block.
void tell_thrown(callback<void(std::string_view)>& log, std::string_view where) noexcept;

}  // namespace exec::inline v0::detail
