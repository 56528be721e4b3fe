#include "ssh/openssh_client.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <stdexcept>

#include <exec/argv.h>
#include <exec/local_runner.h>

namespace bench {
namespace {

// AES in hardware first, as ours asks for.
std::vector<std::string> quick(std::vector<std::string> words) {
    words.insert(words.begin() + 1, {"-T", "-c", "aes128-gcm@openssh.com"});
    return words;
}

}  // namespace

std::vector<std::string> cold_client(const test::ssh_login& to, const std::string& line) {
    return quick(test::client_words(to, line));
}

master_client::master_client(const test::ssh_login& to) : to_(to) {
    auto words = quick(test::client_words(to, "unused"));
    words.pop_back();
    words.insert(words.begin() + 1, {"-M", "-N", "-S", files_ / "socket", "-o", "PermitLocalCommand=yes", "-o",
                                     "LocalCommand=echo others may come"});
    process_ =
        std::make_unique<test::server_process>(test::server_start{.words = std::move(words), .log = files_ / "log"});
    if (!process_->says("others may come")) throw std::runtime_error("ssh -M does not start");
}

std::vector<std::string> master_client::client(const std::string& line) const {
    return {"ssh", "-F", "none", "-T", "-S", files_ / "socket", to_.user + "@127.0.0.1", line};
}

double master_client::cpu_seconds() const {
    std::ifstream file("/proc/" + std::to_string(process_->pid()) + "/schedstat");
    double nanoseconds = 0;
    file >> nanoseconds;
    return nanoseconds / 1e9;
}

std::uint64_t must_run(const std::vector<std::string>& words) {
    const auto how = exec::run({.program_and_args = exec::argv::make(words).value()});
    if (how && how->ok()) return how->out.total;
    std::fprintf(stderr, "ssh: %s\n", how ? how->err.bytes.c_str() : how.error().message().c_str());
    std::_Exit(2);
}

}  // namespace bench
