// What OpenSSH's own tool says.
#pragma once

#include <exec/argv.h>
#include <exec/local_runner.h>

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace test {

// The standard output of `ssh-keygen words...`; "" if it says no with exit 1, as -F does of a host that is not there.
inline std::string keygen(std::vector<std::string> words) {
    words.insert(words.begin(), "ssh-keygen");
    const auto ended = exec::run({.program_and_args = exec::argv::make(std::move(words)).value()});
    if (!ended) throw std::runtime_error("ssh-keygen does not start: " + ended.error().context);
    if (!ended->ok() && ended->exit != exec::exit_status::exited(1)) {
        throw std::runtime_error("ssh-keygen: " + ended->err.bytes);
    }
    return ended->out.bytes;
}

}  // namespace test
