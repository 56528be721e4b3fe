// host_keys as OpenSSH's files tell them.
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "exec/error.h"
#include "exec/ssh/host_keys.h"
#include "ssh/known_hosts.h"
#include "ssh/read_text.h"
#include "ssh/trust.h"

namespace exec::inline v0::ssh {
namespace {

class known_hosts_policy final : public host_keys {
   public:
    explicit known_hosts_policy(std::vector<known_hosts_file> files) noexcept : files_(std::move(files)) {}

    std::vector<std::string> algorithms(const host_name& of) const override {
        const auto known = find(of);
        return known ? algorithms_of(*known) : std::vector<std::string>{};
    }
    void check(const host_name& of, const host_key& shown, reply<void> trusted) override {
        auto known = find(of);
        trusted(known ? judge(of, shown, *known) : std::move(known).error());
    }

   private:
    result<std::vector<known_key>> find(const host_name& of) const {
        std::vector<known_key> all;
        for (const auto& file : files_) {
            auto found = file.find(of);
            if (!found) {
                found.error().at = stage::host_key;
                return found;
            }
            all.insert(all.end(), std::make_move_iterator(found->begin()), std::make_move_iterator(found->end()));
        }
        return all;
    }

    std::vector<known_hosts_file> files_;  // never changed: find() may run on several threads
};

}  // namespace

result<std::shared_ptr<host_keys>> known_hosts(const std::vector<std::string>& files) {
    if (files.empty()) return fail(errc::invalid_argument, "known_hosts: no file is named");
    std::vector<known_hosts_file> read;
    std::optional<failure> missing;
    for (const auto& path : files) {
        const auto text = read_text(path, known_hosts_file::most);
        if (!text && text.error().code == std::errc::no_such_file_or_directory) {
            if (!missing) missing = text.error();
            continue;
        }
        if (!text) return text.error();
        auto file = known_hosts_file::parse(*text, path);
        if (!file) return std::move(file).error();
        read.push_back(*std::move(file));
    }
    if (read.empty()) return *std::move(missing);
    return std::shared_ptr<host_keys>(std::make_shared<known_hosts_policy>(std::move(read)));
}

result<std::shared_ptr<host_keys>> known_hosts_text(std::string_view text, std::string origin) {
    auto file = known_hosts_file::parse(text, std::move(origin));
    if (!file) return std::move(file).error();
    std::vector<known_hosts_file> files;
    files.push_back(*std::move(file));
    return std::shared_ptr<host_keys>(std::make_shared<known_hosts_policy>(std::move(files)));
}

}  // namespace exec::inline v0::ssh
