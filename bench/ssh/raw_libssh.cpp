#include "ssh/raw_libssh.h"

#include <libssh/libssh.h>

#include <cstdio>
#include <cstdlib>
#include <utility>

#include "ssh/pooled.h"
#include "ssh/remote_command.h"

namespace bench {
namespace {

void must(bool fine, const char* what, ssh_session at) {
    if (fine) return;
    std::fprintf(stderr, "libssh: %s: %s\n", what, ::ssh_get_error(at));
    std::_Exit(2);
}

char drain[256 * 1024];

}  // namespace

raw_session::raw_session(const test::ssh_login& to, tuning how) : handle_(::ssh_new()) {
    const auto set = [this](ssh_options_e which, const void* value) {
        must(::ssh_options_set(handle_, which, value) == SSH_OK, "an option", handle_);
    };
    const int no = 0;
    const int yes = 1;
    set(SSH_OPTIONS_PROCESS_CONFIG, &no);
    set(SSH_OPTIONS_HOST, "127.0.0.1");
    set(SSH_OPTIONS_PORT, &to.port);
    set(SSH_OPTIONS_USER, to.user.c_str());
    set(SSH_OPTIONS_KNOWNHOSTS, to.known_hosts_file.c_str());
    if (how == tuning::quick) {
        set(SSH_OPTIONS_NODELAY, &yes);
        set(SSH_OPTIONS_CIPHERS_C_S, "aes128-gcm@openssh.com");
        set(SSH_OPTIONS_CIPHERS_S_C, "aes128-gcm@openssh.com");
    }
    must(::ssh_connect(handle_) == SSH_OK, "connect", handle_);
    must(::ssh_session_is_known_server(handle_) == SSH_KNOWN_HOSTS_OK, "host key", handle_);
    ssh_key key = nullptr;
    must(::ssh_pki_import_privkey_file(to.key_file.c_str(), nullptr, nullptr, nullptr, &key) == SSH_OK, "key", handle_);
    must(::ssh_userauth_publickey(handle_, nullptr, key) == SSH_AUTH_SUCCESS, "login", handle_);
    ::ssh_key_free(key);
}

raw_session::~raw_session() {
    if (handle_ == nullptr) return;
    ::ssh_disconnect(handle_);
    ::ssh_free(handle_);
}

heard raw_session::run(const std::string& line) {
    heard got;
    const ssh_channel channel = ::ssh_channel_new(handle_);
    must(::ssh_channel_open_session(channel) == SSH_OK, "open", handle_);
    must(::ssh_channel_request_exec(channel, line.c_str()) == SSH_OK, "exec", handle_);
    for (const int is_err : {0, 1}) {
        int size = 0;
        while ((size = ::ssh_channel_read(channel, drain, sizeof drain, is_err)) > 0) {
            (is_err ? got.err : got.out) += static_cast<std::uint64_t>(size);
        }
    }
    got.ended = ::ssh_channel_get_exit_status(channel) == 0;
    ::ssh_channel_close(channel);
    ::ssh_channel_free(channel);
    return got;
}

std::string plain_line(words what) {
    std::string line = "exec";
    for (; *what != nullptr; ++what) line.append(" ").append(*what);
    return line;
}

std::string wrapped_line(words what) {
    return exec::ssh::wrap(command_of(what), exec::ssh::make_nonce().value()).value().line;
}

// In flight -------------------------------------------------------------------------------------------------------------

struct raw_flight::command {
    std::size_t on;
    std::string line;
    ssh_channel channel = nullptr;
    enum { opening, asking, running } phase = opening;
    heard got{};
};

raw_flight::raw_flight(const test::ssh_login& to, std::size_t sessions, std::size_t share,
                       std::string (*line_of)(words))
    : share_(share), line_of_(line_of), used_(sessions), event_(::ssh_event_new()) {
    for (std::size_t i = 0; i < sessions; ++i) {
        auto* const session = sessions_.emplace_back(to).handle();
        ::ssh_set_blocking(session, 0);
        ::ssh_event_add_session(event_, session);
    }
}

raw_flight::~raw_flight() {
    for (const auto& each : sessions_) ::ssh_event_remove_session(event_, each.handle());
    ::ssh_event_free(event_);
}

void raw_flight::start(words what) {
    std::size_t best = 0;
    for (std::size_t i = 1; i < used_.size(); ++i) {
        if (used_[i] < used_[best]) best = i;
    }
    if (used_[best] >= share_) {
        std::fprintf(stderr, "libssh: more commands than channels\n");
        std::_Exit(2);
    }
    ++used_[best];
    running_.push_back(std::make_unique<command>(command{best, line_of_(what)}));
}

// What everybody does.
bool raw_flight::try_again(command& one) {
    ++refused_;
    ::ssh_channel_close(one.channel);
    ::ssh_channel_free(std::exchange(one.channel, nullptr));
    one.phase = command::opening;
    return false;
}

bool raw_flight::step(command& one) {
    const ssh_session session = sessions_[one.on].handle();
    if (one.channel == nullptr) one.channel = ::ssh_channel_new(session);
    if (one.phase == command::opening) {
        const int rc = ::ssh_channel_open_session(one.channel);
        if (rc == SSH_AGAIN) return false;
        if (rc != SSH_OK) return try_again(one);
        one.phase = command::asking;
    }
    if (one.phase == command::asking) {
        const int rc = ::ssh_channel_request_exec(one.channel, one.line.c_str());
        if (rc == SSH_AGAIN) return false;
        if (rc != SSH_OK) return try_again(one);
        one.phase = command::running;
    }
    for (const int is_err : {0, 1}) {
        int size = 0;
        while ((size = ::ssh_channel_read_nonblocking(one.channel, drain, sizeof drain, is_err)) > 0) {
            (is_err ? one.got.err : one.got.out) += static_cast<std::uint64_t>(size);
        }
    }
    // The server's close comes after the status and everything else.
    if (::ssh_channel_is_closed(one.channel) == 0) return false;
    one.got.ended = ::ssh_channel_get_exit_status(one.channel) == 0;
    if (line_of_ == wrapped_line) one.got.out = one.got.err = 0;  // the script's own words
    ::ssh_channel_close(one.channel);
    ::ssh_channel_free(one.channel);
    return true;
}

void raw_flight::drive_until(std::size_t target) {
    for (;;) {
        // Those that are started meanwhile come last.
        for (std::size_t i = 0; i < running_.size();) {
            if (!step(*running_[i])) {
                ++i;
                continue;
            }
            const auto over = std::move(running_[i]);
            running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(i));
            --used_[over->on];
            one_ended(over->got);
        }
        if (ended() >= target) return;
        ::ssh_event_dopoll(event_, -1);
    }
}

}  // namespace bench
