#include "exec/loop_thread.h"

#include <stop_token>
#include <utility>

#include "loop/quiet_thread.h"

namespace exec::inline v0 {

struct loop_thread::state {
    ~state() {
        EXEC_ASSERT(!thread.is_this_one(), "loop_thread: destroyed by one of the loop's own callbacks");
        stop.request_stop();
        thread.join();
    }

    std::stop_source stop{};
    detail::quiet_thread thread{};
};

result<loop_thread> loop_thread::start(loop& drives, std::string name) {
    auto made = std::make_unique<state>();
    auto started = made->thread.start(name, [&drives, stop = made->stop.get_token()] { drives.run(stop); });
    if (!started) return std::move(started).error();
    return loop_thread(std::move(made));
}

loop_thread::loop_thread(std::unique_ptr<state> of) noexcept : state_(std::move(of)) {}
loop_thread::loop_thread(loop& drives) : loop_thread(std::move(start(drives)).value()) {}
loop_thread::loop_thread(loop_thread&& other) noexcept = default;
loop_thread& loop_thread::operator=(loop_thread&& other) noexcept = default;
loop_thread::~loop_thread() = default;

}  // namespace exec::inline v0
