#include "exec/ssh/connector.h"

#include "exec/assert.h"

#include "loop/alarm.h"
#include "loop/client.h"
#include "loop/core.h"
#include "loop/inbox.h"
#include "posix/fd.h"
#include "posix/syscalls.h"
#include "ssh/address.h"
#include "ssh/dial.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace exec::inline v0::ssh {
namespace {

using std::chrono::seconds;

// An idle connection is probed after 30 s of silence, every 10 s, and given up after 3 probes. Where a TCP_USER_TIMEOUT is
// set, the kernel no longer counts probes but gives up at the first one after that time, so that one lost packet would
// end a healthy connection: then silence and probes are shortened until all of them fit into it.
constexpr int keepalive_probes = 3;
constexpr seconds longest_silence{30};
constexpr seconds longest_interval{10};

// 0 or an errno value.
int tune(int socket, milliseconds user_timeout) noexcept {
    struct option {
        int level;
        int name;
        int value;
    };
    const auto share = [user_timeout](int parts, seconds longest) {
        const auto part = std::chrono::floor<seconds>(user_timeout / parts);
        return static_cast<int>(std::clamp(part, seconds(1), longest).count());
    };
    const auto most = milliseconds((std::numeric_limits<int>::max)());
    const auto timeout = user_timeout == unlimited ? milliseconds::zero() : (std::min)(user_timeout, most);
    for (const auto& each : {
             option{IPPROTO_TCP, TCP_NODELAY, 1},
             option{SOL_SOCKET, SO_KEEPALIVE, 1},
             option{IPPROTO_TCP, TCP_KEEPIDLE, share(2, longest_silence)},
             option{IPPROTO_TCP, TCP_KEEPINTVL, share(2 * keepalive_probes, longest_interval)},
             option{IPPROTO_TCP, TCP_KEEPCNT, keepalive_probes},
             option{IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<int>(timeout.count())},
         }) {
        if (posix::sys().set_option(socket, each.level, each.name, &each.value, sizeof each.value) != 0) return errno;
    }
    return 0;
}

// One connection on its way. Claimed by itself until it has answered, by the inbox, and by its look-up.
class opening final : public detail::note, public detail::client {
   public:
    using addresses = std::vector<address>;

    static void start(std::shared_ptr<detail::loop_core> core, const tcp_options& options, const std::string& host,
                      std::uint16_t port, time_point by, reply<connection> made) {
        const claim one(new opening(std::move(core), options, host, port, by, std::move(made)));
        one->retain();
        one->find(options.names);
        // False: the loop has ended, and nobody is left to call later.
        if (!one->core_->notify(*one)) one->conclude(fail(errc::shutting_down, one->name_));
    }

    // note
    void notified() noexcept override {
        if (over()) return;
        if (!enrolled() && !begin()) return;
        if (!dial_ && is_found_.load(std::memory_order_acquire)) dial_up();
    }
    void retain() noexcept override { claims_.fetch_add(1, std::memory_order_relaxed); }
    void release() noexcept override {
        if (claims_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
    }

    // client
    void shut_down(milliseconds) noexcept override { abandon(); }
    void abandon() noexcept override { conclude(fail(errc::shutting_down, name_)); }

   private:
    struct gives_back {
        void operator()(opening* of) const noexcept { of->release(); }
    };
    using claim = std::unique_ptr<opening, gives_back>;

    opening(std::shared_ptr<detail::loop_core> core, const tcp_options& options, const std::string& host,
            std::uint16_t port, time_point by, reply<connection> made)
        : core_(std::move(core)),
          user_timeout_(options.user_timeout),
          host_(host),
          port_(port),
          name_(name_of(host, port)),
          by_(by),
          made_(std::move(made)) {}
    ~opening() = default;

    bool over() const noexcept { return over_.load(std::memory_order_relaxed); }
    claim another_claim() noexcept {
        retain();
        return claim(this);
    }

    failure at_resolve(errc code, const char* why) const {
        auto made = fail(code, host_ + ": " + why);
        made.at = stage::resolve;
        return made;
    }

    void find(executor* names) {
        if (const auto known = literal(host_, port_)) return found(addresses{*known});
        if (names == nullptr) {
            return found(at_resolve(errc::unsupported, "there is no executor to look names up on"));
        }
        reply<addresses> answer([me = another_claim()](result<addresses> how) { me->looked_up(std::move(how)); });
        detail::at_the_border(*core_, "executor::execute", [&] {
            names->execute([me = another_claim(), answer = std::move(answer)]() mutable {
                // Of one that has answered without it the look-up would only keep this thread from another one's.
                if (!me->over()) answer(look_up(me->host_, me->port_));
            });
        });
    }
    // Any thread. One that has answered meanwhile takes no notice.
    void looked_up(result<addresses> how) {
        const bool dropped = !how && how.error().code == errc::broken_reply;
        found(dropped ? at_resolve(errc::broken_reply, "the executor dropped the look-up") : std::move(how));
        static_cast<void>(core_->notify(*this));
    }
    void found(result<addresses> how) {
        found_.emplace(std::move(how));
        is_found_.store(true, std::memory_order_release);
    }

    // False: it has ended.
    bool begin() {
        if (!core_->enroll(*this)) {
            abandon();
        } else if (core_->now() >= by_) {
            give_up();
        } else {
            alarm_.set(*core_, by_);
        }
        return !over();
    }

    void dial_up() {
        if (!*found_) return conclude(std::move(*found_).error());
        dial_.emplace(*core_, name_, **std::move(found_), [this](result<posix::fd> how) { dialled(std::move(how)); });
        dial_->begin();
    }

    void dialled(result<posix::fd> how) {
        if (!how) return conclude(std::move(how).error());
        if (const int error = tune(how->get(), user_timeout_)) {
            return conclude(os_failure(error, stage::connect, name_ + ": socket options"));
        }
        conclude(connection(how->release()));
    }

    void give_up() noexcept { conclude(dial_ ? dial_->given_up() : os_failure(ETIMEDOUT, stage::resolve, name_)); }

    void conclude(result<connection> how) noexcept {
        over_.store(true, std::memory_order_relaxed);
        alarm_.clear();
        leave();
        dial_.reset();
        auto made = std::move(made_);
        detail::at_the_border(*core_, "connector: reply", [&] { made(std::move(how)); });
        release();
    }

    const std::shared_ptr<detail::loop_core> core_;
    const milliseconds user_timeout_;
    const std::string host_;
    const std::uint16_t port_;
    const std::string name_;
    const time_point by_;
    reply<connection> made_;
    std::atomic<std::uint32_t> claims_{1};
    std::atomic<bool> over_{false};

    std::optional<result<addresses>> found_{};  // belongs to who finds, then to the loop
    std::atomic<bool> is_found_{false};
    std::optional<dial> dial_{};
    detail::alarm_member<opening, &opening::give_up> alarm_{*this};
};

class tcp_connector final : public connector {
   public:
    tcp_connector(std::shared_ptr<detail::loop_core> core, const tcp_options& options)
        : core_(std::move(core)), options_(options) {
        EXEC_ASSERT(options.user_timeout > milliseconds::zero(), "tcp: user_timeout must be positive");
    }

    void connect(const std::string& host, std::uint16_t port, time_point by, reply<connection> made) override {
        opening::start(core_, options_, host, port, by, std::move(made));
    }

   private:
    const std::shared_ptr<detail::loop_core> core_;
    const tcp_options options_;
};

}  // namespace

std::shared_ptr<connector> make_tcp_connector(loop& on, tcp_options options) {
    return std::make_shared<tcp_connector>(detail::core_of(on), options);
}

}  // namespace exec::inline v0::ssh
