// Feed a command more input than fits anywhere, at its own pace, and read what it makes of it.
#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>

#include "exec/local_runner.h"
#include "exec/loop_thread.h"

#include <future>

namespace {

constexpr std::size_t all_bytes = 8 * exec::MiB;

class counting_words final : public exec::observer {
   public:
    counting_words(exec::execution& handle, std::promise<exec::result<exec::outcome>> done)
        : handle_(handle), done_(std::move(done)) {}

    void on_start(const exec::start_info&) override { feed(); }
    // The queue is bounded: what it did not take is given again when there is room.
    void on_room() override { feed(); }
    void on_done(exec::result<exec::outcome> how) override { done_.set_value(std::move(how)); }

   private:
    void feed() {
        static const std::string block(64 * exec::KiB, 'x');
        while (given_ < all_bytes) {
            const auto piece = exec::bytes_view(block).substr(0, (std::min)(block.size(), all_bytes - given_));
            const auto taken = handle_.write_in(piece);
            given_ += taken;
            if (taken < piece.size()) return;
        }
        handle_.close_in();
    }
    exec::execution& handle_;
    std::promise<exec::result<exec::outcome>> done_;
    std::size_t given_ = 0;
};

}  // namespace

int main() {
    const auto loop = exec::make_loop().value();
    const auto runner = exec::make_local_runner(*loop).value();
    std::promise<exec::result<exec::outcome>> done;
    auto answer = done.get_future();
    exec::execution handle;
    // Assigned before the loop is driven: callbacks may use it.
    handle = runner->start({.program_and_args = exec::argv("wc", "-c"), .in = exec::input::streamed()}, {},
                           std::make_unique<counting_words>(handle, std::move(done)));
    const exec::loop_thread drives(*loop);
    const auto ran = answer.get();
    if (!ran) return 1;
    std::printf("it counted %s", ran->out.bytes.c_str());
    return ran->out.bytes == std::to_string(all_bytes) + "\n" && ran->in_taken == all_bytes ? 0 : 1;
}
