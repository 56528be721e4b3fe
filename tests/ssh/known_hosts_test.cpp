#include "ssh/known_hosts.h"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <exec/error.h>

#include "living.h"
#include "servers/keys.h"
#include "ssh/digest.h"
#include "ssh/host_key.h"
#include "ssh/keygen.h"

namespace {

using exec::ssh::host_name;
using exec::ssh::known_hosts_file;
using exec::ssh::marking;

// A key with nothing behind it: what files are told apart by.
std::string key_text(const std::string& algorithm, const std::string& rest) {
    const auto part = [](const std::string& text) {
        return std::string(3, '\0') + static_cast<char>(text.size()) + text;
    };
    return algorithm + " " + exec::ssh::to_base64(part(algorithm) + part(rest));
}
const std::string key = key_text("ssh-ed25519", "one");

known_hosts_file parsed(const std::string& text) {
    auto file = known_hosts_file::parse(text, "file");
    REQUIRE_MESSAGE(file, (file ? "" : file.error().context));
    return *std::move(file);
}

// Where the lines for this host are.
std::vector<std::string> places(const known_hosts_file& file, const std::string& host, std::uint16_t port = 22) {
    const auto found = file.find({host, port});
    REQUIRE(found);
    std::vector<std::string> where;
    for (const auto& each : *found) where.push_back(each.where);
    return where;
}
bool covers(const std::string& names, const std::string& host, std::uint16_t port = 22) {
    return !places(parsed(names + " " + key + "\n"), host, port).empty();
}

std::string complaint(const std::string& text) {
    const auto file = known_hosts_file::parse(text, "file");
    if (file) return "none";
    CHECK(file.error().code == exec::errc::invalid_argument);
    return file.error().context;
}

}  // namespace

TEST_CASE("known_hosts: a name is found whatever its case, and no part of it is") {
    CHECK(covers("build-7", "build-7"));
    CHECK(covers("BUILD-7", "build-7"));
    CHECK(covers("build-7", "Build-7"));
    CHECK_FALSE(covers("build-7", "build"));
    CHECK_FALSE(covers("build-7", "build-70"));
    CHECK_FALSE(covers("build-7", "a.build-7"));
    CHECK(covers("a,build-7,b", "build-7"));
    CHECK(covers("::1", "::1"));
}

TEST_CASE("known_hosts: what a file says of port 22 says nothing about another port, nor the other way round") {
    CHECK(covers("[build-7]:2222", "build-7", 2222));
    CHECK_FALSE(covers("[build-7]:2222", "build-7", 22));
    CHECK_FALSE(covers("[build-7]:2222", "build-7", 2223));
    CHECK_FALSE(covers("build-7", "build-7", 2222));
    CHECK(covers("[::1]:2222", "::1", 2222));
}

TEST_CASE("known_hosts: * is any number of bytes and ? is one, also across dots and ports") {
    CHECK(covers("*", "build-7"));
    CHECK(covers("*", "build-7", 2222));
    CHECK(covers("*.example.com", "a.b.example.com"));
    CHECK_FALSE(covers("*.example.com", "example.com"));
    CHECK(covers("build-?", "build-7"));
    CHECK_FALSE(covers("build-?", "build-"));
    CHECK_FALSE(covers("build-?", "build-77"));
    CHECK(covers("[build-*]:22?2", "build-7", 2222));
    CHECK(covers("a*b*c", "aXbYbZc"));
    CHECK_FALSE(covers("a*b*c", "aXcYb"));
    CHECK(covers("build-7**", "build-7"));
    // A host that is called like a pattern is not one.
    CHECK_FALSE(covers("build-7", "*"));
}

TEST_CASE("known_hosts: a name behind ! takes the host out, wherever it stands in the list") {
    CHECK(covers("*.example.com,!bad.example.com", "good.example.com"));
    CHECK_FALSE(covers("*.example.com,!bad.example.com", "bad.example.com"));
    CHECK_FALSE(covers("!bad.example.com,*.example.com", "bad.example.com"));
    CHECK_FALSE(covers("!bad.example.com", "good.example.com"));
    CHECK_FALSE(covers("*,!BAD", "bad"));
}

TEST_CASE("known_hosts: patterns made to be slow are not") {
    std::string pattern;
    for (int i = 0; i < 500; ++i) pattern += "*a";
    CHECK_FALSE(covers(pattern + "b", std::string(4000, 'a')));
}

TEST_CASE("known_hosts: empty names in a list match nothing") {
    CHECK(covers("build-7,", "build-7"));
    CHECK(covers(",,build-7,!", "build-7"));
    CHECK_FALSE(covers(",,!", ""));
}

TEST_CASE("known_hosts: comments, blank lines and any end of line are taken, and the lines still counted") {
    const auto file = parsed("# first\r\n\r\n   \t\nbuild-7 " + key + "\r\n  # comment\n\t build-7\t" + key +
                             "  a comment of words\n@revoked\tbuild-7 " + key + " x");
    CHECK(places(file, "build-7") == std::vector<std::string>{"file:4", "file:6", "file:7"});
    CHECK(file.lines() == 3);
    CHECK(places(parsed(""), "build-7").empty());
}

TEST_CASE("known_hosts: a line keeps its marker, and a key of an unknown type is a key") {
    const auto other = key_text("ssh-of-tomorrow@example.com", "key");
    const auto found =
        parsed("h " + key + "\n@revoked h " + other + "\n@cert-authority *,!x " + key + "\n").find({"h"});
    REQUIRE(found);
    REQUIRE(found->size() == 3);
    CHECK((*found)[0].mark == marking::none);
    CHECK((*found)[1].mark == marking::revoked);
    CHECK((*found)[1].key.algorithm == "ssh-of-tomorrow@example.com");
    CHECK(exec::ssh::line_of((*found)[1].key) == other);
    CHECK((*found)[2].mark == marking::cert_authority);
}

TEST_CASE("known_hosts: a line that cannot be read is named, whatever is wrong with it") {
    const std::string salt = exec::ssh::to_base64(std::string(20, 's'));
    const std::string good = "good " + key + "\n";
    const std::string bad[] = {
        "alone",
        "h ssh-ed25519",
        "@revoked h ssh-ed25519",
        "@revoked",
        "@trusted h " + key,
        "h 1024 35 1234567890",
        "h ssh-ed25519 AAAA!",
        "h " + key + "=",
        "h " + key.substr(0, key.size() - 1),
        "h ssh-rsa " + key.substr(key.find(' ') + 1),
        "h ssh-ed25519 " + exec::ssh::to_base64("ssh-ed25519"),
        "h ssh-ed25519 " + exec::ssh::to_base64(std::string("\0\0\0\x0bssh-ed25519", 15)),
        std::string("h\0x ", 4) + key,
        "\xef\xbb\xbf# a mark of byte order",
        "|1|" + salt + "|" + salt.substr(0, 24) + " " + key,
        "|1|" + salt + " " + key,
        "|1|c2hvcnQ=|" + salt + " " + key,
        "|2|" + salt + "|" + salt + " " + key,
        "a,|1|" + salt + "|" + salt + " " + key,
        "!|1|" + salt + "|" + salt + " " + key,
        std::string(1025, 'p') + " " + key,
        "h " + key + std::string(64 * 1024, ' ') + "x",
    };
    for (const auto& line : bad) {
        CAPTURE(line);
        const auto said = complaint(good + line + "\n" + good);
        CHECK(said.starts_with("file:2: the line cannot be read: "));
        CHECK(said.size() < 200);
    }
    CHECK(complaint(good + "|1|" + salt + "|" + salt + " " + key) == "none");
    CHECK(complaint(std::string(1024, 'p') + " " + key) == "none");
    CHECK(complaint(std::string(known_hosts_file::most + 1, '\n')) == "file: larger than 16 MiB");
    CHECK(complaint(std::string(known_hosts_file::most, '\n')) == "none");
}

TEST_CASE("known_hosts: names that ssh-keygen -H hashed are found, at their port alone") {
    const test::scratch_directory place;
    const auto real = test::make_key(place.path());
    const auto path = place / "known_hosts";
    test::write_file(path, "Build-7 " + real.public_line + "\n[build-7]:2222 " + real.public_line + "\n192.0.2.7 " +
                               real.public_line + "\n");
    test::keygen({"-q", "-H", "-f", path});
    const auto text = test::file_text(path);
    REQUIRE(text.find("uild-7") == std::string::npos);
    const auto file = parsed(text);
    CHECK(places(file, "build-7") == std::vector<std::string>{"file:1"});
    CHECK(places(file, "BUILD-7") == std::vector<std::string>{"file:1"});
    CHECK(places(file, "build-7", 2222) == std::vector<std::string>{"file:2"});
    CHECK(places(file, "192.0.2.7") == std::vector<std::string>{"file:3"});
    CHECK(places(file, "build-8").empty());
    const auto found = file.find({"build-7"});
    REQUIRE(found);
    CHECK(real.public_line.starts_with(exec::ssh::line_of(found->front().key)));
}

TEST_CASE("known_hosts: finds the lines that ssh-keygen -F finds") {
    const test::scratch_directory place;
    const auto line = " " + test::make_key(place.path()).public_line + "\n";
    const std::string names[] = {"build-7",
                                 "BUILD-8,other",
                                 "*.example.com,!bad.example.com",
                                 "[build-7]:2222",
                                 "[*.org]:*",
                                 "192.0.2.?",
                                 "!build-9,build-*",
                                 "a*b*c",
                                 "2001:db8::1",
                                 "?",
                                 "build-7,",
                                 "**",
                                 "!*.internal,*.*",
                                 "[2001:db8::1]:2222"};
    const host_name hosts[] = {{"build-7"},
                               {"Build-7"},
                               {"build-8"},
                               {"build-9"},
                               {"OTHER"},
                               {"good.example.com"},
                               {"bad.example.com"},
                               {"build-7", 2222},
                               {"x.org", 1},
                               {"192.0.2.7"},
                               {"192.0.2.77"},
                               {"aXbc"},
                               {"acb"},
                               {"2001:db8::1"},
                               {"2001:db8::1", 2222},
                               {"x"},
                               {"a.internal"},
                               {"*"}};
    const auto path = place / "known_hosts";
    unsigned found_by_both = 0;
    for (const auto& each : names) {
        test::write_file(path, each + line);
        for (const auto& host : hosts) {
            const bool theirs = !test::keygen({"-F", exec::ssh::file_name_of(host), "-f", path}).empty();
            CAPTURE(each);
            CAPTURE(exec::ssh::file_name_of(host));
            CHECK(!places(parsed(each + line), host.host, host.port).empty() == theirs);
            found_by_both += theirs ? 1 : 0;
        }
    }
    CHECK(found_by_both > 30);
}

TEST_CASE("base64: only what would be written is read") {
    CHECK(exec::ssh::from_base64("AAA=") == std::string(2, '\0'));
    for (const auto* bad : {"", "AAA", "AAB=", "AB==", " AAA=", "AAA= ", "AAA=\n", "AA=A", "A===", "AAA-", "===="}) {
        CAPTURE(bad);
        CHECK_FALSE(exec::ssh::from_base64(bad));
    }
    for (std::size_t size = 1; size < 70; ++size) {
        const std::string bytes(size, '\xfb');
        CHECK(exec::ssh::from_base64(exec::ssh::to_base64(bytes)) == bytes);
    }
}
