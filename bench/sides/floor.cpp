// The floors: one run after the other, and many in one epoll.
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <utility>

#include "harness/rounds.h"
#include "sides/raw_child.h"
#include "sides/side.h"

namespace bench {
namespace {

std::uint64_t read_to_end(int from) {
    static char buffer[64 * 1024];
    std::uint64_t all = 0;
    for (;;) {
        const auto got = ::read(from, buffer, sizeof buffer);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return all;
        all += static_cast<std::uint64_t>(got);
    }
}

heard run_raw(words what, amount of_calls) {
    const auto child = start_raw(what, of_calls);
    heard how;
    how.out = read_to_end(child.out);
    how.err = read_to_end(child.err);
    how.ended = end_raw(child, of_calls);
    return how;
}

class raw_flight final : public flight {
   public:
    explicit raw_flight(amount of_calls) : of_calls_(of_calls), epoll_(::epoll_create1(EPOLL_CLOEXEC)) {}
    ~raw_flight() override { ::close(epoll_); }

    void start(words what) override {
        if (free_.empty()) {
            all_.push_back(std::make_unique<member>());
            free_.push_back(all_.back().get());
        }
        auto& made = *free_.back();
        free_.pop_back();
        made.how = {};
        made.child = start_raw(what, of_calls_);
        made.open = 2;
        watch(made.child.out, made, 0);
        watch(made.child.err, made, 1);
    }

    void drive_until(std::size_t target) override {
        while (ended() < target) {
            epoll_event events[64];
            const int left = kill_at_ == 0 ? -1 : static_cast<int>((kill_at_ - now()) * 1e3) + 1;
            const int count = ::epoll_wait(epoll_, events, 64, left);
            if (kill_at_ != 0 && now() >= kill_at_) {
                kill_at_ = 0;
                kill_all();
            }
            for (int i = 0; i < count; ++i) take(events[i].data.u64);
        }
    }

    void kill_all() override {
        for (const auto& one : all_) {
            if (one->open != 0) ::syscall(SYS_pidfd_send_signal, one->child.pidfd, SIGKILL, nullptr, 0);
        }
    }
    void kill_after(std::chrono::milliseconds delay) override { kill_at_ = now() + seconds(delay).count(); }

   private:
    struct member {
        raw_child child{};
        heard how{};
        int open = 0;
    };

    // A pointer has its lowest bit free: it says which stream.
    void watch(int fd, member& of, std::uint64_t stream) {
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.u64 = reinterpret_cast<std::uintptr_t>(&of) | stream;
        ::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
    }

    void take(std::uint64_t which) {
        static char buffer[64 * 1024];
        auto& of = *reinterpret_cast<member*>(which & ~std::uint64_t{1});
        const bool err = (which & 1) != 0;
        const int from = err ? of.child.err : of.child.out;
        const auto got = ::read(from, buffer, sizeof buffer);
        if (got > 0) (err ? of.how.err : of.how.out) += static_cast<std::uint64_t>(got);
        if (got != 0) return;
        epoll_event unused{};
        ::epoll_ctl(epoll_, EPOLL_CTL_DEL, from, &unused);
        if (--of.open != 0) return;
        of.how.ended = end_raw(of.child, of_calls_);
        free_.push_back(&of);
        one_ended(of.how);
    }

    amount of_calls_;
    int epoll_;
    double kill_at_ = 0;
    std::vector<std::unique_ptr<member>> all_{};
    std::vector<member*> free_{};
};

side floor_of(std::string name, amount of_calls) {
    side made{std::move(name), kind::floor};
    made.run = [of_calls](words what) { return run_raw(what, of_calls); };
    made.fly = [of_calls] { return std::make_unique<raw_flight>(of_calls); };
    return made;
}

}  // namespace

side bare_floor() { return floor_of("bare system calls", amount::bare); }
side contract_floor() { return floor_of("the contract's system calls", amount::contract); }

}  // namespace bench
