#include "ssh/session.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "exec/display.h"
#include "posix/fd.h"
#include "posix/syscalls.h"
#include "ssh/secret.h"

#include <libssh/callbacks.h>
#include <libssh/libssh.h>
#include <libssh/server.h>  // ssh_send_keepalive

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>

namespace exec::inline v0::ssh {
namespace {

// What one session may do before its neighbours have their turn: 256 KiB.
constexpr int rounds_a_turn = 64;
constexpr std::uint64_t most_a_read = 4096;
// A server may greet before its banner (RFC 4253 section 4.2); libssh reads as much as comes.
constexpr std::uint64_t most_before_banner = 64 * KiB;
// What the channels of one session may have more than libssh gives them: one that has grown to its end (10 MB), and some that are growing.
constexpr std::size_t most_lent = 16 * MiB;
// AES in hardware first: the cheapest for both sides.
constexpr const char* ciphers =
    "aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com,aes128-ctr,aes256-ctr";
constexpr int smallest_rsa = 2048;  // bits

// The answer of somebody else, on whatever thread, brought to the loop and dropped if the session is gone by then.
template <class T, class Take>
reply<T> to_the_loop(std::shared_ptr<exec::detail::loop_core> core, std::weak_ptr<session> whom, Take take) {
    return reply<T>([core = std::move(core), whom = std::move(whom), take](result<T> answer) {
        exec::detail::post(*core, [whom, take, kept = std::move(answer)]() mutable {
            if (const auto is = whom.lock()) take(*is, std::move(kept));
        });
    });
}

std::string words_of(std::string_view text) { return display(text.substr(0, 256)); }

}  // namespace

session::session(std::shared_ptr<exec::detail::loop_core> core, endpoint target, const pool_options& options,
                 session_owner& owner)
    : core_(std::move(core)),
      target_(std::move(target)),
      options_(options),
      owner_(owner),
      counter_(std::make_unique<ssh_counter_struct>()) {}

session::~session() { close(); }

std::size_t session::zombies() const noexcept {
    return static_cast<std::size_t>(
        std::count_if(channels_.begin(), channels_.end(), [](const auto& one) { return one->is_zombie(); }));
}

std::size_t session::open_channels() const noexcept {
    return static_cast<std::size_t>(
        std::count_if(channels_.begin(), channels_.end(), [](const auto& one) { return one->is_open(); }));
}

bool session::lends_window(std::size_t bytes) noexcept {
    if (lent_ + bytes > most_lent || ended() || !owner_.lends_window(bytes)) return false;
    lent_ += bytes;
    return true;
}

void session::returns_window(std::size_t bytes) noexcept {
    if (bytes == 0 || ended()) return;  // the end has given all back
    lent_ -= bytes;
    owner_.returns_window(bytes);
}

std::string session::last_error() const { return handle_ != nullptr ? words_of(::ssh_get_error(handle_)) : ""; }

// The handshake -----------------------------------------------------------------------------------------------------------

void session::open(connector& way, time_point by, unsigned attempt) {
    opened_at_ = core_->now();
    by_ = (std::min)(by, saturating_add(opened_at_, options_.handshake_timeout));
    attempt_ = attempt;
    alarm_.set(*core_, by_);
    way.connect(target_.host, target_.port, by_,
                to_the_loop<connection>(core_, weak_from_this(),
                                        [](session& of, result<connection> made) { of.connected(std::move(made)); }));
}

void session::connected(result<connection> made) {
    if (phase_ != phase::connecting) return;
    if (!made) return end(made.error());
    wire_ = *std::move(made);
    if (auto set = posix::set_nonblocking(wire_.fd(), true); !set) return end(set.error());
    handle_ = ::ssh_new();
    event_ = ::ssh_event_new();
    if (handle_ == nullptr || event_ == nullptr) return fail_with(errc::too_busy, "no memory for a session");

    const auto set_text = [this](ssh_options_e option, const std::string& value) {
        return ::ssh_options_set(handle_, option, value.c_str()) == SSH_OK;
    };
    const int off = 0;
    // libssh 0.10 closes the descriptor that it was given when it meets an error. It gets a copy: ours is in the loop.
    copy_.reset(posix::sys().fcntl(wire_.fd(), F_DUPFD_CLOEXEC, 3));
    if (!copy_) return end(os_failure(errno, stage::connect, "a second descriptor"));
    const int fd = copy_.get();
    // No file of the host's account is read, and no name of ours is given to libssh to parse: the socket is there, and keys are
    // checked by us.
    bool taken = ::ssh_options_set(handle_, SSH_OPTIONS_PROCESS_CONFIG, &off) == SSH_OK &&
                 set_text(SSH_OPTIONS_HOST, "peer") && set_text(SSH_OPTIONS_KNOWNHOSTS, "/dev/null") &&
                 set_text(SSH_OPTIONS_GLOBAL_KNOWNHOSTS, "/dev/null") && set_text(SSH_OPTIONS_CIPHERS_C_S, ciphers) &&
                 set_text(SSH_OPTIONS_CIPHERS_S_C, ciphers) &&
                 ::ssh_options_set(handle_, SSH_OPTIONS_RSA_MIN_SIZE, &smallest_rsa) == SSH_OK &&
                 ::ssh_options_set(handle_, SSH_OPTIONS_FD, &fd) == SSH_OK;
    if (!taken) return fail_with(errc::unsupported, "libssh refused an option: " + last_error());
    if (!set_text(SSH_OPTIONS_USER, target_.user)) {
        return fail_with(errc::invalid_argument, "user name: " + words_of(target_.user));
    }
    std::string wanted;
    const host_name name{target_.machine.empty() ? target_.host : target_.machine, target_.port};
    for (const auto& one : target_.trust->algorithms(name)) wanted += (wanted.empty() ? "" : ",") + one;
    if (!wanted.empty() && !set_text(SSH_OPTIONS_HOSTKEYS, wanted)) {
        return fail_with(errc::unsupported, "host key algorithms: " + words_of(wanted));
    }
    ::ssh_set_blocking(handle_, 0);
    ::ssh_set_counters(handle_, counter_.get(), nullptr);
    // Without one libssh keeps every request of the server's until the session ends. 1: it is refused.
    ::ssh_set_message_callback(
        handle_, [](ssh_session, ssh_message, void*) { return 1; }, nullptr);
    phase_ = phase::key_exchange;
    if (!core_->add(watch_, wire_.fd(), EPOLLIN)) return fail_with(errc::shutting_down, "");
    watched_ = EPOLLIN;
    go_on();
}

void session::go_on() {
    if (phase_ == phase::key_exchange) exchange_keys();
    if (phase_ == phase::login) log_in();
    if (!ended()) watch_what_is_wanted();
}

bool session::knows_banner() const noexcept { return handle_ != nullptr && ::ssh_get_serverbanner(handle_) != nullptr; }

void session::exchange_keys() {
    const int rc = ::ssh_connect(handle_);
    copy_.release();  // from the first call on it is libssh's
    if (rc == SSH_ERROR) return fail_with(errc::connect_failed, last_error());
    if (!added_) added_ = ::ssh_event_add_session(event_, handle_) == SSH_OK;
    // libssh makes the socket blocking once it takes it for connected.
    if (auto set = posix::set_nonblocking(wire_.fd(), true); !set) return end(set.error());
    if (rc == SSH_AGAIN && !knows_banner() && counter_->in_bytes > most_before_banner) {
        return fail_with(errc::connect_failed, target_.text() + ": no SSH server: it talks without end");
    }
    if (rc == SSH_AGAIN) return;
    show_host_key();
}

void session::show_host_key() {
    phase_ = phase::host_key;
    ssh_key key = nullptr;
    char* text = nullptr;
    if (::ssh_get_server_publickey(handle_, &key) != SSH_OK) return fail_with(errc::connect_failed, last_error());
    std::string line = ::ssh_key_type_to_char(::ssh_key_type(key));
    const bool told = ::ssh_pki_export_pubkey_base64(key, &text) == SSH_OK;
    if (told) line.append(" ").append(text);
    ::ssh_string_free_char(text);
    ::ssh_key_free(key);
    auto shown = parse_host_key(line);
    if (!told || !shown) return fail_with(errc::connect_failed, "the server's key cannot be read");
    const host_name name{target_.machine.empty() ? target_.host : target_.machine, target_.port};
    target_.trust->check(name, *shown,
                         to_the_loop<void>(core_, weak_from_this(),
                                           [](session& of, result<void> verdict) { of.trusted(std::move(verdict)); }));
}

void session::trusted(result<void> verdict) {
    if (phase_ != phase::host_key) return;
    if (!verdict) {
        auto why = std::move(verdict).error();
        if (why.at == stage::none) why.at = stage::host_key;
        return end(why);
    }
    phase_ = phase::granting;
    login_request who{target_.host, target_.port, target_.user, target_.machine, attempt_, by_};
    target_.login->obtain(std::move(who),
                          to_the_loop<credential>(core_, weak_from_this(), [](session& of, result<credential> answer) {
                              of.obtained(std::move(answer));
                          }));
}

void session::obtained(result<credential> answer) {
    if (phase_ != phase::granting) return;
    if (!answer) {
        auto why = std::move(answer).error();
        if (why.at == stage::none) why.at = stage::grant;
        return end(why);
    }
    login_ = *std::move(answer);
    if (login_.held() == nullptr) return fail_with(errc::auth_failed, "the provider gave no credential");
    if (login_.not_after && *login_.not_after <= core_->now()) {
        return fail_with(errc::auth_failed, "the credential has ended already");
    }
    phase_ = phase::login;
    go_on();
}

void session::log_in() {
    const auto& held = *login_.held();
    int rc = SSH_AUTH_ERROR;
    switch (held.kind()) {
        case detail::secret::what::key:
        case detail::secret::what::certified_key: rc = ::ssh_userauth_publickey(handle_, nullptr, held.key()); break;
        case detail::secret::what::password:
            rc = ::ssh_userauth_password(handle_, nullptr, held.password().c_str());
            break;
        case detail::secret::what::agent:
            if (!agent_) {
                agent_ = std::make_unique<agent_login>(*core_, handle_, held.socket_path(), [this] { look_again(); });
            }
            rc = agent_->log_in();
            if (!agent_->trouble().empty()) {
                return fail_with(errc::auth_failed, target_.text() + ": " + words_of(agent_->trouble()));
            }
    }
    // A server that disconnects instead of answering leaves libssh waiting for ever.
    if (rc == SSH_AUTH_AGAIN && ::ssh_is_connected(handle_) != 0) return;
    switch (rc) {
        case SSH_AUTH_SUCCESS: return logged_in();
        case SSH_AUTH_DENIED: return fail_with(errc::auth_failed, target_.text() + ": the credential was refused");
        case SSH_AUTH_PARTIAL:
            return fail_with(errc::auth_failed, target_.text() + ": more than one credential is asked for");
        default: return fail_with(errc::auth_failed, target_.text() + ": " + last_error());
    }
}

void session::logged_in() {
    phase_ = phase::ready;
    was_ready_ = true;
    ready_at_ = core_->now();
    const char* banner = ::ssh_get_serverbanner(handle_);
    closes_with_leader_ = banner != nullptr && std::string_view(banner).find("dropbear") != std::string_view::npos;
    usable_until_ = saturating_add(core_->now(), options_.max_age);
    if (login_.not_after && !options_.reuse_past_credential) {
        // A credential that is shorter than the margin is good for half of its time.
        const auto margin = (std::min)(nanoseconds(options_.credential_margin), (*login_.not_after - core_->now()) / 2);
        usable_until_ = (std::min)(usable_until_, saturating_add(*login_.not_after, -margin));
    }
    login_ = {};
    agent_.reset();
    heard_ = counter_->in_bytes;
    alarm_.set(*core_, saturating_add(core_->now(), options_.keepalive));
    owner_.session_ready(*this);
}

stage session::where() const noexcept {
    switch (phase_) {
        case phase::connecting: return stage::connect;
        case phase::key_exchange: return knows_banner() ? stage::key_exchange : stage::banner;
        case phase::host_key: return stage::host_key;
        case phase::granting: return stage::grant;
        case phase::login: return stage::login;
        case phase::ready:
        case phase::ended: break;
    }
    return stage::none;
}

void session::fail_with(errc code, std::string context) {
    auto why = fail(code, std::move(context));
    why.at = where();
    end(why);
}

// Its life --------------------------------------------------------------------------------------------------------------

channel& session::lend(channel_user& to, channel_request what) {
    channels_.push_back(std::make_unique<channel>(*this, to, std::move(what)));
    core_->again(watch_, EPOLLIN);
    return *channels_.back();
}

void session::prod() {
    if (pumping_ || stepping_ || ended()) return;
    const auto here = shared_from_this();
    step_channels();
    if (!ended() && (::ssh_get_status(handle_) & SSH_WRITE_PENDING) != 0) pump();
    if (!ended()) watch_what_is_wanted();
    close_late();
}

void session::look_again() {
    if (!pumping_ && !stepping_ && watch_.watching()) core_->again(watch_, EPOLLIN);
}

void session::socket_ready(std::uint32_t /*events*/) noexcept {
    const auto here = shared_from_this();
    if (phase_ == phase::ready) {
        step_channels();  // those that are new
        if (!ended()) pump();
        if (!ended() && unanswered_ > 0 && counter_->in_bytes != heard_) {
            unanswered_ = 0;
            owner_.session_changed(*this);
        }
    } else {
        if (added_) pump();
        if (!ended()) go_on();
    }
    if (!ended() && freed_at_ == time_point{}) acknowledge_at_once();
    if (!ended()) watch_what_is_wanted();
    close_late();
}

// Until the first command has ended: sshd's answers come in pieces, the next of which waits until the one before is acknowledged,
// and that for up to 40 ms. The kernel forgets the wish.
void session::acknowledge_at_once() {
    const int on = 1;
    posix::sys().set_option(wire_.fd(), IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
}

void session::pump() {
    if (pumping_) return;
    bool died = false;
    for (int round = 0; round < rounds_a_turn && !died; ++round) {
        const auto heard = counter_->in_bytes;
        pumping_ = true;
        const int rc = ::ssh_event_dopoll(event_, 0);
        pumping_ = false;
        if (ended()) return;
        died = rc == SSH_ERROR || ::ssh_is_connected(handle_) == 0;
        // The loop tells of the rest; asking here costs a system call each time.
        const bool last = rc == SSH_AGAIN || counter_->in_bytes - heard < most_a_read;
        step_channels();
        if (ended()) return;
        if (last) break;
    }
    if (died) fail_with(errc::connect_failed, target_.text() + ": " + last_error());
}

std::uint64_t session::moved_bytes() const noexcept { return counter_->in_bytes + counter_->out_bytes; }

// libssh tells nobody of an answer to a request, of a window that has grown, or of what it could send at last: whoever waits for
// one looks when bytes have moved. Every call into libssh may move some, also for another channel than the one that it is made for.
void session::step_channels() {
    if (std::exchange(stepping_, true)) return;
    bool freed = false;
    for (bool again = true; again && !ended();) {
        const auto moved = moved_bytes();
        const bool look = std::exchange(looked_at_, moved) != moved;
        again = false;
        for (auto each = channels_.begin(); each != channels_.end() && !ended();) {
            if ((*each)->has_news() || (look && (*each)->waits())) {
                (*each)->step();
                again = true;
                if (ended()) break;
            }
            if ((*each)->over()) {
                freed_at_ = core_->now();
                each = channels_.erase(each);
                freed = true;
            } else {
                ++each;
            }
        }
        again = again || moved_bytes() != looked_at_;
    }
    stepping_ = false;
    if (freed && !ended()) owner_.session_changed(*this);
    close_late();
}

void session::watch_what_is_wanted() {
    const auto wanted = EPOLLIN | ((::ssh_get_status(handle_) & SSH_WRITE_PENDING) != 0 ? std::uint32_t{EPOLLOUT} : 0U);
    if (wanted == watched_ || !watch_.watching()) return;
    watched_ = wanted;
    static_cast<void>(core_->modify(watch_, wanted));
}

void session::due() noexcept {
    const auto here = shared_from_this();
    if (phase_ == phase::ready) return question();
    const bool waits_for_agent = agent_ && agent_->waits();
    end(os_failure(ETIMEDOUT, where(), target_.text() + (waits_for_agent ? ": the SSH agent has not answered" : "")));
}

void session::question() {
    const bool was_suspect = suspect();
    const bool silent = counter_->in_bytes == heard_;
    heard_ = counter_->in_bytes;
    if (!silent) unanswered_ = 0;
    if (silent && unanswered_ >= options_.keepalive_misses) {
        return fail_with(errc::connect_failed,
                         target_.text() + ": no answer for " + std::to_string(unanswered_) + " keepalives");
    }
    if (silent && answers_questions_) {
        const auto said = counter_->out_bytes;
        // Every second call only takes note of the answer to the one before.
        ::ssh_send_keepalive(handle_);
        ::ssh_send_keepalive(handle_);
        const bool sent = counter_->out_bytes != said || (::ssh_get_status(handle_) & SSH_WRITE_PENDING) != 0;
        // Something came after the last question, and libssh still waits for its answer: a server that knows no such question
        // (tinysshd says UNIMPLEMENTED). It is not asked again, and TCP alone tells of its end.
        answers_questions_ = sent || unanswered_ > 0;
        // A near server's answer may have been read by the call itself; the socket tells nothing of it any more.
        const bool answered = counter_->in_bytes != heard_;
        if (answers_questions_ && !answered) ++unanswered_;
    }
    if (suspect() != was_suspect) owner_.session_changed(*this);
    alarm_.set(*core_, saturating_add(core_->now(), options_.keepalive));
    watch_what_is_wanted();
}

// Its end ----------------------------------------------------------------------------------------------------------------

void session::end(const failure& why) {
    if (ended()) return;
    const auto here = shared_from_this();
    auto told = why;
    if (wire_.last_words) {
        const auto words = wire_.last_words();
        if (!words.empty()) told.context += " (" + display(words.substr(0, 4096)) + ')';
    }
    owner_.returns_window(std::exchange(lent_, 0));
    phase_ = phase::ended;
    alarm_.clear();
    core_->remove(watch_);
    for (const auto& each : channels_) each->session_ended(told);
    close_late();
    owner_.session_ended(*this, told);
}

// As soon as nothing of libssh's and no channel is on the stack; at the latest in the destructor.
void session::close_late() {
    if (!ended() || inside_libssh_ > 0 || pumping_ || stepping_) return;
    channels_.clear();
    close();
}

void session::close() {
    core_->remove(watch_);
    agent_.reset();
    if (handle_ != nullptr) {
        // It closes its copy here, unless an error has made it do so before; a polite goodbye might be such an error.
        if (added_) ::ssh_event_remove_session(event_, handle_);
        ::ssh_silent_disconnect(handle_);
        ::ssh_free(handle_);
        handle_ = nullptr;
    }
    if (event_ != nullptr) ::ssh_event_free(std::exchange(event_, nullptr));
    wire_ = {};
}

}  // namespace exec::inline v0::ssh
