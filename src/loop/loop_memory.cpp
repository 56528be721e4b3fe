#include "loop/loop_memory.h"

#include <cerrno>

#include <sys/mman.h>
#include <unistd.h>

#include "posix/syscalls.h"

namespace exec::inline v0::detail {

loop_memory::~loop_memory() {
    if (start_ == nullptr) return;
    const auto page = static_cast<std::size_t>(scratch_.data() - start_);
    posix::sys().unmap(start_, page + scratch_.size());
}

int loop_memory::map(std::size_t scratch_bytes) noexcept {
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    void* at = posix::sys().map(page + scratch_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
    if (at == MAP_FAILED) return errno;
    start_ = static_cast<char*>(at);
    scratch_ = {start_ + page, scratch_bytes};
    *start_ = 1;
    // Emulators and sandboxes may not know it.
    if (::madvise(start_, page, MADV_WIPEONFORK) != 0) made_by_ = ::getpid();
    return 0;
}

bool loop_memory::inherited() const noexcept {
    if (made_by_ != 0) return ::getpid() != made_by_;
    return *const_cast<const volatile char*>(start_) == 0;
}

}  // namespace exec::inline v0::detail
