#include "audit/writer.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <optional>

#include <fcntl.h>
#include <unistd.h>

#include "posix/read_file.h"
#include "posix/syscalls.h"

namespace exec::inline v0::audit {
namespace {

constexpr std::uint64_t guard_byte = 0;
constexpr std::uint64_t instance_mask = (std::uint64_t{1} << 62U) - 1;

// ---- the file --------------------------------------------------------------------------------------------------------

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

// ---- the process -----------------------------------------------------------------------------------------------------

// Takes a number from the front of `text`, and the mark behind it; '\0' stands for the end.
template <class Number>
bool take_number(std::string_view& text, Number& into, char mark, int base = 10) {
    const auto* const end = text.data() + text.size();
    const auto read = std::from_chars(text.data(), end, into, base);
    if (read.ec != std::errc{} || (mark == '\0' ? read.ptr != end : read.ptr == end || *read.ptr != mark)) return false;
    text.remove_prefix(static_cast<std::size_t>(read.ptr - text.data()) + (mark == '\0' ? 0 : 1));
    return true;
}

void skip_fields(std::string_view& text, int count) {
    for (; count > 0 && !text.empty(); --count) text.remove_prefix((std::min)(text.find(' '), text.size() - 1) + 1);
}

// What /proc/<pid>/stat says.
struct process_facts {
    std::int64_t pid = 0;
    char state = 0;
    std::uint64_t threads = 0;
    std::uint64_t start_time = 0;

    // A leader that has left its threads behind looks dead, and is not.
    bool dead() const noexcept { return (state == 'Z' || state == 'X') && threads <= 1; }
};

std::optional<process_facts> facts_of(const std::string& process) {
    const auto text = posix::read_file_at(AT_FDCWD, ("/proc/" + process + "/stat").c_str());
    auto rest = std::string_view(text);
    process_facts facts;
    if (!take_number(rest, facts.pid, ' ')) return std::nullopt;
    // The program's name may hold blanks and brackets; the state is the third field.
    const auto name_end = rest.rfind(") ");
    if (name_end == std::string_view::npos || rest.size() < name_end + 3) return std::nullopt;
    rest.remove_prefix(name_end + 2);
    facts.state = rest.front();
    skip_fields(rest, 17);
    if (!take_number(rest, facts.threads, ' ')) return std::nullopt;  // the 20th
    skip_fields(rest, 1);
    if (!take_number(rest, facts.start_time, ' ')) return std::nullopt;
    return facts;
}

// "pid:[4026531836]"
std::uint64_t own_pid_namespace() {
    std::array<char, 64> link{};
    const auto size = posix::sys().read_link_at(AT_FDCWD, "/proc/self/ns/pid", link.data(), link.size());
    if (size <= 0) return 0;
    auto text = std::string_view(link.data(), static_cast<std::size_t>(size));
    constexpr std::string_view prefix = "pid:[";
    std::uint64_t number = 0;
    if (text.substr(0, prefix.size()) != prefix) return 0;
    text.remove_prefix(prefix.size());
    return take_number(text, number, ']') ? number : 0;
}

writer_id this_process() {
    writer_id me;
    me.boot = posix::read_file_at(AT_FDCWD, "/proc/sys/kernel/random/boot_id");
    while (!me.boot.empty() && me.boot.back() == '\n') me.boot.pop_back();
    me.pid = ::getpid();
    const auto facts = facts_of("self");
    if (facts) me.start_time = facts->start_time;
    // A /proc of another namespace knows this process by another pid, and others by ours.
    if (facts && facts->pid == me.pid) me.pid_namespace = own_pid_namespace();
    return me;
}

// True where it is certain.
bool seen_to_be_gone(const writer_id& who) {
    const auto me = this_process();
    if (who.boot.empty() || who.boot != me.boot) return false;
    if (who.pid_namespace == 0 || who.pid_namespace != me.pid_namespace || who.pid <= 0) return false;
    if (const auto facts = facts_of(std::to_string(who.pid))) {
        return facts->dead() || facts->start_time != who.start_time;
    }
    // Gone, or hidden from us.
    return posix::sys().kill(static_cast<pid_t>(who.pid), 0) != 0 && errno == ESRCH;
}

}  // namespace

std::string writer_id::text() const {
    return instance_text(instance) + '/' + boot + '/' + std::to_string(pid_namespace) + '/' + std::to_string(pid) +
           '/' + std::to_string(start_time);
}

result<writer_id> writer_id::parse(std::string_view text) {
    const auto whole = text;
    writer_id read;
    const bool begun = take_number(text, read.instance, '/', 16);
    const auto boot_end = text.find('/');
    if (!begun || boot_end == std::string_view::npos) return fail(errc::invalid_argument, "writer: no instance");
    read.boot = text.substr(0, boot_end);
    text.remove_prefix(boot_end + 1);
    const bool all = take_number(text, read.pid_namespace, '/') && take_number(text, read.pid, '/') &&
                     take_number(text, read.start_time, '\0');
    // One writer has one spelling.
    if (!all || read.instance == 0 || read.instance > instance_mask || read.pid < 0 || read.text() != whole) {
        return fail(errc::invalid_argument, "writer: not as it was written");
    }
    return read;
}

result<writer_id> new_writer() {
    auto made = this_process();
    while (made.instance == 0) {
        const auto got =
            posix::retry_interrupted([&] { return posix::sys().random(&made.instance, sizeof made.instance, 0); });
        if (got < 0) return os_failure(errno, stage::none, "an id for the writer of the audit trail");
        made.instance &= instance_mask;
    }
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

result<void> lock_file::live_as(std::uint64_t instance) {
    auto held = lock(file_.get(), F_OFD_SETLK, F_WRLCK, instance);
    if (held) own_ = instance;
    return held;
}

result<bool> lock_file::lives(std::uint64_t instance) const {
    if (instance == own_) return true;
    auto wanted = one_byte(F_WRLCK, instance);
    if (posix::sys().fcntl(file_.get(), F_OFD_GETLK, reinterpret_cast<long>(&wanted)) != 0) {
        return os_failure(errno, stage::none, "lock of the audit trail");
    }
    return wanted.l_type != F_UNLCK;
}

result<bool> lock_file::lives(const writer_id& who) const {
    auto held = lives(who.instance);
    if (!held || !*held || who.instance == own_) return held;
    return !seen_to_be_gone(who);
}

}  // namespace exec::inline v0::audit
