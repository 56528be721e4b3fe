#include <exec/ssh/credentials.h>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <exec/error.h>

#include "file_text.h"
#include "living.h"
#include "misuse.h"
#include "servers/keys.h"
#include "ssh/digest.h"
#include "ssh/keygen.h"
#include "ssh/secret.h"

using namespace std::chrono_literals;

namespace {

using exec::errc;
using exec::result;
using exec::ssh::credential;
using exec::ssh::detail::secret;

// A key in one of the formats of ssh-keygen -m, under a passphrase if it is not empty.
test::key_pair new_key(const test::scratch_directory& place, const std::string& type, const std::string& format,
                       const std::string& passphrase = {}, std::vector<std::string> more = {}) {
    test::key_pair made{place / (type + format + (passphrase.empty() ? "" : "-locked")), {}};
    std::vector<std::string> words{"-q", "-t", type, "-m", format, "-N", passphrase, "-C", "", "-f", made.file};
    words.insert(words.end(), more.begin(), more.end());
    test::keygen(std::move(words));
    made.public_line = test::file_text(made.file + ".pub");
    made.public_line.erase(made.public_line.find_last_not_of(" \n") + 1);
    return made;
}

std::string complaint(const result<credential>& made) {
    if (made) return "none";
    CHECK(made.error().code == errc::invalid_argument);
    return made.error().context;
}

// What a provider answered.
struct answered {
    std::optional<result<credential>> said{};
    exec::reply<credential> reply() {
        return [this](result<credential> answer) { said = std::move(answer); };
    }
    const credential& given() const {
        REQUIRE(said);
        REQUIRE(said->has_value());
        return **said;
    }
    const exec::failure& failure() const {
        REQUIRE(said);
        REQUIRE_FALSE(said->has_value());
        return said->error();
    }
};

const exec::ssh::login_request deploy{"build-7", 22, "deploy", "i-0123", 1, exec::never};

// A push that the test answers when it wants to.
struct asked {
    std::optional<exec::ssh::grant> what{};
    exec::reply<exec::milliseconds> owed{};
    std::shared_ptr<exec::ssh::provider> provider() {
        return exec::ssh::minted([this](const exec::ssh::grant& of, exec::reply<exec::milliseconds> answer) {
            what = of;
            owed = std::move(answer);
        });
    }
};

// What a process with a terminal of its own writes to it while it runs `body` there.
template <class Body>
std::string said_on_terminal(Body body, bool& held) {
    const int master = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    REQUIRE(master >= 0);
    REQUIRE(::grantpt(master) == 0);
    REQUIRE(::unlockpt(master) == 0);
    const std::string name = ::ptsname(master);
    const pid_t child = ::fork();
    if (child == 0) {
        for (int number = 1; number <= 64; ++number) std::signal(number, SIG_DFL);
        ::setsid();
        const int terminal = ::open(name.c_str(), O_RDWR | O_CLOEXEC);
        bool good =
            terminal >= 0 && ::ioctl(terminal, TIOCSCTTY, 0) == 0 && ::open("/dev/tty", O_RDWR | O_CLOEXEC) >= 0;
        good = body() && good;
        ::_exit(good ? 0 : 1);
    }
    std::string said;
    char part[256];
    for (;;) {
        const ssize_t got = ::read(master, part, sizeof part);
        if (got <= 0) break;  // EIO: the last of them has closed it
        said.append(part, static_cast<std::size_t>(got));
        if (said.find(':') != std::string::npos) ::kill(child, SIGKILL);  // it asks and would wait
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    ::close(master);
    held = status == 0;
    return said;
}

}  // namespace

TEST_CASE(
    "credential: private keys of every type and format are read, and their public half is the one of ssh-keygen") {
    const test::scratch_directory place;
    for (const auto* type : {"ed25519", "ecdsa", "rsa"}) {
        for (const auto* format : {"RFC4716", "PEM", "PKCS8"}) {
            const auto pair = new_key(place, type, format);
            CAPTURE(pair.file);
            const auto made = credential::private_key(test::file_text(pair.file));
            REQUIRE_MESSAGE(made, complaint(made));
            CHECK(made->held()->kind() == secret::what::key);
            CHECK(made->held()->key() != nullptr);
            CHECK(made->held()->public_line() == pair.public_line);
        }
    }
}

TEST_CASE("credential: a locked key opens with its passphrase, and says which of the two is wrong otherwise") {
    const test::scratch_directory place;
    for (const auto* type : {"ed25519", "ecdsa", "rsa"}) {
        for (const auto* format : {"RFC4716", "PEM", "PKCS8"}) {
            const auto pair = new_key(place, type, format, "open sesame");
            CAPTURE(pair.file);
            const auto text = test::file_text(pair.file);
            const auto made = credential::private_key(text, "open sesame");
            REQUIRE_MESSAGE(made, complaint(made));
            CHECK(made->held()->public_line() == pair.public_line);
            CHECK(complaint(credential::private_key(text)) ==
                  "the private key is encrypted, and there is no passphrase");
            CHECK(complaint(credential::private_key(text, "shut")).ends_with("or the passphrase does not fit"));
        }
    }
}

TEST_CASE("credential: nobody is asked for a passphrase at the terminal") {
    const test::scratch_directory place;
    for (const auto* format : {"RFC4716", "PEM", "PKCS8"}) {
        const auto text = test::file_text(new_key(place, "rsa", format, "open sesame").file);
        bool held = false;
        const auto said = said_on_terminal([&] { return !credential::private_key(text); }, held);
        CHECK(said == "");
        CHECK(held);
    }
}

TEST_CASE("credential: text that is no private key is refused, and no byte of it is repeated") {
    const test::scratch_directory place;
    const auto pair = test::make_key(place.path());
    const auto text = test::file_text(pair.file);
    for (const auto& bad : {std::string(), std::string("hunter2"), pair.public_line, text.substr(0, text.size() / 2),
                            text + std::string(1, '\0'), std::string("-----BEGIN RSA PRIVATE KEY-----\nhunter2\n"),
                            std::string("-----BEGIN OPENSSH PRIVATE KEY-----\n-----END OPENSSH PRIVATE KEY-----\n")}) {
        CAPTURE(bad);
        const auto said = complaint(credential::private_key(bad));
        CHECK(said.find("private key") != std::string::npos);
        CHECK(said.find("hunter2") == std::string::npos);
    }
    CHECK(complaint(credential::private_key(text, std::string("a\0b", 3))).find("NUL") != std::string::npos);
    CHECK(credential::private_key(text));
}

TEST_CASE("credential: an RSA key below 2048 bits is refused, and one of 2048 is not") {
    const test::scratch_directory place;
    const auto weak = new_key(place, "rsa", "PEM", {}, {"-b", "1024"});
    CHECK(complaint(credential::private_key(test::file_text(weak.file))).find("1024 bits") != std::string::npos);
    const auto enough = new_key(place, "rsa", "RFC4716", {}, {"-b", "2048"});
    CHECK(credential::private_key(test::file_text(enough.file)));
}

TEST_CASE("credential: a certificate is taken with its key, with no other, and not if it is a host's") {
    const test::scratch_directory place;
    const auto authority = test::make_key(place.path(), "ed25519", "ca");
    for (const auto* type : {"ed25519", "ecdsa", "rsa"}) {
        const auto pair = test::make_key(place.path(), type, type);
        const auto other = test::make_key(place.path(), type, std::string("other-") + type);
        const auto certificate = test::file_text(test::sign_user_key(authority, pair, "deploy"));
        const auto text = test::file_text(pair.file);
        const auto made = credential::certified_key(text, certificate);
        REQUIRE_MESSAGE(made, complaint(made));
        CHECK(made->held()->kind() == secret::what::certified_key);
        CHECK(pair.public_line.starts_with(made->held()->public_line()));
        CHECK(complaint(credential::certified_key(test::file_text(other.file), certificate)) ==
              "the certificate is for another key");
        CHECK(complaint(credential::certified_key(text, pair.public_line)) == "no certificate");
        CHECK(complaint(credential::certified_key(text, "nonsense")).starts_with("the certificate: "));
        CHECK(complaint(credential::certified_key(text, "")).starts_with("the certificate: "));
        test::keygen({"-q", "-h", "-s", authority.file, "-I", "x", pair.file + ".pub"});
        CHECK(complaint(credential::certified_key(text, test::file_text(pair.file + "-cert.pub"))) ==
              "the certificate is for a host");
    }
    const auto mixed = test::file_text(place / "ecdsa-cert.pub");
    CHECK(complaint(credential::certified_key(test::file_text(place / "ed25519"), mixed)) ==
          "the certificate is for another key");
}

TEST_CASE("credential: a certificate that was cut anywhere, or goes on, is refused") {
    const test::scratch_directory place;
    const auto authority = test::make_key(place.path(), "ed25519", "ca");
    const auto pair = test::make_key(place.path());
    const auto line = test::file_text(test::sign_user_key(authority, pair, "deploy"));
    const auto text = test::file_text(pair.file);
    const auto from = line.find(' ') + 1;
    const auto whole = exec::ssh::from_base64(line.substr(from, line.find(' ', from) - from));
    REQUIRE(whole);
    for (std::size_t size = 0; size < whole->size(); ++size) {
        CAPTURE(size);
        const auto cut = line.substr(0, from) + exec::ssh::to_base64(whole->substr(0, size));
        CHECK_FALSE(credential::certified_key(text, cut));
    }
    CHECK(credential::certified_key(text, line.substr(0, from) + exec::ssh::to_base64(*whole)));
    CHECK_FALSE(credential::certified_key(text, line.substr(0, from) + exec::ssh::to_base64(*whole + "x")));
}

TEST_CASE("credential: copies share one secret, and a default one holds none") {
    const auto one = credential::password("hunter2");
    const auto other = one;  // NOLINT: a copy is what is asked about
    CHECK(one.held() == other.held());
    CHECK(one.held()->kind() == secret::what::password);
    CHECK(one.held()->password() == "hunter2");
    CHECK(one.held()->key() == nullptr);
    CHECK(credential().held() == nullptr);
    CHECK_FALSE(one.not_after);
    const auto agent = credential::agent("/run/agent");
    CHECK(agent.held()->kind() == secret::what::agent);
    CHECK(agent.held()->socket_path() == "/run/agent");
}

TEST_CASE("wipe: nothing is left in all the memory that a string had") {
    std::string text = "a password that does not fit into the string itself";
    text.resize(8);
    const char* bytes = text.data();
    const auto room = text.capacity();
    exec::ssh::wipe(text);
    CHECK(text.empty());
    CHECK(text.capacity() == room);
    CHECK(std::string(bytes, room) == std::string(room, '\0'));
}

TEST_CASE("read_private_key: reads a file, and names it in what goes wrong") {
    const test::scratch_directory place;
    const auto pair = new_key(place, "ed25519", "RFC4716", "open sesame");
    const auto made = exec::ssh::read_private_key(pair.file, "open sesame");
    REQUIRE(made);
    CHECK(made->held()->public_line() == pair.public_line);
    CHECK(complaint(exec::ssh::read_private_key(pair.file)) ==
          pair.file + ": the private key is encrypted, and there is no passphrase");
    const auto missing = exec::ssh::read_private_key(place / "none");
    REQUIRE_FALSE(missing);
    CHECK(missing.error().code == std::errc::no_such_file_or_directory);
    CHECK(missing.error().context == place / "none");
    test::write_file(place / "large", std::string(64 * 1024 + 1, 'x'));
    CHECK(exec::ssh::read_private_key(place / "large").error().code == std::errc::file_too_large);
    CHECK(exec::ssh::read_private_key(place.path()).error().code == std::errc::is_a_directory);
    CHECK(exec::ssh::read_private_key(pair.file + std::string("\0x", 2)).error().code == std::errc::invalid_argument);
}

TEST_CASE("always: gives the same, and has no other") {
    auto what = credential::password("hunter2");
    what.not_after = exec::time_point(1h);
    const auto provider = exec::ssh::always(what);
    answered first, second;
    provider->obtain(deploy, first.reply());
    provider->obtain(deploy, second.reply());
    CHECK(first.given().held() == what.held());
    CHECK(second.given().held() == what.held());
    CHECK(first.given().not_after == what.not_after);
    CHECK_FALSE(provider->renews());
}

TEST_CASE("minted: each login has a key of its own, whose public half is what is pushed") {
    const test::scratch_directory place;
    asked push;
    const auto provider = push.provider();
    answered first, second;
    provider->obtain(deploy, first.reply());
    CHECK_FALSE(first.said);
    REQUIRE(push.what);
    CHECK(push.what->who.host == "build-7");
    CHECK(push.what->who.user == "deploy");
    CHECK(push.what->who.machine == "i-0123");
    const auto pushed = push.what->public_key;
    push.owed(exec::milliseconds(60s));
    CHECK(first.given().held()->public_line() == pushed);
    CHECK(first.given().held()->kind() == secret::what::key);
    test::write_file(place / "pushed.pub", pushed + "\n");
    CHECK(test::keygen({"-l", "-f", place / "pushed.pub"}).find("(ED25519)") != std::string::npos);

    provider->obtain(deploy, second.reply());
    push.owed(exec::milliseconds(60s));
    CHECK(second.given().held()->public_line() != pushed);
}

TEST_CASE("minted: a grant counts from the push on, not from its answer") {
    asked push;
    answered told;
    const auto before = std::chrono::steady_clock::now();
    push.provider()->obtain(deploy, told.reply());
    const auto after = std::chrono::steady_clock::now();
    // The answer takes its time.
    while (std::chrono::steady_clock::now() < after + 20ms) std::this_thread::yield();
    push.owed(exec::milliseconds(60s));
    REQUIRE(told.given().not_after);
    CHECK(*told.given().not_after >= before + 60s);
    CHECK(*told.given().not_after <= after + 60s);
}

TEST_CASE("minted: a grant without an end never ends") {
    asked push;
    answered told;
    push.provider()->obtain(deploy, told.reply());
    push.owed(exec::unlimited);
    CHECK(told.given().not_after == exec::never);
}

TEST_CASE("minted: what the push fails with is the answer, and a lifetime of nothing is a failure") {
    asked push;
    answered refused, nothing, negative, dropped;
    const auto provider = push.provider();
    provider->obtain(deploy, refused.reply());
    push.owed(exec::fail(errc::denied, "not today"));
    CHECK(refused.failure().code == errc::denied);
    CHECK(refused.failure().context == "not today");
    CHECK(refused.failure().at == exec::stage::grant);
    provider->obtain(deploy, nothing.reply());
    push.owed(exec::milliseconds::zero());
    provider->obtain(deploy, negative.reply());
    push.owed(exec::milliseconds(-1));
    for (const auto* each : {&nothing, &negative}) {
        CHECK(each->failure().code == errc::auth_failed);
        CHECK(each->failure().at == exec::stage::grant);
    }
    provider->obtain(deploy, dropped.reply());
    push.owed = {};
    CHECK(dropped.failure().code == errc::broken_reply);
    CHECK(dropped.failure().at == exec::stage::grant);
    CHECK(dropped.failure().context.find("deploy@build-7") != std::string::npos);
}

TEST_CASE("minted: a push that throws is a failure of the grant, before or after it answered") {
    const auto before = exec::ssh::minted(
        [](const exec::ssh::grant&, exec::reply<exec::milliseconds>) { throw std::runtime_error("no network"); });
    answered told;
    before->obtain(deploy, told.reply());
    CHECK(told.failure().code == errc::broken_reply);
    CHECK(told.failure().at == exec::stage::grant);
    const auto after = exec::ssh::minted([](const exec::ssh::grant&, exec::reply<exec::milliseconds> answer) {
        answer(exec::milliseconds(1s));
        throw std::runtime_error("too late");
    });
    answered given;
    after->obtain(deploy, given.reply());
    CHECK(given.given().held() != nullptr);
}

TEST_CASE("minted: a provider that is dropped while it waits still answers") {
    asked push;
    answered told;
    auto provider = push.provider();
    provider->obtain(deploy, told.reply());
    provider.reset();
    push.owed(exec::milliseconds(60s));
    CHECK(told.given().held() != nullptr);
}

TEST_CASE("minted: without a push is misuse") {
    const test::misuse_throws guard;
    CHECK_THROWS_AS(static_cast<void>(exec::ssh::minted({})), test::misuse);
}
