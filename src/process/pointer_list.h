// A nullptr-ended list of C strings for execve, on the stack for commands of usual size.
#pragma once

#include <array>
#include <cstddef>
#include <vector>

namespace exec::inline v0::process {

class pointer_list {
   public:
    pointer_list() noexcept = default;
    pointer_list(const pointer_list&) = delete;
    pointer_list& operator=(const pointer_list&) = delete;

    void push_back(const char* text) {
        if (many_.empty() && size_ + 1 < few_.size()) {
            few_[size_++] = text;  // the entry behind it is nullptr and stays
            return;
        }
        if (many_.empty()) many_.assign(few_.begin(), few_.begin() + static_cast<std::ptrdiff_t>(size_) + 1);
        many_.back() = text;
        many_.push_back(nullptr);
        ++size_;
    }
    const char** begin() noexcept { return many_.empty() ? few_.data() : many_.data(); }
    const char** end() noexcept { return begin() + size_; }
    void erase(const char** at) noexcept {
        for (; at != end(); ++at) *at = *(at + 1);
        --size_;
        if (!many_.empty()) many_.pop_back();
    }
    // As execve takes it, ended by nullptr. Valid until the next change.
    char* const* ended() noexcept { return const_cast<char* const*>(begin()); }

   private:
    std::array<const char*, 48> few_{};
    std::vector<const char*> many_{};  // its last one is nullptr
    std::size_t size_ = 0;
};

}  // namespace exec::inline v0::process
