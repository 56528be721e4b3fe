#include "loop/border.h"

#include <exception>
#include <string>

namespace exec::inline v0::detail {

#if defined(__cpp_exceptions)
void tell_thrown(callback<void(std::string_view)>& log, std::string_view where) noexcept {
    if (!log) return;
    try {
        std::string line(where);
        line += ": a callback threw";
        try {
            throw;
        } catch (const std::exception& thrown) {
            line.append(": ").append(thrown.what());
        } catch (...) {  // says nothing about itself
        }
        log(line);
    } catch (...) {
    }
}
#endif

}  // namespace exec::inline v0::detail
