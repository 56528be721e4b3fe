#include "exec/ssh/connector.h"

#include <utility>

#include "posix/fd.h"

namespace exec::inline v0::ssh {

connection& connection::operator=(connection&& other) noexcept {
    const posix::fd old(std::exchange(fd_, other.release()));
    last_words = std::move(other.last_words);
    return *this;
}

connection::~connection() { const posix::fd last(release()); }

}  // namespace exec::inline v0::ssh
