#include "harness/rounds.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>

namespace bench {
namespace {

constexpr std::size_t most_figures = 16;
struct answer {
    std::size_t count = 0;
    std::array<double, most_figures> figures{};
};

// A process that takes its turn when it is asked to.
class worker {
   public:
    explicit worker(const turn& what) {
        int orders[2];
        int answers[2];
        if (::pipe2(orders, O_CLOEXEC) != 0 || ::pipe2(answers, O_CLOEXEC) != 0) give_up();
        std::fflush(nullptr);
        pid_ = ::fork();
        if (pid_ < 0) give_up();
        if (pid_ == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            ::close(orders[1]);
            ::close(answers[0]);
            serve(what, orders[0], answers[1]);
        }
        ::close(orders[0]);
        ::close(answers[1]);
        order_ = orders[1];
        answer_ = answers[0];
    }
    worker(worker&& other) noexcept : pid_(other.pid_), order_(other.order_), answer_(other.answer_) { other.pid_ = 0; }
    worker& operator=(worker&&) = delete;
    ~worker() {
        if (pid_ == 0) return;
        ::close(order_);
        ::close(answer_);
        // Not by the end of its orders: workers that were forked later hold that pipe as well.
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
    }

    answer take_turn(bool counts) const {
        answer got;
        if (::write(order_, &counts, sizeof counts) != sizeof counts) give_up();
        if (::read(answer_, &got, sizeof got) != sizeof got) give_up();
        return got;
    }

   private:
    [[noreturn]] static void serve(const turn& what, int orders, int answers) {
        bool counts = false;
        while (::read(orders, &counts, sizeof counts) == sizeof counts) {
            const auto figures = what(counts);
            answer told;
            told.count = (std::min)(figures.size(), most_figures);
            std::copy_n(figures.begin(), told.count, told.figures.begin());
            if (::write(answers, &told, sizeof told) != sizeof told) std::_Exit(2);
        }
        std::_Exit(0);
    }
    [[noreturn]] static void give_up() {
        std::fprintf(stderr, "a side did not finish its turn\n");
        std::_Exit(2);  // the workers end with this process
    }

    pid_t pid_ = 0;
    int order_ = -1;
    int answer_ = -1;
};

}  // namespace

double now() noexcept { return seconds(std::chrono::steady_clock::now().time_since_epoch()).count(); }

double median(samples of) {
    if (of.empty()) return 0;
    const auto middle = of.begin() + static_cast<std::ptrdiff_t>(of.size() / 2);
    std::nth_element(of.begin(), middle, of.end());
    return *middle;
}

double ratio(const samples& of, const samples& to) {
    samples each;
    for (std::size_t i = 0; i < (std::min)(of.size(), to.size()); ++i) each.push_back(of[i] / to[i]);
    return median(each);
}

std::vector<std::vector<samples>> in_turns(std::size_t count, const std::vector<turn>& sides) {
    std::vector<worker> workers;
    for (const auto& one : sides) workers.emplace_back(one);
    for (const auto& one : workers) one.take_turn(false);

    std::vector<std::vector<samples>> all(sides.size());
    for (std::size_t round = 0; round < count; ++round) {
        for (std::size_t i = 0; i < workers.size(); ++i) {
            const auto which = round % 2 == 0 ? i : workers.size() - 1 - i;
            const auto got = workers[which].take_turn(true);
            all[which].resize(got.count);
            for (std::size_t figure = 0; figure < got.count; ++figure) {
                all[which][figure].push_back(got.figures[figure]);
            }
        }
    }
    return all;
}

}  // namespace bench
