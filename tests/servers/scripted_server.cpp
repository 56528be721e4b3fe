#include "servers/scripted_server.h"

#include <cerrno>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <libssh/callbacks.h>
#include <libssh/libssh.h>
#include <libssh/server.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "servers/loopback.h"

namespace test {

void scripted_channel::out(const std::string& text) {
    ::ssh_channel_write(of_, text.data(), static_cast<std::uint32_t>(text.size()));
}
void scripted_channel::err(const std::string& text) {
    ::ssh_channel_write_stderr(of_, text.data(), static_cast<std::uint32_t>(text.size()));
}
void scripted_channel::status(std::uint32_t code) {
    ::ssh_channel_request_send_exit_status(of_, static_cast<int>(code));
}
void scripted_channel::signal(const std::string& name, bool core, const std::string& message) {
    ::ssh_channel_request_send_exit_signal(of_, name.c_str(), core ? 1 : 0, message.c_str(), "");
}
void scripted_channel::eof() { ::ssh_channel_send_eof(of_); }
void scripted_channel::close() { ::ssh_channel_close(of_); }
void scripted_channel::disconnect() { ::ssh_disconnect(session_); }

// One client.
class scripted_server::connection {
   public:
    connection(scripted_server& of, ssh_bind bind, int socket) : of_(of), session_(::ssh_new()) {
        if (::ssh_bind_accept_fd(bind, session_, socket) != SSH_OK) {
            ::close(socket);
            return;
        }
        ssh_callbacks_init(&callbacks_);
        callbacks_.userdata = this;
        callbacks_.auth_none_function = [](ssh_session, const char*, void*) { return int{SSH_AUTH_DENIED}; };
        callbacks_.auth_pubkey_function = [](ssh_session, const char*, ssh_key_struct*, char, void*) {
            return int{SSH_AUTH_SUCCESS};
        };
        ::ssh_set_server_callbacks(session_, &callbacks_);
        ::ssh_set_auth_methods(session_, SSH_AUTH_METHOD_PUBLICKEY);
        ::ssh_set_message_callback(session_, &connection::heard, this);
        alive_ = ::ssh_handle_key_exchange(session_) == SSH_OK;
    }
    ~connection() {
        ::ssh_disconnect(session_);
        ::ssh_free(session_);
    }
    connection(const connection&) = delete;
    connection& operator=(const connection&) = delete;

    bool alive() const { return alive_ && ::ssh_is_connected(session_) != 0; }
    ssh_session session() const { return session_; }
    // What was put off until libssh was left.
    void act() {
        for (const auto& each : std::exchange(to_do_, {})) each();
    }

   private:
    using answer = server_script::answer;

    // 1: the answer that libssh has for it, which is no.
    static int heard(ssh_session, ssh_message message, void* user) {
        return static_cast<connection*>(user)->handle(message) ? 0 : 1;
    }
    bool handle(ssh_message message) {
        const int type = ::ssh_message_type(message);
        const int subtype = ::ssh_message_subtype(message);
        if (type == SSH_REQUEST_SERVICE) return ::ssh_message_service_reply_success(message) == SSH_OK;
        if (type == SSH_REQUEST_CHANNEL_OPEN && subtype == SSH_CHANNEL_SESSION) {
            const auto how = of_.script_.opens(of_.opened_++);
            if (how == answer::yes) ::ssh_message_channel_request_open_reply_accept(message);
            return how != answer::no;
        }
        if (type == SSH_REQUEST_CHANNEL && subtype == SSH_CHANNEL_REQUEST_EXEC) {
            const auto how = of_.script_.runs(of_.requested_++);
            if (how == answer::no) return false;
            if (how == answer::yes) ::ssh_message_channel_request_reply_success(message);
            scripted_channel on(session_, ::ssh_message_channel_request_channel(message));
            const std::string line = ::ssh_message_channel_request_command(message);
            to_do_.push_back([this, on, line]() mutable { of_.script_.acts(on, line); });
            return true;
        }
        return type == SSH_REQUEST_CHANNEL && ::ssh_message_subtype(message) == SSH_CHANNEL_REQUEST_UNKNOWN;
    }

    scripted_server& of_;
    ssh_session session_;
    ssh_server_callbacks_struct callbacks_{};
    std::vector<std::function<void()>> to_do_{};
    bool alive_ = false;
};

scripted_server::scripted_server(server_script script)
    : script_(std::move(script)),
      listener_(listen_on_loopback()),
      port_(port_of(listener_)),
      stop_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      thread_([this] { serve(); }) {}

scripted_server::~scripted_server() {
    const std::uint64_t one = 1;
    static_cast<void>(::write(stop_.get(), &one, sizeof one));
    thread_.join();
}

void scripted_server::serve() {
    const auto bind = ::ssh_bind_new();
    ssh_key key = nullptr;
    ::ssh_pki_generate(SSH_KEYTYPE_ED25519, 0, &key);
    ::ssh_bind_options_set(bind, SSH_BIND_OPTIONS_IMPORT_KEY, key);
    const auto event = ::ssh_event_new();
    bool stopping = false;
    const auto take_note = [](socket_t, int, void* of) {
        *static_cast<bool*>(of) = true;
        return 0;
    };
    bool knocked = false;
    ::ssh_event_add_fd(event, listener_.get(), POLLIN, take_note, &knocked);
    ::ssh_event_add_fd(event, stop_.get(), POLLIN, take_note, &stopping);
    std::list<std::unique_ptr<connection>> all;
    while (!stopping) {
        ::ssh_event_dopoll(event, 1'000);
        for (auto each = all.begin(); each != all.end();) {
            (*each)->act();
            if ((*each)->alive()) {
                ++each;
                continue;
            }
            ::ssh_event_remove_session(event, (*each)->session());
            each = all.erase(each);
        }
        if (!std::exchange(knocked, false)) continue;
        const int socket = ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC);
        if (socket < 0) continue;
        ++connections_;
        auto made = std::make_unique<connection>(*this, bind, socket);
        if (!made->alive()) continue;
        ::ssh_event_add_session(event, made->session());
        all.push_back(std::move(made));
    }
    for (const auto& each : all) ::ssh_event_remove_session(event, each->session());
    all.clear();
    ::ssh_event_remove_fd(event, listener_.get());
    ::ssh_event_remove_fd(event, stop_.get());
    ::ssh_event_free(event);
    ::ssh_bind_free(bind);
}

}  // namespace test
