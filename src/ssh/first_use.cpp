// Trust on first use: one question to the store at a time for each host, whoever else asks meanwhile.
#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "exec/assert.h"
#include "exec/display.h"
#include "exec/error.h"
#include "exec/ssh/host_keys.h"
#include "ssh/host_key.h"
#include "ssh/trust.h"

namespace exec::inline v0::ssh {
namespace {

using known_keys = std::vector<known_key>;

// What the store's lines say. One that cannot be read may be the one that would have refused.
result<known_keys> read_lines(const host_name& of, const std::vector<std::string>& lines) {
    known_keys known;
    for (std::string_view line : lines) {
        auto key = parse_host_key(line);
        if (!key) {
            return fail(errc::invalid_argument, "what is remembered of " + display(file_name_of(of), 128) +
                                                    " cannot be read: " + key.error().context);
        }
        take_word(line);
        take_word(line);
        line.remove_prefix((std::min)(line.find_first_not_of(" \t"), line.size()));
        known.push_back({marking::none, *std::move(key), line.empty() ? "remembered" : std::string(line)});
    }
    return known;
}

class trust_on_first_use final : public host_keys, public std::enable_shared_from_this<trust_on_first_use> {
   public:
    explicit trust_on_first_use(std::shared_ptr<host_key_store> store) noexcept : store_(std::move(store)) {}

    // The store cannot be asked here: what it said last of this host.
    std::vector<std::string> algorithms(const host_name& of) const override {
        const std::lock_guard hold(mutex_);
        const auto known = algorithms_.find(file_name_of(of));
        return known == algorithms_.end() ? std::vector<std::string>{} : known->second;
    }

    void check(const host_name& of, const host_key& shown, reply<void> trusted) override {
        {
            const std::lock_guard hold(mutex_);
            auto& waiting = waiting_[file_name_of(of)];
            waiting.push_back({shown, std::move(trusted)});
            if (waiting.size() > 1) return;
        }
        store_->find(of, [self = shared_from_this(), of](result<std::vector<std::string>> lines) {
            self->found(of, std::move(lines));
        });
    }

   private:
    struct connection_asking {
        host_key shown{};
        reply<void> trusted{};
    };

    void found(const host_name& of, result<std::vector<std::string>> lines) {
        if (!lines) return answer(of, std::move(lines).error());
        auto known = read_lines(of, *lines);
        if (!known || !known->empty()) return answer(of, std::move(known));
        host_key first;
        {
            const std::lock_guard hold(mutex_);
            first = waiting_.at(file_name_of(of)).front().shown;
        }
        store_->remember(of, first, [self = shared_from_this(), of, first](result<void> done) {
            if (!done) return self->answer(of, std::move(done).error());
            self->answer(of, known_keys{{marking::none, first, "just remembered"}});
        });
    }

    // To all that wait for this host. Who asks from now on starts anew.
    void answer(const host_name& of, result<known_keys> known) {
        std::vector<connection_asking> waiting;
        {
            const std::lock_guard hold(mutex_);
            const auto here = waiting_.find(file_name_of(of));
            waiting = std::move(here->second);
            waiting_.erase(here);
            if (known) algorithms_[file_name_of(of)] = algorithms_of(*known);
        }
        if (!known && known.error().at == stage::none) known.error().at = stage::host_key;
        for (auto& each : waiting) each.trusted(known ? judge(of, each.shown, *known) : known.error());
    }

    const std::shared_ptr<host_key_store> store_;
    mutable std::mutex mutex_;
    std::map<std::string, std::vector<connection_asking>> waiting_;  // by file_name_of(); never an empty list
    std::map<std::string, std::vector<std::string>> algorithms_;     // the same
};

}  // namespace

std::shared_ptr<host_keys> first_use(std::shared_ptr<host_key_store> store) {
    EXEC_ASSERT(store != nullptr, "first_use: there is no store");
    return std::make_shared<trust_on_first_use>(std::move(store));
}

}  // namespace exec::inline v0::ssh
