#include <exec/redact.h>

#include <array>

#include "posix/random.h"

namespace exec::inline v0 {

result<std::unique_ptr<redactor>> make_redactor() {
    std::array<char, 32> key{};
    if (!posix::fill_random(key.data(), key.size())) return fail(errc::too_busy, "redactor: no random bytes");
    return std::unique_ptr<redactor>(std::make_unique<default_redactor>(bytes_view(key.data(), key.size())));
}

}  // namespace exec::inline v0
