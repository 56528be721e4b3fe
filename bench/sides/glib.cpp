// GLib: g_spawn_sync for one, g_spawn_async_with_pipes and a main loop for many.
#include <fcntl.h>
#include <glib-unix.h>
#include <glib.h>
#include <unistd.h>

#include <csignal>

#include "sides/peers.h"
#include "sides/quoting_peers.h"

namespace bench {
namespace {

heard run_sync(words what) {
    char* out = nullptr;
    char* err = nullptr;
    int status = 0;
    if (!::g_spawn_sync(nullptr, const_cast<char**>(what), nullptr, G_SPAWN_DEFAULT, nullptr, nullptr, &out, &err,
                        &status, nullptr)) {
        must_not("g_spawn_sync");
    }
    const heard how{std::char_traits<char>::length(out), std::char_traits<char>::length(err), true};
    ::g_free(out);
    ::g_free(err);
    return how;
}

class glib_flight final : public flight {
   public:
    glib_flight() : context_(::g_main_context_new()) {}
    ~glib_flight() override { ::g_main_context_unref(context_); }
    glib_flight(const glib_flight&) = delete;
    glib_flight& operator=(const glib_flight&) = delete;

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
        if (!::g_spawn_async_with_pipes(nullptr, const_cast<char**>(what), nullptr, G_SPAWN_DO_NOT_REAP_CHILD, nullptr,
                                        nullptr, &made.pid, nullptr, &made.fds[0], &made.fds[1], nullptr)) {
            must_not("g_spawn_async_with_pipes");
        }
        for (int i = 0; i < 2; ++i) {
            ::fcntl(made.fds[i], F_SETFL, O_NONBLOCK);
            attach(::g_unix_fd_source_new(made.fds[i], static_cast<GIOCondition>(G_IO_IN | G_IO_HUP)),
                   G_SOURCE_FUNC(&readable), made);
        }
        attach(::g_child_watch_source_new(made.pid), G_SOURCE_FUNC(&exited), made);
    }
    void drive_until(std::size_t target) override {
        while (ended() < target) ::g_main_context_iteration(context_, TRUE);
    }
    void kill_all() override {
        for (auto& one : all_) {
            if (one->open != 0 && !one->how.ended) ::kill(one->pid, SIGKILL);
        }
    }
    void kill_after(std::chrono::milliseconds delay) override {
        GSource* timer = ::g_timeout_source_new(static_cast<guint>(delay.count()));
        ::g_source_set_callback(
            timer,
            [](gpointer of) -> gboolean {
                static_cast<glib_flight*>(of)->kill_all();
                return G_SOURCE_REMOVE;
            },
            this, nullptr);
        ::g_source_attach(timer, context_);
        ::g_source_unref(timer);
    }

   private:
    struct member {
        glib_flight* of = nullptr;
        GPid pid = 0;
        int fds[2] = {-1, -1};
        heard how{};
        int open = 0;
    };

    void attach(GSource* source, GSourceFunc call, member& of) {
        ::g_source_set_callback(source, call, &of, nullptr);
        ::g_source_attach(source, context_);
        ::g_source_unref(source);
    }
    static gboolean readable(int fd, GIOCondition, gpointer which) {
        static char space[64 * 1024];
        auto& it = *static_cast<member*>(which);
        const auto got = ::read(fd, space, sizeof space);
        if (got > 0) (fd == it.fds[0] ? it.how.out : it.how.err) += static_cast<std::uint64_t>(got);
        if (got != 0) return G_SOURCE_CONTINUE;
        ::close(fd);
        close(it);
        return G_SOURCE_REMOVE;
    }
    static void exited(GPid, int, gpointer which) {
        auto& it = *static_cast<member*>(which);
        it.how.ended = true;
        close(it);
    }
    static void close(member& it) {
        if (--it.open != 0) return;
        it.of->free_.push_back(&it);
        it.of->one_ended(it.how);
    }

    GMainContext* context_;
    std::vector<std::unique_ptr<member>> all_{};
    std::vector<member*> free_{};
};

}  // namespace

std::size_t quote_by_glib(const std::vector<std::string>& what) {
    std::string line;
    for (const auto& word : what) {
        char* const quoted = ::g_shell_quote(word.c_str());
        if (!line.empty()) line += ' ';
        line += quoted;
        ::g_free(quoted);
    }
    return line.size();
}

side glib() {
    side made{"GLib", kind::peer};
    made.run = run_sync;
    made.fly = [] { return std::make_unique<glib_flight>(); };
    return made;
}

}  // namespace bench
