#include <doctest/doctest.h>
#include <exec/redact.h>

#include <cstddef>
#include <ctime>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace {

using exec::default_redactor;
using words = std::vector<std::string>;

constexpr std::string_view key = "a key of the tests, 32 bytes of it";

std::string joined(const words& of) {
    std::string line;
    for (const auto& word : of) line.append(line.empty() ? "" : "|").append(word);
    return line;
}
// With every hash as "#", so that a row can be read.
std::string plain(std::string text) {
    for (auto at = text.find("<hidden:"); at != std::string::npos; at = text.find("<hidden:", at)) {
        CHECK(text.at(at + 16) == '>');
        text.replace(at, 17, "#");
    }
    return text;
}
std::string shown(const words& argv) { return plain(joined(default_redactor(key).argv(argv))); }
std::string shown_text(std::string_view text) { return plain(default_redactor(key).text(text)); }

const std::string jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U";
const std::string github = "ghp_0123456789abcdefghijABCDEFGHIJ012345";

}  // namespace

TEST_CASE("redact: the value of a secret-like option is hidden, as a word of its own and behind '='") {
    CHECK(shown({"tool", "--password", "hunter2", "--host", "db"}) == "tool|--password|#|--host|db");
    CHECK(shown({"tool", "--password=hunter2 and more", "x"}) == "tool|--password=#|x");
    CHECK(shown({"tool", "-password", "two words", "x"}) == "tool|-password|#|x");
    CHECK(shown({"tool", "--api-key=abc", "--apiKey", "abc"}) == "tool|--api-key=#|--apiKey|#");
    CHECK(shown({"openssl", "rsa", "-passin", "pass:x", "-in", "f"}) == "openssl|rsa|-passin|#|-in|f");
    // Whichever of them is the value.
    CHECK(shown({"tool", "--token", "--password", "hunter2", "x"}) == "tool|--token|#|#|x");
    CHECK(shown({"tool", "--password", "", "x"}) == "tool|--password||x");
}

TEST_CASE("redact: names that are about no secret keep their values") {
    for (const words& argv :
         {words{"tool", "--max-tokens", "100", "--tokenizer=fast"}, words{"env", "PWD=/srv", "ls"},
          words{"tool", "--password-file", "/run/p", "--password-stdin"}, words{"git", "push", "-p"},
          words{"make", "-j4", "CFLAGS=-O2"}, words{"ssh", "-p", "22", "host"},
          words{"AWS_ACCESS_KEY_ID=x", "cargo", "test"}, words{"echo", "disk-usage-of-the-task-list"},
          words{"curl", "https://host:8080/a@b?q=1"}, words{"cat", "a:b", "c=d", "--key", "file.pem"}}) {
        CHECK(shown(argv) == joined(argv));
    }
}

TEST_CASE("redact: assignments are hidden to the end of the word, or of the word of a script") {
    CHECK(shown({"env", "GITHUB_TOKEN=a b", "PATH=/bin", "x"}) == "env|GITHUB_TOKEN=#|PATH=/bin|x");
    CHECK(shown({"env", "PGPASSWORD=x", "DB_PASS=y", "MYSQL_PWD=z"}) == "env|PGPASSWORD=#|DB_PASS=#|MYSQL_PWD=#");
    CHECK(shown({"sh", "-c", "TOKEN=abc curl x"}) == "sh|-c|TOKEN=# curl x");
    CHECK(shown({"bash", "-lc", "export A=1 SECRET='two words'; ls"}) == "bash|-lc|export A=1 SECRET='#'; ls");
    CHECK(shown({"sh", "-c", "--", "SECRET_KEY=\"a\\\"b\" ls", "sh"}) == "sh|-c|--|SECRET_KEY=\"#\" ls|sh");
    CHECK(shown({"ssh", "host", "cd /srv && API_KEY=abc ./run"}) == "ssh|host|cd /srv && API_KEY=# ./run");
}

TEST_CASE("redact: headers and keys hide what is behind them, and keep the scheme") {
    CHECK(shown({"curl", "-H", "Authorization: Bearer abc.def", "u"}) == "curl|-H|Authorization: Bearer #|u");
    CHECK(shown({"curl", "-HX-Api-Key: a b c", "-H", "Accept: */*"}) == "curl|-HX-Api-Key: #|-H|Accept: */*");
    CHECK(shown({"curl", "-H", "Cookie: a=b; c=d"}) == "curl|-H|Cookie: #");
    CHECK(shown({"sh", "-c", "curl -H 'Authorization: Basic dTpw' -H \"X-Auth-Token: t\" u"}) ==
          "sh|-c|curl -H 'Authorization: Basic #' -H \"X-Auth-Token: #\" u");
    CHECK(shown({"curl", "-d", R"({"user":"ada","password":"a\"b","n":1})"}) ==
          R"(curl|-d|{"user":"ada","password":"#","n":1})");
    CHECK(shown({"sh", "-c", R"(curl -d "{\"password\":\"ab\",\"n\":1}")"}) ==
          R"(sh|-c|curl -d "{\"password\":\"#\",\"n\":1}")");
    CHECK(shown({"curl", "https://h/x?access_token=abc&q=1"}) == "curl|https://h/x?access_token=#&q=1");
    CHECK(shown_text("client_secret = \"x y\"\nname = z") == "client_secret = \"#\"\nname = z");
    CHECK(shown_text("sent Bearer abc to host") == "sent Bearer # to host");
}

TEST_CASE("redact: user info goes and the host stays") {
    CHECK(shown({"git", "clone", "https://u:p@host/x"}) == "git|clone|https://#@host/x");
    CHECK(shown({"git", "clone", "https://" + github + "@host/x"}) == "git|clone|https://#@host/x");
    CHECK(shown({"psql", "postgres://ada:p%40w@db:5432/x?sslmode=on"}) == "psql|postgres://#@db:5432/x?sslmode=on");
    CHECK(shown({"sh", "-c", "git clone 'https://u:p@h/x' y"}) == "sh|-c|git clone 'https://#@h/x' y");
}

TEST_CASE("redact: tokens are known by their shape, wherever they stand") {
    CHECK(shown({"echo", "x " + github + ", y"}) == "echo|x #, y");
    CHECK(shown({"echo", "github_pat_0123456789abcdefghij_x"}) == "echo|#");
    CHECK(shown({"echo", "AKIAIOSFODNN7EXAMPLE"}) == "echo|#");
    CHECK(shown({"echo", "--t=xoxb-1234567890-abc"}) == "echo|--t=#");
    CHECK(shown({"echo", "sk-proj-0123456789abcdefghij"}) == "echo|#");
    CHECK(shown({"echo", "a", "glpat-0123456789abcdefghij"}) == "echo|a|#");
    CHECK(shown({"npm", "npm_0123456789abcdefghijABCDEFGHIJ012345"}) == "npm|#");
    CHECK(shown({"echo", "(" + jwt + ")"}) == "echo|(#)");
    CHECK(shown({"echo", "eyJx-" + jwt}) == "echo|#");
    CHECK(shown({"echo", "-----BEGIN RSA PRIVATE KEY-----\nMII\nabc\n-----END RSA PRIVATE KEY-----\nx"}) ==
          "echo|-----BEGIN RSA PRIVATE KEY-----#-----END RSA PRIVATE KEY-----\nx");
    CHECK(shown({"echo", "-----BEGIN OPENSSH PRIVATE KEY-----\\nb3Blbn"}) ==
          "echo|-----BEGIN OPENSSH PRIVATE KEY-----#");
    CHECK(shown({"echo", "where is the PRIVATE KEY?"}) == "echo|where is the PRIVATE KEY?");
}

TEST_CASE("redact: short options mean what they mean to the program that was named") {
    CHECK(shown({"mysql", "-phunter2", "-h", "db"}) == "mysql|-p#|-h|db");
    CHECK(shown({"sudo", "/usr/bin/mysqldump", "-psecret", "db"}) == "sudo|/usr/bin/mysqldump|-p#|db");
    CHECK(shown({"mysql", "-p", "db"}) == "mysql|-p|db");  // asks at the terminal
    CHECK(shown({"sshpass", "-p", "x", "ssh", "host"}) == "sshpass|-p|#|ssh|host");
    CHECK(shown({"docker", "login", "-u", "ada", "-p", "x", "reg"}) == "docker|login|-u|ada|-p|#|reg");
    CHECK(shown({"curl", "-u", "ada:x", "--user=ada:x", "-uada:x", "-u", "ada"}) ==
          "curl|-u|ada:#|--user=ada:#|-uada:#|-u|ada");
    CHECK(shown({"redis-cli", "-a", "x", "get", "k"}) == "redis-cli|-a|#|get|k");
    CHECK(shown({"sh", "-c", "mysql -pabc -e 'select 1'; curl -u 'ada:x' u"}) ==
          "sh|-c|mysql -p# -e 'select 1'; curl -u 'ada:#' u");
}

TEST_CASE("redact: a script within a script is a script") {
    CHECK(shown({"sh", "-c", "sudo bash -c 'mysql --password abc -h db; TOKEN=x ls'"}) ==
          "sh|-c|sudo bash -c 'mysql --password # -h db; TOKEN=# ls'");
    CHECK(shown({"ssh", "host", "sshpass -p abc ssh b 'PASSWORD=x tool --token y z'"}) ==
          "ssh|host|sshpass -p # ssh b 'PASSWORD=# tool --token # z'");
}

TEST_CASE("redact: the same secret reads the same under one key, and otherwise under another") {
    const default_redactor one(key);
    const auto first = one.argv(words{"x", "--password", "hunter2"})[2];
    CHECK(first == one.argv(words{"sh", "-c", "PASSWORD='hunter2' x"})[2].substr(10, 17));
    CHECK(first != one.argv(words{"x", "--password", "hunter3"})[2]);
    const default_redactor other("another key of the tests, as long");
    CHECK(first != other.argv(words{"x", "--password", "hunter2"})[2]);
    CHECK(first.find("hunter2") == std::string::npos);
}

TEST_CASE("redact: every redactor made without a key has one of its own") {
    auto one = exec::make_redactor();
    auto other = exec::make_redactor();
    REQUIRE(one);
    REQUIRE(other);
    const words argv{"x", "--password", "hunter2"};
    CHECK((*one)->argv(argv) == (*one)->argv(argv));
    CHECK((*one)->argv(argv) != (*other)->argv(argv));
    CHECK((*one)->argv(exec::argv("x", "--password", "hunter2")) == (*one)->argv(argv));
}

TEST_CASE("redact: a host may show the program alone") {
    const exec::program_only_redactor strict(key);
    CHECK(plain(joined(strict.argv(words{"/bin/ls", "-l", "x"}))) == "/bin/ls|#|#");
    CHECK(plain(strict.text("anything")) == "#");
    CHECK(strict.text("").empty());
}

TEST_CASE("redact: twice the bytes cost twice the time, whatever is in them, and the result stays within its bound") {
    const std::string_view hostile[] = {"a",
                                        "-",
                                        "eyJ-",
                                        "sk-",
                                        "://",
                                        "://a@",
                                        "token=",
                                        "token ",
                                        "--token ",
                                        "jwt=a ",
                                        "password=\"",
                                        "\"",
                                        "'",
                                        "\\",
                                        "-pa ",
                                        "PRIVATE KEY",
                                        "-----BEGIN PRIVATE KEY-----",
                                        "a.eyJ",
                                        "ghp_",
                                        "a b 'c "};
    const default_redactor with(key);
    for (const auto part : hostile) {
        CAPTURE(part);
        const auto seconds_for = [&](std::size_t bytes) {
            std::string text;
            while (text.size() < bytes) text += part;
            const std::string_view argv[] = {"mysql", "sh", "-c", text, text};
            double best = 1e9;
            for (int round = 0; round < 3; ++round) {
                const auto begin = std::clock();
                std::size_t size = 0;
                for (const auto& word : with.words(argv)) size += word.size();
                best = (std::min)(best, static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC);
                CHECK(size <= 4 * (2 * text.size() + 9) + 16 * exec::KiB);
            }
            return best;
        };
        const auto once = seconds_for(exec::MiB / 8);
        CHECK(seconds_for(exec::MiB) < 8 * 5 * once);  // of processor time; 64 times, if it were quadratic
    }
}
