#include "settings.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <chrono>
#include <ctime>
#include <fstream>
#include <mutex>
#include <sstream>

#include "exec/detail/sha256.h"
#include "exec/ssh/credentials.h"
#include "exec/ssh/host_keys.h"

namespace {

using words = std::vector<std::string>;

exec::failure wrong(const std::string& file, std::size_t line, const char* why) {
    return exec::fail(exec::errc::invalid_argument, file + ":" + std::to_string(line) + ": " + why);
}

template <class Each>
exec::result<void> each_line(const std::string& file, Each each) {
    std::ifstream from(file);
    if (!from) return exec::os_failure(errno, exec::stage::none, file);
    std::size_t number = 0;
    for (std::string line; std::getline(from, line);) {
        ++number;
        std::istringstream text(line.substr(0, line.find('#')));
        words parts;
        for (std::string word; text >> word;) parts.push_back(word);
        if (parts.empty()) continue;
        if (const char* why = each(parts)) return wrong(file, number, why);
    }
    return {};
}

// A grant service of the smallest kind: the machine's sshd reads this file, and honours a line until its expiry-time.
std::shared_ptr<exec::ssh::provider> granting(std::string file) {
    static constexpr std::chrono::seconds lifetime{60};
    return exec::ssh::minted([file, guard = std::make_shared<std::mutex>()](const exec::ssh::grant& to,
                                                                            exec::reply<exec::milliseconds> answer) {
        const std::time_t until = std::time(nullptr) + lifetime.count();
        std::tm parts{};
        char expiry[32]{};
        std::strftime(expiry, sizeof expiry, "%Y%m%d%H%M%S", ::localtime_r(&until, &parts));
        const auto line = "expiry-time=\"" + std::string(expiry) + "\" " + to.public_key + "\n";
        const std::lock_guard hold(*guard);
        const int out = ::open(file.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
        const bool written = out >= 0 && ::write(out, line.data(), line.size()) == static_cast<ssize_t>(line.size());
        if (out >= 0) ::close(out);
        if (!written) return answer(exec::fail(exec::errc::auth_failed, "the grant could not be written"));
        answer(exec::milliseconds(lifetime));
    });
}

}  // namespace

exec::result<tokens> tokens::read(const std::string& file) {
    struct stat mode {};
    if (::stat(file.c_str(), &mode) != 0) return exec::os_failure(errno, exec::stage::none, file);
    if ((mode.st_mode & 077) != 0) return exec::fail(exec::errc::denied, file + ": others may read it; chmod 600");
    tokens made;
    auto done = each_line(file, [&](const words& of) -> const char* {
        if (of.size() != 5 || of[0] != "token" || of[1].size() != 64)
            return "token <sha-256> <subject> <tenant> <tier>";
        token one{of[1], {.subject = of[2], .tenant = of[3], .roles = {"tier" + of[4]}}, of[4][0] - '0'};
        made.all_.push_back(std::move(one));
        return nullptr;
    });
    if (!done) return std::move(done).error();
    return made;
}

const token* tokens::find(std::string_view authorization) const {
    constexpr std::string_view scheme = "Bearer ";
    if (!authorization.starts_with(scheme)) return nullptr;
    const auto digest = exec::detail::hex_of(exec::detail::sha256::of(authorization.substr(scheme.size())));
    const token* found = nullptr;
    for (const auto& each : all_) {
        unsigned differs = 0;
        for (std::size_t at = 0; at < digest.size(); ++at)
            differs |= static_cast<unsigned>(digest[at] ^ each.digest[at]);
        if (differs == 0) found = &each;
    }
    return found;
}

exec::result<std::shared_ptr<machines>> machines::read(const std::string& file, exec::ssh::pool& pool,
                                                       std::shared_ptr<exec::runner> local) {
    auto made = std::make_shared<machines>();
    exec::result<void> last;
    auto done = each_line(file, [&](const words& of) -> const char* {
        if (of.size() < 4 || of[0] != "workspace") return "workspace <id> <tenant> local|ssh ...";
        auto& way = made->of_[{of[2], of[1]}];
        way.labels = {{"workspace", of[1]}};
        if (of[3] == "none") return nullptr;  // nobody serves it
        if (of[3] == "local") {
            way.run = local;
            way.kind = "local";
            return nullptr;
        }
        const auto at = of.size() == 9 ? of[5].find('@') : std::string::npos;
        if (of[3] != "ssh" || at == std::string::npos) return "ssh <port> <user>@<host> <known_hosts> key|grant <file>";
        exec::ssh::endpoint there{.host = of[5].substr(at + 1), .user = of[5].substr(0, at), .scope = of[2]};
        there.port = static_cast<std::uint16_t>(std::stoi(of[4]));
        auto trust = exec::ssh::known_hosts({of[6]});
        if (!trust) return "known_hosts cannot be read";
        there.trust = *std::move(trust);
        if (of[7] == "grant") {
            there.login = granting(of[8]);
        } else {
            auto key = exec::ssh::read_private_key(of[8]);
            if (!key) return "the key cannot be read";
            there.login = exec::ssh::always(*std::move(key));
        }
        auto runner = exec::ssh::make_runner(pool, std::move(there));
        if (!runner) return "the machine cannot be used";
        way.run = *std::move(runner);
        way.kind = "ssh";
        return nullptr;
    });
    if (!done) return std::move(done).error();
    return made;
}

void machines::find(const exec::caller& who, const exec::target_id& target, exec::reply<exec::route> answer) {
    const auto found = of_.find({who.tenant, target.name()});
    if (found == of_.end()) return answer(exec::fail(exec::errc::target_not_found));
    if (!found->second.run) return answer(exec::fail(exec::errc::target_unassigned));
    answer(found->second);
}

void tiers::check(const exec::caller& who, exec::verb, const exec::target_id&, const exec::route&,
                  exec::reply<void> answer) {
    for (const auto& role : who.roles) {
        if (role.size() == 5 && role.compare(0, 4, "tier") == 0 && role[4] >= '3') return answer({});
    }
    answer(exec::fail(exec::errc::denied, "commands need tier 3"));
}
