#include "ssh/agent_login.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "exec/bytes.h"
#include "posix/syscalls.h"
#include "ssh/digest.h"
#include "ssh/socket_pair.h"
#include "ssh/wire_string.h"

#include <libssh/libssh.h>

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

namespace exec::inline v0::ssh {
namespace {

// The numbers of draft-ietf-sshm-ssh-agent.
constexpr char failure_answer = 5;
constexpr char list_request = 11;
constexpr char list_answer = 12;
constexpr char sign_request = 13;
constexpr char sign_answer = 14;
// As much as OpenSSH's agent sends and libssh reads.
constexpr std::size_t longest_message = 256 * KiB;
constexpr std::size_t longest_key = 16 * KiB;

std::string number(std::size_t value) {
    std::string four(4, '\0');
    for (std::size_t i = 0; i < 4; ++i) four[i] = static_cast<char>(value >> (24 - 8 * i) & 0xffU);
    return four;
}

std::string with_length(std::string_view text) { return number(text.size()).append(text); }

// Of a key in it that libssh cannot read it would take the whole list for ended.
bool is_known(std::string_view blob) {
    auto rest = blob;
    const auto name = take_string(rest);
    if (!name || blob.size() > longest_key) return false;
    const auto type = ::ssh_key_type_from_name(std::string(*name).c_str());
    ssh_key key = nullptr;
    const auto text = to_base64(blob);
    const bool read = ::ssh_pki_import_pubkey_base64(text.c_str(), type, &key) == SSH_OK ||
                      ::ssh_pki_import_cert_base64(text.c_str(), type, &key) == SSH_OK;
    ::ssh_key_free(key);
    return read;
}

}  // namespace

agent_login::agent_login(exec::detail::loop_core& in, ssh_session_struct* handle, std::string socket_path,
                         callback<void()> go_on)
    : in_(in), handle_(handle), path_(std::move(socket_path)), go_on_(std::move(go_on)) {}

agent_login::~agent_login() {
    if (theirs_) ::ssh_set_agent_socket(handle_, SSH_INVALID_SOCKET);
}

int agent_login::log_in() {
    if (!trouble_.empty()) return SSH_AUTH_ERROR;
    if (step_ == step::listing) return list();
    if (step_ == step::signing) return sign();
    return step_ == step::offering ? offer() : ::ssh_userauth_agent(handle_, nullptr);
}

// The list of its keys, from the agent.
int agent_login::list() {
    if (!asked_) ask({&list_request, 1});
    if (!trouble_.empty()) return SSH_AUTH_ERROR;
    if (!answered_) return SSH_AUTH_AGAIN;
    read_keys();
    if (!trouble_.empty()) return SSH_AUTH_ERROR;
    if (!stage({list_of(keys_), {&failure_answer, 1}})) return SSH_AUTH_ERROR;
    step_ = step::offering;
    return offer();
}

// The server is asked which of them it takes. What libssh wants signed is refused for now.
int agent_login::offer() {
    const int rc = ::ssh_userauth_agent(handle_, nullptr);
    if (rc != SSH_AUTH_ERROR) return rc;
    const auto request = wanted();
    if (request.empty()) return rc;
    step_ = step::signing;
    auto rest = std::string_view(request).substr(1);
    const auto key = take_string(rest);
    keys_.assign(1, std::string(key.value_or(std::string_view())));
    ask(request);
    return trouble_.empty() ? sign() : SSH_AUTH_ERROR;
}

int agent_login::sign() {
    if (!answered_) return SSH_AUTH_AGAIN;
    if (heard_.front() != sign_answer) return give_up("it has not signed");
    if (!stage({list_of(keys_), heard_})) return SSH_AUTH_ERROR;
    step_ = step::answering;
    return ::ssh_userauth_agent(handle_, nullptr);
}

int agent_login::give_up(std::string why) {
    trouble_ = "SSH agent " + path_ + ": " + std::move(why);
    return SSH_AUTH_ERROR;
}

// The real one --------------------------------------------------------------------------------------------------------------

bool agent_login::connect() {
    const auto& sys = posix::sys();
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    if (path_.empty() || path_.size() >= sizeof to.sun_path) {
        give_up("no path of a socket");
        return false;
    }
    std::memcpy(to.sun_path, path_.data(), path_.size());
    auto made = posix::above_stdio(posix::fd(sys.socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)));
    int error = made ? 0 : made.error().code.value();
    // A socket of this kind is connected at once, or its queue is full.
    if (error == 0 && sys.connect(made->get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) error = errno;
    if (error == 0) {
        agent_ = *std::move(made);
        if (auto added = in_.add(watch_, agent_.get(), EPOLLIN | EPOLLOUT | EPOLLET); added) return true;
        error = EMFILE;
    }
    give_up(std::system_category().message(error));
    return false;
}

void agent_login::ask(std::string_view message) {
    asked_ = true;
    answered_ = false;
    heard_.clear();
    if (!agent_ && !connect()) return;
    to_send_ = with_length(message);
    ready(0);
}

// Edges are read and written to their ends.
void agent_login::ready(std::uint32_t events) noexcept {
    const auto& sys = posix::sys();
    while (!to_send_.empty()) {
        const auto sent = sys.send(agent_.get(), to_send_.data(), to_send_.size(), MSG_NOSIGNAL);
        if (sent <= 0) break;  // what is wrong is told to the reader too
        to_send_.erase(0, static_cast<std::size_t>(sent));
    }
    if (answered_ || !trouble_.empty()) return;
    char part[4 * KiB];
    for (;;) {
        const auto got = sys.read(agent_.get(), part, sizeof part);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0 && errno == EAGAIN) break;
        if (got <= 0) {
            give_up(got == 0 ? "it has hung up" : std::system_category().message(errno));
            break;
        }
        heard_.append(part, static_cast<std::size_t>(got));
        auto rest = std::string_view(heard_);
        if (const auto size = take_number(rest)) {
            if (*size == 0 || *size > longest_message) {
                give_up("no agent speaks there");
                break;
            }
            if (rest.size() >= *size) {
                heard_ = std::string(rest.substr(0, *size));
                answered_ = true;
                break;
            }
        }
    }
    // Who asks looks by himself.
    if (events != 0 && (answered_ || !trouble_.empty())) go_on_();
}

void agent_login::read_keys() {
    auto rest = std::string_view(heard_).substr(1);
    const auto count = take_number(rest);
    if (heard_.front() != list_answer || !count) {
        give_up("it lists no keys");
        return;
    }
    for (std::uint32_t i = 0; i < *count && keys_.size() < most_offered; ++i) {
        const auto blob = take_string(rest);
        const auto comment = blob ? take_string(rest) : blob;
        if (!comment) {
            give_up("its list is cut");
            return;
        }
        if (is_known(*blob)) keys_.emplace_back(*blob);
    }
    if (keys_.empty()) give_up("it has no key");
}

// The one that libssh meets ---------------------------------------------------------------------------------------------------

std::string agent_login::list_of(const std::vector<std::string>& keys) const {
    auto list = list_answer + number(keys.size());
    for (const auto& each : keys) list += with_length(each) + number(0);  // without a comment
    return list;
}

bool agent_login::stage(std::initializer_list<std::string_view> messages) {
    const auto& sys = posix::sys();
    std::string all;
    for (const auto each : messages) all += with_length(each);
    auto made = make_socket_pair();
    if (!made) {
        give_up(made.error().code.message());
        return false;
    }
    const auto sent = sys.send(made->ours.get(), all.data(), all.size(), MSG_NOSIGNAL);
    if (sent != static_cast<ssize_t>(all.size()) || ::shutdown(made->ours.get(), SHUT_WR) != 0) {
        give_up("its answers do not fit into a socket");
        return false;
    }
    ::ssh_set_agent_socket(handle_, made->theirs.get());
    theirs_ = std::move(made->theirs);
    ours_ = std::move(made->ours);  // stays open: libssh writes to it without minding a signal
    return true;
}

// The request for a signature behind the one for the list; empty: it has not come that far.
std::string agent_login::wanted() const {
    std::string all;
    char part[4 * KiB];
    for (;;) {
        const auto got = posix::sys().read(ours_.get(), part, sizeof part);
        if (got <= 0) break;
        all.append(part, static_cast<std::size_t>(got));
    }
    auto rest = std::string_view(all);
    static_cast<void>(take_string(rest));
    const auto request = take_string(rest).value_or(std::string_view());
    return request.empty() || request.front() != sign_request ? std::string() : std::string(request);
}

}  // namespace exec::inline v0::ssh
