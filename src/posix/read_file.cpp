#include "posix/read_file.h"

#include "posix/fd.h"
#include "posix/syscalls.h"

namespace exec::inline v0::posix {

std::string read_file_at(int directory, const char* path) {
    std::string text;
    const fd file(sys().open_at(directory, path, O_RDONLY | O_CLOEXEC, 0));
    if (!file) return text;
    char part[4096];
    for (;;) {
        const auto got = retry_interrupted([&] { return sys().read(file.get(), part, sizeof part); });
        if (got <= 0) return text;
        text.append(part, static_cast<std::size_t>(got));
    }
}

}  // namespace exec::inline v0::posix
