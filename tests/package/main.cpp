// What every consumer here builds, and runs: one real command.
#include <exec/local_runner.h>
#include <exec/version.h>

int main() {
    auto ran = exec::run({.program_and_args = exec::argv("echo", "hello")});
    return ran && ran->ok() && ran->out.bytes == "hello\n" ? 0 : 1;
}
