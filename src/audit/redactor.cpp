#include <exec/redact.h>

#include <array>
#include <cerrno>
#include <memory>

#include "posix/syscalls.h"

namespace exec::inline v0 {

result<std::unique_ptr<redactor>> make_redactor() {
    std::array<char, 32> key{};
    const auto got = posix::retry_interrupted([&] { return posix::sys().random(key.data(), key.size(), 0); });
    if (got < 0) return os_failure(errno, stage::none, "a key for the redactor");
    return std::unique_ptr<redactor>(std::make_unique<default_redactor>(bytes_view(key.data(), key.size())));
}

}  // namespace exec::inline v0
