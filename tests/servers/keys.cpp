#include "servers/keys.h"

#include <exec/argv.h>
#include <exec/error.h>
#include <exec/local_runner.h>

#include <stdexcept>
#include <string>
#include <utility>

#include "file_text.h"

namespace test {
namespace {

void run_keygen(exec::argv words) {
    const auto ended = exec::run({.program_and_args = std::move(words)});
    if (!ended) throw std::runtime_error("ssh-keygen does not start: " + ended.error().context);
    if (!ended->ok()) throw std::runtime_error("ssh-keygen: " + ended->err.bytes);
}

}  // namespace

key_pair make_key(const std::string& directory, const std::string& type, const std::string& name) {
    key_pair made;
    made.file = directory + "/" + name;
    run_keygen(exec::argv("ssh-keygen", "-q", "-N", "", "-t", type, "-C", "exec-test", "-f", made.file));
    made.public_line = file_text(made.file + ".pub");
    made.public_line.erase(made.public_line.find_last_not_of('\n') + 1);
    return made;
}

std::string sign_user_key(const key_pair& authority, const key_pair& key, const std::string& principal,
                          const std::string& validity) {
    run_keygen(exec::argv("ssh-keygen", "-q", "-s", authority.file, "-I", "exec-test", "-n", principal, "-V", validity,
                          key.file + ".pub"));
    return key.file + "-cert.pub";
}

}  // namespace test
