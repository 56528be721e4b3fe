#include <exec/ssh/host_keys.h>

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <cerrno>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <exec/error.h>
#include <exec/executor.h>

#include "file_text.h"
#include "living.h"
#include "misuse.h"
#include "posix/syscalls.h"
#include "servers/keys.h"
#include "ssh/digest.h"
#include "ssh/keygen.h"
#include "syscall_spy.h"

namespace {

using exec::errc;
using exec::result;
using exec::ssh::host_key;
using exec::ssh::host_name;
using lines = std::vector<std::string>;

std::string line_for(const std::string& algorithm, const std::string& rest) {
    const auto part = [](const std::string& text) {
        return std::string(3, '\0') + static_cast<char>(text.size()) + text;
    };
    return algorithm + " " + exec::ssh::to_base64(part(algorithm) + part(rest));
}
const std::string line_a = line_for("ssh-ed25519", "a"), line_b = line_for("ssh-ed25519", "b"),
                  line_rsa = line_for("ssh-rsa", "c"), line_ecdsa = line_for("ecdsa-sha2-nistp256", "d");

host_key key_of(const std::string& line) {
    auto key = exec::ssh::parse_host_key(line);
    REQUIRE(key);
    return *std::move(key);
}

// What a check said: nothing yet, "trusted", or the failure.
struct verdict {
    std::optional<result<void>> said{};
    exec::reply<void> reply() {
        return [this](result<void> answer) { said = std::move(answer); };
    }
    bool trusted() const { return said && said->has_value(); }
    const exec::failure& failure() const {
        REQUIRE(said);
        REQUIRE_FALSE(said->has_value());
        return said->error();
    }
};

verdict checked(exec::ssh::host_keys& policy, const host_name& of, const std::string& line) {
    verdict told;
    policy.check(of, key_of(line), told.reply());
    REQUIRE(told.said);
    return told;
}
void is_refused(const verdict& told, errc code, const lines& words) {
    const auto& why = told.failure();
    CAPTURE(why.context);
    CHECK(why.code == code);
    CHECK(why.at == exec::stage::host_key);
    CHECK(why.context.size() < 2048);
    for (const auto& word : words) {
        CAPTURE(word);
        CHECK(why.context.find(word) != std::string::npos);
    }
}
bool says(const verdict& told, const std::string& word) {
    return told.failure().context.find(word) != std::string::npos;
}

std::shared_ptr<exec::ssh::host_keys> from_text(const std::string& text) {
    auto made = exec::ssh::known_hosts_text(text, "file");
    REQUIRE(made);
    return *std::move(made);
}
std::shared_ptr<exec::ssh::host_keys> from_pins(const lines& pins) {
    auto made = exec::ssh::pinned(pins);
    REQUIRE(made);
    return *std::move(made);
}

// Work is done when the test says so.
class queue final : public exec::executor {
   public:
    void execute(exec::callback<void()> work) override { waiting_.push_back(std::move(work)); }
    void run() {
        while (!waiting_.empty()) {
            auto work = std::move(waiting_.front());
            waiting_.pop_front();
            work();
        }
    }
    std::size_t size() const { return waiting_.size(); }
    void drop() { waiting_.clear(); }

   private:
    std::deque<exec::callback<void()>> waiting_;
};

// Remembers in memory, answers when the test says so, and counts.
class scripted_store final : public exec::ssh::host_key_store {
   public:
    void find(const host_name& of, exec::reply<lines> known) override {
        ++finds;
        later.execute([this, of, known = std::move(known)]() mutable {
            if (find_fails) return known(*find_fails);
            known(remembered[of.host]);
        });
    }
    void remember(const host_name& of, const host_key& key, exec::reply<void> done) override {
        ++remembers;
        later.execute([this, of, key, done = std::move(done)]() mutable {
            if (remember_fails) return done(*remember_fails);
            remembered[of.host].push_back(key.algorithm + " " + exec::ssh::to_base64(key.blob));
            done({});
        });
    }

    queue later;
    std::map<std::string, lines> remembered;
    std::optional<exec::failure> find_fails, remember_fails;
    int finds = 0, remembers = 0;
};

mode_t mode_of(const std::string& path) {
    struct stat about {};
    REQUIRE(::stat(path.c_str(), &about) == 0);
    return about.st_mode & 07777;
}

}  // namespace

TEST_CASE("parse_host_key: says of a key what ssh-keygen -l says") {
    const test::scratch_directory place;
    for (const auto* type : {"ed25519", "ecdsa", "rsa"}) {
        const auto pair = test::make_key(place.path(), type, type);
        const auto key = key_of(pair.public_line);
        CHECK(pair.public_line.starts_with(key.algorithm + " " + exec::ssh::to_base64(key.blob)));
        CHECK(test::keygen({"-l", "-f", pair.file + ".pub"}).find(" " + key.fingerprint + " ") != std::string::npos);
    }
}

TEST_CASE("parse_host_key: refuses what is no key") {
    const std::string bad[] = {"",
                               "ssh-ed25519",
                               "ssh-ed25519 ",
                               "AAAA",
                               "ssh-ed25519 " + exec::ssh::to_base64("short"),
                               "ssh-rsa " + line_a.substr(line_a.find(' ') + 1),
                               line_a + "A",
                               line_a.substr(0, line_a.size() - 1) + "*"};
    for (const auto& line : bad) {
        CAPTURE(line);
        const auto key = exec::ssh::parse_host_key(line);
        REQUIRE_FALSE(key);
        CHECK(key.error().code == errc::invalid_argument);
    }
}

TEST_CASE("known_hosts: the key that is written is trusted, at its host and port alone") {
    const auto policy =
        from_text("build-7 " + line_a + "\nbuild-7 " + line_b + "\n[build-7]:2222 " + line_ecdsa + "\n");
    CHECK(checked(*policy, {"build-7"}, line_a).trusted());
    CHECK(checked(*policy, {"build-7"}, line_b).trusted());
    CHECK(checked(*policy, {"build-7", 2222}, line_ecdsa).trusted());
    is_refused(checked(*policy, {"build-7", 2222}, line_a), errc::host_key_mismatch, {"[build-7]:2222"});
    is_refused(checked(*policy, {"build-8"}, line_a), errc::host_key_mismatch,
               {"build-8: the host key is not known", "ssh-ed25519 " + key_of(line_a).fingerprint});
}

TEST_CASE("known_hosts: a changed key is told with both fingerprints and the place of the known one") {
    const auto policy = from_text("# comment\nbuild-7 " + line_a + "\n");
    is_refused(checked(*policy, {"build-7"}, line_b), errc::host_key_mismatch,
               {"build-7: the host key has changed: it showed ssh-ed25519 " + key_of(line_b).fingerprint,
                "expected is ssh-ed25519 " + key_of(line_a).fingerprint + " (file:2)"});
}

TEST_CASE("known_hosts: another type of key than the known one is told apart from a changed key") {
    const auto policy = from_text("build-7 " + line_a + "\n");
    const auto told = checked(*policy, {"build-7"}, line_rsa);
    is_refused(told, errc::host_key_mismatch, {"a host key of another type is known", "(file:1)", "ssh-rsa"});
    CHECK_FALSE(says(told, "changed"));
}

TEST_CASE("known_hosts: at most three expected keys are listed, and the others counted") {
    std::string text;
    for (const char* each : {"1", "2", "3", "4", "5"}) text += "h " + line_for("ssh-ed25519", each) + "\n";
    const auto told = checked(*from_text(text), {"h"}, line_a);
    is_refused(told, errc::host_key_mismatch, {"(file:1), ", "(file:2), ", "(file:3) and 2 more"});
    CHECK_FALSE(says(told, "file:4"));
}

TEST_CASE("known_hosts: hostile names of hosts and files stay bounded and printable in an error") {
    auto policy = exec::ssh::known_hosts_text("* " + line_a, std::string(5000, '\n'));
    REQUIRE(policy);
    verdict told;
    (*policy)->check({"\x1b[2J" + std::string(5000, '\n')}, key_of(line_b), told.reply());
    is_refused(told, errc::host_key_mismatch, {"\\x1b[2j\\n"});
    CHECK_FALSE(says(told, "\n"));
    CHECK_FALSE(says(told, "\x1b"));
}

TEST_CASE("known_hosts: a revoked key is refused wherever else it stands") {
    for (const auto& text :
         {"h " + line_a + "\n@revoked * " + line_a + "\n", "@revoked h " + line_a + "\nh " + line_a}) {
        CAPTURE(text);
        const auto told = checked(*from_text(text), {"h"}, line_a);
        is_refused(told, errc::host_key_mismatch, {"h: the host key is revoked", key_of(line_a).fingerprint, "(file:"});
    }
    const test::scratch_directory place;
    test::write_file(place / "one", "h " + line_a + "\n");
    test::write_file(place / "two", "@revoked h " + line_a + "\n");
    const auto both = exec::ssh::known_hosts({place / "one", place / "two"});
    REQUIRE(both);
    is_refused(checked(**both, {"h"}, line_a), errc::host_key_mismatch, {"revoked", place / "two:1"});
    // What is revoked for others, or is another key, is none of this host's business.
    CHECK(checked(*from_text("h " + line_a + "\n@revoked other " + line_a), {"h"}, line_a).trusted());
    CHECK(checked(*from_text("h " + line_a + "\n@revoked h " + line_b), {"h"}, line_a).trusted());
    is_refused(checked(*from_text("@revoked h " + line_b), {"h"}, line_a), errc::host_key_mismatch, {"not known"});
}

TEST_CASE("known_hosts: a host that only an authority vouches for is refused as unsupported, with the line") {
    const auto policy = from_text("x " + line_a + "\n@cert-authority *.example.com " + line_a + "\n");
    is_refused(checked(*policy, {"a.example.com"}, line_b), errc::unsupported, {"file:2", "a.example.com"});
    // The authority's key is no host's key.
    is_refused(checked(*policy, {"a.example.com"}, line_a), errc::unsupported, {"file:2"});
    const auto both = from_text("h " + line_a + "\n@cert-authority h " + line_b + "\n");
    CHECK(checked(*both, {"h"}, line_a).trusted());
    is_refused(checked(*both, {"h"}, line_b), errc::host_key_mismatch, {"changed", "(file:1)"});
}

TEST_CASE("known_hosts: a server is asked for the kinds of key that are known of it, the best first") {
    const auto policy = from_text("h " + line_rsa + "\nh " + line_for("sk-x@example.com", "e") + "\nh " + line_ecdsa +
                                  "\nh " + line_a + "\nh " + line_b + "\n@cert-authority h " + line_for("ssh-ca", "f") +
                                  "\nr " + line_a + "\nr " + line_rsa + "\n@revoked r " + line_a);
    CHECK(policy->algorithms({"H"}) ==
          lines{"ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512", "rsa-sha2-256", "sk-x@example.com"});
    CHECK(policy->algorithms({"r"}) == lines{"rsa-sha2-512", "rsa-sha2-256"});
    CHECK(policy->algorithms({"nobody"}).empty());
}

TEST_CASE("known_hosts: a missing file counts as empty beside another, and is an error alone") {
    const test::scratch_directory place;
    test::write_file(place / "here", "h " + line_a + "\n");
    const auto policy = exec::ssh::known_hosts({place / "none", place / "here"});
    REQUIRE(policy);
    CHECK(checked(**policy, {"h"}, line_a).trusted());

    const auto none = exec::ssh::known_hosts({place / "none", place / "neither"});
    REQUIRE_FALSE(none);
    CHECK(none.error().code == std::errc::no_such_file_or_directory);
    CHECK(none.error().context == place / "none");
    CHECK(exec::ssh::known_hosts({}).error().code == errc::invalid_argument);
    CHECK(exec::ssh::known_hosts({place.path(), place / "here"}).error().code == std::errc::is_a_directory);
}

TEST_CASE("known_hosts: a line that cannot be read refuses the files, and names file and line") {
    const test::scratch_directory place;
    test::write_file(place / "good", "h " + line_a + "\n");
    test::write_file(place / "bad", "h " + line_a + "\nh ssh-ed25519\n");
    const auto policy = exec::ssh::known_hosts({place / "good", place / "bad"});
    REQUIRE_FALSE(policy);
    CHECK(policy.error().code == errc::invalid_argument);
    CHECK(policy.error().context.starts_with(place / "bad:2: "));
}

TEST_CASE("known_hosts: a file is read once, when the policy is made") {
    const test::scratch_directory place;
    test::write_file(place / "file", "h " + line_a + "\n");
    const auto policy = exec::ssh::known_hosts({place / "file"});
    REQUIRE(policy);
    test::write_file(place / "file", "h " + line_b + "\n");
    CHECK(checked(**policy, {"h"}, line_a).trusted());
}

TEST_CASE("pinned: trusts the pins at whatever host, and nothing else") {
    const auto policy = from_pins({line_a + " comment", key_of(line_rsa).fingerprint});
    CHECK(checked(*policy, {"h"}, line_a).trusted());
    CHECK(checked(*policy, {"other", 2222}, line_rsa).trusted());
    is_refused(checked(*policy, {"h", 2222}, line_b), errc::host_key_mismatch,
               {"[h]:2222: the host key has changed", key_of(line_b).fingerprint,
                "ssh-ed25519 " + key_of(line_a).fingerprint + " (pin 1)", key_of(line_rsa).fingerprint + " (pin 2)"});
    is_refused(checked(*from_pins({line_a}), {"h"}, line_rsa), errc::host_key_mismatch, {"another type"});
}

TEST_CASE("pinned: a fingerprint is compared with the key itself, not with what is said about it") {
    auto liar = key_of(line_b);
    liar.fingerprint = key_of(line_a).fingerprint;
    verdict told;
    from_pins({liar.fingerprint})->check({"h"}, liar, told.reply());
    is_refused(told, errc::host_key_mismatch, {"it showed ssh-ed25519 " + key_of(line_b).fingerprint});
}

TEST_CASE("pinned: a server is asked for the kinds of the pins, or for none where a pin does not say") {
    CHECK(from_pins({line_rsa, line_a})->algorithms({"h"}) == lines{"ssh-ed25519", "rsa-sha2-512", "rsa-sha2-256"});
    CHECK(from_pins({line_a, key_of(line_rsa).fingerprint})->algorithms({"h"}).empty());
}

TEST_CASE("pinned: what is no pin is refused by its number") {
    const auto good = key_of(line_a).fingerprint;
    for (const std::string& bad :
         {std::string("SHA256:"), std::string("SHA256:AAA"), good + "=", good.substr(0, good.size() - 1), good + "A",
          std::string("MD5:00:11"), std::string(), std::string("ssh-ed25519 AAAA")}) {
        CAPTURE(bad);
        const auto policy = exec::ssh::pinned({good, bad});
        REQUIRE_FALSE(policy);
        CHECK(policy.error().code == errc::invalid_argument);
        CHECK(policy.error().context.starts_with("pin 2: "));
    }
    CHECK(exec::ssh::pinned({}).error().code == errc::invalid_argument);
}

TEST_CASE("accept_anything: does") {
    CHECK(checked(*exec::ssh::accept_anything(), {"h"}, line_a).trusted());
    CHECK(exec::ssh::accept_anything()->algorithms({"h"}).empty());
}

TEST_CASE("first_use: the first key is trusted only when it has been remembered, and then no other") {
    const auto store = std::make_shared<scripted_store>();
    const auto policy = exec::ssh::first_use(store);
    verdict first;
    policy->check({"h"}, key_of(line_a), first.reply());
    CHECK_FALSE(first.said);
    store->later.run();
    CHECK(first.trusted());
    CHECK(store->remembers == 1);

    verdict again, other;
    policy->check({"h"}, key_of(line_a), again.reply());
    store->later.run();
    CHECK(again.trusted());
    policy->check({"H"}, key_of(line_b), other.reply());
    store->remembered["H"] = {line_a + " notes:7"};
    store->later.run();
    is_refused(other, errc::host_key_mismatch,
               {"h: the host key has changed", key_of(line_a).fingerprint, "(notes:7)"});
    CHECK(store->remembers == 1);
}

TEST_CASE("first_use: of connections that ask at once only one key is written, and the others are judged by it") {
    const auto store = std::make_shared<scripted_store>();
    const auto policy = exec::ssh::first_use(store);
    verdict first, same, other, elsewhere;
    policy->check({"h"}, key_of(line_a), first.reply());
    policy->check({"h"}, key_of(line_a), same.reply());
    policy->check({"H"}, key_of(line_b), other.reply());
    policy->check({"h", 2222}, key_of(line_b), elsewhere.reply());
    CHECK(store->finds == 2);
    store->later.run();
    CHECK(first.trusted());
    CHECK(same.trusted());
    is_refused(other, errc::host_key_mismatch, {"changed", key_of(line_a).fingerprint});
    CHECK(store->remembers == 2);
}

TEST_CASE("first_use: what the store fails with is the answer to all that wait, and the next one asks anew") {
    const auto store = std::make_shared<scripted_store>();
    const auto policy = exec::ssh::first_use(store);
    verdict first, second, third;
    store->find_fails = exec::os_failure(EIO, exec::stage::none, "the disk");
    policy->check({"h"}, key_of(line_a), first.reply());
    policy->check({"h"}, key_of(line_a), second.reply());
    store->later.run();
    for (const auto* each : {&first, &second}) {
        CHECK(each->failure().code == std::errc::io_error);
        CHECK(each->failure().at == exec::stage::host_key);
    }
    store->find_fails.reset();
    store->remember_fails = exec::os_failure(ENOSPC, exec::stage::none, "the disk");
    policy->check({"h"}, key_of(line_a), third.reply());
    store->later.run();
    CHECK(third.failure().code == std::errc::no_space_on_device);
    store->remember_fails.reset();
    verdict fourth;
    policy->check({"h"}, key_of(line_a), fourth.reply());
    store->later.run();
    CHECK(fourth.trusted());
}

TEST_CASE("first_use: a store that drops the question is no trust, and neither is a line that cannot be read") {
    const auto store = std::make_shared<scripted_store>();
    const auto policy = exec::ssh::first_use(store);
    verdict dropped, broken;
    policy->check({"h"}, key_of(line_a), dropped.reply());
    store->later.drop();
    CHECK(dropped.failure().code == errc::broken_reply);
    store->remembered["h"] = {line_b, "nonsense"};
    policy->check({"h"}, key_of(line_b), broken.reply());
    store->later.run();
    CHECK(broken.failure().code == errc::invalid_argument);
    CHECK(store->remembers == 0);
}

TEST_CASE("first_use: asks a server for the kind of key that was seen before") {
    const auto store = std::make_shared<scripted_store>();
    const auto policy = exec::ssh::first_use(store);
    store->remembered["h"] = {line_rsa};
    CHECK(policy->algorithms({"h"}).empty());
    verdict told;
    policy->check({"h"}, key_of(line_a), told.reply());
    store->later.run();
    is_refused(told, errc::host_key_mismatch, {"another type"});
    CHECK(policy->algorithms({"H"}) == lines{"rsa-sha2-512", "rsa-sha2-256"});
}

TEST_CASE("first_use: a policy that is dropped while its store is asked still answers") {
    const auto store = std::make_shared<scripted_store>();
    auto policy = exec::ssh::first_use(store);
    verdict told;
    policy->check({"h"}, key_of(line_a), told.reply());
    policy.reset();
    store->later.run();
    CHECK(told.trusted());
}

TEST_CASE("first_use: without a store is misuse") {
    const test::misuse_throws guard;
    CHECK_THROWS_AS(static_cast<void>(exec::ssh::first_use(nullptr)), test::misuse);
}

TEST_CASE("file store: writes a line that OpenSSH finds, in a file for its owner alone") {
    const test::scratch_directory place;
    const auto path = place / "known_hosts";
    const auto pair = test::make_key(place.path());
    queue on;
    const auto policy = exec::ssh::first_use(exec::ssh::make_file_store(on, path));
    const mode_t before = ::umask(0);
    verdict first;
    policy->check({"Build-7", 2222}, key_of(pair.public_line), first.reply());
    CHECK_FALSE(test::exists(path));
    on.run();
    ::umask(before);
    REQUIRE(first.trusted());
    CHECK(mode_of(path) == 0600);
    CHECK_FALSE(test::keygen({"-F", "[build-7]:2222", "-f", path}).empty());
    CHECK(test::file_text(path).ends_with("\n"));

    // Another process, later.
    const auto anew = exec::ssh::first_use(exec::ssh::make_file_store(on, path));
    verdict again, changed;
    anew->check({"build-7", 2222}, key_of(pair.public_line), again.reply());
    on.run();
    CHECK(again.trusted());
    anew->check({"build-7", 2222}, key_of(line_b), changed.reply());
    on.run();
    is_refused(changed, errc::host_key_mismatch, {"changed", "(" + path + ":1)"});
}

TEST_CASE("file store: keeps what is in the file, also a last line without an end") {
    const test::scratch_directory place;
    const auto path = place / "known_hosts";
    test::write_file(path, "# mine\nother " + line_b);
    queue on;
    const auto policy = exec::ssh::first_use(exec::ssh::make_file_store(on, path));
    verdict told;
    policy->check({"h"}, key_of(line_a), told.reply());
    on.run();
    CHECK(told.trusted());
    CHECK(test::file_text(path) == "# mine\nother " + line_b + "\nh " + line_a + "\n");
}

TEST_CASE("file store: appends a line in one write") {
    const test::scratch_directory place;
    queue on;
    const auto store = exec::ssh::make_file_store(on, place / "known_hosts");
    const test::watched_syscalls<&exec::posix::syscalls::write> watching;
    verdict told;
    store->remember({"h"}, key_of(line_a), told.reply());
    on.run();
    CHECK(told.trusted());
    CHECK(test::spy<&exec::posix::syscalls::write>.calls == 1);
}

TEST_CASE("file store: a key that the file revokes is not trusted as a new one") {
    const test::scratch_directory place;
    const auto path = place / "known_hosts";
    queue on;
    const auto policy = exec::ssh::first_use(exec::ssh::make_file_store(on, path));
    for (const auto& text : {"@revoked * " + line_a + "\n", "h " + line_a + "\n@revoked h " + line_a + "\n"}) {
        CAPTURE(text);
        test::write_file(path, text);
        verdict told;
        policy->check({"h"}, key_of(line_a), told.reply());
        on.run();
        is_refused(told, errc::host_key_mismatch, {"revoked"});
        CHECK(test::file_text(path) == text);
    }
    // Another key takes the place of a revoked one.
    test::write_file(path, "@revoked h " + line_a + "\n");
    verdict other;
    policy->check({"h"}, key_of(line_b), other.reply());
    on.run();
    CHECK(other.trusted());
}

TEST_CASE("file store: a host that an authority vouches for is not trusted at first use") {
    const test::scratch_directory place;
    const auto path = place / "known_hosts";
    test::write_file(path, "@cert-authority * " + line_b + "\n");
    queue on;
    verdict told;
    exec::ssh::first_use(exec::ssh::make_file_store(on, path))->check({"h"}, key_of(line_a), told.reply());
    on.run();
    is_refused(told, errc::unsupported, {path + ":1"});
}

TEST_CASE("file store: what another policy remembered since the question is heeded") {
    const test::scratch_directory place;
    const auto path = place / "known_hosts";
    queue on;
    const auto store = exec::ssh::make_file_store(on, path);
    verdict first, second;
    exec::ssh::first_use(store)->check({"h"}, key_of(line_a), first.reply());
    exec::ssh::first_use(store)->check({"h"}, key_of(line_b), second.reply());
    on.run();  // both find nothing, and then remember
    CHECK(first.trusted());
    is_refused(second, errc::host_key_mismatch, {"changed", "(" + path + ":1)"});
    CHECK(test::file_text(path) == "h " + line_a + "\n");
}

TEST_CASE("file store: what the kernel says is the answer, never trust") {
    using exec::posix::syscalls;
    const test::scratch_directory place;
    const auto path = place / "known_hosts";
    queue on;
    const auto policy = exec::ssh::first_use(exec::ssh::make_file_store(on, path));
    const auto failing = [&](test::spied& call, int at, int error) {
        call.reset();
        call.error = error;
        call.fails_at = at;
        verdict told;
        policy->check({"h"}, key_of(line_a), told.reply());
        on.run();
        call.reset();
        CAPTURE(error);
        CHECK(told.failure().code == std::error_code(error, std::system_category()));
        CHECK(told.failure().at == exec::stage::host_key);
        CHECK(told.failure().context == path);
    };
    const test::watched_syscalls<&syscalls::open_at, &syscalls::read, &syscalls::write> watching;
    failing(test::spy<&syscalls::open_at>, 1, EACCES);
    failing(test::spy<&syscalls::open_at>, 3, EROFS);
    failing(test::spy<&syscalls::write>, 1, ENOSPC);
    test::write_file(path, "# something\n");
    failing(test::spy<&syscalls::read>, 1, EIO);
    CHECK(test::file_text(path) == "# something\n");
}

TEST_CASE("file store: a line in its file that cannot be read fails every host") {
    const test::scratch_directory place;
    const auto path = place / "known_hosts";
    test::write_file(path, "h " + line_a + "\nx y\n");
    queue on;
    verdict told;
    exec::ssh::first_use(exec::ssh::make_file_store(on, path))->check({"h"}, key_of(line_a), told.reply());
    on.run();
    CHECK(told.failure().code == errc::invalid_argument);
    CHECK(told.failure().context.starts_with(path + ":2: "));
}

TEST_CASE("file store: a host name that would be read as something else is not written") {
    const test::scratch_directory place;
    const auto path = place / "known_hosts";
    queue on;
    const auto store = exec::ssh::make_file_store(on, path);
    for (const std::string& name :
         {std::string(), std::string("*"), std::string("a,b"), std::string("a b"), std::string("!a"), std::string("#a"),
          std::string("|1|a"), std::string("@revoked"), std::string("a\nb"), std::string("a?"), std::string("a\0b", 3),
          std::string("b\xc3\xbc"
                      "cher")}) {
        CAPTURE(name);
        verdict told;
        store->remember({name}, key_of(line_a), told.reply());
        on.run();
        CHECK(told.failure().code == errc::invalid_argument);
    }
    CHECK_FALSE(test::exists(path));
}

TEST_CASE("file store: an executor that refuses is broken_reply, and work in the queue outlives the store") {
    const test::scratch_directory place;
    queue on;
    auto store = exec::ssh::make_file_store(on, place / "known_hosts");
    verdict dropped, kept;
    store->remember({"h"}, key_of(line_a), dropped.reply());
    on.drop();
    CHECK(dropped.failure().code == errc::broken_reply);
    store->remember({"h"}, key_of(line_a), kept.reply());
    store.reset();
    on.run();
    CHECK(kept.trusted());
}

TEST_CASE("first_use: with threads, many connections to one new host write one line") {
    const test::scratch_directory place;
    const auto path = place / "known_hosts";
    std::vector<verdict> told(16);
    {
        auto on = exec::make_thread_executor(3);
        REQUIRE(on);
        const auto policy = exec::ssh::first_use(exec::ssh::make_file_store(**on, path));
        std::mutex mutex;
        std::condition_variable changed;
        std::size_t answered = 0;
        std::vector<std::thread> asking;
        for (std::size_t i = 0; i < told.size(); ++i) {
            asking.emplace_back([&, i, key = key_of(i % 2 == 0 ? line_a : line_b)] {
                policy->check({"h"}, key, [&, i](result<void> answer) {
                    const std::lock_guard hold(mutex);
                    told[i].said = std::move(answer);
                    ++answered;
                    changed.notify_all();
                });
            });
        }
        for (auto& each : asking) each.join();
        std::unique_lock hold(mutex);
        changed.wait(hold, [&] { return answered == told.size(); });
    }
    const bool a_won = test::file_text(path) == "h " + line_a + "\n";
    CHECK((a_won || test::file_text(path) == "h " + line_b + "\n"));
    for (std::size_t i = 0; i < told.size(); ++i) CHECK(told[i].trusted() == ((i % 2 == 0) == a_won));
}
