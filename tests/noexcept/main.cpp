// Built with -fno-exceptions only: the library works without them.
#include "every_header.h"

int main() {
    auto ran = exec::run({.program_and_args = exec::argv("echo", "hello")});
    return ran && ran->ok() && ran->out.bytes == "hello\n" ? 0 : 1;
}
