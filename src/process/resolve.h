// From a program's name to the paths that it may have.
#pragma once

#include <array>
#include <cstddef>
#include <memory>

#include "exec/bytes.h"
#include "exec/result.h"

namespace exec::inline v0::process {

// The paths to execute, in order, for spawn_request::candidates. A name with a slash is used as given. Any other is
// looked for in `search_path`, the child's PATH: elements that are not absolute are skipped, an empty one (the current
// directory) among them. Nothing is allocated for lists of usual size.
class candidate_list {
   public:
    candidate_list() noexcept {}  // NOLINT: what is not listed is not read
    candidate_list(const candidate_list&) = delete;
    candidate_list& operator=(const candidate_list&) = delete;

    // `program` holds no NUL byte. With `moves` the child changes its directory, so a relative path is made absolute by
    // the directory of this process: relative always means relative to the caller.
    // Fails with: ENOENT (stage::program) for an empty name or a path without a usable element; the errno of getcwd.
    result<void> resolve(bytes_view program, bytes_view search_path, bool moves);

    // Ended by nullptr; valid as long as the list.
    const char* const* get() const noexcept { return paths_; }

   private:
    static constexpr std::size_t inline_bytes = 1024;
    static constexpr std::size_t inline_paths = 24;

    result<void> search(bytes_view program, bytes_view search_path);
    char* reserve(std::size_t bytes, std::size_t paths);

    std::array<char, inline_bytes> text_;
    std::array<const char*, inline_paths> few_;
    std::unique_ptr<char[]> long_text_{};
    std::unique_ptr<const char* []> many_ {};
    const char** paths_ = nullptr;
};

}  // namespace exec::inline v0::process
