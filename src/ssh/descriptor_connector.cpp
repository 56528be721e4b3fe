#include "exec/ssh/connector.h"

#include "posix/fd.h"
#include "posix/syscalls.h"

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include <fcntl.h>
#include <sys/socket.h>

namespace exec::inline v0::ssh {
namespace {

// 0 if it is what a connection is made of, or an errno value.
int check(int descriptor) noexcept {
    const auto& sys = posix::sys();
    int type = 0;
    socklen_t size = sizeof type;
    if (sys.get_option(descriptor, SOL_SOCKET, SO_TYPE, &type, &size) != 0) return errno;
    if (type != SOCK_STREAM) return EPROTOTYPE;
    sockaddr_storage peer{};
    size = sizeof peer;
    return sys.peer_name(descriptor, reinterpret_cast<sockaddr*>(&peer), &size) == 0 ? 0 : errno;
}

class descriptor_connector final : public connector {
   public:
    // A number that is not open now is not looked at again: by then it may be somebody else's.
    explicit descriptor_connector(int descriptor) noexcept
        : error_(posix::sys().fcntl(descriptor, F_SETFD, FD_CLOEXEC) == 0 ? 0 : errno),
          descriptor_(error_ == 0 ? descriptor : -1) {}
    ~descriptor_connector() override { const posix::fd unused(descriptor_.load()); }

    // Answers at once: there is nothing to wait for.
    void connect(const std::string&, std::uint16_t, time_point, reply<connection> made) override {
        if (error_ != 0) return made(os_failure(error_, stage::connect, "descriptor"));
        posix::fd only(descriptor_.exchange(-1));
        if (!only) {
            auto why = fail(errc::connect_failed, "descriptor: it was used before");
            why.at = stage::connect;
            return made(std::move(why));
        }
        if (const int error = check(only.get())) return made(os_failure(error, stage::connect, "descriptor"));
        made(connection(only.release()));
    }

   private:
    const int error_;
    std::atomic<int> descriptor_;
};

}  // namespace

std::shared_ptr<connector> use_descriptor(int fd) { return std::make_shared<descriptor_connector>(fd); }

}  // namespace exec::inline v0::ssh
