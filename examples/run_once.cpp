// Run one command in this thread and look at everything that is known about its end.
//   run_once [program [argument...]]
#include <cstdio>
#include <string>
#include <vector>

#include "exec/local_runner.h"

int main(int argc, char** argv) {
    std::vector<std::string> words(argv + 1, argv + argc);
    if (words.empty()) words = {"sh", "-c", "echo to out; echo to err >&2; exit 3"};

    // Words that came from outside are checked, not trusted.
    auto program = exec::argv::make(words);
    if (!program) {
        std::printf("refused: %s\n", program.error().message().c_str());
        return 2;
    }
    const auto ran = exec::run({.program_and_args = *program}, {.run_timeout = std::chrono::seconds(5)});
    if (!ran) {
        // A failure certainly never ran: it is safe to try again.
        std::printf("never ran: %s\n", ran.error().message().c_str());
        return 1;
    }
    std::printf("ended:   %s\n", std::string(to_string(ran->how())).c_str());
    if (const auto code = ran->exit.as_shells_do()) std::printf("status:  %d\n", *code);
    std::printf("out:     %s", ran->out.bytes.c_str());
    std::printf("err:     %s", ran->err.bytes.c_str());
    std::printf("left:    %s\n", std::string(to_string(ran->tree)).c_str());
    std::printf("took:    %.1f ms\n", static_cast<double>(ran->took.total.count()) / 1e6);
    return 0;
}
