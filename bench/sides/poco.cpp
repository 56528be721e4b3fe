// Poco: Process::launch with two pipes, read one after the other; it has no loop.
#include <Poco/Pipe.h>
#include <Poco/Process.h>

#include "sides/peers.h"

namespace bench {
namespace {

std::uint64_t read_to_end(Poco::Pipe& from) {
    static char space[64 * 1024];
    std::uint64_t all = 0;
    for (;;) {
        const int got = from.readBytes(space, sizeof space);
        if (got <= 0) return all;
        all += static_cast<std::uint64_t>(got);
    }
}

heard run_once(words what) {
    const Poco::Process::Args arguments = [&] {
        Poco::Process::Args all;
        for (words next = what + 1; *next != nullptr; ++next) all.emplace_back(*next);
        return all;
    }();
    Poco::Pipe out;
    Poco::Pipe err;
    const auto child = Poco::Process::launch(what[0], arguments, nullptr, &out, &err);
    heard how;
    how.out = read_to_end(out);
    how.err = read_to_end(err);
    how.ended = child.wait() >= 0;
    return how;
}

}  // namespace

side poco() {
    side made{"Poco", kind::peer};
    made.run = run_once;
    return made;
}

}  // namespace bench
