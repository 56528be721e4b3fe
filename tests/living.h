// Questions about processes that are not ours to wait for, and a place for files.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <sys/types.h>

#include "file_text.h"

namespace test {

// Not dead, not a zombie.
bool alive(std::int64_t pid);
// Waits until it is dead or a zombie, for as long as a loaded machine may need. False: it lives on.
bool ends(std::int64_t pid);
std::int64_t parent_of(std::int64_t pid);
// The living processes that have this word among their arguments.
std::vector<std::int64_t> named(const std::string& word);
// A word that no other process on this machine has.
std::string unique_word();

// Ends a process at the end of a test that let it escape.
class killed_at_end {
   public:
    explicit killed_at_end(std::int64_t pid) : pid_(pid) {}
    ~killed_at_end();
    killed_at_end(const killed_at_end&) = delete;
    killed_at_end& operator=(const killed_at_end&) = delete;

   private:
    std::int64_t pid_;
};

// A directory that is removed with all that is in it.
class scratch_directory {
   public:
    scratch_directory();
    ~scratch_directory();
    scratch_directory(const scratch_directory&) = delete;
    scratch_directory& operator=(const scratch_directory&) = delete;

    const std::string& path() const noexcept { return path_; }
    std::string operator/(const std::string& name) const { return path_ + "/" + name; }

   private:
    std::string path_;
};

void write_file(const std::string& path, const std::string& text, mode_t mode = 0644);
bool exists(const std::string& path);

}  // namespace test
