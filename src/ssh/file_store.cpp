// A host_key_store that is a file in OpenSSH's format.
#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "exec/display.h"
#include "exec/error.h"
#include "exec/ssh/host_keys.h"
#include "posix/fd.h"
#include "posix/syscalls.h"
#include "ssh/host_key.h"
#include "ssh/known_hosts.h"
#include "ssh/read_text.h"
#include "ssh/trust.h"

namespace exec::inline v0::ssh {
namespace {

// Written as a name, it is read as the same name again: no pattern, list, comment, marker or hash.
bool is_plain_name(const std::string& host) {
    return !host.empty() && std::all_of(host.begin(), host.end(), [](char byte) {
        return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
               byte == '.' || byte == '-' || byte == '_' || byte == ':' || byte == '%';
    });
}

// All of it, or a failure: the kernel writes less only where it will soon write nothing.
result<void> write_all(int file, std::string_view text, const std::string& path) {
    while (!text.empty()) {
        const auto took = posix::retry_interrupted([&] { return posix::sys().write(file, text.data(), text.size()); });
        if (took < 0) return os_failure(errno, stage::host_key, path);
        text.remove_prefix(static_cast<std::size_t>(took));
    }
    return {};
}

// The file, for the work on the executor, which may outlive the store.
class key_file {
   public:
    explicit key_file(std::string path) noexcept : path_(std::move(path)) {}

    result<std::vector<std::string>> find(const host_name& of) {
        const std::lock_guard hold(mutex_);
        auto known = read(of);
        if (!known) return std::move(known).error();
        std::vector<std::string> lines;
        for (const auto& each : *known) {
            // What is revoked is not handed out; remember() refuses it as well.
            if (each.mark == marking::none && judge(of, each.key, *known)) {
                lines.push_back(line_of(each.key) + " " + each.where);
            }
        }
        return lines;
    }

    result<void> remember(const host_name& of, const host_key& key) {
        if (!is_plain_name(of.host)) {
            return fail(errc::invalid_argument, "a file cannot hold a key for the host name " + display(of.host, 128));
        }
        const std::lock_guard hold(mutex_);
        // Looked at again: another policy or process may have been here since the question.
        const auto known = read(of);
        if (!known) return known.error();
        if (!known->empty()) {
            const auto verdict = judge(of, key, *known);
            const bool only_others_are_revoked = std::all_of(known->begin(), known->end(), [&](const auto& each) {
                return each.mark == marking::revoked && !is_same(each, key);
            });
            if (verdict || !only_others_are_revoked) return verdict;
        }
        const posix::fd file(posix::retry_interrupted([&] {
            return posix::sys().open_at(AT_FDCWD, path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY,
                                        0600);
        }));
        if (!file) return os_failure(errno, stage::host_key, path_);
        std::string line = line_is_open_ ? "\n" : "";
        line.append(file_name_of(of)).append(" ").append(line_of(key)).append("\n");
        return write_all(file.get(), line, path_);
    }

   private:
    result<std::vector<known_key>> read(const host_name& of) {
        line_is_open_ = false;
        const auto text = read_text(path_, known_hosts_file::most);
        if (!text && text.error().code == std::errc::no_such_file_or_directory) return std::vector<known_key>{};
        if (!text) return text.error();
        line_is_open_ = !text->empty() && !text->ends_with('\n');
        const auto file = known_hosts_file::parse(*text, path_);
        if (!file) return file.error();
        return file->find(of);
    }

    const std::string path_;
    std::mutex mutex_;           // nothing of this process comes between reading and appending
    bool line_is_open_ = false;  // the file that was read does not end in a line feed
};

class file_store final : public host_key_store {
   public:
    file_store(executor& on, std::string path) : on_(on), file_(std::make_shared<key_file>(std::move(path))) {}

    void find(const host_name& of, reply<std::vector<std::string>> known) override {
        on_.execute([file = file_, of, known = std::move(known)]() mutable { known(file->find(of)); });
    }
    void remember(const host_name& of, const host_key& key, reply<void> done) override {
        on_.execute([file = file_, of, key, done = std::move(done)]() mutable { done(file->remember(of, key)); });
    }

   private:
    executor& on_;
    const std::shared_ptr<key_file> file_;
};

}  // namespace

std::shared_ptr<host_key_store> make_file_store(executor& on, std::string path) {
    return std::make_shared<file_store>(on, std::move(path));
}

}  // namespace exec::inline v0::ssh
