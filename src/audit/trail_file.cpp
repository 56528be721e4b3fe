#include "audit/trail_file.h"

#include <cerrno>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>

#include "posix/syscalls.h"

namespace exec::inline v0::audit {
namespace {

using posix::sys;

constexpr std::size_t most_line = 1 * MiB;  // ours are shorter; what is longer is not looked at

failure failed(const std::string& name) { return os_failure(errno, stage::none, "audit trail " + name); }

// Splits what comes in pieces. Lines that are too long are passed over.
class line_cutter {
   public:
    explicit line_cutter(const std::function<void(std::string_view)>& line) : line_(line) {}

    void take(std::string_view piece) {
        while (!piece.empty()) {
            const auto end = piece.find('\n');
            const auto part = piece.substr(0, end);
            if (rest_.size() + part.size() <= most_line)
                rest_ += part;
            else
                too_long_ = true;
            if (end == std::string_view::npos) return;
            finish();
            piece.remove_prefix(end + 1);
        }
    }
    // Whether a last line had no newline.
    bool finish() {
        const bool some = too_long_ || !rest_.empty();
        if (!too_long_ && some) line_(rest_);
        rest_.clear();
        too_long_ = false;
        return some;
    }

   private:
    const std::function<void(std::string_view)>& line_;
    std::string rest_{};
    bool too_long_ = false;
};

}  // namespace

result<trail_file> trail_file::open(const json_lines_options& options) {
    trail_file made;
    const auto slash = options.path.rfind('/');
    const auto directory = slash == std::string::npos ? "." : options.path.substr(0, slash + 1);
    made.name_ = slash == std::string::npos ? options.path : options.path.substr(slash + 1);
    if (made.name_.empty() || options.path.find('\0') != std::string::npos) {
        return fail(errc::invalid_argument, "audit trail: the path names no file");
    }
    made.max_bytes_ = options.max_file_bytes;
    made.kept_ = options.kept;
    made.syncs_ = options.sync != audit_sync::none;
    posix::fd opened(sys().open_at(AT_FDCWD, directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0));
    if (!opened) return failed(directory);
    auto raised = posix::above_stdio(std::move(opened));
    if (!raised) return std::move(raised).error();
    made.directory_ = *std::move(raised);
    if (auto first = made.reopen(); !first) return std::move(first).error();
    return made;
}

result<posix::fd> trail_file::open_current() const {
    posix::fd file(sys().open_at(directory_.get(), name_.c_str(),
                                 O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600));
    if (!file) return failed(name_);
    struct stat is {};
    if (sys().status(file.get(), &is) != 0) return failed(name_);
    if (!S_ISREG(is.st_mode)) return fail(errc::unsupported, "audit trail " + name_ + ": not a regular file");
    return posix::above_stdio(std::move(file));
}

result<void> trail_file::take(posix::fd file) {
    struct stat is {};
    if (sys().status(file.get(), &is) != 0) return failed(name_);
    if (syncs_ && sys().sync(directory_.get()) != 0) return failed(name_);
    if (file_ && unsynced_) left_behind_ = sync();
    file_ = std::move(file);
    size_ = static_cast<std::uint64_t>(is.st_size);
    unsynced_ = torn_ = false;
    return {};
}

result<void> trail_file::reopen() {
    auto file = open_current();
    if (!file) return std::move(file).error();
    return take(*std::move(file));
}

bool trail_file::is_current() const {
    struct stat open {};
    struct stat named {};
    return sys().status(file_.get(), &open) == 0 &&
           sys().status_at(directory_.get(), name_.c_str(), &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           open.st_dev == named.st_dev && open.st_ino == named.st_ino;
}

void trail_file::follow() {
    struct stat is {};
    if (!is_current()) {
        (void)reopen();  // the old file serves until that works
    } else if (sys().status(file_.get(), &is) == 0) {
        size_ = static_cast<std::uint64_t>(is.st_size);
    }
}

bool trail_file::move_back() const {
    const auto move = [this](const std::string& from, const std::string& to) {
        return sys().rename_at(directory_.get(), from.c_str(), directory_.get(), to.c_str()) == 0;
    };
    unsigned free = 1;
    struct stat is {};
    while (free < kept_ && sys().status_at(directory_.get(), older(free).c_str(), &is, AT_SYMLINK_NOFOLLOW) == 0)
        ++free;
    for (auto number = free; number > 1; --number) {
        if (!move(older(number - 1), older(number))) return false;
    }
    return move(name_, older(1));
}

void trail_file::rotate(std::size_t more) {
    follow();
    if (!is_full(more)) return;
    if (!move_back() || !reopen()) size_ = 0;  // until follow() looks again
}

result<void> trail_file::append(std::string_view line) {
    const auto write = [this](std::string_view bytes) {
        return posix::retry_interrupted([&] { return sys().write(file_.get(), bytes.data(), bytes.size()); });
    };
    if (torn_) {
        if (write("\n") != 1) return failed(name_);
        torn_ = false;
    }
    const auto written = write(line);
    if (written < 0) return failed(name_);
    unsynced_ = true;
    size_ += static_cast<std::uint64_t>(written);
    if (static_cast<std::size_t>(written) == line.size()) return {};
    torn_ = write("\n") != 1;
    return os_failure(ENOSPC, stage::none, "audit trail " + name_ + ": a line was cut");
}

result<void> trail_file::sync() {
    auto before = std::exchange(left_behind_, {});
    if (unsynced_ && sys().sync_data(file_.get()) != 0) return failed(name_);
    unsynced_ = false;
    return before;
}

result<void> trail_file::read_all(const std::function<void(std::string_view)>& line) {
    constexpr unsigned most_files = 10'000;
    unsigned oldest = 0;
    struct stat is {};
    // A writer that died while it moved them may have left a gap.
    for (unsigned number = 1; number <= most_files; ++number) {
        if (sys().status_at(directory_.get(), older(number).c_str(), &is, AT_SYMLINK_NOFOLLOW) == 0)
            oldest = number;
        else if (number > kept_)
            break;
    }
    std::string piece(64 * KiB, '\0');
    for (auto number = oldest;; --number) {
        const auto name = number == 0 ? name_ : older(number);
        const posix::fd file(
            sys().open_at(directory_.get(), name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0));
        if (!file && errno == ENOENT && number > 0) continue;
        if (!file) return failed(name);
        line_cutter cut(line);
        for (;;) {
            const auto got =
                posix::retry_interrupted([&] { return sys().read(file.get(), piece.data(), piece.size()); });
            if (got < 0) return failed(name);
            if (got == 0) break;
            cut.take(std::string_view(piece).substr(0, static_cast<std::size_t>(got)));
        }
        if (const bool torn = cut.finish(); number == 0) {
            torn_ = torn;
            return {};
        }
    }
}

}  // namespace exec::inline v0::audit
