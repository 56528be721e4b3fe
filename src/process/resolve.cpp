#include "process/resolve.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <string>

namespace exec::inline v0::process {
namespace {

template <class Take>
void for_each_absolute(bytes_view search_path, Take&& take) {
    while (!search_path.empty()) {
        const bytes_view element = search_path.substr(0, search_path.find(':'));
        search_path.remove_prefix((std::min)(element.size() + 1, search_path.size()));
        if (!element.empty() && element.front() == '/') take(element);
    }
}

char* append(char* at, bytes_view text) noexcept {
    std::memcpy(at, text.data(), text.size());
    return at + text.size();
}

}  // namespace

char* candidate_list::reserve(std::size_t bytes, std::size_t paths) {
    char* text = text_.data();
    const char** list = few_.data();
    if (bytes > text_.size()) {
        long_text_ = std::make_unique<char[]>(bytes);
        text = long_text_.get();
    }
    if (paths + 1 > few_.size()) {
        many_ = std::make_unique<const char*[]>(paths + 1);
        list = many_.get();
    }
    list[paths] = nullptr;
    paths_ = list;
    return text;
}

result<void> candidate_list::resolve(bytes_view program, bytes_view search_path, bool moves) {
    if (program.empty()) return os_failure(ENOENT, stage::program, "an empty name");
    if (program.find('/') == bytes_view::npos) return search(program, search_path);

    char here[PATH_MAX];
    bytes_view directory;
    if (moves && program.front() != '/') {
        if (::getcwd(here, sizeof here) == nullptr) return os_failure(errno, stage::program, std::string(program));
        directory = here;
    }
    char* at = reserve(directory.size() + program.size() + 2, 1);
    paths_[0] = at;
    if (!directory.empty()) at = append(append(at, directory), "/");
    *append(at, program) = '\0';
    return {};
}

result<void> candidate_list::search(bytes_view program, bytes_view search_path) {
    std::size_t bytes = 0;
    std::size_t paths = 0;
    for_each_absolute(search_path, [&](bytes_view element) {
        bytes += element.size() + program.size() + 2;
        ++paths;
    });
    if (paths == 0) return os_failure(ENOENT, stage::program, std::string(program));

    char* at = reserve(bytes, paths);
    const char** next = paths_;
    for_each_absolute(search_path, [&](bytes_view element) {
        *next++ = at;
        at = append(append(append(at, element), "/"), program);
        *at++ = '\0';
    });
    return {};
}

}  // namespace exec::inline v0::process
