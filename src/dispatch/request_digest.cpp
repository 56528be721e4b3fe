#include "dispatch/request_digest.h"

#include <exec/detail/sha256.h>

#include <cstdint>

namespace exec::inline v0::dispatch {
namespace {

class text {
   public:
    void add(std::string_view part) { all_.append(std::to_string(part.size())).append(":").append(part); }
    template <class Number>
    void number(Number value) {
        all_.append(std::to_string(value)).push_back(';');
    }
    void add(const capture_policy& of) {
        number(of.cap);
        number(static_cast<int>(of.kept));
        number(static_cast<int>(of.then));
        number(of.show);
    }
    const std::string& all() const noexcept { return all_; }

   private:
    std::string all_{};
};

}  // namespace

std::string request_digest(const command& what, const limits& within, std::string_view key) {
    text of;
    of.add(what.program_and_args.packed());
    of.number(what.env.has_base());
    for (const auto entry : what.env) {
        of.number(static_cast<int>(entry.from));
        of.add(entry.name);
        of.add(entry.value);
    }
    of.add("");  // the end of the environment
    of.add(what.cwd);
    of.number(static_cast<int>(what.in.what()));
    of.add(what.in.data());
    of.number(what.terminal ? what.terminal->columns : 0);
    of.number(what.terminal ? what.terminal->rows : 0);
    of.number(what.merge_err_into_out);
    for (const auto time : {within.run_timeout, within.start_timeout, within.idle_timeout, within.heartbeat,
                            within.consumer_timeout, within.stop.grace, within.drain_idle, within.drain_max}) {
        of.number(time.count());
    }
    of.number(within.stop.polite);
    of.number(within.stop.and_continue);
    of.number(static_cast<int>(within.stop.after_exit));
    of.add(within.out);
    of.add(within.err);
    of.number(within.in_queue);
    of.number(static_cast<int>(within.contain));
    of.number(static_cast<int>(within.if_orphaned));
    return detail::hex_of(key.empty() ? detail::sha256::of(of.all()) : detail::hmac_sha256(key)(of.all()));
}

}  // namespace exec::inline v0::dispatch
