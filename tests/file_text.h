// What a file says, also one of /proc whose process ends meanwhile: that reads as nothing, and throws nothing.
#pragma once

#include <string>

#include <fcntl.h>
#include <unistd.h>

namespace test {

inline std::string file_text(const std::string& path) {
    std::string text;
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) return text;
    char piece[4096];
    for (ssize_t size; (size = ::read(file, piece, sizeof piece)) > 0;)
        text.append(piece, static_cast<std::size_t>(size));
    ::close(file);
    return text;
}

}  // namespace test
