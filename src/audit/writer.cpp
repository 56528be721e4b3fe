#include "audit/writer.h"

#include <array>
#include <cerrno>
#include <charconv>
#include <string_view>

#include <fcntl.h>
#include <unistd.h>

#include "posix/read_file.h"
#include "posix/syscalls.h"

namespace exec::inline v0::audit {
namespace {

constexpr std::uint64_t guard_byte = 0;

struct flock one_byte(short type, std::uint64_t at) noexcept {
    struct flock wanted {};
    wanted.l_type = type;
    wanted.l_whence = SEEK_SET;
    wanted.l_start = static_cast<off_t>(at);
    wanted.l_len = 1;
    return wanted;  // l_pid must be 0 for locks of the open file description
}

result<void> lock(int descriptor, int command, short type, std::uint64_t at) {
    auto wanted = one_byte(type, at);
    const int done = posix::retry_interrupted(
        [&] { return posix::sys().fcntl(descriptor, command, reinterpret_cast<long>(&wanted)); });
    if (done != 0) return os_failure(errno, stage::none, "lock of the audit trail");
    return {};
}

// The 22nd field of /proc/self/stat, behind the program's name, which may hold blanks and brackets.
std::uint64_t own_start_time() {
    const auto text = posix::read_file_at(AT_FDCWD, "/proc/self/stat");
    auto rest = std::string_view(text);
    const auto name_end = rest.rfind(')');
    if (name_end == std::string_view::npos) return 0;
    rest.remove_prefix(name_end);
    for (int field = 2; field < 22; ++field) {
        const auto blank = rest.find(' ');
        if (blank == std::string_view::npos) return 0;
        rest.remove_prefix(blank + 1);
    }
    std::uint64_t ticks = 0;
    std::from_chars(rest.data(), rest.data() + rest.size(), ticks);
    return ticks;
}

}  // namespace

result<writer_id> new_writer() {
    writer_id made;
    while (made.instance == 0) {
        const auto got =
            posix::retry_interrupted([&] { return posix::sys().random(&made.instance, sizeof made.instance, 0); });
        if (got < 0) return os_failure(errno, stage::none, "an id for the writer of the audit trail");
        made.instance &= (std::uint64_t{1} << 62U) - 1;  // an offset into a file
    }
    made.boot = posix::read_file_at(AT_FDCWD, "/proc/sys/kernel/random/boot_id");
    while (!made.boot.empty() && made.boot.back() == '\n') made.boot.pop_back();
    made.pid = ::getpid();
    made.start_time = own_start_time();
    return made;
}

std::string instance_text(std::uint64_t instance) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string text(16, '0');
    for (std::size_t at = text.size(); at > 0; instance >>= 4U) text[--at] = digits[instance & 0xFU];
    return text;
}

result<lock_file> lock_file::open(int directory, const std::string& name) {
    posix::fd file(
        posix::sys().open_at(directory, name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600));
    if (!file) return os_failure(errno, stage::none, name);
    auto raised = posix::above_stdio(std::move(file));
    if (!raised) return std::move(raised).error();
    return lock_file(*std::move(raised));
}

lock_file::guard::~guard() {
    if (descriptor_ >= 0) (void)lock(descriptor_, F_OFD_SETLK, F_UNLCK, guard_byte);
}

result<lock_file::guard> lock_file::wait() const {
    if (auto held = lock(file_.get(), F_OFD_SETLKW, F_WRLCK, guard_byte); !held) return std::move(held).error();
    return guard(file_.get());
}

result<lock_file::guard> lock_file::attempt() const {
    if (auto held = lock(file_.get(), F_OFD_SETLK, F_WRLCK, guard_byte); !held) return std::move(held).error();
    return guard(file_.get());
}

result<void> lock_file::live_as(std::uint64_t instance) const {
    return lock(file_.get(), F_OFD_SETLK, F_WRLCK, instance);
}

result<bool> lock_file::lives(std::uint64_t instance) const {
    auto wanted = one_byte(F_WRLCK, instance);
    if (posix::sys().fcntl(file_.get(), F_OFD_GETLK, reinterpret_cast<long>(&wanted)) != 0) {
        return os_failure(errno, stage::none, "lock of the audit trail");
    }
    return wanted.l_type != F_UNLCK;
}

}  // namespace exec::inline v0::audit
