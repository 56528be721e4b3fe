#include "ssh/read_text.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <string>
#include <string_view>

#include "exec/error.h"
#include "posix/fd.h"
#include "posix/syscalls.h"
#include "ssh/digest.h"

namespace exec::inline v0::ssh {

result<std::string> read_text(const std::string& path, std::size_t most) {
    constexpr std::size_t step = std::size_t{64} * 1024;
    if (path.find('\0') != std::string::npos) return os_failure(EINVAL, stage::none, path);
    const posix::fd file(posix::retry_interrupted(
        [&] { return posix::sys().open_at(AT_FDCWD, path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY, 0); }));
    if (!file) return os_failure(errno, stage::none, path);
    std::string text;
    for (;;) {
        const auto before = text.size();
        if (before > most) {
            wipe(text);
            return os_failure(EFBIG, stage::none, path);
        }
        // Grown by hand: a string that moves leaves its bytes behind.
        if (text.capacity() < before + step) {
            std::string larger;
            larger.reserve((std::max)(before + step, 2 * before));
            larger = std::string_view(text);
            wipe(text);
            text.swap(larger);
        }
        text.resize(before + step);
        const auto got =
            posix::retry_interrupted([&] { return posix::sys().read(file.get(), text.data() + before, step); });
        const int error = errno;
        text.resize(before + static_cast<std::size_t>((std::max)(got, ssize_t{0})));
        if (got < 0) {
            wipe(text);
            return os_failure(error, stage::none, path);
        }
        if (got == 0) return text;
    }
}

}  // namespace exec::inline v0::ssh
