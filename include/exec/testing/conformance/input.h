// Rows about what a command reads.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "exec/testing/conformance/bench.h"
#include "exec/testing/conformance/output.h"

namespace exec::inline v0::testing::conformance {

inline command reading(command what, input from) {
    what.in = std::move(from);
    return what;
}

// Writes all of it, waiting for room as often as needed.
inline bool feed(trial& one, bench& here, std::string_view bytes) {
    for (;;) {
        const int rooms = one.look([](const heard& all) { return all.rooms; });
        bytes.remove_prefix(one.handle.write_in(bytes));
        if (bytes.empty()) return true;
        const bool again = one.wait([rooms](const heard& all) { return all.rooms > rooms || all.destroyed; });
        if (!here.claim(again, "there was never room again after a short write")) return false;
        if (one.look([](const heard& all) { return all.destroyed; }))
            return here.claim(false, "it ended before it was fed");
    }
}

inline std::vector<row> input_rows() {
    return {
        {"given bytes arrive, however few or many, and the end follows",
         [](bench& here) {
             for (const auto& bytes :
                  {std::string(), std::string("\0", 1), counted_to(12'000), counted_to(ten_mebibytes)}) {
                 const auto how =
                     here.run(reading(here.sh("exec cat"), input::bytes(bytes)), kept_as(keep::head, 16 * MiB));
                 if (!here.exits(how)) return;
                 here.claim(how->out.bytes == bytes, "what went in did not come out; " + describe(how));
                 here.claim(how->in_taken == bytes.size(), "taken: " + std::to_string(how->in_taken));
             }
         },
         asks_for::either, &capabilities::input_bytes},
        {"a child that does not read its input is no error",
         [](bench& here) {
             const auto how = here.run(reading(here.sh("exit 3"), input::bytes(std::string(10 * MiB, 'x'))));
             here.exits(how, 3);
             here.claim(how && how->in_taken < 10 * MiB, "ten mebibytes were taken by nobody");
         },
         asks_for::either, &capabilities::input_bytes},
        {"a child that stops reading is no error, and what it took is told",
         [](bench& here) {
             const auto how = here.run(reading(here.sh("dd bs=5 count=1 2>/dev/null; exec <&-; sleep 0.2"),
                                               input::bytes(std::string(10 * MiB, 'x'))));
             here.says(how, "xxxxx");
             here.claim(how && how->in_taken >= 5 && how->in_taken < 10 * MiB, "it cannot have taken that many bytes");
         },
         asks_for::either, &capabilities::input_bytes},
        {"streamed input arrives in order, and its end is not a stop",
         [](bench& here) {
             trial one(here);
             one.start(reading(here.sh("cat; echo end"), input::streamed()));
             feed(one, here, "one ");
             one.wait_for("one ");
             feed(one, here, "two ");
             feed(one, here, "three ");
             one.handle.close_in();
             const auto how = one.end();
             here.says(how, "one two three end\n");
             here.claim(how && how->in_taken == 14, "14 bytes went in");
         },
         asks_for::a_handle, &capabilities::input_streamed},
        {"input that is written before the start is not lost",
         [](bench& here) {
             trial one(here);
             one.start(reading(here.sh("exec cat"), input::streamed()));
             here.claim(one.handle.write_in("early") == 5, "5 bytes were not taken");
             one.handle.close_in();
             here.says(one.end(), "early");
         },
         asks_for::a_handle, &capabilities::input_streamed},
        {"a child that is slow to read holds its writer back, and there is room again when it reads",
         [](bench& here) {
             constexpr std::size_t total = 4 * MiB;
             limits within;
             within.in_queue = 10'000;
             trial one(here);
             one.start(reading(here.sh("echo up; read go; exec wc -c"), input::streamed()), within);
             if (!one.wait_for("up")) return;
             feed(one, here, "go\n");
             const std::string block(100'000, 'x');
             std::size_t sent = 0;
             while (sent < total) {
                 const auto size = (std::min)(block.size(), total - sent);
                 if (!feed(one, here, std::string_view(block).substr(0, size))) return;
                 sent += size;
             }
             one.handle.close_in();
             const auto how = one.end();
             here.exits(how);
             here.claim(how && how->out.bytes.find(std::to_string(total)) != std::string::npos,
                        "not everything arrived; " + describe(how));
             here.claim(one.look([](const heard& all) { return all.rooms > 0; }),
                        "4 MiB went through a queue of 10000 bytes");
         },
         asks_for::a_handle, &capabilities::input_streamed},
        {"input that waits for the child is bounded by in_queue",
         [](bench& here) {
             limits within;
             within.in_queue = 10'000;
             trial one(here);
             one.start(reading(here.sh("echo up; exec sleep 60"), input::streamed()), within);
             if (!one.wait_for("up")) return;
             const std::string block(64 * KiB, 'x');
             std::size_t taken = 0;
             std::size_t last = 1;
             while (last != 0 && taken < 64 * MiB) taken += last = one.handle.write_in(block);
             // The pipe itself, or a window of the link's, may hold some as well.
             here.claim(taken >= 10'000 && taken < 16 * MiB, "taken without a reader: " + std::to_string(taken));
             one.handle.stop();
             here.exits(one.end(), exit_status::signaled(15), stop_reason::cancelled);
         },
         asks_for::a_handle, &capabilities::input_streamed},
        {"a child that stopped reading takes everything and holds no writer back",
         [](bench& here) {
             trial one(here);
             one.start(reading(here.sh("exec <&-; echo closed; sleep 0.5; exit 4"), input::streamed()));
             if (!one.wait_for("closed")) return;
             const std::string block(64 * KiB, 'x');
             for (int count = 0; count < 64; ++count) {
                 const int rooms = one.look([](const heard& all) { return all.rooms; });
                 if (one.handle.write_in(block) == block.size()) continue;
                 one.wait([rooms](const heard& all) { return all.rooms > rooms || all.destroyed; });
             }
             here.exits(one.end(), 4);
         },
         asks_for::a_handle, &capabilities::input_streamed},
        {"a command without streamed input takes nothing",
         [](bench& here) {
             trial one(here);
             one.start(here.sh("cat; echo end"));
             here.claim(one.handle.write_in("abc") == 0, "bytes were taken that nobody will read");
             one.handle.close_in();
             here.says(one.end(), "end\n");
         },
         asks_for::a_handle},
    };
}

}  // namespace exec::inline v0::testing::conformance
