// Rows about commands on a terminal.
#pragma once

#include <string>
#include <vector>

#include "exec/testing/conformance/bench.h"
#include "exec/testing/conformance/input.h"

namespace exec::inline v0::testing::conformance {

inline command on_terminal(command what, terminal_size size = {80, 24}) {
    what.terminal = size;
    return what;
}

inline std::vector<row> terminal_rows() {
    return {
        {"terminal: 0, 1 and 2 are one, and it is the controlling one",
         [](bench& here) {
             const auto how = here.run(on_terminal(here.sh("[ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo yes > /dev/tty")));
             here.exits(how);
             here.says(how, "yes\r\n");
         },
         asks_for::either, &capabilities::terminal},
        {"terminal: its size is the one that was asked for",
         [](bench& here) {
             here.says(here.run(on_terminal(here.sh("stty size"), {111, 33})), "33 111\r\n");
         },
         asks_for::either, &capabilities::terminal},
        {"terminal: everything is on out, in its order",
         [](bench& here) {
             here.says(here.run(on_terminal(here.sh("echo 1; echo 2 >&2; echo 3; echo 4 >&2"))),
                       "1\r\n2\r\n3\r\n4\r\n");
         },
         asks_for::either, &capabilities::terminal},
        {"terminal: the end of the last user of it is the end of the output, and complete",
         [](bench& here) {
             const auto how = here.run(on_terminal(here.sh("seq 1 20000; exit 3")), kept_as(keep::tail, 7));
             here.exits(how, 3);
             here.claim(how && how->out.complete && how->out.bytes == "20000\r\n" && how->out.total == 128'894,
                        "out has an end and all of it was counted; " + describe(how));
         },
         asks_for::either, &capabilities::terminal},
        {"terminal: without input nothing is typed",
         [](bench& here) {
             limits within;
             within.run_timeout = milliseconds(500);
             here.exits(here.run(on_terminal(here.sh("read line; exit 3")), within), exit_status::signaled(15),
                        stop_reason::run_timeout);
         },
         asks_for::either, &capabilities::terminal},
        {"terminal: a size of nothing is refused",
         [](bench& here) {
             if (here.can().terminal)
                 here.fails(here.run(on_terminal(here.sh("exit 0"), {0, 24})), errc::invalid_argument);
         }},
        {"terminal: a resize is seen by the command",
         [](bench& here) {
             trial one(here);
             one.start(on_terminal(reading(here.sh("stty -echo; echo up; read go; stty size"), input::streamed())));
             one.wait_for("up");
             here.claim(one.handle.resize({132, 50}).has_value(), "it was not resized");
             feed(one, here, "\n");
             const auto how = one.end();
             here.exits(how);
             here.claim(how && how->out.bytes.find("50 132") != std::string::npos,
                        "the size is not 50 132; " + (how ? display(how->out.bytes) : ""));
         },
         asks_for::a_handle, &capabilities::terminal},
        {"terminal: control-C is an interrupt",
         [](bench& here) {
             trial one(here);
             one.start(on_terminal(reading(here.sh("echo up; exec sleep 60"), input::streamed())));
             one.wait_for("up");
             feed(one, here, "\x03");
             here.exits(one.end(), exit_status::signaled(2));
         },
         asks_for::a_handle, &capabilities::terminal},
        {"terminal: the end of input ends a reader, not the command",
         [](bench& here) {
             trial one(here);
             one.start(on_terminal(reading(here.sh("stty -echo; echo up; cat; echo end"), input::streamed())));
             one.wait_for("up");
             feed(one, here, "line\n");
             one.handle.close_in();
             const auto how = one.end();
             here.exits(how);
             here.says(how, "up\r\nline\r\nend\r\n");
         },
         asks_for::a_handle, &capabilities::terminal},
    };
}

}  // namespace exec::inline v0::testing::conformance
