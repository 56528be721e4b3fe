// libuv: uv_spawn with two pipes.
#include <uv.h>

#include <csignal>

#include "sides/peers.h"

namespace bench {
namespace {

class uv_flight final : public flight {
   public:
    uv_flight() {
        ::uv_loop_init(&loop_);
        ::uv_timer_init(&loop_, &timer_);
        timer_.data = this;
    }
    ~uv_flight() override {
        ::uv_close(reinterpret_cast<uv_handle_t*>(&timer_), nullptr);
        ::uv_run(&loop_, UV_RUN_DEFAULT);
        ::uv_loop_close(&loop_);
    }
    uv_flight(const uv_flight&) = delete;
    uv_flight& operator=(const uv_flight&) = delete;

    void start(words what) override {
        if (free_.empty()) {
            all_.push_back(std::make_unique<member>());
            free_.push_back(all_.back().get());
        }
        auto& made = *free_.back();
        free_.pop_back();
        made.of = this;
        made.how = {};
        made.open = 3;
        uv_stdio_container_t streams[3]{};
        streams[0].flags = UV_IGNORE;
        for (int i = 0; i < 2; ++i) {
            ::uv_pipe_init(&loop_, &made.pipes[i], 0);
            made.pipes[i].data = &made;
            streams[i + 1].flags = static_cast<uv_stdio_flags>(UV_CREATE_PIPE | UV_WRITABLE_PIPE);
            streams[i + 1].data.stream = reinterpret_cast<uv_stream_t*>(&made.pipes[i]);
        }
        uv_process_options_t options{};
        options.file = what[0];
        options.args = const_cast<char**>(what);
        options.stdio = streams;
        options.stdio_count = 3;
        options.exit_cb = [](uv_process_t* process, std::int64_t, int) {
            auto& it = *static_cast<member*>(process->data);
            it.how.ended = true;
            close(reinterpret_cast<uv_handle_t*>(process));
        };
        made.process.data = &made;
        if (::uv_spawn(&loop_, &made.process, &options) != 0) must_not("uv_spawn");
        for (auto& pipe : made.pipes) {
            ::uv_read_start(
                reinterpret_cast<uv_stream_t*>(&pipe),
                [](uv_handle_t*, std::size_t, uv_buf_t* buffer) {
                    static char space[64 * 1024];
                    *buffer = ::uv_buf_init(space, sizeof space);
                },
                [](uv_stream_t* from, ssize_t got, const uv_buf_t*) {
                    auto& it = *static_cast<member*>(from->data);
                    const bool out = from == reinterpret_cast<uv_stream_t*>(&it.pipes[0]);
                    if (got >= 0) (out ? it.how.out : it.how.err) += static_cast<std::uint64_t>(got);
                    if (got < 0) close(reinterpret_cast<uv_handle_t*>(from));
                });
        }
    }

    void drive_until(std::size_t target) override {
        while (ended() < target) ::uv_run(&loop_, UV_RUN_ONCE);
    }
    void kill_all() override {
        for (auto& one : all_) {
            if (one->open != 0 && !one->how.ended) ::uv_process_kill(&one->process, SIGKILL);
        }
    }
    void kill_after(std::chrono::milliseconds delay) override {
        ::uv_timer_start(
            &timer_, [](uv_timer_t* timer) { static_cast<uv_flight*>(timer->data)->kill_all(); },
            static_cast<std::uint64_t>(delay.count()), 0);
    }

   private:
    struct member {
        uv_flight* of = nullptr;
        uv_process_t process{};
        uv_pipe_t pipes[2]{};
        heard how{};
        int open = 0;
    };

    static void close(uv_handle_t* handle) {
        ::uv_close(handle, [](uv_handle_t* closed) {
            auto& it = *static_cast<member*>(closed->data);
            if (--it.open != 0) return;
            it.of->free_.push_back(&it);
            it.of->one_ended(it.how);
        });
    }

    uv_loop_t loop_{};
    uv_timer_t timer_{};
    std::vector<std::unique_ptr<member>> all_{};
    std::vector<member*> free_{};
};

}  // namespace

side libuv() { return looping_peer<uv_flight>("libuv"); }

}  // namespace bench
